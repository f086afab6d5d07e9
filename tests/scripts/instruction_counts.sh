#!/usr/bin/env bash
# Counts the instructions of every kernel under callgrind and compares them with those that are
# written down: a kernel that became slower is seen on the busiest machine.
#
#   tests/scripts/instruction_counts.sh PROGRAM GOLDEN [--write]
#
# Callgrind does not know AVX-512. Compilers differ: the numbers are those of the compiler that
# GOLDEN's first line names, and with another one nothing is compared.
set -euo pipefail

program=$1 golden=$2 mode=${3:-}
tolerance=3 # percent
compiler="g++ $(g++ -dumpfullversion | cut -d. -f1)"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

counts() { # ISA: lines of "ISA function count"
  FATHOM_ISA=$1 OMP_NUM_THREADS=1 valgrind --tool=callgrind --callgrind-out-file="$folder/$1" \
    "$program" >"$folder/log" 2>&1 || { cat "$folder/log" >&2; return 1; }
  callgrind_annotate --inclusive=yes --threshold=100 "$folder/$1" |
    sed -nE "s/^ *([0-9,]+) .*:(count_[a-z_]+).*/$1 \2 \1/p" | tr -d , | sort -u
}

{
  echo "# $compiler"
  counts baseline
  counts avx2
} >"$folder/counts"

if [[ $mode == --write ]]; then
  cp "$folder/counts" "$golden"
  exit
fi
if [[ $(head -n 1 "$golden") != "# $compiler" ]]; then
  echo "Not compared: the counts are of $(head -n 1 "$golden"), this is $compiler."
  exit 77
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
    if (wrong) print "If that is meant, write them down: tests/scripts/instruction_counts.sh PROGRAM GOLDEN --write"
    exit wrong
  }' "$golden" "$folder/counts"
