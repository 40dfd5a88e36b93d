#!/bin/sh
# Training over several processes, with Open MPI of the distribution (Debian: libopenmpi-dev openmpi-bin libclang-dev clang). Installs
# nothing; where MPI is not there it says so and passes. Builds beside the rest: only what knows of MPI is compiled for it.
set -eu
cd "$(dirname "$0")/.."
for program in mpirun mpicc clang; do
    if ! command -v "$program" > /dev/null; then
        echo "no $program: the checks of training over several processes are passed over"
        exit 0
    fi
done
cargo test --release -p assize --features mpi --test it ranks:: -- --test-threads=1
