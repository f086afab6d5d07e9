#!/usr/bin/env bash
# Runs every `./fathom` and `fathom` command of the README, of docs/ and of the experiments' pages, in
# the order in which they stand there, in a folder of its own. Trainings get flags after their own that
# make them short; everything else is typed as it is written.
#
# Usage: documented_commands.sh FATHOM [PAGE ...]
# Without pages: all of them but those whose commands need a build of their own, the examples of
# `fathom VERB --help`, the notebooks' commands (notebook_commands.txt), and a comparison of
# docs/reference.md with the program. A page may be notebook_commands.txt.
# They train on a stand-in for Shakespeare, made here and prepared under its name: nothing depends on a
# network. `prepare shakespeare_char` itself runs beside it, with the text in FATHOM_SHAKESPEARE or a
# download; where there is neither it is skipped, which is said.
set -euo pipefail

source_tree=$(cd "$(dirname "$0")/../.." && pwd)
fathom=$(realpath "$1")
shift
pages=()
for page in "$@"; do pages+=("$(realpath "$page")"); done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
ln -s "$fathom" fathom
PATH=$work:$PATH
unset FATHOM_DATA FATHOM_RUNS

failed=0
passed=0
skipped=0
fail() {
  printf '%s\n' "$1" >&2
  failed=$((failed + 1))
}

# The commands of a page: lines of code blocks that begin with `fathom` or `./fathom`, those that end
# with a backslash joined with the next, and commands in backquotes; without those that have RUN or FILE to fill in.
commands_of() {
  awk '
    function put(line) {
      sub(/ +#.*/, "", line)
      if (line ~ /\.\.\./ || line ~ /(^| |=)[A-Z_]+( |$)/) return
      # The name of a verb alone is a mention.
      if (split(line, words, " ") == 2 && words[2] !~ /^(list|doctor)$/) return
      print line
    }
    line != "" || /^    (\.\/)?fathom / || (fenced && /^(\.\/)?fathom /) {
      sub(/^ +/, "")
      line = line (line == "" ? "" : " ") $0
      if (line ~ /\\$/) { sub(/ *\\$/, "", line); next }
      put(line); line = ""; next
    }
    /^```/ { fenced = !fenced; next }
    !fenced { text = $0
      while (match(text, /`(\.\/)?fathom [^`]+`/)) {
        put(substr(text, RSTART + 1, RLENGTH - 2))
        text = substr(text, RSTART + RLENGTH)
      } }' "$1"
}

short=(--max_iters=6 --eval_interval=3 --eval_iters=1 --warmup_iters=1 --lr_decay_iters=None
  --batch_size=2 --mini_batch_size=None --gradient_accumulation_steps=1 --block_size=128
  --validation_interval=None --save_interval=None)

# The documented command, in a place of its own: the others keep the stand-in. It is tried once; a
# network that swallows packets may not hold the tests up.
# untried, tried, or unavailable: neither a file nor a network has the text
published=untried
prepare_published() {
  local command=$1 page=$2 status=0
  local -a words
  eval "words=($command)"
  if [[ -n ${FATHOM_SHAKESPEARE:-} ]]; then words+=(--input "$FATHOM_SHAKESPEARE"); fi
  if [[ $published == untried ]]; then
    FATHOM_DATA=$work/published timeout 60 "${words[@]}" --timeout=5 >output.txt 2>&1 </dev/null || status=$?
    published=tried
    if ((status != 0)) && [[ -z ${FATHOM_SHAKESPEARE:-} ]] &&
      { ((status == 124)) || grep -q 'cannot download' output.txt; }; then
      published=unavailable
    fi
  fi
  if [[ $published == unavailable ]]; then
    skipped=$((skipped + 1))
    # shellcheck disable=SC2016  # backquotes to be printed
    printf 'skipped: %s: `%s` (no network, and FATHOM_SHAKESPEARE names no text)\n' "$page" "$command"
  elif ((status == 0)); then
    passed=$((passed + 1))
  else
    fail "$page: \`$command\` (as: ${words[*]}) exit code $status: $(cat output.txt)"
  fi
}

run() {
  local command=$1 status=0
  if [[ $command =~ prepare\ shakespeare_char$ ]]; then
    prepare_published "$@"
    return
  fi
  local -a words
  # shellcheck disable=SC2206  # as a shell would split it, quotes included
  eval "words=($command)"
  case ${words[1]} in
    train)
      # The blocks of one of these become the other's first ones.
      local layers=2
      case " $command " in
        *" dag_predictor_lines "*) layers=4 ;;
        *" dag_small_lines "*) layers=6 ;;
      esac
      case " $command " in
        *" --resume "*) words+=(--max_iters=9) ;;
        *) words+=("${short[@]}" "--n_layer=$layers" --n_head=2 --n_embd=32 --force) ;;
      esac
      # Ranks share passes.
      case " $command " in *" --nproc="*) words+=(--gradient_accumulation_steps=2) ;; esac
      case " $command " in *layer_widths* | *layer_contexts*) words+=(--layer_widths=None --layer_contexts=None) ;; esac
      case " $command " in
        *baseline* | *_params* | *_flops*) ;;
        *" looped"*) words+=('--loop_groups=[[1]]' --max_loops=3) ;;
      esac
      ;;
  esac
  "${words[@]}" >output.txt 2>&1 </dev/null || status=$?
  if ((status == 0)); then
    passed=$((passed + 1))
  else
    fail "$2: \`$command\` (as: ${words[*]}) exit code $status: $(cat output.txt)"
  fi
}

# A command of a notebook: `$1` works, with the flags `$2` behind its own, or its refusal says `$3`.
run_notebook() {
  local command=$1 small=$2 says=$3 status=0
  local -a words
  set -f
  # shellcheck disable=SC2206  # as a shell would split it, quotes included
  eval "words=($command $small)"
  set +f
  if [[ -z $says && ${words[1]} == train ]]; then
    words+=(--max_iters=4 --eval_iters=1 --warmup_iters=1 --lr_decay_iters=None)
    case " $command $small " in
      *batch-size* | *" --resume "* | *"=resume "*) ;;
      *) words+=(--batch_size=2 --mini_batch_size=None --gradient_accumulation_steps=1) ;;
    esac
  fi
  timeout 60 "${words[@]}" >output.txt 2>&1 </dev/null || status=$?
  if [[ -z $says ]] && ((status == 0)); then
    passed=$((passed + 1))
  elif [[ -n $says ]] && ((status == 1 || status == 2)) && grep -q '^HINT: ' output.txt && grep -qF -e "$says" output.txt; then
    passed=$((passed + 1))
  else
    fail "notebook_commands.txt: \`$command\` (as: ${words[*]}) exit code $status${says:+, not refused with \"$says\"}: $(tail -n 5 output.txt)"
  fi
}

run_notebooks() {
  local line says small count=0
  while IFS= read -r line; do
    [[ -z $line || $line == '#'* ]] && continue
    says='' small=''
    if [[ $line == *' | fathom '* ]]; then
      says=${line%% | fathom *}
      line="fathom ${line#* | fathom }"
    fi
    if [[ $line == *' ++ '* ]]; then
      small=${line#* ++ }
      line=${line%% ++ *}
    fi
    run_notebook "$line" "$small" "$says"
    count=$((count + 1))
  done <"$source_tree/tests/scripts/notebook_commands.txt"
  printf 'tests/scripts/notebook_commands.txt: %d commands\n' "$count"
}

# What the pages suppose.
for i in $(seq 400); do
  printf 'Once upon hill %s the quick brown fox jumps over a lazy dog.\nThe end? ROMEO: And so.\n' "$((i % 10))"
done >my_text.txt
cp my_text.txt notes.txt
# The book of Genesis, which a Debian package brings, in short sentences and as lines of a play.
if ! bible -f gen1:1-gen50:26 >verses.txt; then
  echo "documented_commands.sh: no program \`bible\`; HINT: apt install bible-kjv" >&2
  exit 1
fi
sed 's/^[^ ]* //; s/[;:] /. /g; 0~7s/^/ROMEO:\n/' verses.txt >play.txt
"$fathom" prepare play.txt --name shakespeare_char --tokenizer char >/dev/null
if ((${#pages[@]} > 0)); then "$fathom" prepare my_text.txt --name mine >/dev/null; fi
"$fathom" prepare my_text.txt --name quick >/dev/null
for i in $(seq 60); do
  printf '{"prompt": "Which fox jumps over hill %s?", "truth": "The quick brown one."}\n' "$i"
done >answers.jsonl
for name in wiki stories tinystories; do
  "$fathom" prepare my_text.txt --name "$name" --tokenizer byte >/dev/null
done
cat >my_plan.json <<'END'
{"steps": [{"step_name": "stories", "datasets": ["stories"], "epochs": 0.01},
           {"step_name": "answers", "datasets": ["answers"], "tokens": 1000,
            "overrides": {"learning_rate": 1e-4, "include_prompts": false}}]}
END
cat >width.toml <<'END'
preset = "quickstart"
seeds = [1, 2]
budget = {steps = 6}
[base]
dataset = "quick"
block_size = 128
[grid]
n_embd = [32, 64]
END
mkdir models
cp -r "$source_tree/tests/golden/hugging_face" models/gpt2
for model in "quickstart quickstart" "papingo_small quickstart_early_exit"; do
  read -r preset name <<<"$model"
  "$fathom" train "$preset" --dataset quick --run_name "$name" --n_embd=32 --block_size=128 \
    --max_iters=5 --eval_iters=1 --quiet >/dev/null
done

all=false
if ((${#pages[@]} == 0)); then
  all=true
  pages=("$source_tree/README.md" "$source_tree/DEVELOPERS.md" "$source_tree"/experiments/*/README.md)
  for page in "$source_tree"/docs/*.md; do
    # LOG.md tells of commands that took hours, cloud.md's want a GPU; new_experiment.sh types
    # new-experiment.md's.
    case $page in */LOG.md | */cloud.md | */new-experiment.md | */reference.md) ;; *) pages+=("$page") ;; esac
  done
fi
for page in "${pages[@]}"; do
  if [[ $page == */notebook_commands.txt ]]; then
    run_notebooks
    continue
  fi
  count=0
  while IFS= read -r command; do
    run "$command" "${page#"$source_tree"/}"
    count=$((count + 1))
  done < <(commands_of "$page")
  printf '%s: %d commands\n' "${page#"$source_tree"/}" "$count"
done
# The README's lines of Python, over the run that its commands have left.
run_python() {
  sed -n '/^    import json/,/^$/s/^    //p' "$source_tree/README.md" >lines.py
  if ! command -v python3 >/dev/null; then
    skipped=$((skipped + 1))
    echo "skipped: README.md: the lines of Python (there is no python3)"
  elif echo 'assert len(row) == 4 and len(rows) > 0, (row, rows)' >>lines.py && python3 lines.py >output.txt 2>&1; then
    passed=$((passed + 1))
  else
    fail "README.md: the lines of Python: $(cat output.txt)"
  fi
}

if [[ $all == true ]]; then
  run_notebooks
  run_python
  while IFS= read -r command; do run "$command" "--help"; done < <(
    sed -n 's/^Example: //p' "$source_tree/docs/reference.md")
  "$source_tree/docs/make_reference.sh" "$fathom" | diff "$source_tree/docs/reference.md" - ||
    fail "docs/reference.md is not what the program says: docs/make_reference.sh > docs/reference.md"
fi

printf '%d commands passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
((failed == 0 && passed > ${#pages[@]}))
