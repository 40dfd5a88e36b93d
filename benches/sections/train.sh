# Training, against PyTorch.
set -euo pipefail
"$BENCH_PYTHON" -c 'import torch, safetensors' 2>/dev/null \
    || "$BENCH_PYTHON" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy safetensors >&2
cargo build --release --quiet -p assize-train --examples
over() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }
settings="layers=4 width=256 heads=8 kv_heads=4 hidden=688 vocab=2048 context=128 batch=16 steps=12"
# shellcheck disable=SC2086
for round in 1 2 3; do
    "$BENCH_TARGET/examples/throughput" $settings export="$BENCH_WORK/problem" > "$BENCH_WORK/ours.$round"
    env -u MALLOC_MMAP_THRESHOLD_ -u MALLOC_TRIM_THRESHOLD_ \
        "$BENCH_PYTHON" benches/train_torch.py "$BENCH_WORK/problem" > "$BENCH_WORK/torch.$round"
done
median() { sed -n "s/^$2 *\([0-9.]*\).*/\1/p" "$BENCH_WORK/$1".[123] | sort -n | sed -n 2p; }
ours=$(median ours "tokens per second") theirs=$(median torch "tokens per second")
ours_mib=$(($(median ours "peak memory") / 1048576)) theirs_mib=$(($(median torch "peak memory") / 1048576))
cat <<PAGE
## Training, against PyTorch

The same decoder (4 layers, width 256, vocabulary 2048, 128 positions, batch 16, f32; 3,426,560 parameters), the same first weights and
batches, AdamW with clipping; PyTorch with its fused attention. Median of 3 rounds by turns; losses after 12 steps:
$(sed -n 's/^last loss *//p' "$BENCH_WORK/ours.1") and $(sed -n 's/^last loss *//p' "$BENCH_WORK/torch.1").

| | tokens a second | peak memory |
|---|---|---|
| Assize | $ours | $ours_mib MiB |
| PyTorch $(sed -n 's/^torch *//p' "$BENCH_WORK/torch.1") | $theirs | $theirs_mib MiB |
| ratio | $(over "$ours" "$theirs") | $(over "$ours_mib" "$theirs_mib") |
PAGE
