#compdef fathom
# Completion of fathom for zsh: source <(fathom completion zsh), after compinit
_fathom() {
  local line word
  local -a typed keys keys_said others others_said
  ((CURRENT > 2)) && typed=("${(@Q)words[2,CURRENT-1]}")
  typed+=("$PREFIX")
  for line in "${(@f)$("${(Q)words[1]}" completion words "${typed[@]}" 2>/dev/null)}"; do
    word=${line%%$'\t'*}
    [[ -n $word ]] || continue
    if [[ $word == *= ]]; then
      keys+=("$word")
      keys_said+=("${line/$'\t'/  -- }")
    else
      others+=("$word")
      others_said+=("${line/$'\t'/  -- }")
    fi
  done
  if ((${#keys} + ${#others} == 0)); then
    compset -P '--*='
    _files
    return
  fi
  ((${#keys} == 0)) || compadd -l -S '' -d keys_said -a keys
  ((${#others} == 0)) || compadd -l -d others_said -a others
}
if [[ ${funcstack[1]} == _fathom ]]; then _fathom "$@"; else compdef _fathom fathom; fi
