#!/usr/bin/env bash
# Would the tests notice a fault in the walk? Each fault of walk_faults.txt is put into a copy of this
# commit, alone, and the tests of model, properties and decoding are run until one fails. Slow suite, run
# by hand: half a minute of two processors a fault, after a build.
set -euo pipefail

usage() {
  cat <<'END'
Usage: walk_faults.sh FOLDER [PATTERN]

Clones this repository's HEAD into FOLDER/fathom, or brings that clone there, builds and tries the faults
whose description matches PATTERN (an extended regular expression; without it all). The last line counts
faults and those that a test caught. Exit code 0: all of them.
END
}

if (($# < 1 || $# > 2)) || [[ $1 == -* ]]; then
  usage >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
repository=$(git -C "$here" rev-parse --show-toplevel)
mkdir -p "$1"
folder=$(realpath -- "$1")
pattern=${2:-}
clone=$folder/fathom
tests=$clone/build/release/tests/engine-tests
log=$folder/log

if [[ ! -e $clone/.git ]]; then git clone --quiet "$repository" "$clone"; fi
git -C "$clone" fetch --quiet "$repository" HEAD
git -C "$clone" checkout --quiet --force --detach FETCH_HEAD

build() { cmake --build "$clone/build/release" --parallel "$(nproc)" --target engine-tests >"$log" 2>&1; }

# Until the first failure: exit code 1 when a test failed, others when it crashed or went on for ever.
run_tests() { (cd "$clone" && GTEST_FAIL_FAST=1 timeout 900 "$tests" --gtest_brief=1 >"$log" 2>&1); }

# put_in FILE OLD NEW: exactly one place, or the list is out of date.
put_in() {
  python3 - "$@" <<'END'
import sys
file, old, new = sys.argv[1:]
text = open(file, encoding="utf-8").read()
if text.count(old) != 1:
    sys.exit(f"walk_faults.sh: {file} has {text.count(old)} times, not once: {old}")
open(file, "w", encoding="utf-8").write(text.replace(old, new))
END
}

(cd "$clone" && cmake --preset release -DFATHOM_TESTS=ON '-DFATHOM_ENGINE_TESTS=model;property;decode') >"$log" 2>&1 ||
  { cat "$log"; exit 1; }
build || { tail -n 40 "$log"; exit 1; }
run_tests || { tail -n 40 "$log"; echo "walk_faults.sh: a test fails without any fault"; exit 1; }

faults=0
caught=0
try_fault() {
  local name=$1 file=$clone/src/fathom/$2 status=0 test
  ((++faults))
  put_in "$file" "$3" "$4"
  if ! build; then
    grep -m 5 'error' "$log" || true
    echo "walk_faults.sh: does not compile: $name"
    exit 1
  fi
  run_tests || status=$?
  test=$(sed -nE 's/^\[  FAILED  \] ([A-Za-z0-9_./]+).*/\1/p' "$log" | head -n 1)
  if ((status == 0)); then
    echo "NOT CAUGHT  $name"
  else
    ((++caught))
    echo "caught      $name: ${test:-exit code $status}"
  fi
  git -C "$clone" checkout --quiet -- "src/fathom/$2"
}

name="" file="" old=""
while IFS= read -r line || [[ -n $line ]]; do
  case $line in
    '#'*) ;;
    '') name="" file="" old="" ;;
    '- '*) old=${line#- } ;;
    '+ '*) if [[ $name =~ $pattern ]]; then try_fault "$name" "$file" "$old" "${line#+ }" </dev/null; fi ;;
    *) if [[ -z $name ]]; then name=$line; else file=$line; fi ;;
  esac
done <"$here/walk_faults.txt"
echo "$faults faults, $caught caught"
((faults > 0 && caught == faults))
