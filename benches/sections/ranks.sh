# One training spread over processes, against the same in one. Needs Open MPI of the distribution.
set -euo pipefail
program=${BENCH_MPI:-}
if [ -z "$program" ]; then
    cargo build --release --quiet -p assize --features mpi
    program=$BENCH_WORK/assize-mpi
    cp "$BENCH_TARGET/assize" "$program"
    # The other sections measure the program as it is shipped.
    cargo build --release --quiet
fi
case=$BENCH_WORK/ranks
mkdir -p "$case"
cp -r examples/speech-writer/data "$case/data"
cat > "$case/assize.toml" <<'CASE'
[system]
name = "ranks"
role = "provider"
[policy]
packs = []
[[data]]
name = "declarations"
path = "data/udhr"
licence = "public-domain"
source = "Natural Language Toolkit corpora, udhr2.zip"
split = "section"
[model]
architecture = "llama"
layers = 4
width = 256
heads = 8
kv_heads = 4
hidden = 688
context = 128
vocabulary = 512
[train]
tokens = 61_440
batch = 16
parts = 2
seed = 7
held_out = 0.1
optimizer = { name = "adamw", learning_rate = 1e-3 }
clip_norm = 1.0
snapshot_every = 1000
CASE
# NAME THREADS PROCESSES: its training's tokens and seconds, from the record.
round() {
    local out=$BENCH_WORK/ranks-$1
    rm -rf "$out"
    local start=(env "RAYON_NUM_THREADS=$2" "CANDLE_NUM_THREADS=$2")
    [ "$3" = 1 ] || start+=(mpirun --allow-run-as-root --oversubscribe --bind-to none -n "$3")
    timeout --kill-after=5 100 "${start[@]}" "$program" train "$case" --out "$out" > "$BENCH_WORK/ranks.out" 2> "$BENCH_WORK/ranks.err" \
        || { cat "$BENCH_WORK/ranks.err" >&2; exit 1; }
    sha256sum < "$out/weights/model.safetensors" | cut -c 1-16 >> "$BENCH_WORK/ranks.weights"
    python3 - "$out/evidence.json" >> "$BENCH_WORK/ranks-$1.rates" <<'READ'
import json, sys
measured = {row["metric"]: float(row["value"]) for row in json.load(open(sys.argv[1]))["measurements"]}
print(f"{measured['train.tokens'] / measured['train.time']:.0f} {measured['train.memory_peak'] / 1048576:.0f}")
READ
}
rounds=3
rm -f "$BENCH_WORK"/ranks-*.rates "$BENCH_WORK/ranks.weights"
for _ in $(seq $rounds); do
    round two-threads 2 1
    round one-thread 1 1
    round two-processes 1 2
done
median() { cut -d ' ' -f "$2" "$BENCH_WORK/ranks-$1.rates" | sort -n | sed -n "$(((rounds + 1) / 2))p"; }
weights=$(sort -u "$BENCH_WORK/ranks.weights" | wc -l)
base=$(median one-thread 1)
over() { awk "BEGIN { printf \"%.2f\", $1 / $base }"; }
cat <<PAGE
## Training over processes

\`assize train\` of one case, 4 layers of width 256, 128 positions, batch 16 in 2 parts, 30 steps, f32, AdamW; the same work under the
same supervision, gradients in f32 without compression. Tokens a second of the training's own clock, from the record; memory is the peak
of all processes together. Median of $rounds rounds by turns. $(mpirun --version | head -n 1).

| processes | threads each | tokens a second | against one thread | peak memory |
|---|---|---|---|---|
PAGE
for row in "one-thread 1 1" "two-threads 1 2" "two-processes 2 1"; do
    set -- $row
    echo "| $2 | $3 | $(median "$1" 1) | $(over "$(median "$1" 1)") | $(median "$1" 2) MiB |"
done
echo
echo "Different weights among the $((3 * rounds)) runs: $((weights - 1)) (sha256 of the files)."
