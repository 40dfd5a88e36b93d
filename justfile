# The verbs. `just` lists them.

# The shipped example, from one file to a dossier that verifies.
example:
    cargo run --release -- run examples/speech-writer

# What the README promises.
test:
    cargo test --release

# Formatting, lints, and the rules no compiler knows.
check:
    cargo fmt --all --check
    cargo clippy --release --workspace --all-targets -- -D warnings
    cargo xtask tidy

# Rewrites what is generated: docs/metrics.md, docs/packs.md.
write:
    cargo xtask tidy --write

# Referees that need Python: CEL in C++, GGUF, PyTorch, the Merkle vectors.
referees:
    sh tests/referees/run.sh

# Measures what docs/benchmarks.md shows, and writes it.
bench:
    benches/run.sh

doc:
    cargo doc --release --workspace --no-deps

deny:
    cargo deny check
