# Completion of fathom for fish: fathom completion fish | source
function __fathom_words
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l found ($program completion words $words "$current" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
        return
    end
    set -l key (string match -r -- '^--[^=]*=' "$current")
    for file in (__fish_complete_path (string replace -- "$key" '' "$current"))
        printf '%s%s\n' "$key" $file
    end
end
complete -c fathom -f -a '(__fathom_words)'
