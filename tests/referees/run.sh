#!/bin/sh
# The independent programs that check ours. Needs Python 3 and its package index; everything goes into one virtual environment.
set -eu
cd "$(dirname "$0")/../.."
venv=${ASSIZE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/assize/venv}
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check cel-expr-python==0.1.3 regopy==1.5.2 gguf==0.17.1 numpy safetensors cryptography \
    jsonschema==4.26.0 compliance-trestle==5.2.0 junitparser==5.0.3
target=${CARGO_TARGET_DIR:-target}/release
cargo build --release --quiet
cargo build --release --quiet --examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ASSIZE_KEY="$work/key"

echo "CEL, the official C++ engine, on generated expressions:"
"$target/examples/cel_cases" 20000 > "$work/cel"
"$venv/bin/python" tests/referees/cel.py < "$work/cel"

echo "The rules as Rego, on rego-cpp and the regorus interpreter:"
cargo run --release --quiet -p assize-policy --features rego --example rego_cases -- 120 > "$work/rego"
"$venv/bin/python" tests/referees/rego.py crates/policy/src/rego/lib.rego < "$work/rego"

echo "The schema of cards, by the jsonschema package, on every card and on damaged ones:"
"$target/assize" policy schema > "$work/schema.json"
"$venv/bin/python" tests/referees/card_schema.py "$work/schema.json" packs examples

echo "The dossier, read by a program that shares no code with ours:"
"$target/assize" run examples/first-case --out "$work/dossier" > /dev/null
"$venv/bin/python" tests/referees/dossier.py "$work/dossier"

echo "The quantised weights, read by the gguf package:"
"$venv/bin/python" tests/referees/gguf_read.py "$work/dossier/weights/model-q8_0.gguf" "$work/dossier/weights/pruned.safetensors"

echo "Results and packs in the formats of others, held against their schemas and readers:"
"$target/assize" check examples/first-case --sarif "$work/r.sarif" --sarif-all --policyreport "$work/r.yaml" --junit "$work/r.xml" \
    --oscal "$work/ar.json" > /dev/null || [ $? -eq 1 ]
"$target/assize" policy export --oscal "$work/rules.json" > /dev/null
"$venv/bin/python" tests/referees/exports.py "$work"

if [ -z "${ASSIZE_DATA:-}" ]; then
    echo "ASSIZE_DATA does not name the folder of data sets: the referees of evaluation are left out"
    exit 0
fi
# Without what it needs for running models: only its prompts are wanted.
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps lm_eval==0.4.13 evaluate pytablewriter peft
"$venv/bin/pip" install --quiet --disable-pip-version-check datasets jinja2 pyyaml sacrebleu rouge-score scikit-learn \
    more_itertools word2number zstandard dill tqdm jsonlines sqlitedict
echo "The requests of tasks, built by lm-evaluation-harness itself:"
"$venv/bin/python" tests/referees/task_requests.py "$target/examples/task_requests" "$ASSIZE_DATA"

echo "Cross-validated heads, fitted by scikit-learn on the same folds:"
"$venv/bin/python" tests/referees/folds.py "$target/assize" "$ASSIZE_DATA"

if [ -z "${ASSIZE_MODELS:-}" ]; then
    echo "ASSIZE_MODELS does not name a folder with SmolLM2-135M-Instruct.Q4_1.gguf: the referees that take a model or PyTorch are left out"
    exit 0
fi
echo "The scores of tasks, by lm-evaluation-harness on the same weights:"
"$venv/bin/pip" install --quiet --disable-pip-version-check lm_eval==0.4.13 torch transformers datasets
"$target/assize" model "$ASSIZE_MODELS/SmolLM2-135M-Instruct.Q4_1.gguf" --write "$work/hub" > /dev/null
"$venv/bin/python" tests/referees/task_scores.py "$target/assize" "$work/hub" "$ASSIZE_DATA"

echo "A head that tells classes, read by transformers from the files as they are saved:"
"$target/assize" run examples/classifier --out "$work/classes" > /dev/null
"$venv/bin/python" tests/referees/classes.py "$target/examples/tell" "$work/classes/weights" 64 examples/classifier/sections.csv words

echo "Pruning and GPTQ by the authors' procedures in PyTorch, on layers of the same model with their own activations:"
head -c 400000 "$ASSIZE_DATA/wikitext-2-raw/wiki.test.raw" > "$work/text.txt"
mkdir "$work/layers" "$work/formats"
"$venv/bin/python" tests/referees/prune_layer.py "$target/assize" "$work/hub" "$work/text.txt" "$work/layers"

echo "The formats of GGUF that are written, read by llama.cpp:"
"$venv/bin/pip" install --quiet --disable-pip-version-check xllamacpp==2026.10.11549
"$venv/bin/python" tests/referees/llama_formats.py "$target/assize" "$work/hub" "$work/text.txt" "$work/formats"
