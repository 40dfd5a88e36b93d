#!/usr/bin/env python3
"""Referee of the pruning and GPTQ methods: the authors' procedures, computed again in PyTorch on one layer.

    python tests/referees/prune_torch.py > crates/compress/tests/fixtures/prune_torch.json

Needs torch (2.15.0 made the file that is checked in). Written from the papers (Han et al. 2015; Sun et al. 2024, algorithm 1;
Frantar and Alistarh 2023, algorithm 1; Frantar et al. 2023, algorithm 1), in float32 with torch's own factorisations, as the
authors' programs do; nothing of ours is used. Weights and inputs come from a generator of whole numbers, so that both sides
make the same bits: O = 24 outputs, I = 192 inputs (a block of 128 and a half one), N = 640 tokens of uneven, correlated inputs.
"""
import json
import sys

import torch

O, I, N, BLOCK = 24, 192, 640, 128


def numbers(n, seed):
    """Multiples of 2^-23 in [-1, 1), from the 32-bit generator x <- 1664525 x + 1013904223."""
    out, x = [], seed
    for _ in range(n):
        x = (1664525 * x + 1013904223) % 2**32
        out.append((x >> 8) / 2**23 - 1.0)
    return torch.tensor(out, dtype=torch.float32)


def layer():
    w = numbers(O * I, 1).reshape(O, I)
    z = numbers(N * I, 2).reshape(N, I)
    scale = torch.tensor([0.25 + (7 * j % 32) / 16 for j in range(I)], dtype=torch.float32)
    x = z * scale
    # Each input leans on the one before it.
    x[:, 1:] = x[:, 1:] + 0.5 * z[:, :-1]
    return w, x


def inverse_factor(x, percdamp=0.01):
    h = 2.0 / x.shape[0] * (x.t() @ x)
    h = h + percdamp * h.diagonal().mean() * torch.eye(x.shape[1])
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))
    return torch.linalg.cholesky(inverse, upper=True)


def magnitude(w, share):
    threshold = w.abs().flatten().sort().values[int(w.numel() * share)]
    return w.abs() < threshold, None


def wanda(w, x, share=None, pattern=None):
    inputs = w.shape[1]
    metric = w.abs() * (x.pow(2).sum(0) / x.shape[0]).sqrt()
    mask = torch.zeros_like(w, dtype=torch.bool)
    if pattern is None:
        order = metric.sort(dim=1, stable=True).indices
        mask.scatter_(1, order[:, : int(inputs * share)], True)
    else:
        n, m = pattern
        for start in range(0, inputs, m):
            lowest = metric[:, start : start + m].topk(m - n, dim=1, largest=False).indices
            mask.scatter_(1, start + lowest, True)
    return mask, None


def sparsegpt(w, x, share=None, pattern=None):
    w, u = w.clone(), inverse_factor(x)
    outputs, inputs = w.shape
    mask = torch.zeros_like(w, dtype=torch.bool)
    for i1 in range(0, inputs, BLOCK):
        i2 = min(i1 + BLOCK, inputs)
        part, err, local = w[:, i1:i2].clone(), torch.zeros(outputs, i2 - i1), u[i1:i2, i1:i2]
        if pattern is None:
            score = part**2 / local.diagonal() ** 2
            threshold = score.flatten().sort().values[int(score.numel() * share)]
            block_mask = score <= threshold
        else:
            block_mask = torch.zeros_like(part, dtype=torch.bool)
        for i in range(i2 - i1):
            if pattern is not None and i % pattern[1] == 0:
                n, m = pattern
                score = part[:, i : i + m] ** 2 / local.diagonal()[i : i + m] ** 2
                block_mask.scatter_(1, i + score.topk(m - n, dim=1, largest=False).indices, True)
            q = part[:, i].clone()
            q[block_mask[:, i]] = 0
            e = (part[:, i] - q) / local[i, i]
            part[:, i:] -= e.unsqueeze(1) @ local[i, i:].unsqueeze(0)
            err[:, i] = e
            part[:, i] = q
        w[:, i1:i2] = part
        mask[:, i1:i2] = block_mask
        w[:, i2:] -= err @ u[i1:i2, i2:]
    return mask, w


def half(t):
    return t.to(torch.float16).to(torch.float32)


def gptq(w, x, group):
    """Four bits, asymmetric, 0 on the grid; scale and offset in half precision, as the blocks store them. The grid of a group is
    taken from the weights as they stand when the group begins."""
    w, u = w.clone(), inverse_factor(x)
    outputs, inputs = w.shape
    steps = torch.zeros_like(w)
    for i1 in range(0, inputs, BLOCK):
        i2 = min(i1 + BLOCK, inputs)
        part, err, local = w[:, i1:i2].clone(), torch.zeros(outputs, i2 - i1), u[i1:i2, i1:i2]
        for i in range(i2 - i1):
            if i % group == 0:
                of_group = part[:, i : i + group]
                least, most = of_group.min(1).values.clamp(max=0), of_group.max(1).values.clamp(min=0)
                scale = half((most - least) / 15)
                zero = (-least / scale).round().clamp(0, 15)
                offset = half(-scale * zero)
            step = ((part[:, i] - offset) / scale).round().clamp(0, 15)
            q = step * scale + offset
            e = (part[:, i] - q) / local[i, i]
            part[:, i:] -= e.unsqueeze(1) @ local[i, i:].unsqueeze(0)
            err[:, i], part[:, i], steps[:, i1 + i] = e, q, step
        w[:, i1:i2] = part
        w[:, i2:] -= err @ u[i1:i2, i2:]
    return steps, w


def main():
    w, x = layer()
    whole = (x.double() @ w.double().t()).pow(2).sum()

    def error(changed):
        return float((x.double() @ (changed.double() - w.double()).t()).pow(2).sum() / whole)

    def entry(mask, changed):
        changed = w.masked_fill(mask, 0) if changed is None else changed
        rows = ["".join("0" if gone else "1" for gone in row) for row in mask.tolist()]
        return {"error": error(changed), "kept": rows}

    cases = {
        "magnitude 0.5": entry(*magnitude(w, 0.5)),
        "wanda 0.5": entry(*wanda(w, x, share=0.5)),
        "wanda 2:4": entry(*wanda(w, x, pattern=(2, 4))),
        "sparsegpt 0.5": entry(*sparsegpt(w, x, share=0.5)),
        "sparsegpt 2:4": entry(*sparsegpt(w, x, pattern=(2, 4))),
        "sparsegpt 4:8": entry(*sparsegpt(w, x, pattern=(4, 8))),
    }
    for group in (32, 64):
        steps, changed = gptq(w, x, group)
        rows = ["".join(f"{int(step):x}" for step in row) for row in steps.tolist()]
        cases[f"gptq {group}"] = {"error": error(changed), "steps": rows}
    json.dump({"torch": torch.__version__, "outputs": O, "inputs": I, "tokens": N, "cases": cases}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
