#!/usr/bin/env python3
"""GPT-2's architecture in plain PyTorch, the way nanoGPT's readers write it.

Times training steps on random tokens, or with `--generate` tokens that are drawn one by one, each from a
pass over the whole text as nanoGPT's `generate` does it, and prints one JSON object. `--tables` gives every layer a token table and
a head of its own, each trained by a cross entropy: Papingo's work without its gates and exits.
"""
import argparse
import inspect
import json
import math
import statistics
import time

import torch
import torch.nn as nn
from torch.nn import functional as F


class Attention(nn.Module):
    def __init__(self, width, heads, block):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.register_buffer("mask", torch.tril(torch.ones(block, block)).view(1, 1, block, block))

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2)
                   for t in self.qkv(x).split(C, dim=2))
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            scores = scores.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
            y = F.softmax(scores, dim=-1) @ v
        return self.out(y.transpose(1, 2).contiguous().view(B, T, C))


class Block(nn.Module):
    def __init__(self, width, heads, block):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, block)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Model(nn.Module):
    def __init__(self, a):
        super().__init__()
        tables = a.layers if a.tables else 1
        self.tables = nn.ModuleList(nn.Embedding(a.vocab, a.width) for _ in range(tables))
        self.positions = nn.Embedding(a.block, a.width)
        self.blocks = nn.ModuleList(Block(a.width, a.heads, a.block) for _ in range(a.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(a.width) for _ in range(tables))
        self.heads = nn.ModuleList(nn.Linear(a.width, a.vocab, bias=False) for _ in range(tables))
        if not a.tables:
            self.heads[0].weight = self.tables[0].weight
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, tokens, targets):
        x = self.tables[0](tokens) + self.positions(torch.arange(tokens.size(1), device=tokens.device))
        losses = []
        for i, block in enumerate(self.blocks):
            if i > 0 and len(self.tables) > 1:
                x = x + self.tables[i](tokens)
            x = block(x)
            if len(self.heads) > 1 or i + 1 == len(self.blocks):
                head = i if len(self.heads) > 1 else 0
                logits = self.heads[head](self.norms[head](x))
                losses.append(F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1)))
        return sum(losses) / len(losses)

    def next_scores(self, tokens):
        x = self.tables[0](tokens) + self.positions(torch.arange(tokens.size(1), device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.heads[0](self.norms[0](x[:, [-1], :]))[:, -1, :]


def steps(model, a):
    decay = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    on_gpu = a.device.startswith("cuda")
    has_fused = "fused" in inspect.signature(torch.optim.AdamW).parameters
    fused = {"fused": True} if on_gpu and has_fused else {}
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.1},
                                   {"params": rest, "weight_decay": 0.0}], lr=1e-3, betas=(0.9, 0.99),
                                  **fused)
    narrow = torch.autocast("cuda" if on_gpu else "cpu", dtype=torch.bfloat16,
                            enabled=a.dtype == "bfloat16")
    run = torch.compile(model) if a.compile else model
    warm_up = 6 if a.compile else 2
    times = []
    for i in range(a.steps + warm_up):
        tokens = torch.randint(a.vocab, (a.batch, a.block + 1), device=a.device)
        if on_gpu:
            torch.cuda.synchronize()
        begin = time.perf_counter()
        with narrow:
            loss = run(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        if on_gpu:
            torch.cuda.synchronize()
        if i >= warm_up:
            times.append(time.perf_counter() - begin)
    return times


@torch.no_grad()
def tokens_one_by_one(model, a):
    """The second half of the window, as `fathom bench decode` measures it."""
    times = []
    for i in range(a.steps + 3):  # the first ones warm up
        if i == 0 or text.size(1) == a.block:
            text = torch.randint(a.vocab, (1, a.block // 2), device=a.device)
        begin = time.perf_counter()
        probabilities = F.softmax(model.next_scores(text), dim=-1)
        text = torch.cat((text, torch.multinomial(probabilities, num_samples=1)), dim=1)
        if a.device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return times[3:]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    for name in ("layers", "heads", "width", "block", "batch", "vocab", "steps"):
        p.add_argument(f"--{name}", type=int, required=True)
    p.add_argument("--threads", type=int, default=0, help="0: as PyTorch comes")
    p.add_argument("--tables", action="store_true")
    p.add_argument("--generate", action="store_true")
    p.add_argument("--device", default="cpu")
    p.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of automatic casts")
    p.add_argument("--compile", action="store_true", help="torch.compile, as nanoGPT has it")
    a = p.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    model = Model(a).to(a.device)
    times = tokens_one_by_one(model, a) if a.generate else steps(model, a)
    print(json.dumps({"ms_median": 1e3 * statistics.median(times), "threads": torch.get_num_threads(),
                      "torch": torch.__version__}))


if __name__ == "__main__":
    main()
