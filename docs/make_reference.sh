#!/usr/bin/env bash
# Writes docs/reference.md from what the program says of itself: every verb, key and preset comes from
# the field lists that the command line is made of. A test compares the file with the program.
#
# Usage: docs/make_reference.sh [FATHOM] > docs/reference.md
set -euo pipefail

fathom=$(realpath "${1:-build/release/fathom}")
cd "$(mktemp -d)" # no corpora and no runs that would show in the defaults
unset FATHOM_DATA FATHOM_RUNS

block() {
  printf '\n```\n'
  "$@"
  printf '```\n'
}

cat <<'END'
# Reference

What `fathom` says of itself, by `docs/make_reference.sh`. A key is given as `--key=value`, `--key
value` or a line of a config file; `-` and `_` are the same.

## Verbs
END
block "$fathom" --help
printf '\n## Experiments and presets\n'
block "$fathom" list
while read -r verb; do
  printf '\n## fathom %s\n' "$verb"
  block "$fathom" "$verb" --help=all
done < <("$fathom" --help | awk '/^Usage/ { on = 1; next } on && /^  [a-z]+ / { print $1 }
  /explains a verb/ { exit }')
