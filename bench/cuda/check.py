#!/usr/bin/env python3
"""fathom on a device: every small preset trained, resumed, decoded and exported there and compared with
the processor, then times beside PyTorch. bench/cuda/check.sh builds it first, and says more.

On the processor (--device=cpu) the definitions in libtorch's operators, which are what any other device
computes, are compared with the kernels.
"""
import argparse
import concurrent.futures
import json
import math
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "..", "peers", "nanogpt.py")
STEPS = 6
QUICK = ("gpt2ish_shakespeare_cpu", "papingo_small", "looped_sandwich", "ahead_tiny", "axm_small",
         "10-resmlp-single-axm-novalue_small", "dag_small", "dag_predictor_small")
TINY = ("--n_head=2", "--n_embd=32", "--block_size=16", "--batch_size=2")
# Relative gaps. Gradient norms and losses after a few updates carry every step's rounding.
TOLERANCE, NARROW_TOLERANCE, P_TOLERANCE = 2e-3, 5e-2, 1e-3
COMPARED = re.compile(r"loss|objective|infer$|gradient_norm$|log_mse$")

SHAPES = {  # layers, heads, width, block, batch, vocabulary, dtype, steps
    "S": (4, 4, 128, 128, 12, 65, "float32", 50),
    "M": (6, 6, 384, 256, 8, 65, "float32", 50),
    "L": (12, 12, 768, 256, 2, 50304, "float32", 30),
    "GPT-2": (12, 12, 768, 1024, 8, 50304, "bfloat16", 30),
}
QUICK_SHAPES = {"tiny": (2, 2, 32, 32, 2, 65, "float32", 3), "tiny, bfloat16": (2, 2, 32, 32, 2, 65, "bfloat16", 3)}
PUBLISHED = {"objective": 1.5197, "infer": 1.4947, "accuracy": 0.571,
             "exit_rates": [0.195, 0.105, 0.038, 0.017, 0.006, 0.640]}


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
            more["LD_PRELOAD"] = os.path.abspath(self.a.preload)
        return self.run(words + ((f"--device={self.a.device}",) if device else ()), more)

    def on_processor(self, *words, device=True):
        return self.run(words + (("--device=cpu",) if device else ()), {})

    def run(self, words, more=None):
        words = [self.a.fathom, *words]
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", cwd=self.work,
                              env={**self.environment, **(more or {})})
        if done.returncode != 0:
            raise Failure(f"exit code {done.returncode}: {' '.join(words)}: {done.stderr.strip()[-600:]}")
        return done.stdout


def write_text(path):
    """Sentences of made-up words: there need be no text on the machine."""
    draw = random.Random(1)
    words = ["".join(draw.choice("bdfgklmnprstvz") + draw.choice("aeiou") for _ in range(draw.randint(1, 3)))
             for _ in range(300)]
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(6000):
            file.write(" ".join(draw.choice(words) for _ in range(draw.randint(3, 9))).capitalize() + ".\n")


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


class PresetCheck:
    def __init__(self, programs, preset, experiment, quick):
        self.p, self.preset = programs, preset
        self.result = {"preset": preset, "experiment": experiment, "failures": []}
        self.flags = ["--dataset=check"]
        if experiment == "dag":
            self.flags = ["--dataset=numbers", "--numbers_tokenizer=char"]
            if quick:
                self.flags += ["--n_head=2", "--n_embd=32", "--batch_size=2"]
        elif quick:
            self.flags += TINY
        self.flags += ["--eval_iters=2", "--log_interval=1", "--quiet"]

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
        words = ("trace", f"{self.preset}-device", "--format=json", "--start_idx=0", "--num_chars=16", "--sentences=0")
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
        self.p.run(("export", f"{self.preset}-device", f"--hf={folder}"))
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
            if self.preset == "test_runner" or self.preset.startswith("gpt2ish"):
                self.part("export", self.exports)
        self.result["seconds"] = round(time.time() - begin, 1)
        shutil.rmtree(f"{self.p.work}/runs/{self.preset}-narrow", ignore_errors=True)
        say(f"{'FAILED' if self.result['failures'] else 'ok'} {self.preset}")
        for failure in self.result["failures"]:
            say("  " + failure)
        return self.result


def say(text):
    print(text, file=sys.stderr, flush=True)


def presets_of(programs, a):
    listed = json.loads(programs.run(("list", "--json")))
    if a.only == "none":
        return []
    if a.only:
        return [p for p in listed if re.search(a.only, p["name"])]
    if a.quick:
        return [p for p in listed if p["name"] in QUICK]
    return [p for p in listed if p["parameters"] <= 7e6 and "readme" not in p["name"]]


def check_presets(programs, a):
    chosen = presets_of(programs, a)
    if not chosen and a.only != "none":
        sys.exit(f"check.py: --only={a.only} leaves no preset; `fathom list` shows them")
    if not chosen:
        return []
    write_text(programs.work + "/check.txt")
    programs.run(("prepare", "check.txt", "--name=check", "--tokenizer=char"))
    with concurrent.futures.ThreadPoolExecutor(a.workers) as pool:
        checks = [PresetCheck(programs, p["name"], p["experiment"], a.quick) for p in chosen]
        return list(pool.map(lambda c: c.run(), checks))


def bench(programs, verb, shape):
    layers, heads, width, block, batch, vocab, dtype, steps = shape
    words = ["bench", verb, "gpt2ish_shakespeare_cpu", f"--n_layer={layers}", f"--n_head={heads}",
             f"--n_embd={width}", f"--block_size={block}", f"--vocab_size={vocab}", "--json", f"--repeats={steps}"]
    if verb == "step":
        words += [f"--batch_size={batch}", "--dropout=0", f"--dtype={dtype}"]
    return json.loads(programs.on_device(*words))


def peer(a, shape, *more):
    layers, heads, width, block, batch, vocab, dtype, steps = shape
    words = [sys.executable, PEER, f"--layers={layers}", f"--heads={heads}", f"--width={width}", f"--block={block}",
             f"--batch={batch}", f"--vocab={vocab}", f"--steps={steps}", f"--device={a.device}", f"--dtype={dtype}", *more]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure(done.stderr.strip()[-600:])
    return json.loads(done.stdout)


def has_torch():
    return subprocess.run([sys.executable, "-c", "import torch"], capture_output=True).returncode == 0


def times(programs, a):
    peers = {"peer": (), "peer, compiled": ("--compile",)} if has_torch() else {}
    if a.quick:
        peers.pop("peer, compiled", None)
    rows = {}
    for name, shape in (QUICK_SHAPES if a.quick else SHAPES).items():
        row = {"shape": shape, "rounds": [], "failures": []}
        for _ in range(1 if a.quick else 3):
            try:
                one = {"fathom": bench(programs, "step", shape)}
                for peer_name, more in peers.items():
                    one[peer_name] = peer(a, shape, *more)
                row["rounds"].append(one)
            except Failure as e:
                row["failures"].append(str(e))
        for peer_name in peers:
            ratios = [r[peer_name]["ms_median"] / r["fathom"]["ms_median"] for r in row["rounds"] if peer_name in r]
            if ratios:
                row[f"{peer_name} / fathom"] = statistics.median(ratios)
        if shape[6] == "float32":
            try:
                row["decode"] = bench(programs, "decode", shape)
            except Failure as e:
                row["failures"].append(str(e))
        say(f"times of {name}: " + (", ".join(f"{k} {v['ms_median']:.3g} ms a step" for k, v in row["rounds"][-1].items())
                                    if row["rounds"] else "FAILED"))
        rows[name] = row
    return rows


def train_long(programs, a):
    data = ["--input", os.path.abspath(a.input)] if a.input else []
    result = {"published": PUBLISHED, "failures": []}
    try:
        programs.run(("prepare", "shakespeare_char", *data))
        begin = time.time()
        programs.on_device("train", "papingo_a100", "--dataset=shakespeare_char", "--run_name=long", "--quiet")
        result["training_seconds"] = time.time() - begin
        for checkpoint in ("best", "last"):
            e = json.loads(programs.on_device("eval", "long", f"--checkpoint={checkpoint}", "--json"))
            rates = {k: x for k, x in e["metrics"].items() if k.startswith("exit_rate/")}
            result[checkpoint] = {"objective": e.get("objective"), "loss": e["loss"], "infer": e["metrics"].get("infer"),
                                  "accuracy": e["accuracy"], "step": e["step"],
                                  "exit_rates": [rates[k] for k in sorted(rates)]}
    except Failure as e:
        result["failures"].append(str(e))
    return result


def about_machine(programs, a):
    def output(*words):
        try:
            return subprocess.run(words, capture_output=True, text=True, cwd=HERE).stdout.strip()
        except OSError:
            return ""
    about = {"device": a.device, "libtorch": a.torch, "machine": platform.platform(), "cpus": os.cpu_count(),
             "commit": output("git", "rev-parse", "HEAD"), "date": time.strftime("%Y-%m-%dT%H:%M:%S"),
             "gpu": output("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"),
             "python_torch": output(sys.executable, "-c", "import torch; print(torch.__version__)")}
    doctor = subprocess.run([a.fathom, "doctor", "--json"], capture_output=True, text=True, env=programs.environment)
    try:
        about["doctor"] = json.loads(doctor.stdout)
    except ValueError:
        about["doctor"] = doctor.stdout
    return about


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--fathom", default="build/release/fathom")
    p.add_argument("--torch", default="", help="what it was built with, to be written down")
    p.add_argument("--device", default="cuda")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--long", action="store_true")
    p.add_argument("--input", default="", help="with --long: a copy of Shakespeare's text, which is else downloaded")
    p.add_argument("--only", default="")
    p.add_argument("--no-times", action="store_true")
    p.add_argument("--workers", type=int, default=max(1, min(4, (os.cpu_count() or 1) // 2)), help="presets at a time")
    p.add_argument("--preload", default="", help="a library for the device's runs (LD_PRELOAD)")
    p.add_argument("--work", default="", help="a folder for runs and data that stays; default: one that goes")
    p.add_argument("--output", default="cuda-check.json")
    a = p.parse_args()
    a.fathom = os.path.abspath(a.fathom)
    if not os.access(a.fathom, os.X_OK):
        sys.exit(f"check.py: {a.fathom} is no program; bench/cuda/check.sh builds it")
    work = os.path.abspath(a.work) if a.work else tempfile.mkdtemp(prefix="fathom-check-")
    os.makedirs(work, exist_ok=True)
    try:
        programs = Programs(a, work)
        result = {"about": about_machine(programs, a), "presets": check_presets(programs, a)}
        result["times"] = {} if a.no_times else times(programs, a)
        if a.long:
            result["long"] = train_long(programs, a)
    except Failure as e:
        sys.exit(f"check.py: {e}")
    finally:
        if not a.work:
            shutil.rmtree(work, ignore_errors=True)
    parts = result["presets"] + list(result["times"].values()) + [result.get("long", {"failures": []})]
    result["failed"] = sum(1 for part in parts if part["failures"])
    with open(a.output, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    say(f"{result['failed']} of {len(parts) - (not a.long)} failed; {a.output} has all of it")
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
