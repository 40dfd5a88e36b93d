# Training, against PyTorch.
set -euo pipefail
"$BENCH_PYTHON" -c 'import torch, safetensors' 2>/dev/null \
    || "$BENCH_PYTHON" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy safetensors >&2
cargo build --release --quiet --examples
over() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }
median() { sed -n "s/^$2 *\([0-9.]*\).*/\1/p" "$BENCH_WORK/$1".[123] | sort -n | sed -n 2p; }
cat <<PAGE
## Training, against PyTorch

Forward, backward, AdamW with clipping, f32; the same first weights and batches; PyTorch with its fused attention. Median of 3 rounds
by turns, the first step left out. Share of peak: FLOP of the matrix products counted exactly (forward, and twice that back; attention
in full, though what the causal mask hides is passed over in part), over what products of numbers in the first cache reach on both cores in the
same process.

| shape | engine | tokens a second | ratio | share of peak | peak memory | ratio | last loss |
|---|---|---|---|---|---|---|---|
PAGE
# NAME SETTINGS…
shape() {
    local name=$1; shift
    "$BENCH_TARGET/examples/throughput" "$@" export="$BENCH_WORK/problem" > /dev/null
    for round in 1 2 3; do
        "$BENCH_TARGET/examples/throughput" "$@" > "$BENCH_WORK/ours.$round"
        env -u MALLOC_MMAP_THRESHOLD_ -u MALLOC_TRIM_THRESHOLD_ -u MALLOC_ARENA_MAX \
            "$BENCH_PYTHON" benches/train_torch.py "$BENCH_WORK/problem" > "$BENCH_WORK/torch.$round"
    done
    local ours theirs ours_mib theirs_mib
    ours=$(median ours "tokens per second") theirs=$(median torch "tokens per second")
    ours_mib=$(($(median ours "peak memory") / 1048576)) theirs_mib=$(($(median torch "peak memory") / 1048576))
    echo "| $name | Assize | $ours | $(over "$ours" "$theirs") | $(median ours "share of peak") % | $ours_mib MiB | $(over "$ours_mib" "$theirs_mib") |" \
        "$(sed -n 's/^last loss *//p' "$BENCH_WORK/ours.1") |"
    echo "| | PyTorch $(sed -n 's/^torch *//p' "$BENCH_WORK/torch.1") | $theirs | 1 | | $theirs_mib MiB | 1 |" \
        "$(sed -n 's/^last loss *//p' "$BENCH_WORK/torch.1") |"
}
shape "4 layers, width 256, vocabulary 2048, 128 positions, batch 16" \
    layers=4 width=256 heads=8 kv_heads=4 hidden=688 vocab=2048 context=128 batch=16 steps=12
shape "6 layers, width 384, vocabulary 512, 256 positions, batch 8" \
    layers=6 width=384 heads=6 kv_heads=6 hidden=1024 vocab=512 context=256 batch=8 steps=12
