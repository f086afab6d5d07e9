#!/usr/bin/env python3
"""Writes the meta.pkl files of this folder, as nanoGPT's preparation scripts write theirs."""
import os
import pickle

folder = os.path.dirname(os.path.abspath(__file__))


def meta(characters):
    return {
        "vocab_size": len(characters),
        "itos": dict(enumerate(characters)),
        "stoi": {c: i for i, c in enumerate(characters)},
    }


def write(name, value, protocol):
    with open(os.path.join(folder, name + ".pkl"), "wb") as file:
        pickle.dump(value, file, protocol=protocol)


few = meta(sorted(set("hello world\n\u00e9")))
for protocol in (2, 3, 4, 5):
    write(f"protocol{protocol}", few, protocol)
write("three_hundred", meta([chr(0x4E00 + i) for i in range(300)]), 4)
write("size_alone", {"vocab_size": 50257}, 4)

words = [f"word{i}" for i in range(300)]
write("words", {"vocab_size": 300, "itos": dict(enumerate(words)),
                "stoi": {w: i for i, w in enumerate(words)}}, 4)
write("list", {"vocab_size": 10, "itos": [few["itos"][i] for i in range(10)], "stoi": few["stoi"]}, 2)
write("padded", {**few, "vocab_size": 64}, 4)
extras = {"source": "a text", "share": 0.9, "nothing": None, "kept": True, "big": 1 << 80, "bytes": b"ab"}
extras.update({"parts": [1, [2, 3], (4,)], "three": (1, 2, 3), "many": (1, 2, 3, 4), "set": {1, 2}, 7: "seven"})
extras["frozen"] = frozenset((1, 2))
write("extras", {**extras, **few}, 4)
write("protocol0", few, 0)
