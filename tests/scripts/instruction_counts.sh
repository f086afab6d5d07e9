#!/usr/bin/env bash
# Counts the instructions of every kernel under callgrind and compares them with those that are
# written down: a kernel that became slower is seen on the busiest machine.
#
#   tests/scripts/instruction_counts.sh PROGRAM COMPILER GOLDEN [--write]
#
# COMPILER is what built PROGRAM, for example "GNU 12". Compilers differ: with another one than GOLDEN
# names nothing is compared. Callgrind does not know AVX-512.
set -euo pipefail

program=$1 compiler=$2 golden=$3 mode=${4:-}
tolerance=3 # percent

if [[ $mode != --write && $(head -n 1 "$golden") != "# $compiler" ]]; then
  echo "Not compared: the counts are of $(head -n 1 "$golden"), this is $compiler."
  exit 77
fi
if ! grep -qw avx2 /proc/cpuinfo; then
  echo "Not compared: this processor has no AVX2."
  exit 77
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

counts() { # ISA: lines of "ISA function count"
  FATHOM_ISA=$1 OMP_NUM_THREADS=1 valgrind --tool=callgrind --callgrind-out-file="$folder/$1" \
    "$program" >"$folder/log" 2>&1 || { cat "$folder/log" >&2; return 1; }
  callgrind_annotate --inclusive=yes --threshold=100 "$folder/$1" |
    sed -nE "s/^ *([0-9,]+) .*:(count_[a-z_]+).*/$1 \2 \1/p" | tr -d , | sort -u >"$folder/lines"
  [[ -s $folder/lines ]] || { echo "callgrind_annotate names no count_ function" >&2; return 1; }
  cat "$folder/lines"
}

echo "# $compiler" >"$folder/counts"
counts baseline >>"$folder/counts"
counts avx2 >>"$folder/counts"

if [[ $mode == --write ]]; then
  cp "$folder/counts" "$golden"
  exit
fi
awk -v tolerance=$tolerance '
  /^#/ { next }
  NR == FNR { golden[$1 " " $2] = $3; next }
  {
    key = $1 " " $2
    if (!(key in golden)) { print key ": " $3 ", not in the list"; wrong = 1; next }
    change = 100 * ($3 / golden[key] - 1)
    if (change > tolerance || change < -tolerance) {
      printf "%s: %d instructions, %d are written down (%+.1f %%)\n", key, $3, golden[key], change
      wrong = 1
    }
    delete golden[key]
  }
  END {
    for (key in golden) { print key ": not counted"; wrong = 1 }
    if (wrong) print "If that is meant, write them down: tests/scripts/instruction_counts.sh PROGRAM COMPILER GOLDEN --write"
    exit wrong
  }' "$golden" "$folder/counts"
