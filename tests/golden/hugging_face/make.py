#!/usr/bin/env python3
"""A tiny GPT-2 as Hugging Face keeps one, and what it answers; by itself, with Python's own library.

    python3 make.py FOLDER

writes config.json, model.safetensors, tokenizer.json, vocab.json, merges.txt, and expected.json:
texts with their ids, sequences with the logits of all positions. Weights are float32, everything is
computed in float64. 2 layers, 4 heads, 32 wide, 24 positions, 300 tokens.
"""

import json
import math
import random
import re
import struct
import sys

LAYERS, HEADS, WIDTH, POSITIONS, MERGES = 2, 4, 32, 24, 43
EPSILON = 1e-5
END = "<|endoftext|>"

TRAINING_TEXT = (
    "the rain falls on the hill and the river rises. It's the third day of rain; they're counting "
    "the drops that fall on the roof, one and two and three, and nothing else is heard in the house. "
) * 3
TEXTS = [
    "the rain falls on the hill",
    "It's raining, they're counting  drops:\n\n  12 and 345!",
    "Ünïcode, 日本 and \U0001f327\ufe0f",
    " \t\n",
    "",
]


# --- byte pairs ---


def byte_symbols():
    """The character that stands for each byte (Radford et al. 2019), and the order of their ids."""
    shown = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b <= 255]
    hidden = [b for b in range(256) if b not in shown]
    symbols = {b: chr(b) for b in shown}
    symbols.update({b: chr(256 + i) for i, b in enumerate(hidden)})
    return symbols, shown + hidden


SYMBOLS, BYTE_ORDER = byte_symbols()
# Letters and digits as Python knows them: the same for the texts above.
PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def pieces(text):
    return [[SYMBOLS[b] for b in piece.encode("utf-8")] for piece in PIECES.findall(text)]


def merged(parts, pair):
    out, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            out.append(parts[i] + parts[i + 1])
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out


def train_merges(text, count):
    words, merges = pieces(text), []
    for _ in range(count):
        pairs = {}
        for word in words:
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = [merged(word, best) for word in words]
    return merges


def encode(text, vocabulary, merges):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    ids = []
    for parts in pieces(text):
        while True:
            known = [pair for pair in zip(parts, parts[1:]) if pair in ranks]
            if not known:
                break
            parts = merged(parts, min(known, key=ranks.get))
        ids += [vocabulary[part] for part in parts]
    return ids


def tokenizer_json(vocabulary, merges):
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    end = {"id": vocabulary[END], "content": END, "single_word": False, "lstrip": False,
           "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [end],
        "normalizer": None, "pre_tokenizer": byte_level, "post_processor": dict(byte_level),
        "decoder": dict(byte_level),
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False, "vocab": vocabulary,
                  "merges": [list(pair) for pair in merges]},
    }


# --- the model: matrices are lists of rows ---


def single(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def random_tensors(vocabulary_size):
    draw = random.Random(20190214)

    def normal(rows, columns, scale):
        return [[single(draw.gauss(0, scale)) for _ in range(columns)] for _ in range(rows)]

    def vector(scale, around=0.0):
        return lambda size: [single(around + draw.gauss(0, scale)) for _ in range(size)]

    tensors = {"wte.weight": normal(vocabulary_size, WIDTH, 0.3), "wpe.weight": normal(POSITIONS, WIDTH, 0.2)}
    norm_weight, bias = vector(0.2, 1.0), vector(0.1)
    for layer in range(LAYERS):
        h = f"h.{layer}."
        for norm in ("ln_1", "ln_2"):
            tensors[h + norm + ".weight"], tensors[h + norm + ".bias"] = norm_weight(WIDTH), bias(WIDTH)
        # Conv1D: (in, out)
        for name, rows, columns in (("attn.c_attn", WIDTH, 3 * WIDTH), ("attn.c_proj", WIDTH, WIDTH),
                                    ("mlp.c_fc", WIDTH, 4 * WIDTH), ("mlp.c_proj", 4 * WIDTH, WIDTH)):
            tensors[h + name + ".weight"] = normal(rows, columns, 0.25)
            tensors[h + name + ".bias"] = bias(columns)
    tensors["ln_f.weight"], tensors["ln_f.bias"] = norm_weight(WIDTH), bias(WIDTH)
    return tensors


def safetensors(tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name in sorted("transformer." + name for name in tensors):
        tensor = tensors[name[len("transformer."):]]
        rows = tensor if isinstance(tensor[0], list) else [tensor]
        shape = [len(tensor), len(tensor[0])] if rows is tensor else [len(tensor)]
        packed = b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def norm(x, weight, bias):
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return [(v - mean) / math.sqrt(variance + EPSILON) * w + b for v, w, b in zip(x, weight, bias)]


def linear(x, weight, bias):
    return [b + sum(v * row[j] for v, row in zip(x, weight)) for j, b in enumerate(bias)]


def gelu_new(x):
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu(x):
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def attention(rows, t, h):
    projected = [linear(x, t[h + "attn.c_attn.weight"], t[h + "attn.c_attn.bias"]) for x in rows]
    size, out = WIDTH // HEADS, []
    for i in range(len(rows)):
        mixed = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            query = projected[i][:WIDTH][part]
            scores = [sum(a * b for a, b in zip(query, projected[j][WIDTH:2 * WIDTH][part])) / math.sqrt(size)
                      for j in range(i + 1)]
            weights = [math.exp(s - max(scores)) for s in scores]
            values = [projected[j][2 * WIDTH:][part] for j in range(i + 1)]
            mixed += [sum(w * v[k] for w, v in zip(weights, values)) / sum(weights) for k in range(size)]
        out.append(linear(mixed, t[h + "attn.c_proj.weight"], t[h + "attn.c_proj.bias"]))
    return out


def logits(ids, t, act):
    rows = [[a + b for a, b in zip(t["wte.weight"][token], t["wpe.weight"][i])] for i, token in enumerate(ids)]
    for layer in range(LAYERS):
        h = f"h.{layer}."
        normed = [norm(x, t[h + "ln_1.weight"], t[h + "ln_1.bias"]) for x in rows]
        rows = [[a + b for a, b in zip(x, y)] for x, y in zip(rows, attention(normed, t, h))]
        for i, x in enumerate(rows):
            up = linear(norm(x, t[h + "ln_2.weight"], t[h + "ln_2.bias"]),
                        t[h + "mlp.c_fc.weight"], t[h + "mlp.c_fc.bias"])
            down = linear([act(v) for v in up], t[h + "mlp.c_proj.weight"], t[h + "mlp.c_proj.bias"])
            rows[i] = [a + b for a, b in zip(x, down)]
    rows = [norm(x, t["ln_f.weight"], t["ln_f.bias"]) for x in rows]
    return [[sum(a * b for a, b in zip(x, row)) for row in t["wte.weight"]] for x in rows]


def main():
    folder = sys.argv[1]

    def write(name, content):
        with open(f"{folder}/{name}", "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8"))

    merges = train_merges(TRAINING_TEXT, MERGES)
    tokens = [SYMBOLS[b] for b in BYTE_ORDER] + [left + right for left, right in merges] + [END]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    assert len(vocabulary) == 256 + MERGES + 1
    tensors = random_tensors(len(vocabulary))
    config = {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": vocabulary[END], "embd_pdrop": 0.1, "eos_token_id": vocabulary[END],
        "initializer_range": 0.02, "layer_norm_epsilon": EPSILON, "model_type": "gpt2",
        "n_ctx": POSITIONS, "n_embd": WIDTH, "n_head": HEADS, "n_inner": None, "n_layer": LAYERS,
        "n_positions": POSITIONS, "reorder_and_upcast_attn": False, "resid_pdrop": 0.1,
        "scale_attn_by_inverse_layer_idx": False, "scale_attn_weights": True, "torch_dtype": "float32",
        "use_cache": True, "vocab_size": len(vocabulary),
    }
    write("config.json", json.dumps(config, indent=2) + "\n")
    write("model.safetensors", safetensors(tensors))
    write("tokenizer.json", json.dumps(tokenizer_json(vocabulary, merges), ensure_ascii=False, indent=1) + "\n")
    write("vocab.json", json.dumps(vocabulary, ensure_ascii=False))
    write("merges.txt", "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))

    def shown(rows):
        """All logits of the last position, of the others the first three."""
        return [[float(f"{v:.9g}") for v in (row if row is rows[-1] else row[:3])] for row in rows]

    draw = random.Random(7)
    sequences = [encode(TEXTS[0], vocabulary, merges), encode(TEXTS[1], vocabulary, merges)[:POSITIONS],
                 [draw.randrange(len(vocabulary)) for _ in range(POSITIONS)], [vocabulary[END]]]
    expected = {
        "texts": [{"text": text, "ids": encode(text, vocabulary, merges)} for text in TEXTS],
        "sequences": [{"ids": ids, "gelu_new": shown(logits(ids, tensors, gelu_new)),
                       "gelu": shown(logits(ids, tensors, gelu))} for ids in sequences],
    }
    write("expected.json", json.dumps(expected, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
