#!/usr/bin/env bash
# The published laptop recipe of early exit, several seeds, beside the plain transformer at equal
# steps and at equal training FLOPs. Slow suite, run by hand: about half an hour on two cores.
set -euo pipefail

usage() {
  cat <<'END'
Usage: recipe_papingo.sh DATASET [SEED...]

Trains `papingo` and `gpt2ish_shakespeare_cpu` (2,000 steps, and as many as cost the same FLOPs) on
DATASET, one thread a run and two runs at a time, and prints a JSON line per run: its evaluation over
the whole validation split. Seeds are 1 2 3 unless given. Runs are kept as recipe-*; those that
exist are not trained again.
END
}

if (($# == 0)) || [[ $1 == -h || $1 == --help ]]; then
  usage
  exit "$(($# == 0 ? 2 : 0))"
fi
dataset=$1
shift
if (($# == 0)); then set -- 1 2 3; fi
cd "$(dirname "$0")/../.."
export FATHOM_RUNS=${FATHOM_RUNS:-$PWD/runs}

# Forward and backward FLOPs of a token.
flops() {
  ./fathom describe "$1" --json | sed -n 's/^ *"flops_per_token_training": \([0-9.]*\).*/\1/p'
}
equal=$(awk -v a="$(flops papingo)" -v b="$(flops gpt2ish_shakespeare_cpu)" \
  'BEGIN { printf "%.0f", 2000 * a / b }')

run() {
  local name=$1 preset=$2 seed=$3 steps=$4
  if [[ ! -e $FATHOM_RUNS/$name ]]; then
    OMP_WAIT_POLICY=passive ./fathom train "$preset" --dataset="$dataset" --seed="$seed" \
      --max_iters="$steps" --run_name="$name" --threads=1 >"$FATHOM_RUNS/$name.log" 2>&1
  fi
  ./fathom eval "$name" --checkpoint=last --threads=1 --json | tr -d '\n'
  echo
}
export -f run
export dataset

mkdir -p "$FATHOM_RUNS"
for seed in "$@"; do
  printf '%s\0' "recipe-papingo-s$seed papingo $seed 2000" \
    "recipe-plain-s$seed gpt2ish_shakespeare_cpu $seed 2000" \
    "recipe-plain-flops-s$seed gpt2ish_shakespeare_cpu $seed $equal"
done | xargs -0 -n 1 -P 2 bash -c 'run $0'
