# One case from its file to a dossier that verifies, and what supervision costs.
set -euo pipefail
cargo build --release --quiet
cargo build --release --quiet --examples
since() { awk "BEGIN { printf \"%.2f\", $(date +%s.%N) - $1 }"; }
begun=$(date +%s.%N)
"$BENCH_TARGET/assize" run examples/speech-writer --out "$BENCH_WORK/dossier" > "$BENCH_WORK/run.txt"
run_s=$(since "$begun")
verify_s=$(for _ in 1 2 3 4 5; do
    begun=$(date +%s.%N); "$BENCH_TARGET/assize" verify "$BENCH_WORK/dossier" > /dev/null; since "$begun"; echo
done | sort -n | sed -n 3p)
supervised=$("$BENCH_TARGET/examples/supervised" 27 | tail -n 1 | sed 's/.*: //')
decide=$("$BENCH_TARGET/examples/decide_speed" packs/eu-ai-act packs/cn-genai packs/us-states packs/kr examples/speech-writer/house)
cards=$(sed -n 's/^as shipped: \([0-9]*\) cards/\1/p' <<< "$decide")
decide_us=$(sed -n 's/^  decide: .*median \([0-9]*\) us.*/\1/p' <<< "$decide" | sed -n 1p)
cat <<PAGE
## One case

| what | figure | goal |
|---|---|---|
| \`assize run examples/speech-writer\`, all of it | $run_s s | at most 240 s |
| supervised against unsupervised training of the same case, median of 27 rounds by turns | $supervised × the time | at most 1.01 |
| deciding all cards ($cards, the shipped packs of law and the example's house pack), median of 1,000 | $decide_us µs | under 1000 µs |
| \`assize verify\` of that dossier, median of 5 | $verify_s s | under 2 s |
PAGE
