#!/usr/bin/env python3
"""Referee of the formats that `assize compress --quantize` writes: llama.cpp reads each file, on the same passages.

    python tests/referees/llama_formats.py ASSIZE MODEL TEXT WORK_FOLDER [format…]

Writes the model in each format with `assize`, which also computes the perplexity of 8 passages of 128 tokens of the text from the file
as read back; `llama_cpp.py` computes it by llama.cpp. The two must lie within 2 %: llama.cpp rounds activations to eight bits before
each product of quantised rows, `assize` computes in f32. Needs the package xllamacpp.
"""
import base64
import json
import pathlib
import subprocess
import sys

TOLERANCE = 0.02


def main():
    assize, model, text, work = sys.argv[1:5]
    is_fine = True
    for name in sys.argv[5:] or ["q8_0", "q4_1", "q4_k", "q6_k", "gptq"]:
        out = pathlib.Path(work, name)
        words = [assize, "compress", model, "--quantize", name, "--evaluate", text, "--passage", "128", "--passages", "8"]
        if name == "gptq":
            words += ["--calibration", text, "--calibration-rows", "16", "--calibration-length", "128"]
        subprocess.run([*words, "--out", str(out)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ours = perplexity(out)
        program = pathlib.Path(__file__).parent / "llama_cpp.py"
        file = out / "weights" / "model.gguf"
        said = subprocess.run([sys.executable, program, file, text, "128", "8"], check=True, capture_output=True, text=True).stdout
        theirs = float(said.rsplit("perplexity", 1)[1])
        apart = abs(theirs - ours) / ours
        is_fine &= apart <= TOLERANCE
        print(f"{name:6} {file.stat().st_size:>11,} bytes: {ours:.3f} here, {theirs:.3f} in llama.cpp, {100 * apart:.2f} % apart", flush=True)
    sys.exit(0 if is_fine else "a format is read otherwise than it was written")


def perplexity(dossier):
    """The perplexity behind the step, as its record has it."""
    for path in sorted((dossier / "envelopes").glob("*.json")):
        predicate = json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))["predicate"]
        if "perplexity" in predicate.get("after", {}):
            return float(predicate["after"]["perplexity"])
    sys.exit(f"{dossier} has no perplexity")


main()
