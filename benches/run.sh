#!/bin/bash
# Measures what docs/benchmarks.md shows and prints that page: `benches/run.sh > docs/benchmarks.md`. Needs a quiet machine and, for
# the comparison with PyTorch, Python 3 with its package index. Each comparison is made in one run, by turns.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${ASSIZE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/assize/venv}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import torch, safetensors' 2>/dev/null \
    || "$venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy safetensors >&2
cargo build --release --quiet
cargo build --release --quiet -p assize-train --examples
cargo build --release --quiet -p assize-policy --examples
target=${CARGO_TARGET_DIR:-target}/release
export ASSIZE_KEY=$work/assize.key
# What the binary sets for itself (docs/decisions/0001-tensor-engine.md).
export MALLOC_MMAP_THRESHOLD_=2147483647 MALLOC_TRIM_THRESHOLD_=2147483647

since() { awk "BEGIN { printf \"%.2f\", $(date +%s.%N) - $1 }"; }
over() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }
begun=$(date +%s.%N)
"$target/assize" run examples/speech-writer --out "$work/dossier" > "$work/run.txt"
run_s=$(since "$begun")
verify_s=$(for _ in 1 2 3 4 5; do
    begun=$(date +%s.%N); "$target/assize" verify "$work/dossier" > /dev/null; since "$begun"; echo
done | sort -n | sed -n 3p)
supervised=$("$target/examples/supervised" 7 | tail -n 1 | sed 's/.*: //')
decide=$("$target/examples/decide_speed" packs/eu-ai-act packs/cn-genai packs/us-states packs/kr examples/speech-writer/house)
cards=$(sed -n 's/^cards //p' <<< "$decide")
decide_us=$(sed -n 's/^decide: median \([0-9]*\) us.*/\1/p' <<< "$decide")
settings="layers=4 width=256 heads=8 kv_heads=4 hidden=688 vocab=2048 context=128 batch=16 steps=12"
# shellcheck disable=SC2086
for round in 1 2 3; do
    "$target/examples/throughput" $settings export="$work/problem" > "$work/ours.$round"
    env -u MALLOC_MMAP_THRESHOLD_ -u MALLOC_TRIM_THRESHOLD_ "$venv/bin/python" benches/train_torch.py "$work/problem" > "$work/torch.$round"
done
median() { sed -n "s/^$2 *\([0-9.]*\).*/\1/p" "$work/$1".[123] | sort -n | sed -n 2p; }
ours=$(median ours "tokens per second") theirs=$(median torch "tokens per second")
ours_mib=$(($(median ours "peak memory") / 1048576)) theirs_mib=$(($(median torch "peak memory") / 1048576))
torch=$(sed -n 's/^torch *//p' "$work/torch.1")

cat <<PAGE
# Benchmarks

Printed by \`benches/run.sh\`. Machine: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, $(awk '/MemTotal/ {print int($2 / 1048576)}' /proc/meminfo) GiB, no accelerator.
Times on another machine differ; the ratios are what is claimed.

| what | figure | goal |
|---|---|---|
| \`assize run examples/speech-writer\`, all of it | $run_s s | at most 240 s |
| supervised against unsupervised training of the same case, median of 7 rounds by turns | $supervised × the time | at most 1.01 |
| deciding all cards ($cards, the shipped packs of law and the example's house pack), median of 1,000 | $decide_us µs | under 1000 µs |
| \`assize verify\` of that dossier, median of 5 | $verify_s s | under 2 s |

## Training, against PyTorch

The same decoder (4 layers, width 256, vocabulary 2048, 128 positions, batch 16, f32; 3,426,560 parameters), the same first weights and
batches, AdamW with clipping; PyTorch with its fused attention. Median of 3 rounds by turns; losses after 12 steps:
$(sed -n 's/^last loss *//p' "$work/ours.1") and $(sed -n 's/^last loss *//p' "$work/torch.1").

| | tokens a second | peak memory |
|---|---|---|
| Assize | $ours | $ours_mib MiB |
| PyTorch $torch | $theirs | $theirs_mib MiB |
| ratio | $(over "$ours" "$theirs") | $(over "$ours_mib" "$theirs_mib") |
PAGE
