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
