"""Reads a GGUF file with llama.cpp's own Python package and compares it with the safetensors file it was made from.

    python gguf_read.py MODEL.gguf MODEL.safetensors

Needs the Python packages `gguf` (0.17 or later) and `numpy`. Exit 0 when every tensor is there once, under the name and
in the row order llama.cpp expects, in Q8_0 (matrices) or F32 (norms), with every number inside the error bound of Q8_0;
the first thing that is not so is printed and the exit code is 1.

The bound for a block of 32 with a = max|x| and scale d = a/127: half a step for rounding the number, and 127 steps times
the rounding of d to a half-precision float (2^-11 of d, or 2^-25 where d is subnormal). The safetensors reader and the
row permutation are written here anew, the dequantiser is the package's.
"""

import json
import struct
import sys

import numpy as np
from gguf import GGUFReader, GGMLQuantizationType
from gguf.quants import dequantize


def fail(message):
    print(f"gguf_read: {message}")
    sys.exit(1)


def expect(what, expected, found):
    if expected != found:
        fail(f"{what}: expected {expected}, found {found}")


def read_safetensors(path):
    with open(path, "rb") as file:
        bytes_ = file.read()
    (n,) = struct.unpack("<Q", bytes_[:8])
    header = json.loads(bytes_[8 : 8 + n])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + n + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(bytes_[start:end], "<f4").reshape(entry["shape"])
    return tensors


PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name):
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{PARTS[part]}.weight"


def llama_cpp_rows(rows, heads):
    """Row 2i of a head is the hub's row i, row 2i + 1 the hub's row i + D/2."""
    d = rows.shape[0] // heads
    order = [h * d + i // 2 + (i % 2) * (d // 2) for h in range(heads) for i in range(d)]
    return rows[order]


def main(gguf_path, safetensors_path):
    reader = GGUFReader(gguf_path)
    field = lambda key: reader.fields[key].contents()
    expect("GGUF version", 3, int(field("GGUF.version")))
    expect("general.architecture", "llama", field("general.architecture"))
    expect("general.file_type", 7, int(field("general.file_type")))
    expect("tokenizer.ggml.model", "gpt2", field("tokenizer.ggml.model"))
    vocab = int(field("llama.vocab_size"))
    expect("number of tokens", vocab, len(field("tokenizer.ggml.tokens")))
    expect("number of token types", vocab, len(field("tokenizer.ggml.token_type")))
    known = set(field("tokenizer.ggml.tokens"))
    for merge in field("tokenizer.ggml.merges"):
        left, right = merge.split(" ")
        if not {left, right, left + right} <= known:
            fail(f"the merge `{merge}` does not stand among the tokens")
    heads, kv_heads = int(field("llama.attention.head_count")), int(field("llama.attention.head_count_kv"))

    source = read_safetensors(safetensors_path)
    stored = {tensor.name: tensor for tensor in reader.tensors}
    expect("tensor names", sorted(map(gguf_name, source)), sorted(stored))
    expect("embedding rows", vocab, source["model.embed_tokens.weight"].shape[0])
    worst = 0.0
    for name, original in source.items():
        tensor = stored[gguf_name(name)]
        expect(f"shape of {tensor.name}", list(original.shape), [int(n) for n in reversed(tensor.shape)])
        if name.endswith("q_proj.weight"):
            original = llama_cpp_rows(original, heads)
        if name.endswith("k_proj.weight"):
            original = llama_cpp_rows(original, kv_heads)
        if original.ndim == 1:
            expect(f"type of {tensor.name}", GGMLQuantizationType.F32, tensor.tensor_type)
            if not np.array_equal(tensor.data, original):
                fail(f"{tensor.name}: F32 numbers differ")
            continue
        expect(f"type of {tensor.name}", GGMLQuantizationType.Q8_0, tensor.tensor_type)
        restored = dequantize(tensor.data, tensor.tensor_type).reshape(-1, 32).astype(np.float64)
        blocks = original.reshape(-1, 32).astype(np.float64)
        step = np.abs(blocks).max(axis=1, keepdims=True) / 127
        # The last factor is for the f32 arithmetic around it.
        bound = (step / 2 + 127 * np.maximum(step * 2.0**-11, 2.0**-25)) * (1 + 1e-5)
        error = np.abs(restored - blocks)
        if not (error <= bound).all():
            fail(f"{tensor.name}: error {error.max()} beyond the bound of Q8_0")
        worst = max(worst, float((error / np.maximum(bound, 1e-300)).max()))
    print(f"gguf_read: {len(source)} tensors agree; largest error is {worst:.3f} of the bound")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        fail("expected two arguments, a .gguf file and the .safetensors file it was made from")
    main(*sys.argv[1:])
