#!/bin/bash
# Prints the section "Training" of docs/benchmarks.md: tokens a second and peak memory of a step beside PyTorch's, by turns.
#
#   benches/sections/train.sh THROUGHPUT PYTHON [ROUNDS]
#
# THROUGHPUT: the built example (`cargo build --release -p assize-train --example throughput`); PYTHON: one with torch and safetensors.
set -euo pipefail
throughput=$(realpath "$1"); python=$2; rounds=${3:-3}
cd "$(dirname "$0")/../.."
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
export MALLOC_MMAP_THRESHOLD_=2147483647 MALLOC_TRIM_THRESHOLD_=2147483647
figure() { awk -v name="$2" 'index($0, name) == 1 { sub(/^[^0-9]*/, ""); print $1 }' "$1"; }
median() { sort -g | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

echo "## Training"
echo
echo "Forward, backward, AdamW, f32; the first step is left out; medians of $rounds rounds by turns, the order changing."
echo "Same first weights, same batches; losses agree to the digits shown. PyTorch: fused attention."
echo
echo "| shape | engine | tokens/s | ratio | peak MB | ratio | last loss |"
echo "|---|---|---|---|---|---|---|"
measure() {
    local name=$1; shift
    "$throughput" "$@" export="$work/$name" > /dev/null
    for round in $(seq "$rounds"); do
        ours() { "$throughput" "$@" > "$work/ours.$round"; }
        theirs() { env -u MALLOC_MMAP_THRESHOLD_ -u MALLOC_TRIM_THRESHOLD_ "$python" benches/train_torch.py "$work/$name" > "$work/theirs.$round"; }
        if [ $((round % 2)) = 1 ]; then ours "$@"; theirs; else theirs; ours "$@"; fi
    done
    local a b ma mb
    a=$(for r in $(seq "$rounds"); do figure "$work/ours.$r" "tokens per second"; done | median)
    b=$(for r in $(seq "$rounds"); do figure "$work/theirs.$r" "tokens per second"; done | median)
    ma=$(for r in $(seq "$rounds"); do figure "$work/ours.$r" "peak memory"; done | median)
    mb=$(for r in $(seq "$rounds"); do figure "$work/theirs.$r" "peak memory"; done | median)
    local version; version=$(awk '/^torch/ { print $2 $3 " threads" }' "$work/theirs.1")
    awk -v n="$name" -v a="$a" -v b="$b" -v ma="$ma" -v mb="$mb" -v v="$version" \
        -v la="$(figure "$work/ours.1" "last loss")" -v lb="$(figure "$work/theirs.1" "last loss")" 'BEGIN {
        printf "| %s | assize | %d | %.2f | %d | %.2f | %s |\n", n, a, a / b, ma / 1e6, ma / mb, la
        printf "| | PyTorch %s | %d | 1 | %d | 1 | %s |\n", v, b, mb / 1e6, lb }'
}
measure "6 × 384, context 256, batch 8" layers=6 width=384 heads=6 kv_heads=6 hidden=1024 vocab=512 context=256 batch=8 steps=8
measure "4 × 128, context 128, batch 16" layers=4 width=128 heads=4 kv_heads=2 hidden=352 vocab=1024 context=128 batch=16 steps=20
