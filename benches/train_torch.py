"""The problem that `throughput export=FOLDER` wrote down, trained by PyTorch: tokens a second, last loss, peak memory.

    python benches/train_torch.py FOLDER

The first step is left out of the time, as in the other program.
"""

import pathlib
import resource
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "crates/train/tests/fixtures"))

import torch
from torch_llama import Problem

problem = Problem(sys.argv[1])
steps = list(problem.train())
n_tokens = sum(len(row) for batch in problem.given["batches"][1:] for row in batch["inputs"])
print("last loss         %.7f nat/token" % steps[-1][0])
print("tokens per second %.0f" % (n_tokens / sum(seconds for *_, seconds in steps[1:])))
print("peak memory       %d byte" % (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))
print("torch             %s, %d threads" % (torch.__version__, torch.get_num_threads()))
