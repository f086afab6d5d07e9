# shellcheck shell=bash
# Completion of fathom for bash: eval "$(fathom completion bash)"
_fathom() {
  local word before='' cut='' program=${COMP_WORDS[0]/#\~/$HOME}
  local -a words=()
  # bash cuts words at = and :, which are parts of them.
  for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if ((${#words[@]} > 0)) && [[ $word == [=:]* || $before == *[=:] ]]; then
      words[${#words[@]} - 1]+=$word
    else
      words+=("$word")
    fi
    before=$word
  done
  # Of the word under the cursor it replaces what is behind the last cut.
  if [[ $COMP_WORDBREAKS == *=* ]]; then
    word=${words[${#words[@]} - 1]}
    cut=${word%"${word##*[=:]}"}
  fi
  COMPREPLY=()
  while IFS=$'\t' read -r word _; do
    word=${word#"$cut"}
    [[ $word == *= ]] || printf -v word '%q' "$word"
    COMPREPLY+=("$word")
  done < <("$program" completion words "${words[@]}" 2>/dev/null)
  if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -o default -F _fathom fathom
