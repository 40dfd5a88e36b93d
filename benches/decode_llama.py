"""Tokens a second of llama.cpp on one GGUF file: a prompt read, and tokens written one at a time.

    python decode_llama.py FILE [PROMPT_TOKENS [TOKENS]]        (package xllamacpp, prebuilt)

Prints `prefill P` and `decode D`, by llama.cpp's own clock.
"""

import importlib.metadata
import sys

import xllamacpp

path = sys.argv[1]
n_prompt = int(sys.argv[2]) if len(sys.argv) > 2 else 256
n = int(sys.argv[3]) if len(sys.argv) > 3 else 128
params = xllamacpp.CommonParams()
params.model.path = path
params.n_ctx = 1024
params.n_parallel = 1
params.cpuparams.n_threads = 2
params.cpuparams_batch.n_threads = 2
params.warmup = True
server = xllamacpp.Server(params)
best = None
for round_ in range(3):
    prompt = [(7919 * round_ + at * at * 31 + at) % 40000 + 100 for at in range(n_prompt)]
    answer = server.handle_completions(
        {"prompt": prompt, "n_predict": n, "temperature": 0.0, "top_k": 1, "ignore_eos": True, "cache_prompt": False}
    )
    timings = answer["timings"]
    found = (timings["prompt_per_second"], timings["predicted_per_second"])
    best = found if best is None else tuple(map(max, best, found))
print(f"xllamacpp {importlib.metadata.version('xllamacpp')}")
print(f"prefill {best[0]:.1f}")
print(f"decode {best[1]:.1f}")
