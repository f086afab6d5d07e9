"""One preset on a device and on the processor: trained, resumed, evaluated, decoded, exported, compared."""
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import time

STEPS = 6
NARROW = ("--n_head=2", "--n_embd=32", "--batch_size=2")  # layers stay as many as they are
BLOCK, NUMBERS_BLOCK = 16, 128  # lines of arithmetic are longer than a few characters
CHARACTERS = 160  # of a sequence of arithmetic, where a preset counts on GPT-2's tokens
MOST_PARAMETERS, MOST_TOKENS = 7e6, 1 << 16  # of a model, of a step
# Relative gaps. Gradient norms and losses after a few updates carry every step's rounding.
TOLERANCE, NARROW_TOLERANCE, P_TOLERANCE = 2e-3, 5e-2, 1e-3
COMPARED = re.compile(r"loss|objective|infer$|gradient_norm$|log_mse$")


def say(text):
    print(text, file=sys.stderr, flush=True)


class Failure(Exception):
    pass


class Programs:
    """fathom on the two devices."""

    def __init__(self, a, work):
        self.a, self.work = a, work
        self.environment = {**os.environ, "FATHOM_DATA": work + "/data", "FATHOM_RUNS": work + "/runs"}

    def on_device(self, *words, device=True):
        more = {}
        if self.a.device == "cpu":
            more["FATHOM_ISA"] = "none"
        if self.a.preload:
            # LD_PRELOAD ends a name at a space, LD_LIBRARY_PATH does not.
            folder, name = os.path.split(os.path.abspath(self.a.preload))
            paths = [folder, os.environ.get("LD_LIBRARY_PATH")]
            more |= {"LD_PRELOAD": name, "LD_LIBRARY_PATH": ":".join(filter(None, paths))}
        return self.run(words + ((f"--device={self.a.device}",) if device else ()), more)

    def on_processor(self, *words, device=True):
        return self.run(words + (("--device=cpu",) if device else ()), {})

    def run(self, words, more=None):
        words = [self.a.fathom, *words]
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", cwd=self.work,
                              env={**self.environment, **(more or {})})
        if done.returncode != 0:
            said = done.stderr.strip()[-600:]
            raise Failure(f"exit code {done.returncode}: {' '.join(words)}: {said}")
        return done.stdout


def write_text(path):
    """Sentences of made-up words: there need be no text on the machine."""
    draw = random.Random(1)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 3))) for _ in range(300)]
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(6000):
            file.write(" ".join(draw.choices(words, k=draw.randint(3, 9))).capitalize() + ".\n")


def finite(x):
    return isinstance(x, (int, float)) and math.isfinite(x)


def gap(a, b):
    """Of two dictionaries of numbers, the largest relative gap and its name."""
    worst = (0.0, "")
    for name in sorted(set(a) | set(b)):
        x, y = a.get(name), b.get(name)
        if not (finite(x) and finite(y)):
            raise Failure(f"{name} is {x} on the device and {y} on the processor")
        worst = max(worst, (abs(x - y) / max(abs(y), 1e-2), name))
    return worst


def numbers_within(value, name, path=""):
    """All numbers called `name` in a JSON value, by where they stand."""
    found = {}
    if isinstance(value, dict):
        for key, x in value.items():
            if key == name and isinstance(x, (int, float)):
                found[f"{path}/{key}"] = x
            else:
                found.update(numbers_within(x, name, f"{path}/{key}"))
    elif isinstance(value, list):
        for i, x in enumerate(value):
            found.update(numbers_within(x, name, f"{path}/{i}"))
    return found


def flags_of(programs, preset, quick):
    """The data, and the flags that make the preset small where it is not: both lists. Raises Failure
    with the reason where they do not."""
    arithmetic = preset["experiment"] == "dag"
    data = ["--dataset=numbers", "--numbers_tokenizer=char"] if arithmetic else ["--dataset=check"]

    def described(*flags):
        return json.loads(programs.run(("describe", preset["name"], "--json", *data, *flags)))

    def is_small(d):
        return d["parameters"] <= MOST_PARAMETERS and d["tokens_per_step"] <= MOST_TOKENS
    found = described()
    config, smaller = found["config"], list(NARROW)
    block = config["block_size"]
    if arithmetic and block < CHARACTERS // 2:
        data.append(f"--block_size={CHARACTERS}")
    else:
        smaller.append(f"--block_size={min(block, NUMBERS_BLOCK if arithmetic else BLOCK)}")
    if is_small(found) and not quick:
        return data, []
    if arithmetic and config["mini_batch_size"]:
        smaller.append("--train_examples_per_batch=4")  # of a step, in passes of batch_size
    found = described(*smaller)
    if not is_small(found):
        raise Failure(f"{found['parameters']:,} parameters and {found['tokens_per_step']:,} tokens a step "
                      f"with {' '.join(smaller)}")
    return data, smaller


class PresetCheck:
    def __init__(self, programs, preset, data, smaller):
        self.p, self.preset = programs, preset["name"]
        self.result = {"preset": preset["name"], "experiment": preset["experiment"], "shrunk": smaller,
                       "failures": []}
        self.flags = [*data, *smaller, "--eval_iters=2", "--log_interval=1", "--quiet"]

    def train(self, run, name, steps, *more):
        run("train", self.preset, *self.flags, f"--max_iters={steps}", f"--eval_interval={STEPS}",
            f"--run_name={self.preset}-{name}", *more)

    def compares(self, key):
        # The slope of a difference that is almost none has any size, and any rounding error.
        heavy_tailed = self.result["experiment"] == "dag" and key.endswith("gradient_norm")
        return COMPARED.search(key) and not heavy_tailed

    def series(self, name):
        lines = self.p.run(("export", f"{self.preset}-{name}", "--metrics=jsonl")).splitlines()
        return {f"{key}@{line['step']}": x for line in map(json.loads, lines)
                for key, x in line.items() if self.compares(key)}

    def compare(self, what, a, b, tolerance):
        worst, name = gap(a, b)
        self.result[what] = {"largest_gap": worst, "of": name, "numbers": len(b), "tolerance": tolerance}
        if not b:
            raise Failure(f"{what}: nothing to compare")
        if worst > tolerance:
            raise Failure(f"{what}: {name} differs by {worst:.2e}: {a[name]} on the device, "
                          f"{b[name]} on the processor")

    def part(self, what, f):
        try:
            f()
        except (Failure, ValueError, KeyError) as e:
            self.result["failures"].append(f"{what}: {e}")
            return False
        return True

    def trains(self):
        self.train(self.p.on_processor, "processor", STEPS)
        self.train(self.p.on_device, "device", STEPS)
        self.compare("training", self.series("device"), self.series("processor"), TOLERANCE)

    def resumes(self):
        self.train(self.p.on_device, "resumed", STEPS // 2)
        self.train(self.p.on_device, "resumed", STEPS, "--resume")
        last = {k: x for k, x in self.series("resumed").items() if k.endswith(f"@{STEPS}")}
        whole = self.series("device")
        self.compare("resuming", last, {k: whole[k] for k in last if k in whole}, TOLERANCE)

    def trains_narrow(self):
        self.train(self.p.on_device, "narrow", STEPS, "--dtype=bfloat16")
        losses = re.compile(r"^train/(loss|objective)@")
        narrow, whole = self.series("narrow"), self.series("device")
        self.compare("bfloat16", {k: x for k, x in narrow.items() if losses.search(k)},
                     {k: x for k, x in whole.items() if losses.search(k)}, NARROW_TOLERANCE)

    def recomputes(self):
        self.train(self.p.on_device, "recomputed", STEPS, "--recompute_blocks")
        self.compare("recompute_blocks", self.series("recomputed"), self.series("device"), TOLERANCE)

    def evaluates(self):
        words = ("eval", f"{self.preset}-device", "--max_batches=2", "--json")
        there, here = (json.loads(run(*words)) for run in (self.p.on_device, self.p.on_processor))
        pick = lambda e: {k: x for k, x in {**e.get("metrics", {}), "loss": e["loss"]}.items()
                          if COMPARED.search(k) and finite(x)}
        self.compare("evaluation", pick(there), pick(here), TOLERANCE)

    def traces(self):
        words = ("trace", f"{self.preset}-device", "--format=json", "--start_idx=0",
                 "--num_chars=16", "--sentences=0")
        there, here = (numbers_within(json.loads(run(*words)), "p_truth")
                       for run in (self.p.on_device, self.p.on_processor))
        self.compare("logits", there, here, P_TOLERANCE)

    def generates(self):
        words = ("generate", f"{self.preset}-device", "--max_new_tokens=24", "--temperature=0", "--json")
        there, here = (json.loads(run(*words)) for run in (self.p.on_device, self.p.on_processor))
        self.result["decoding"] = {"tokens": there["tokens"], "same_text": there["texts"] == here["texts"]}
        if there["tokens"] != here["tokens"]:
            raise Failure(f"{there['tokens']} tokens on the device, {here['tokens']} on the processor")

    def predicts_next_token(self):
        try:
            self.p.on_processor("generate", f"{self.preset}-device", "--max_new_tokens=1")
        except Failure as e:
            return "predicts the next token" not in str(e)
        return True

    def exports(self):
        folder = f"{self.p.work}/{self.preset}-hf"
        try:
            self.p.run(("export", f"{self.preset}-device", f"--hf={folder}"))
        except Failure as e:
            if "is not a GPT-2" not in str(e):
                raise
            self.result["exported"] = "its numbers; the model is no GPT-2"
            return
        self.result["exported"] = sorted(os.listdir(folder))

    def run(self):
        begin = time.time()
        if self.part("training", self.trains):
            self.part("resuming", self.resumes)
            self.part("bfloat16", self.trains_narrow)
            self.part("recompute_blocks", self.recomputes)
            self.part("evaluation", self.evaluates)
            if self.predicts_next_token():
                self.part("logits", self.traces)
                self.part("decoding", self.generates)
            self.part("export", self.exports)
        self.result["seconds"] = round(time.time() - begin, 1)
        shutil.rmtree(f"{self.p.work}/runs/{self.preset}-narrow", ignore_errors=True)
        say(f"{'FAILED' if self.result['failures'] else 'ok'} {self.preset}")
        for failure in self.result["failures"]:
            say("  " + failure)
        return self.result
