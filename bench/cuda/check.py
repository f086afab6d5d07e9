#!/usr/bin/env python3
"""fathom on a device: every preset trained, resumed, decoded and exported there and compared with the
processor, large ones narrower, then times beside PyTorch. bench/cuda/check.sh builds it first, and says more.

On the processor (--device=cpu) the definitions in libtorch's operators, which are what any other device
computes, are compared with the kernels.
"""
import argparse
import concurrent.futures
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # nothing is left in the source tree
from presets import Failure, PresetCheck, Programs, flags_of, say, write_text  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "..", "peers", "nanogpt.py")
QUICK = ("gpt2ish_shakespeare_cpu", "papingo_small", "looped_sandwich", "ahead_tiny", "axm_small",
         "10-resmlp-single-axm-novalue_small", "dag_small", "dag_predictor_small")

SHAPES = {  # layers, heads, width, block, batch, vocabulary, dtype, steps
    "S": (4, 4, 128, 128, 12, 65, "float32", 50),
    "M": (6, 6, 384, 256, 8, 65, "float32", 50),
    "L": (12, 12, 768, 256, 2, 50304, "float32", 30),
    "GPT-2": (12, 12, 768, 1024, 8, 50304, "bfloat16", 30),
}
QUICK_SHAPES = {
    "tiny": (2, 2, 32, 32, 2, 65, "float32", 3),
    "tiny, bfloat16": (2, 2, 32, 32, 2, 65, "bfloat16", 3),
}
PUBLISHED = {"objective": 1.5197, "infer": 1.4947, "accuracy": 0.571,
             "exit_rates": [0.195, 0.105, 0.038, 0.017, 0.006, 0.640]}


def presets_of(programs, a):
    listed = json.loads(programs.run(("list", "--json")))
    if a.only == "none":
        return []
    if a.only:
        return [p for p in listed if re.search(a.only, p["name"])]
    if a.quick:
        return [p for p in listed if p["name"] in QUICK]
    return listed


def sized_presets(programs, a):
    """What is to run, as (preset, flags of its data, flags that shrink it), and what is left out, with the reason."""
    chosen = presets_of(programs, a)
    if not chosen and a.only != "none":
        sys.exit(f"check.py: --only={a.only} leaves no preset; `fathom list` shows them")
    if chosen:
        write_text(programs.work + "/check.txt")
        programs.run(("prepare", "check.txt", "--name=check", "--tokenizer=char"))

    def sized(preset):
        try:
            return preset, *flags_of(programs, preset, a.quick)
        except Failure as e:
            return {"preset": preset["name"], "experiment": preset["experiment"], "reason": str(e)}
    with concurrent.futures.ThreadPoolExecutor(a.workers) as pool:
        all_of_them = list(pool.map(sized, chosen))
    runs = [s for s in all_of_them if isinstance(s, tuple)]
    left_out = [s for s in all_of_them if isinstance(s, dict)]
    shrunk = sum(1 for _, _, smaller in runs if smaller)
    say(f"{len(runs)} presets, {shrunk} of them shrunk, {len(left_out) or 'none'} left out")
    for one in left_out:
        say(f"  {one['preset']}: {one['reason']}")
    return runs, left_out


def check_presets(programs, a, runs):
    checks = [PresetCheck(programs, *run) for run in runs]
    with concurrent.futures.ThreadPoolExecutor(a.workers) as pool:
        return list(pool.map(lambda c: c.run(), checks))


def bench(programs, verb, shape):
    layers, heads, width, block, batch, vocab, dtype, steps = shape
    words = ["bench", verb, "gpt2ish_shakespeare_cpu", f"--n_layer={layers}", f"--n_head={heads}",
             f"--n_embd={width}", f"--block_size={block}", f"--vocab_size={vocab}", "--json",
             f"--repeats={steps}"]
    if verb == "step":
        words += [f"--batch_size={batch}", "--dropout=0", f"--dtype={dtype}"]
    return json.loads(programs.on_device(*words))


def peer(a, shape, *more):
    layers, heads, width, block, batch, vocab, dtype, steps = shape
    words = [sys.executable, PEER, f"--layers={layers}", f"--heads={heads}", f"--width={width}",
             f"--block={block}", f"--batch={batch}", f"--vocab={vocab}", f"--steps={steps}",
             f"--device={a.device}", f"--dtype={dtype}", *more]
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
            ratios = [one[peer_name]["ms_median"] / one["fathom"]["ms_median"]
                      for one in row["rounds"] if peer_name in one]
            if ratios:
                row[f"{peer_name} / fathom"] = statistics.median(ratios)
        if shape[6] == "float32":
            try:
                row["decode"] = bench(programs, "decode", shape)
            except Failure as e:
                row["failures"].append(str(e))
        last = row["rounds"][-1] if row["rounds"] else {}
        told = ", ".join(f"{who} {x['ms_median']:.3g} ms a step" for who, x in last.items())
        say(f"times of {name}: {'; '.join([told] * bool(told) + row['failures'])}")
        rows[name] = row
    return rows


def train_long(programs, a):
    data = ["--input", os.path.abspath(a.input)] if a.input else []
    result = {"published": PUBLISHED, "failures": []}
    try:
        programs.run(("prepare", "shakespeare_char", *data))
        begin = time.time()
        programs.on_device("train", "papingo_a100", "--dataset=shakespeare_char", "--run_name=long",
                           "--quiet")
        result["training_seconds"] = time.time() - begin
        for checkpoint in ("best", "last"):
            e = json.loads(programs.on_device("eval", "long", f"--checkpoint={checkpoint}", "--json"))
            rates = {k: x for k, x in e["metrics"].items() if k.startswith("exit_rate/")}
            result[checkpoint] = {"objective": e.get("objective"), "loss": e["loss"], "step": e["step"],
                                  "infer": e["metrics"].get("infer"), "accuracy": e["accuracy"],
                                  "exit_rates": [rates[k] for k in sorted(rates)]}
            say(f"papingo_a100, {checkpoint}: {json.dumps(result[checkpoint])}")
        say(f"papingo_a100, published: {json.dumps(PUBLISHED)}")
    except Failure as e:
        result["failures"].append(str(e))
    return result


def about_machine(programs, a):
    def output(*words):
        try:
            return subprocess.run(words, capture_output=True, text=True, cwd=HERE).stdout.strip()
        except OSError:
            return ""
    gpu = ("--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    about = {"device": a.device, "libtorch": a.torch, "machine": platform.platform(),
             "cpus": os.cpu_count(), "commit": output("git", "rev-parse", "HEAD"),
             "date": time.strftime("%Y-%m-%dT%H:%M:%S"), "gpu": output("nvidia-smi", *gpu),
             "python_torch": output(sys.executable, "-c", "import torch; print(torch.__version__)")}
    doctor = subprocess.run([a.fathom, "doctor", "--json"], capture_output=True, text=True,
                            env=programs.environment)
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
    p.add_argument("--input", default="",
                   help="with --long: a copy of Shakespeare's text, which is else downloaded")
    p.add_argument("--only", default="")
    p.add_argument("--no-times", action="store_true")
    p.add_argument("--list", action="store_true",
                   help="print which presets would run, by which flags, and run none")
    p.add_argument("--workers", type=int, default=max(1, min(4, (os.cpu_count() or 1) // 2)),
                   help="presets at a time")
    p.add_argument("--preload", default="", help="a library for the device's runs (LD_PRELOAD)")
    p.add_argument("--work", default="",
                   help="a folder for runs and data that stays; default: one that goes")
    p.add_argument("--output", default="cuda-check.json")
    a = p.parse_args()
    a.fathom = os.path.abspath(a.fathom)
    if not os.access(a.fathom, os.X_OK):
        sys.exit(f"check.py: {a.fathom} is no program; bench/cuda/check.sh builds it")
    work = os.path.abspath(a.work) if a.work else tempfile.mkdtemp(prefix="fathom-check-")
    os.makedirs(work, exist_ok=True)
    try:
        programs = Programs(a, work)
        runs, left_out = sized_presets(programs, a)
        if a.list:
            for preset, data, smaller in runs:
                print(preset["name"], *data, *smaller)
            return 0
        result = {"about": about_machine(programs, a), "presets": check_presets(programs, a, runs),
                  "left_out": left_out}
        result["times"] = {} if a.no_times else times(programs, a)
        if a.long:
            result["long"] = train_long(programs, a)
    except Failure as e:
        sys.exit(f"check.py: {e}")
    finally:
        if not a.work:
            shutil.rmtree(work, ignore_errors=True)
    parts = result["presets"] + list(result["times"].values())
    parts += [result["long"]] if a.long else []
    result["failed"] = sum(1 for part in parts if part["failures"])
    with open(a.output, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    say(f"{result['failed']} of {len(parts)} failed; {a.output} has all of it")
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
