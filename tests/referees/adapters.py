"""Referee for adapters: PEFT loads what `assize train` saved, and the merged model says what PEFT's says.

    python tests/referees/adapters.py BASE ADAPTERS MERGED

BASE and MERGED are hub folders (`assize model … --write`, or the hub's own), ADAPTERS a folder with `adapter_config.json` and
`adapter_model.safetensors`. Needs torch, transformers and peft. Prints the largest difference of the log-probabilities on a fixed
text, and fails over 2e-3: both are f32 with sums in other orders.
"""

import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base, adapters, merged = sys.argv[1:]
text = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
tokens = AutoTokenizer.from_pretrained(base)(text, return_tensors="pt").input_ids


def log_probs(model):
    with torch.no_grad():
        return torch.log_softmax(model.eval()(tokens).logits.float(), dim=-1)


plain = log_probs(AutoModelForCausalLM.from_pretrained(base, torch_dtype=torch.float32))
with_adapters = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, torch_dtype=torch.float32), adapters)
n = sum(p.numel() for name, p in with_adapters.named_parameters() if "lora_" in name)
beside = log_probs(with_adapters)
ours = log_probs(AutoModelForCausalLM.from_pretrained(merged, torch_dtype=torch.float32))
difference, moved = (beside - ours).abs().max().item(), (beside - plain).abs().max().item()
print(f"{n} weights in adapters; they move a log-probability by up to {moved:.4f}; PEFT and the merged model differ by {difference:.2e}")
sys.exit(difference > 2e-3 or moved < 1e-3)
