#!/bin/bash
# Prints the section on rules of docs/benchmarks.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --quiet -p assize-policy --features rego --example decide_speed --example request_speed
examples=${CARGO_TARGET_DIR:-target}/release/examples
# What the binary sets for itself (docs/decisions/0001-tensor-engine.md).
export MALLOC_MMAP_THRESHOLD_=2147483647 MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_ARENA_MAX=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Every pack that holds cards over evidence.
packs=()
for pack in packs/*/; do [ "$pack" = packs/serving/ ] || packs+=("$pack"); done
rounds=3
load=$(cut -d' ' -f1 /proc/loadavg)
for round in $(seq $rounds); do
    "$examples/decide_speed" "${packs[@]}" > "$work/decide.$round"
    taskset -c 0 "$examples/request_speed" 500 20000 > "$work/request.$round"
done

median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
milliseconds() { awk '{ printf "%.2f", $1 / 1000 }'; }
# decide PART WORD: of the part of the output that begins with PART, the figure behind WORD in microseconds, median over the rounds.
decide() { for file in "$work"/decide.*; do sed -n "/^$1/,\$p" "$file" | sed -n "s/^  decide: .*$2 \([0-9]*\) us.*/\1/p" | sed -n 1p; done | median; }
# request PART LINE WORD: the same of the other program; its figures are microseconds with decimals.
request() { for file in "$work"/request.*; do sed -n "/^$1/,\$p" "$file" | sed -n "s/^$2.*$3 \([0-9.]*\).*/\1/p" | sed -n 1p; done | median; }
cards=$(sed -n 's/^as shipped: \([0-9]*\) cards/\1/p' "$work/decide.1")
given=$(sed -n 's/^taking in \([0-9]*\) .*/\1/p' "$work/decide.1")
regorus=$(sed -n '/^name = "regorus"/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)

cat <<PAGE
## Rules

Medians of $rounds rounds, both programs by turns. A case is decided on one thread; a request is decided on one core, each
request timed once. Load average of the machine when the rounds began: $load; on a busy one the tail shows what else ran.

| what | fastest | median | goal |
|---|---|---|---|
| deciding every shipped rule ($cards), 1,000 decisions a round | $(decide "as shipped" fastest | milliseconds) ms | $(decide "as shipped" median | milliseconds) ms | under 1 ms |
| deciding 1,000 rules on $given measurements and declarations, 200 decisions a round | $(decide "a thousand" fastest | milliseconds) ms | $(decide "a thousand" median | milliseconds) ms | under 5 ms |

500 cards per request, all in force at one point, compiled into a plan; 20,000 requests a round. The same cards exported as Rego and
asked of the interpreter of regorus $regorus in the same run, on the same requests and with the same answers. Each request is decided once,
when it has just been made, as by a server that has read it. Decided long after, when its words have left the caches: p50 $(request "cards as" "plan, each long" p50) µs,
p99 $(request "cards as" "plan, each long" p99) µs for the first row.

| cards | plan, p50 | plan, p99 | interpreter of cards, p50 | regorus, p50 | regorus ÷ plan | goal |
|---|---|---|---|---|---|---|
| bound to a scenario, tenant, model or audience, as packs are | $(request "cards as" "plan, each as" p50) µs | $(request "cards as" "plan, each as" p99) µs | $(request "cards as" "interpreter:" p50) µs | $(request "cards as" "regorus on" p50) µs | $(request "cards as" "regorus \/ plan" "") | p99 under 5 µs |
| of random conditions, most of which look at every request | $(request "cards of" "plan, each as" p50) µs | $(request "cards of" "plan, each as" p99) µs | $(request "cards of" "interpreter:" p50) µs | $(request "cards of" "regorus on" p50) µs | $(request "cards of" "regorus \/ plan" "") | |
PAGE
