#!/bin/bash
# Measures what docs/benchmarks.md shows and writes that page: `benches/run.sh [SECTION…]`, all sections when none is named; the
# others stay as the page has them. Needs a quiet machine and, for the comparisons, Python 3 with its package index. Sections on a
# real model need ASSIZE_MODELS, a folder with SmolLM2-135M-Instruct.Q4_1.gguf, and ASSIZE_DATA, and are passed over without.
# A section is a script that prints its part in Markdown, from `## ` on. Each comparison is made in one run, by turns.
set -euo pipefail
cd "$(dirname "$0")/.."
page=docs/benchmarks.md
all=(case train ranks policy evaluate compress)
chosen=("$@")
if [ $# = 0 ]; then
    chosen=(case train)
    command -v mpirun > /dev/null && chosen+=(ranks)
    chosen+=(policy)
    [ -n "${ASSIZE_MODELS:-}" ] && [ -n "${ASSIZE_DATA:-}" ] && chosen+=(evaluate compress)
fi
export BENCH_WORK BENCH_PYTHON BENCH_TARGET ASSIZE_KEY
BENCH_WORK=$(mktemp -d)
trap 'rm -rf "$BENCH_WORK"' EXIT
venv=${ASSIZE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/assize/venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
BENCH_PYTHON=$venv/bin/python
BENCH_TARGET=${CARGO_TARGET_DIR:-target}/release
ASSIZE_KEY=$BENCH_WORK/assize.key
# What the binary sets for itself (docs/decisions/0001-tensor-engine.md).
export MALLOC_MMAP_THRESHOLD_=2147483647 MALLOC_TRIM_THRESHOLD_=2147483647 MALLOC_ARENA_MAX=1

machine="$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, $(awk '/MemTotal/ {print int($2 / 1048576)}' /proc/meminfo) GiB, no accelerator"
for name in "${chosen[@]}"; do
    [ -f "benches/sections/$name.sh" ] || { echo "no section \`$name\`; there are: ${all[*]}" >&2; exit 2; }
    {
        bash "benches/sections/$name.sh"
        echo
        echo "*Measured on $machine.*"
    } > "$BENCH_WORK/$name.section"
done
{
    cat <<'PAGE'
# Benchmarks

Written by `benches/run.sh`. Times on another machine differ; the ratios are what is claimed, each made in one run on the same work.
PAGE
    for name in "${all[@]}"; do
        echo
        echo "<!-- section: $name -->"
        if [ -f "$BENCH_WORK/$name.section" ]; then
            cat "$BENCH_WORK/$name.section"
        else
            awk -v mark="<!-- section: $name -->" '$0 == mark { on = 1; next } /^<!-- section: / { on = 0 } on' "$page" | sed '$ { /^$/d }'
        fi
    done
} > "$BENCH_WORK/page"
cp "$BENCH_WORK/page" "$page"
cat "$page"
