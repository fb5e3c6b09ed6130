#!/usr/bin/env bash
# Tests the package that compares with rivals. (The job `clippy` compiles all benchmarks.)
source "$(dirname "$0")/lib.sh"

cargo test --manifest-path benches/peers/Cargo.toml --target-dir "$base/peers"
