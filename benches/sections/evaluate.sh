#!/bin/bash
# Prints the section on evaluation of docs/benchmarks.md: `benches/sections/evaluate.sh [MODEL.gguf DATA]`, on a quiet machine. Builds nothing.
#
# Needs the built program (ASSIZE) and the example `inference` of assize-model (INFERENCE), a virtual environment with lm_eval 0.4.13, torch
# and transformers (EVAL_VENV), and one with xllamacpp and gguf (LLAMA_VENV). The batch of lm-evaluation-harness is looked
# for among BATCHES, some two minutes a task, unless BATCH names it; of WikiText it is 1. PARTS says which tasks are run; the
# rows of others are taken from WORK of an earlier call.
set -euo pipefail
cd "$(dirname "$0")/../.."
gguf=${1:-$ASSIZE_MODELS/SmolLM2-135M-Instruct.Q4_1.gguf} data=${2:-$ASSIZE_DATA}
target=${CARGO_TARGET_DIR:-target}/release
assize=${ASSIZE:-$target/assize} inference=${INFERENCE:-$target/examples/inference}
work=${WORK:-$(mktemp -d)}
parts=${PARTS:-hellaswag arc_easy mmlu wikitext decode}
export MALLOC_MMAP_THRESHOLD_=2147483647 MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_ARENA_MAX=1
batch=(--batches "${BATCHES:-1,4,8,16,32}")
[ -z "${BATCH:-}" ] || batch=(--batch "$BATCH")
mkdir -p "$work"
[ -d "$work/hub" ] || "$assize" model "$gguf" --write "$work/hub" > "$work/written"
for part in $parts; do
    if [ "$part" = decode ]; then
        for kind in Q8_0 Q4_0; do
            [ -f "$work/$kind.gguf" ] || "$LLAMA_VENV/bin/python" benches/requantise.py "$gguf" "$work/$kind.gguf" $kind
            for round in 1 2; do
                "$inference" "$work/$kind.gguf" > "$work/ours.$kind.$round"
                "$LLAMA_VENV/bin/python" benches/decode_llama.py "$work/$kind.gguf" > "$work/llama.$kind.$round" 2> "$work/llama.log"
            done
        done
    else
        env -u MALLOC_MMAP_THRESHOLD_ -u MALLOC_TRIM_THRESHOLD_ -u MALLOC_ARENA_MAX "$EVAL_VENV/bin/python" tests/referees/task_scores.py "$assize" "$work/hub" \
            "$data" --tasks "$part" --items "${ITEMS:-300}" --pages "${PAGES:-16}" "${batch[@]}" --out "$work/$part.json" \
            > "$work/$part.log" 2> "$work/$part.err" || echo "$part: the answers differ, see $work/$part.log" >&2
    fi
done

row() {
    "$EVAL_VENV/bin/python" - "$work/$1.json" "$2" <<'PYTHON'
import json, sys
r = json.loads(open(sys.argv[1], encoding="utf-8").read().splitlines()[0])
print(f"| {r['task']} | {r['items']} / {r['requests']} | {r['harnessSeconds']} (batch {r['batch']}) | {r['assizeSeconds']} | **{r['ratio']}** | {sys.argv[2]} | "
      f"{r['harnessMB']} / {r['assizeMB']} | {r['absoluteMax']:.1e} / {r['relativeMax']:.1e} | {r['otherChoices']} |")
PYTHON
}
# Seconds of the harness at each batch that was tried, the better of two runs.
tried() {
    "$EVAL_VENV/bin/python" - "$work/$1.json" <<'PYTHON'
import json, sys
r = json.loads(open(sys.argv[1], encoding="utf-8").read().splitlines()[0])
times = [f"{batch}: {min(seconds):.1f} s" if seconds else f"{batch}: no memory" for batch, seconds in r.get("searched", {}).items()]
print(f"- {r['task']}: " + (", ".join(times) if times else f"batch {r['batch']}, not looked for"))
PYTHON
}
# How far sharing alone can bring a task whose choices are one token each.
mmlu() {
    "$EVAL_VENV/bin/python" - "$work/mmlu.json" <<'PYTHON'
import json, sys
r = json.loads(open(sys.argv[1], encoding="utf-8").read().splitlines()[0])
of_harness = round(r["positionsWithoutSharing"] * r["items"] / r["requests"])
fewer = of_harness / r["positionsRead"]
print(f"Of MMLU the harness reads a prompt once for its four letters, {of_harness:,} positions; with the five examples of a subject read once as well,\n"
      f"{r['positionsRead']:,} are left, {fewer:.1f} times fewer. The goal of 15 would take products {15 / fewer:.1f} times as fast as PyTorch's beside that.")
PYTHON
}
best() { sed -n "s/^$3 *\([0-9.]*\).*/\1/p" "$work/$1.$2".[12] | sort -n | tail -n 1; }
over() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }
cat <<PAGE
## Evaluation, against lm-evaluation-harness

SmolLM2-135M-Instruct, the weights of the Q4_1 file in f32, the same items on both sides: lm-evaluation-harness 0.4.13 with transformers and PyTorch
on the processor, its time that of \`evaluate\` alone; ours the whole process, loading included. Memory in MB, the most that was resident.
Differences are of the log-likelihood of a request. The harness's batch is its fastest on 32 items of the task, looked for beforehand and shown below;
WikiText's is 1, since a page is thousands of tokens, fills the cores alone, and in a batch would be padded to the longest. Printed by \`benches/sections/evaluate.sh\`; compared by \`tests/referees/task_scores.py\`.

| task | items / requests | harness, s | assize, s | ratio | goal | MB, both | largest difference, nats / share | other choices |
|---|---|---|---|---|---|---|---|---|
$(row hellaswag '3')
$(row arc_easy '3')
$(row mmlu '15')
$(row wikitext '1.3')

Seconds of the harness by batch, 32 items, without loading:

$(tried hellaswag)
$(tried arc_easy)
$(tried mmlu)

$(mmlu)

Products run at $(sed -n 's/^share of peak *//p' "$work/ours.Q8_0.1") of what the two cores can multiply and add in f32, measured with sums that stay in registers.

Tokens a second, one at a time, behind a prompt, best of two runs by turns ($(sed -n 1p "$work/llama.Q8_0.1")):

| file | llama.cpp | assize | ratio | goal |
|---|---|---|---|---|
| Q8_0 | $(best llama Q8_0 decode) | $(best ours Q8_0 decode) | $(over "$(best ours Q8_0 decode)" "$(best llama Q8_0 decode)") | 0.8 |
| Q4_0 | $(best llama Q4_0 decode) | $(best ours Q4_0 decode) | $(over "$(best ours Q4_0 decode)" "$(best llama Q4_0 decode)") | 0.8 |
PAGE
