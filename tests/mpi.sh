#!/bin/sh
# Training over several processes, with Open MPI of the distribution (Debian: libopenmpi-dev openmpi-bin libclang-dev clang). Installs
# nothing; where MPI is not there it says so and passes. Builds into a folder of its own: the bindings turn on a feature of a crate that
# the tensor engine is built with, so that in the common folder both would be compiled anew by turns.
set -eu
cd "$(dirname "$0")/.."
for program in mpirun mpicc clang; do
    if ! command -v "$program" > /dev/null; then
        echo "no $program: the checks of training over several processes are passed over"
        exit 0
    fi
done
target=${CARGO_TARGET_DIR:-target}/mpi
cargo test --release -p assize --features mpi --target-dir "$target" --test it ranks:: -- --test-threads=1
