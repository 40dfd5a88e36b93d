"""Referee for heads that tell classes: `transformers` reads what `assize train` saved, and says the same logits.

    python tests/referees/classes.py TELL WEIGHTS CONTEXT TABLE COLUMN

TELL is the built example `tell`, WEIGHTS the folder `weights` of a dossier (`config.json`, `model.safetensors`, `tokenizer.json`), TABLE a
CSV file whose COLUMN holds texts. Needs torch, transformers and tokenizers. Prints the largest difference of the logits over the first
200 texts, and fails over 1e-4: both are f32 with sums in other orders.
"""

import csv
import subprocess
import sys

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

torch.set_num_threads(1)
tell, weights, context, table, column = sys.argv[1:]
texts = [row[column] for row in csv.DictReader(open(table, encoding="utf-8"))][:200]
tokenizer = Tokenizer.from_file(f"{weights}/tokenizer.json")
ids = [tokenizer.encode(text).ids[: int(context)] for text in texts]
model = AutoModelForSequenceClassification.from_pretrained(weights, torch_dtype=torch.float32).eval()
assert type(model).__name__ == "LlamaForSequenceClassification"
names = [model.config.id2label[at] for at in range(model.config.num_labels)]
theirs, padded = [], []
pad = model.config.pad_token_id
with torch.no_grad():
    for row in ids:
        theirs.append(model(input_ids=torch.tensor([row])).logits[0])
    # In batches, filled up on the right, as a user would.
    for begin in range(0, len(ids), 8):
        rows = ids[begin : begin + 8]
        longest = max(map(len, rows))
        filled = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        padded.append(model(input_ids=filled, attention_mask=mask).logits)
theirs = torch.stack(theirs)
lines = "\n".join(" ".join(map(str, row)) for row in ids) + "\n"
said = subprocess.run([tell, weights, context], input=lines, capture_output=True, text=True, check=True).stdout
ours = torch.tensor([[float(x) for x in line.split()] for line in said.splitlines()])
alone, batched = (ours - theirs).abs().max().item(), (ours - torch.cat(padded)).abs().max().item()
same = (ours.argmax(-1) == theirs.argmax(-1)).sum().item()
print(f"{len(texts)} texts, classes {names}: logits from {theirs.min():.3f} to {theirs.max():.3f} differ by {alone:.2e} alone and "
      f"{batched:.2e} in padded batches; the same class of {same}")
sys.exit(max(alone, batched) > 1e-4 or same != len(texts))
