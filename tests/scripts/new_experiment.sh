#!/usr/bin/env bash
# Copies the experiments of docs/new-experiment.md out of the page, builds fathom with them as a
# reader would, from outside the tree, trains each, and lets the property tests look at them.
#
# Usage: new_experiment.sh BUILD_FOLDER BUILT
# BUILT: a build of the tree, whose libraries are taken. BUILD_FOLDER is kept: the next call builds
# only what changed.
set -euo pipefail

source_tree=$(cd "$(dirname "$0")/../.." && pwd)
page=$source_tree/docs/new-experiment.md
mkdir -p "$1"
build=$(cd "$1" && pwd)
built=$(cd "$2" && pwd)
folders=$build/experiments
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export FATHOM_DATA=$work/data FATHOM_RUNS=$work/runs
unset GTEST_OUTPUT # the caller's report is of its own engine-tests

die() {
  printf 'new_experiment.sh: %s\n' "$1" >&2
  exit 1
}

# expect PATTERN COMMAND...: what it prints, to either stream, has a line that matches.
expect() {
  local pattern=$1 output status=0
  shift
  output=$("$@" 2>&1) || status=$?
  grep -qE -- "$pattern" <<<"$output" || die "\`$*\` (exit code $status) printed no '$pattern': $output"
}

# A file is a fenced block after a line that names it: `swiglu/model.cpp`:
rm -rf "$folders"
awk -v folders="$folders" '
  /^`[a-z_]+\/[a-z_.\/]+`:$/ { file = folders "/" substr($0, 2, length($0) - 3); next }
  /^```/ && inside { inside = 0; close(file); file = ""; next }
  /^```/ && file != "" {
    inside = 1
    folder = file; sub(/\/[^\/]*$/, "", folder)
    system("mkdir -p \"" folder "\"")
    next
  }
  inside { print > file }' "$page"
mapfile -t names < <(find "$folders" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort)
[[ ${names[*]} == "denoise routed swiglu tiny two_ahead" ]] || die "the page has: ${names[*]}"
# One more, of a kind that the page has not.
cp -r "$source_tree/tests/scripts/headless" "$folders"
names+=(headless)
if command -v clang-format >/dev/null; then
  find "$folders" -name '*.cpp' -print0 |
    xargs -0 clang-format --style="file:$source_tree/.clang-format" --dry-run -Werror
fi

list=$(printf ";$folders/%s" "${names[@]}")
sanitize=$(sed -n 's/^FATHOM_SANITIZE:[^=]*=//p' "$built/CMakeCache.txt")
cmake -S "$source_tree" -B "$build/tree" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON \
  "-DFATHOM_SANITIZE=$sanitize" -DFATHOM_TESTS=ON "-DFATHOM_BUILT=$built" "-DFATHOM_EXPERIMENTS=${list:1}" >"$build/configure.log" ||
  die "cmake failed: $(cat "$build/configure.log")"
cmake --build "$build/tree" --parallel 2 --target fathom fathom-engine engine-tests \
  >"$build/build.log" || die "the build failed: $(tail -n 60 "$build/build.log")"
fathom=$build/tree/fathom

# A text with something to learn in it.
awk 'BEGIN { split("the cat sat on a mat and saw one dog run by", w, " ")
  for (i = 0; i < 6000; ++i) printf "%s%s", w[(i * i + int(i / 7)) % 11 + 1], i % 9 == 8 ? ".\n" : " " }' \
  >"$work/text.txt"
"$fathom" prepare "$work/text.txt" --name mine >/dev/null

small=(--n_layer=2 --n_head=2 --n_embd=64 --block_size=32 --max_iters=200 --eval_interval=1000
  --eval_iters=5 --learning_rate=3e-3 --warmup_iters=20 --threads=1)
declare -A more=([denoise]=--max_iters=1000)  # a sixth of the targets
declare -A least=([denoise]=0.2)              # it stays with the letters' frequencies for long
for name in "${names[@]}"; do
  expect "^  $name " "$fathom" list
  "$fathom" describe "$name" >/dev/null
  "$fathom" train "$name" --dataset mine --run_name "$name" "${small[@]}" \
    ${more[$name]:-} >"$work/$name.log" ||
    die "training $name failed: $(cat "$work/$name.log")"
  # More than the letters' frequencies, which are worth 0.3.
  awk -v least="${least[$name]:-0.5}" '/^step .*val loss/ { split($0, part, "val loss "); loss[++n] = part[2] + 0 }
    END { exit !(n == 2 && loss[2] < loss[1] - least) }' "$work/$name.log" ||
    die "$name did not learn: $(cat "$work/$name.log")"
  expect "is complete" "$fathom" train "$name" --run_name "$name" --resume
  "$fathom" train --dataset mine --exp "$name" --run_name "$name-narrow" "${small[@]}" --amp \
    --dropout=0.1 --max_iters=3 --quiet >/dev/null
  expect "val loss|loss" "$fathom" eval "$name" --threads=1
  printf '%s: %s\n' "$name" "$(grep 'val loss' "$work/$name.log" | tail -n 1)"
done

# The page's own commands.
"$source_tree/tests/scripts/documented_commands.sh" "$fathom" "$page"

for name in tiny swiglu two_ahead routed; do
  "$fathom" generate "$name" --start "the " --max_new_tokens 40 >/dev/null
done
expect "positions see later ones" "$fathom" generate denoise
expect "positions see later ones" "$fathom" trace denoise
for verb in generate trace; do
  expect "headless is a run of headless, which answers how often a token has been there: $verb needs" \
    "$fathom" "$verb" headless
done
# A verb of its own, in both programs.
expect "^  headless +what a model without a head says" "$fathom" --help
expect "Tells how often a token has been there" "$fathom" headless --help
expect "^headless says how often a token has been there" "$fathom" headless headless
expect "unknown verb" "$built/fathom" headless headless
expect "answers how often .*: its texts cannot be grown" "$fathom" bench decode headless
"$fathom" eval headless --json | grep -qE 'accuracy|perplexity|bits_per_byte' &&
  die "eval headless tells what a model of tokens would"
expect "\"distance\"" "$fathom" eval headless --json
expect "eval/val/distance" "$fathom" export headless --metrics=csv

# Settings of their own: they act, are refused out of range, and stay with the checkpoint.
expect "own +24,576 " "$fathom" describe swiglu "${small[@]}" --swiglu_ratio=1
expect "swiglu_ratio = 0 is out of range" "$fathom" train swiglu --dataset mine --swiglu_ratio=0
expect "swiglu_ratio = 2.66.* stays" \
  "$fathom" train swiglu --run_name swiglu --resume --max_iters=201 --swiglu_ratio=1
expect "unknown key --open_above" "$fathom" train swiglu --dataset mine --open_above=0.7
expect "ahead_loss" "$fathom" export two_ahead --metrics=csv
expect "ratio = 2" "$fathom" describe --n_layer=2 swiglu --swiglu_ratio=2
expect "ratio = 3" "$fathom" train --exp swiglu --swiglu_ratio=3 --describe
# How an evaluation is split into batches changes nothing, also where the model draws what it sees.
for size in 1 7 32; do
  "$fathom" eval denoise --batch_size=$size --threads=1 --json | grep '"loss"'
done | sort -u | awk '{ split($2, x, ","); loss[NR] = x[1] }
  END { exit !(NR == 1 || (loss[NR] - loss[1]) ^ 2 < 1e-10) }' || die "eval depends on batch_size"
# Composed with other experiments' settings, and other config files.
"$fathom" train swiglu --dataset mine --run_name exits "${small[@]}" --layer_heads --layer_tables \
  --tie_head=False --halt_rule=max --layer_supervision=all >/dev/null
"$fathom" generate exits --start "the " --max_new_tokens 40 >/dev/null
expect "n_embd = 128" "$fathom" describe tiny config/wide.toml

# A build without the experiment says what it lacks.
expect 'of the experiment "swiglu".*does not have' "$built/fathom" eval swiglu

"$build/tree/tests/engine-tests" --gtest_brief=1 \
  --gtest_filter='Causality.*:Cache*:Skip.*:Gradients.*:Independence.*:SameBits.*:ExactResume.OfEveryPreset:DecoderTest.*:TraceText.*' \
  >"$build/property.log" 2>&1 || die "property tests: $(tail -n 40 "$build/property.log")"
tail -n 2 "$build/property.log"
