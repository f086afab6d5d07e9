#!/usr/bin/env bash
# The linker keeps one of several weak symbols of a name. If a file that was compiled for AVX-512 has
# one that others have too, that one may run where there is no AVX-512. So such files have none.
#
#   tests/scripts/no_weak_symbols.sh OBJECT...
set -euo pipefail

found=$(for object in "$@"; do nm -C "$object" | awk -v file="$object" '$2 ~ /^[WVu]$/ { print file ": " $0 }'; done)
if [[ -n $found ]]; then
  printf '%s\n' "$found"
  exit 1
fi
[[ $# -gt 0 ]]
