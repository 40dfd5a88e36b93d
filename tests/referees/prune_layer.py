#!/usr/bin/env python3
"""Referee of pruning and GPTQ on a real model: the authors' procedures in PyTorch, on the model's own layers and activations.

    python tests/referees/prune_layer.py ASSIZE HUB_FOLDER TEXT WORK_FOLDER

`assize compress` does the first two layers of the model by each method: what comes behind them changes nothing before it. Here
transformers runs the same layers on the same calibration rows, those before the one looked at as `assize` left them (each layer is
judged behind the ones already changed); what goes into each matrix is caught by hooks, and `prune_torch.py`'s procedures say which
weights go. Asked of each matrix of both layers: the same weights kept in 99.9 % of the places, and the same error
‖WX − ŴX‖² ÷ ‖WX‖² to 1 %. GPTQ is compared on the first layer, by the steps of its grid and the error, but for the rows of queries
and keys, which the file holds in another order. It has no mask, and one step that is rounded the other way (the factors are of f32
there and of f64 here) moves the columns behind it: of its steps 99 % must be the same.
"""
import base64
import json
import pathlib
import shutil
import subprocess
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import prune_torch

ROWS, LENGTH, LAYERS = 16, 128, 2
PARTS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
PARTS += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
METHODS = {
    "magnitude 0.5": (["--prune", "magnitude", "--sparsity", "0.5"], lambda w, x: prune_torch.magnitude(w, 0.5)),
    "wanda 0.5": (["--prune", "wanda", "--sparsity", "0.5"], lambda w, x: prune_torch.wanda(w, x, share=0.5)),
    "wanda 2:4": (["--prune", "wanda", "--pattern", "2:4"], lambda w, x: prune_torch.wanda(w, x, pattern=(2, 4))),
    "sparsegpt 0.5": (["--prune", "sparsegpt", "--sparsity", "0.5"], lambda w, x: prune_torch.sparsegpt(w, x, share=0.5)),
    "sparsegpt 2:4": (["--prune", "sparsegpt", "--pattern", "2:4"], lambda w, x: prune_torch.sparsegpt(w, x, pattern=(2, 4))),
}
GGUF = {"v_proj": "attn_v", "o_proj": "attn_output", "gate_proj": "ffn_gate", "up_proj": "ffn_up", "down_proj": "ffn_down"}


def compressed(assize, hub, text, out, words):
    """What `assize` made of the model, and the error that its record has for each matrix."""
    words = [assize, "compress", hub, *words, "--calibration", text, "--calibration-rows", str(ROWS)]
    subprocess.run([*words, "--calibration-length", str(LENGTH), "--out", out], check=True, stdout=subprocess.DEVNULL)
    return {
        one["name"]: float(one["error"])
        for statement in statements(out)
        for one in statement["predicate"].get("parameters", {}).get("matrices", [])
        if "error" in one
    }


def beginning(hub, out):
    """The first layers of the model as a model of its own."""
    hub = pathlib.Path(hub)
    out.mkdir()
    config = json.loads((hub / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "num_hidden_layers": LAYERS}))
    for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]:
        shutil.copy(hub / name, out / name)

    def is_kept(name):
        return not name.startswith("model.layers.") or int(name.split(".")[2]) < LAYERS

    tensors = {name: tensor for name, tensor in load_file(str(hub / "model.safetensors")).items() if is_kept(name)}
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})
    return str(out)


def statements(dossier):
    """What the envelopes of a dossier say."""
    for path in sorted(pathlib.Path(dossier, "envelopes").glob("*.json")):
        yield json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))


def inputs(model, rows, layer):
    """What goes into each matrix of a layer, rows and positions together."""
    found, hooks = {}, []
    for part in PARTS:
        module = model.get_submodule(f"model.layers.{layer}.{part}")
        keep = lambda _, args, part=part: found.setdefault(part, []).append(args[0].reshape(-1, args[0].shape[-1]))
        hooks.append(module.register_forward_pre_hook(keep))
    with torch.no_grad():
        for row in rows:
            model(row.unsqueeze(0))
    for hook in hooks:
        hook.remove()
    return {part: torch.cat(parts) for part, parts in found.items()}


def error(w, changed, x):
    whole = (x.double() @ w.double().t()).pow(2).sum()
    return float((x.double() @ (changed.double() - w.double()).t()).pow(2).sum() / whole)


def report(name, layer, agreement, deviation, least=0.999):
    print(f"{name:14} layer {layer:2}: alike in at least {100 * agreement:.4f} %, errors within {100 * deviation:.3f} %", flush=True)
    return agreement >= least and deviation <= 0.01


def pruned(model, dense, rows, name, method, ours, errors):
    is_fine = True
    for layer in range(LAYERS):
        weights = dict(dense)
        weights.update({key: ours[key] for key in dense if any(key.startswith(f"model.layers.{at}.") for at in range(layer))})
        model.load_state_dict(weights, strict=False)
        seen = inputs(model, rows, layer)
        agreement, deviation = 1.0, 0.0
        for part in PARTS:
            key = f"model.layers.{layer}.{part}.weight"
            w, x = dense[key], seen[part]
            mask, changed = method(w, x)
            changed = w.masked_fill(mask, 0) if changed is None else changed
            agreement = min(agreement, float((mask == (ours[key] == 0)).float().mean()))
            theirs = error(w, changed, x)
            deviation = max(deviation, abs(errors[key] - theirs) / theirs)
        is_fine &= report(name, layer, agreement, deviation)
    return is_fine


def quantized(model, dense, rows, path, errors):
    from gguf import GGUFReader
    from gguf.quants import dequantize

    def steps_of(data):
        """Of blocks of Q4_1: scale and offset in half precision, then 32 steps, the lower halves of 16 bytes first."""
        nibbles = torch.from_numpy(data.copy()).reshape(-1, 20)[:, 4:]
        return torch.cat([nibbles & 15, nibbles >> 4], 1)

    read = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    model.load_state_dict(dense, strict=False)
    seen = inputs(model, rows, 0)
    agreement, deviation = 1.0, 0.0
    for part, name in ((part, GGUF[part.split(".")[1]]) for part in PARTS[2:]):
        key = f"model.layers.0.{part}.weight"
        w, x = dense[key], seen[part]
        steps, changed = prune_torch.gptq(w, x, 32)
        tensor = read[f"blk.0.{name}.weight"]
        ours = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type)).reshape(w.shape)
        agreement = min(agreement, float((steps_of(tensor.data).reshape(w.shape) == steps).float().mean()))
        theirs = error(w, changed, x)
        deviation = max(deviation, abs(errors[key] - theirs) / theirs, abs(error(w, ours, x) - theirs) / theirs)
    return report("gptq 4 bit", 0, agreement, deviation, 0.99)


def main():
    assize, hub, text, work = sys.argv[1:5]
    hub = beginning(hub, pathlib.Path(work, "beginning"))
    model = AutoModelForCausalLM.from_pretrained(hub, dtype=torch.float32, attn_implementation="eager").eval()
    dense = {key: value.clone() for key, value in load_file(str(pathlib.Path(hub, "model.safetensors"))).items()}
    tokens = AutoTokenizer.from_pretrained(hub)(pathlib.Path(text).read_text(), add_special_tokens=False)["input_ids"]
    stride = len(tokens) // ROWS
    rows = [torch.tensor(tokens[at * stride :][:LENGTH]) for at in range(ROWS)]
    is_fine = True
    for name, (words, method) in METHODS.items():
        out = str(pathlib.Path(work, name.replace(" ", "-").replace(":", "-")))
        errors = compressed(assize, hub, text, out, words)
        ours = load_file(str(pathlib.Path(out, "weights", "model.safetensors")))
        is_fine &= pruned(model, dense, rows, name, method, ours, errors)
    out = str(pathlib.Path(work, "gptq"))
    errors = compressed(assize, hub, text, out, ["--quantize", "gptq"])
    is_fine &= quantized(model, dense, rows, pathlib.Path(out, "weights", "model.gguf"), errors)
    sys.exit(0 if is_fine else "the two do not agree")


main()
