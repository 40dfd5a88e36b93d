#!/bin/bash
# Prints the section on compression of docs/benchmarks.md. Needs ASSIZE (the binary), ASSIZE_MODELS (a folder with
# SmolLM2-135M-Instruct.Q4_1.gguf), ASSIZE_DATA (with wikitext-2-raw) and python3. Measures what is not yet in ASSIZE_WORK, one dossier a
# setting, so that it can be run in pieces: `benches/sections/compress.sh NAME…` does these settings alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
assize=${ASSIZE:-${CARGO_TARGET_DIR:-target}/release/assize}
work=${ASSIZE_WORK:-$(mktemp -d)}
passages=${PASSAGES:-24} length=${LENGTH:-512} rows=${ROWS:-32} row=${ROW:-256}
export ASSIZE_KEY=$work/assize.key
mkdir -p "$work"
text=$ASSIZE_DATA/wikitext-2-raw/wiki.test.raw
# The first half of the text calibrates, the second is scored: no passage is in both.
if [ ! -d "$work/dense" ]; then
    "$assize" model "$ASSIZE_MODELS/SmolLM2-135M-Instruct.Q4_1.gguf" --write "$work/dense" > /dev/null
    python3 - "$text" "$work" <<'PY'
import sys
lines = open(sys.argv[1], encoding="utf-8").read().splitlines(keepends=True)
half = len(lines) // 2
open(sys.argv[2] + "/calibration.txt", "w", encoding="utf-8").writelines(lines[:half])
open(sys.argv[2] + "/text.txt", "w", encoding="utf-8").writelines(lines[half:])
PY
fi
settings=(
    "magnitude|--prune magnitude --sparsity 0.5"
    "wanda|--prune wanda --sparsity 0.5"
    "sparsegpt|--prune sparsegpt --sparsity 0.5"
    "sparsegpt-2:4|--prune sparsegpt --pattern 2:4"
    "channels|--prune channels --sparsity 0.25"
    "q8_0|--quantize q8_0"
    "q4_0|--quantize q4_0"
    "q4_1|--quantize q4_1"
    "gptq|--quantize gptq"
)
for setting in "${settings[@]}"; do
    name=${setting%%|*}
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    [ -d "$work/$name" ] && continue
    # shellcheck disable=SC2086
    python3 - "$work/$name.time" "$assize" compress "$work/dense" ${setting#*|} --calibration "$work/calibration.txt" \
        --calibration-rows "$rows" --calibration-length "$row" --evaluate "$work/text.txt" --passage "$length" --passages "$passages" \
        ${TASKS:+--tasks "$TASKS" --data "$ASSIZE_DATA" --limit "${LIMIT:-100}"} --out "$work/$name" --json <<'PY' >&2
import resource, subprocess, sys, time
begun = time.monotonic()
code = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL).returncode
if code != 0:
    sys.exit(code)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
open(sys.argv[1], "w").write(f"{time.monotonic() - begun:.0f} {peak:.0f}\n")
PY
done
python3 - "$work" "$passages" "$length" "$rows" "$row" "${LIMIT:-100}" "${settings[@]}" <<'PY'
import base64, glob, json, os, sys
work, (passages, length, n_rows, n_row, limit), settings = sys.argv[1], map(int, sys.argv[2:7]), sys.argv[7:]
rows, dense = [], None
SPEEDS = ["compress.speed_ratio", "compress.decoding_speed_ratio"]
def right(side):
    return " / ".join(f"{float(share):.3f}" for share in side.get("taskAccuracies", {}).values())
for setting in settings:
    name = setting.split("|")[0]
    if not os.path.isdir(f"{work}/{name}"):
        continue
    for path in glob.glob(f"{work}/{name}/envelopes/*.json"):
        statement = json.loads(base64.b64decode(json.load(open(path))["payload"]))
        if statement["predicateType"] == "urn:assize:compression:v0.1":
            found = statement["predicate"]
    seconds, peak = open(f"{work}/{name}.time").read().split()
    measured = {one["metric"]: one for one in found["measurements"]}
    change = measured["compress.perplexity_ratio"]
    dense = dense or found["before"]
    error = measured.get("compress.reconstruction_error", {}).get("value", "")
    after = found["after"]
    rows.append((
        setting.split("|")[1].replace("--", ""),
        f"{float(after['perplexity']):.2f}",
        f"{float(change['value']):.3f} ({float(change['lower']):.3f} to {float(change['upper']):.3f})",
        f"{float(error):.4f}" if error else "",
        right(after),
        f"{int(after['bytes']) / 1e6:.0f}",
        " / ".join(f"{float(measured[name]['value']):.2f}" for name in SPEEDS if name in measured),
        seconds, peak))
tasks = ", then ".join((dense or {}).get("taskAccuracies", {})) or "none"
print(f"""## Pruning and quantisation of SmolLM2-135M-Instruct

The model's own Q4_1 file, opened and written as an f32 folder, is the dense model: the original weights in f32 are not in the file.
WikiText-2 raw, test split: the first half of its lines calibrates ({n_rows} rows of {n_row} tokens), the second is scored, {passages} passages of {length} tokens,
{passages * (length - 1)} predicted. Perplexity is over these, its ratio paired by passage with the bootstrap interval of 95 %. Error: share of the matrices'
output energy that changed on the calibration rows. Tasks: right answers by the sum of log-probabilities, the first {limit} of each: {tasks}.
Speed: tokens a second as a share of the dense model's, of whole passages and one by one, by turns in one process, median of 3. Seconds and
memory are of the whole command, which evaluates both models as well. `benches/sections/compress.sh`.

| setting | perplexity | times dense | error | tasks | MB | speed | s | MiB |
|---|---|---|---|---|---|---|---|---|""")
if dense:
    print(f"| dense, f32 | {float(dense['perplexity']):.2f} | 1 | 0 | {right(dense)} | {int(dense['bytes']) / 1e6:.0f} | 1 / 1 | | |")
for row in rows:
    print("| " + " | ".join(row) + " |")
print("""
Zeros are multiplied like any number here, so unstructured pruning and 2:4 make nothing faster or smaller; `channels` leaves a smaller
dense model, which is both. Quantised weights are made numbers on the way: whole passages, bound by multiplying, gain nothing, and tokens
one by one, bound by reading weights, do.""")
PY
