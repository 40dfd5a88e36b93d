#!/usr/bin/env python3
"""Referee of the GGUF files that `assize compress` writes: llama.cpp itself, on the same passages.

    python tests/referees/llama_cpp.py MODEL.gguf TEXT.txt [passage=256] [passages=8]

Prints the perplexity of consecutive passages of the text, the first token of each read and not predicted: the convention of
`compress.loss_change`. llama.cpp comes from the package xllamacpp (2026.10.11549 made the figures of docs/compress.md), whose
library exports llama.cpp's own C interface; it is called here by ctypes, on the processor, without flash attention. Its structures of
parameters are taken from llama.cpp's own defaults and passed on as they are; only the first numbers of the context's (n_ctx, n_batch,
n_ubatch) are set.
"""
import ctypes as c
import math
import sys
import xllamacpp.xllamacpp as library


class Opaque(c.Structure):
    """Parameters whose layout changes with each version: more room than any has, handed on untouched."""

    _fields_ = [("words", c.c_uint32 * 256)]


class Batch(c.Structure):
    _fields_ = [
        ("n_tokens", c.c_int32),
        ("token", c.POINTER(c.c_int32)),
        ("embd", c.c_void_p),
        ("pos", c.c_void_p),
        ("n_seq_id", c.c_void_p),
        ("seq_id", c.c_void_p),
        ("logits", c.POINTER(c.c_int8)),
    ]


def interface():
    llama = c.CDLL(library.__file__)
    for name, result, arguments in [
        ("llama_model_default_params", Opaque, []),
        ("llama_context_default_params", Opaque, []),
        ("llama_model_load_from_file", c.c_void_p, [c.c_char_p, Opaque]),
        ("llama_init_from_model", c.c_void_p, [c.c_void_p, Opaque]),
        ("llama_model_get_vocab", c.c_void_p, [c.c_void_p]),
        ("llama_vocab_n_tokens", c.c_int32, [c.c_void_p]),
        ("llama_tokenize", c.c_int32, [c.c_void_p, c.c_char_p, c.c_int32, c.POINTER(c.c_int32), c.c_int32, c.c_bool, c.c_bool]),
        ("llama_decode", c.c_int32, [c.c_void_p, Batch]),
        ("llama_get_logits_ith", c.POINTER(c.c_float), [c.c_void_p, c.c_int32]),
        ("llama_get_memory", c.c_void_p, [c.c_void_p]),
        ("llama_memory_clear", None, [c.c_void_p, c.c_bool]),
        ("llama_log_set", None, [c.c_void_p, c.c_void_p]),
        ("llama_backend_init", None, []),
    ]:
        function = getattr(llama, name)
        function.restype, function.argtypes = result, arguments
    return llama


def main():
    path, text_path = sys.argv[1:3]
    length, most = (int(word) for word in (sys.argv[3:] + ["256", "8"][len(sys.argv) - 3 :])[:2])
    llama = interface()
    quiet = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(lambda *_: None)
    llama.llama_log_set(c.cast(quiet, c.c_void_p), None)
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    if not model:
        sys.exit(f"llama.cpp cannot read {path}")
    parameters = llama.llama_context_default_params()
    for at in range(3):
        parameters.words[at] = length
    context = llama.llama_init_from_model(model, parameters)
    vocab = llama.llama_model_get_vocab(model)
    n_vocab = llama.llama_vocab_n_tokens(vocab)
    text = open(text_path, "rb").read()[: 16 * length * most]
    room = (c.c_int32 * len(text))()
    n = llama.llama_tokenize(vocab, text, len(text), room, len(text), False, False)
    tokens = list(room[:n])
    passages = [tokens[at : at + length] for at in range(0, len(tokens) - length + 1, length)][:most]
    nll, count = 0.0, 0
    for passage in passages:
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        ids, wanted = (c.c_int32 * length)(*passage), (c.c_int8 * length)(*([1] * length))
        if llama.llama_decode(context, Batch(length, ids, None, None, None, None, wanted)) != 0:
            sys.exit("llama.cpp could not compute")
        for at in range(length - 1):
            logits = llama.llama_get_logits_ith(context, at)[:n_vocab]
            largest = max(logits)
            nll += math.log(math.fsum(math.exp(logit - largest) for logit in logits)) + largest - logits[passage[at + 1]]
            count += 1
    print(f"tokens {count}\nfirst {' '.join(map(str, tokens[:8]))}\nperplexity {math.exp(nll / count):.6f}")


main()
