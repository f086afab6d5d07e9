#!/usr/bin/env bash
# Every optimiser on the laptop recipe, each at its own rate. By hand: hours on two cores.
set -euo pipefail

usage() {
  cat <<'END'
Usage: tune_optimizers.sh DATASET [STEPS]

Trains `gpt2ish_shakespeare_cpu` on DATASET for STEPS steps (2000) with each optimiser and some rates,
one thread a run and two runs at a time, picks each one's rate by the loss of seed 1 over the whole
validation split, and trains seeds 2 and 3 at that rate. Prints a line per optimiser: rate, the three
losses, mean and standard deviation. `edge` beside a rate: it is the least or largest that was tried.
Runs are kept as optimizer-*; those that are complete are not trained again.
END
}

if (($# == 0 || $# > 2)) || [[ $1 == -h || $1 == --help ]]; then
  usage
  [[ ${1:-} == -h || ${1:-} == --help ]] && exit 0
  exit 2
fi
export dataset=$1 steps=${2:-2000}
cd "$(dirname "$0")/../.."
export FATHOM_RUNS=${FATHOM_RUNS:-$PWD/runs}
mkdir -p "$FATHOM_RUNS"

# Optimiser, the key that is tuned, its values in ascending order, and what else it is given.
rules=(
  "adamw learning_rate 3e-4,1e-3,3e-3,1e-2,3e-2"
  "adam learning_rate 3e-4,1e-3,3e-3,1e-2"
  "adagrad learning_rate 3e-3,1e-2,3e-2,1e-1"
  "sgd learning_rate 1e-2,3e-2,1e-1,3e-1,1"
  "rmsprop learning_rate 1e-4,3e-4,1e-3,3e-3,1e-2"
  "muon muon_lr 5e-3,1e-2,2e-2,5e-2"
  "schedule_free_adamw learning_rate 1e-3,3e-3,1e-2,3e-2 --decay_lr=False --optimizer_warmup_steps=100 --optimizer_warmup_fraction=0"
)

train() {
  local optimizer=$1 key=$2 rate=$3 seed=$4
  shift 4
  local name=optimizer-$optimizer-$rate-s$seed go_on=()
  [[ -e $FATHOM_RUNS/$name/checkpoints ]] && go_on=(--resume)
  OMP_WAIT_POLICY=passive ./fathom train gpt2ish_shakespeare_cpu --dataset="$dataset" \
    --optimizer="$optimizer" --"$key"="$rate" --seed="$seed" --max_iters="$steps" \
    --run_name="$name" --threads=1 "$@" "${go_on[@]}" >"$FATHOM_RUNS/$name.log" 2>&1 ||
    echo "$name failed: $(tail -n 2 "$FATHOM_RUNS/$name.log" | tr '\n' ' ')" >&2
}
export -f train
train_all() {
  xargs -0 -n 1 -P 2 bash -c 'train $0'
}

# Of the whole validation split; a run that failed is worse than any.
loss() {
  { ./fathom eval "$1" --checkpoint=last --threads=1 --json 2>/dev/null || true; } |
    sed -n 's/^ *"loss": *\([0-9.e+-]*\).*/\1/p' | grep . || echo 1e9
}

for rule in "${rules[@]}"; do
  read -r optimizer key rates more <<<"$rule"
  for rate in ${rates//,/ }; do printf '%s\0' "$optimizer $key $rate 1 $more"; done
done | train_all

chosen=()
for rule in "${rules[@]}"; do
  read -r optimizer key rates more <<<"$rule"
  best=$(for rate in ${rates//,/ }; do echo "$(loss "optimizer-$optimizer-$rate-s1") $rate"; done |
    sort -g | head -n 1 | cut -d ' ' -f 2)
  edge=
  [[ $best == "${rates%%,*}" || $best == "${rates##*,}" ]] && edge=" edge"
  chosen+=("$optimizer $key $best $more|$edge")
done

for choice in "${chosen[@]}"; do
  read -r optimizer key rate more <<<"${choice%|*}"
  for seed in 2 3; do printf '%s\0' "$optimizer $key $rate $seed $more"; done
done | train_all

printf '| optimiser | rate | seeds 1, 2, 3 | mean (sd) |\n|---|---|---|---|\n'
for choice in "${chosen[@]}"; do
  read -r optimizer key rate more <<<"${choice%|*}"
  for seed in 1 2 3; do loss "optimizer-$optimizer-$rate-s$seed"; done |
    awk -v what="$optimizer | $key $rate${choice##*|}" '
      { all = all (NR > 1 ? ", " : "") sprintf("%.4f", $1); sum += $1; squares += $1 * $1 }
      END { m = sum / NR; v = (squares - NR * m * m) / (NR - 1)
            printf "| %s | %s | %.4f (%.4f) |\n", what, all, m, sqrt(v > 0 ? v : 0) }'
done
