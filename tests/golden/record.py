"""Records what the model must compute, from a second model that shares no code with Fathom.

Run it with PyTorch (Debian: python3-torch, which /usr/bin/python3 sees), from anywhere; it takes
seconds and rewrites the files beside itself. Neither the build nor the tests need Python.

    python3 tests/golden/record.py             # every variant
    python3 tests/golden/record.py exit_gold   # only these

Each variant becomes <variant>.txt: one training pass, in float64, of a tiny transformer on a fixed
batch (B 3, T = block_size 9, V 11, n_layer 3, n_head 2, n_embd 12, norm_eps 1e-5, dropout 0), its
gradients, and ten AdamW steps. Lines, words apart by one space, `#` begins a comment:

    config KEY VALUE        a key that differs from DEFAULTS below; lists as [a,b,c]
    loss X                  the objective
    infer X                 only if the variant halts: mean cross entropy at the exit layers
    layer_loss L X          cross entropy over all positions with a target
    exits L L L ...         only if the variant halts: the exit layer of each of the B*T positions
    logits L X X X ...      B*T*V values, row-major
    grad NAME NORM DOT      of the objective: L2 norm, and sum_i g_i * (2 u("probe."+NAME, i) - 1)
    steps X0 ... X9         the objective before each of ten updates on the same batch

layer_loss and logits are there for each layer L that reads out: every layer if the variant halts,
else the last one and those with a supervision weight. The updates are AdamW with lr 0.01, betas
0.9 0.95, eps 1e-8, decoupled weight decay 0.1 on parameters of two or more dimensions, after the
global gradient norm is clipped to 1 by the factor min(1, 1 / (norm + 1e-6)).

Weights and tokens are pure functions of a name (see `uniform`, `parameter` and `batch`), so they
are not stored. No score lies within 1e-3 of its threshold in the recorded pass, nor within 1e-6
in the ten steps: another order of summation cannot change who halts.
"""

import math
import pathlib
import sys

import torch
from torch.nn import functional

B, T, V, LAYERS, HEADS, EMBD, EPS = 3, 9, 11, 3, 2, 12, 1e-5
LAST = LAYERS - 1

DEFAULTS = dict(
    bias=0, head_bias=0, tie_head=0, activation="gelu", layer_tables=0, layer_heads=0,
    layer_widths=[], gate_mode="none", layer_contexts=[], mask_history="cumulative", mask_self=1,
    detach_between_layers=0, halt_rule="none", halt_threshold=0.9, halt_thresholds=[],
    confidence_temperature=1, layer_supervision="last", supervision_reduce="mean",
    skip_easy_weight="layer", masked_targets=0)

EXIT = dict(layer_tables=1, layer_heads=1, halt_rule="max", layer_supervision="all")
SKIP = dict(EXIT, layer_supervision="skip_easy")
VARIANTS = dict(
    gpt2_bias=dict(bias=1, head_bias=1),
    gpt2_tied=dict(tie_head=1, activation="gelu_tanh"),
    gpt2_all_layers=dict(layer_supervision="all"),
    gpt2_weights=dict(layer_supervision=[0.5, 0, 2], supervision_reduce="sum", masked_targets=1),
    exit_plain=dict(EXIT, halt_threshold=0.55),
    exit_bias=dict(EXIT, halt_threshold=0.8, bias=1),
    exit_gated=dict(EXIT, halt_threshold=0.65, gate_mode="learned"),
    exit_widths=dict(EXIT, halt_threshold=0.61, layer_widths=[4, 8, 12], gate_mode="learned"),
    exit_windows=dict(EXIT, halt_threshold=0.6, layer_contexts=[2, 0, 5]),
    exit_previous=dict(EXIT, halt_threshold=0.55, mask_history="previous"),
    exit_see_self=dict(EXIT, halt_threshold=0.55, mask_self=0),
    exit_gold=dict(EXIT, halt_rule="gold", halt_threshold=0.016, mask_self=0, masked_targets=1),
    exit_skip_layer=dict(SKIP, halt_threshold=0.55, masked_targets=1),
    exit_skip_token=dict(SKIP, halt_threshold=0.55, skip_easy_weight="token"),
    exit_detach=dict(EXIT, halt_threshold=0.55, detach_between_layers=1),
    exit_temperature=dict(EXIT, halt_threshold=0.43, confidence_temperature=1.7),
    exit_thresholds=dict(EXIT, halt_thresholds=[0.7, 0.45, 0.6]),
    exit_sum=dict(EXIT, halt_threshold=0.55, supervision_reduce="sum"),
    exit_everything=dict(
        SKIP, layer_widths=[4, 8, 12], gate_mode="learned", layer_contexts=[3, 2, 5],
        skip_easy_weight="token", masked_targets=1, confidence_temperature=1.3,
        halt_thresholds=[0.3, 0.6, 0.5]))


# ---- Numbers from names

def fnv1a64(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def splitmix64(x):
    z = (x + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def uniform(name, count):
    """u(name, 0..count-1), each in [0, 1)."""
    start = fnv1a64(name)
    return torch.tensor([(splitmix64((start + i) % 2**64) >> 11) * 2.0**-53 for i in range(count)],
                        dtype=torch.float64)


def parameter(name, shape):
    """base + amp * (2u - 1), element i of the row-major order from u(name, i)."""
    base, amp = 0.0, 0.3
    if name.startswith("norm") and name.endswith(".weight"):
        base, amp = 1.0, 0.2
    elif name.startswith("head.") and name.endswith(".weight"):
        amp = 1.5
    elif name.startswith(("token_table.", "position_table.")):
        amp = 0.5
    values = base + amp * (2 * uniform(name, math.prod(shape)) - 1)
    return values.reshape(shape).requires_grad_()


def batch(config):
    """Tokens and targets (-1: none), both (B, T)."""
    start = fnv1a64("tokens")
    stream = [splitmix64((start + i) % 2**64) % V for i in range(B * (T + 1))]
    stream = torch.tensor(stream).reshape(B, T + 1)
    tokens, targets = stream[:, :-1], stream[:, 1:].clone()
    if config["masked_targets"]:
        targets.view(-1)[torch.arange(B * T) % 5 == 3] = -1
    return tokens, targets


# ---- The model

def widths(config):
    return config["layer_widths"] or [EMBD] * LAYERS


def weights_of_layers(config):
    """How much each layer's loss counts."""
    supervision = config["layer_supervision"]
    if isinstance(supervision, list):
        return supervision
    return [1.0 if supervision != "last" or l == LAST else 0.0 for l in range(LAYERS)]


def reads_out(config, l):
    return config["halt_rule"] != "none" or l == LAST or weights_of_layers(config)[l] != 0


def parameters(config):
    """Every parameter, by name."""
    width, shapes = widths(config), {}

    def affine(name, shape, bias):
        shapes[name + ".weight"] = shape
        if bias:
            shapes[name + ".bias"] = shape[:1]

    shapes["position_table.weight"] = (T, width[0])
    for l, w in enumerate(width):
        if l == 0 or config["layer_tables"]:
            shapes[f"token_table.{l}.weight"] = (V, w)
        if l > 0 and config["gate_mode"] == "learned":
            affine(f"gate.{l}", (1, width[l - 1]), True)
        affine(f"norm_in.{l}", (w,), config["bias"])
        affine(f"attention.{l}.qkv", (3 * w, w), config["bias"])
        affine(f"attention.{l}.out", (w, w), config["bias"])
        affine(f"norm_mid.{l}", (w,), config["bias"])
        affine(f"mlp.{l}.up", (4 * w, w), config["bias"])
        affine(f"mlp.{l}.down", (w, 4 * w), config["bias"])
    for l, w in enumerate(width if config["layer_heads"] else width[LAST:]):
        affine(f"norm_out.{l}", (w,), config["bias"])
        if not config["tie_head"]:
            affine(f"head.{l}", (V, w), config["head_bias"])
    return {name: parameter(name, shape) for name, shape in shapes.items()}


def linear(p, name, x):
    y = x @ p[name + ".weight"].T
    return y + p[name + ".bias"] if name + ".bias" in p else y


def norm(p, name, x):
    x = x - x.mean(-1, keepdim=True)
    y = x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS) * p[name + ".weight"]
    return y + p[name + ".bias"] if name + ".bias" in p else y


def activation(config, x):
    if config["activation"] == "gelu":
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def hidden_keys(config, l, halts):
    """(B, query, key): who may not be seen in layer l, given who halted in the layers before."""
    query, key = torch.arange(T)[:, None], torch.arange(T)[None, :]
    hidden = (key > query).expand(B, T, T)
    if config["layer_contexts"]:
        hidden = hidden | (query - key > config["layer_contexts"][l])
    if l > 0 and config["halt_rule"] != "none":
        counted = halts[-1:] if config["mask_history"] == "previous" else halts
        gone = torch.stack(counted).any(0)[:, None, :].expand(B, T, T)
        if not config["mask_self"]:
            gone = gone & (query != key)
        hidden = hidden | gone
    return hidden


def attend(q, k, v, hidden):
    """q, k, v (B, H, T, d). A query that sees no key attends to nothing: exact zeros."""
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    hidden = hidden[:, None]
    none_seen = hidden.all(-1, keepdim=True)
    scores = scores.masked_fill(hidden & ~none_seen, -math.inf)
    return torch.softmax(scores, -1).masked_fill(hidden, 0.0) @ v


def threshold(config, l):
    return (config["halt_thresholds"] or [config["halt_threshold"]] * LAYERS)[l]


def confidence(config, logits, targets):
    probs = torch.softmax(logits.detach() / config["confidence_temperature"], -1)
    if config["halt_rule"] == "max":
        return probs.amax(-1)
    chosen = probs.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return torch.where(targets >= 0, chosen, torch.zeros_like(chosen))


def forward(p, config, tokens, targets):
    """The pass: per layer, what it computed (`attention` is kept for check_attention)."""
    logits, scores, halts, attention = {}, [], [], []
    for l, w in enumerate(widths(config)):
        if l == 0:
            z = p["token_table.0.weight"][tokens] + p["position_table.weight"]
        else:
            before = h.detach() if config["detach_between_layers"] else h
            z = functional.pad(before, (0, w - before.shape[-1]))
            table = p[f"token_table.{l}.weight"][tokens] if config["layer_tables"] else 0.0
            if config["gate_mode"] == "learned":
                g = torch.sigmoid(linear(p, f"gate.{l}", before))
                z = g * table + (1 - g) * z
            else:
                z = z + table
        qkv = linear(p, f"attention.{l}.qkv", norm(p, f"norm_in.{l}", z))
        q, k, v = (x.reshape(B, T, HEADS, w // HEADS).transpose(1, 2) for x in qkv.split(w, -1))
        hidden = hidden_keys(config, l, halts)
        attended = attend(q, k, v, hidden)
        attention.append(dict(q=q, k=k, v=v, attended=attended, hidden=hidden))
        a = z + linear(p, f"attention.{l}.out", attended.transpose(1, 2).reshape(B, T, w))
        up = linear(p, f"mlp.{l}.up", norm(p, f"norm_mid.{l}", a))
        h = a + linear(p, f"mlp.{l}.down", activation(config, up))
        if reads_out(config, l):
            head = l if config["layer_heads"] else 0
            matrix = "token_table.0" if config["tie_head"] else f"head.{head}"
            logits[l] = linear(p, matrix, norm(p, f"norm_out.{head}", h))
        if config["halt_rule"] != "none":
            scores.append(confidence(config, logits[l], targets))
            halts.append(scores[l] >= threshold(config, l))
    return dict(logits=logits, scores=scores, halts=halts, attention=attention)


# ---- Losses

def position_losses(logits, targets):
    """Cross entropy of each position; the caller leaves out those without a target."""
    log_probs = torch.log_softmax(logits, -1)
    return -log_probs.gather(-1, targets.clamp(min=0)[..., None])[..., 0]


def objective(config, out, targets):
    total, weight_sum, has_target = 0.0, 0.0, targets >= 0
    for l, weight in enumerate(weights_of_layers(config)):
        counted, divisor = has_target, has_target.sum()
        if config["layer_supervision"] == "skip_easy":
            for halts in out["halts"][:l]:
                counted = counted & ~halts
            if config["skip_easy_weight"] == "layer":
                divisor = counted.sum()
        weight_sum += weight
        if weight != 0 and counted.any():
            losses = position_losses(out["logits"][l], targets)
            total = total + weight * losses[counted].sum() / divisor
    return total / weight_sum if config["supervision_reduce"] == "mean" else total


def exit_layers(out):
    exits = torch.full((B, T), LAST)
    for l in reversed(range(LAYERS)):
        exits[out["halts"][l]] = l
    return exits


# ---- Checks

def score_margin(config, out):
    """The least distance of a score from its threshold."""
    distances = [(s - threshold(config, l)).abs().min() for l, s in enumerate(out["scores"])]
    return float(min(distances)) if distances else math.inf


def sees(config, scores, l, b, query, key):
    """hidden_keys again, one pair at a time, from the scores."""
    if key > query or (config["layer_contexts"] and query - key > config["layer_contexts"][l]):
        return False
    if key == query and not config["mask_self"]:
        return True
    first = l - 1 if config["mask_history"] == "previous" else 0
    for earlier in range(max(first, 0), l if scores else 0):
        if scores[earlier][b][key] >= threshold(config, earlier):
            return False
    return True


def check_attention(config, out):
    """The attention of every layer again, in plain loops over Python numbers."""
    scores = [s.tolist() for s in out["scores"]]
    for l, layer in enumerate(out["attention"]):
        q, k, v, attended = (layer[x].tolist() for x in ("q", "k", "v", "attended"))
        for b, head, query in ((b, h, t) for b in range(B) for h in range(HEADS) for t in range(T)):
            size = len(q[b][head][query])
            result, total = [0.0] * size, 0.0
            for key in range(T):
                if sees(config, scores, l, b, query, key):
                    product = sum(x * y for x, y in zip(q[b][head][query], k[b][head][key]))
                    factor = math.exp(product / math.sqrt(size))
                    total += factor
                    result = [r + factor * x for r, x in zip(result, v[b][head][key])]
            for x, y in zip(result, attended[b][head][query]):
                assert abs((x / total if total else 0.0) - y) < 1e-12


# ---- Recording

def ten_steps(p, config, tokens, targets):
    groups = [dict(params=[x], weight_decay=0.1 if x.dim() >= 2 else 0.0) for x in p.values()]
    optimizer = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95), eps=1e-8)
    objectives = []
    for _ in range(10):
        out = forward(p, config, tokens, targets)
        assert score_margin(config, out) > 1e-6
        loss = objective(config, out, targets)
        objectives.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        length = math.sqrt(sum(float((x.grad**2).sum()) for x in p.values()))
        for x in p.values():
            x.grad *= min(1.0, 1.0 / (length + 1e-6))
        optimizer.step()
    return objectives


def numbers(values, digits):
    return " ".join(f"{x:.{digits}g}" for x in values)


def record(name):
    """The text of a variant's file, and a line for whoever runs this."""
    config = dict(DEFAULTS, **VARIANTS[name])
    tokens, targets = batch(config)
    has_target, halting = targets >= 0, config["halt_rule"] != "none"
    p = parameters(config)
    out = forward(p, config, tokens, targets)
    loss = objective(config, out, targets)
    assert score_margin(config, out) > 1e-3, (name, score_margin(config, out))
    check_attention(config, out)
    losses = {l: position_losses(x, targets) for l, x in out["logits"].items()}
    lines = [f"# {name}: made by tests/golden/record.py, which describes it. Not edited by hand."]
    lines += [f"config {key} {value}".replace(", ", ",") for key, value in config.items()
              if value != DEFAULTS[key]]
    lines.append(f"loss {loss.item():.17g}")
    summary = f"{name:17}"
    if halting:
        exits = exit_layers(out)
        at_exit = torch.stack([losses[l] for l in range(LAYERS)]).gather(0, exits[None])[0]
        lines.append(f"infer {at_exit[has_target].mean().item():.17g}")
        counts = [int((exits == l).sum()) for l in range(LAYERS)]
        assert all(counts), (name, counts)
        blind = [int(x["hidden"].all(-1).sum()) for x in out["attention"]]
        summary += (f" thresholds {[threshold(config, l) for l in range(LAYERS)]}"
                    f" halts {[int(h.sum()) for h in out['halts']]} exits {counts}"
                    f" fully masked rows {blind} margin {score_margin(config, out):.4f}")
    lines += [f"layer_loss {l} {x[has_target].mean().item():.17g}" for l, x in losses.items()]
    if halting:
        lines.append("exits " + " ".join(map(str, exits.flatten().tolist())))
    lines += [f"logits {l} {numbers(x.flatten().tolist(), 12)}" for l, x in out["logits"].items()]
    loss.backward()
    for key, x in p.items():
        grad = x.grad.flatten()
        assert torch.isfinite(grad).all(), (name, key)
        probe = 2 * uniform("probe." + key, grad.numel()) - 1
        lines.append(f"grad {key} {numbers([grad.norm().item(), (grad @ probe).item()], 17)}")
    lines.append(f"steps {numbers(ten_steps(p, config, tokens, targets), 17)}")
    return "\n".join(lines) + "\n", summary


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or VARIANTS:
        text, summary = record(name)
        path = pathlib.Path(__file__).parent / f"{name}.txt"
        path.write_text(text, encoding="ascii")
        print(f"{summary} ({len(text)} bytes)")


if __name__ == "__main__":
    main()
