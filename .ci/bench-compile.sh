#!/usr/bin/env bash
# Compiles the benchmarks, and the package that compares with rivals, whose tests it runs.
source "$(dirname "$0")/lib.sh"

cargo bench --no-run
cargo test --manifest-path benches/peers/Cargo.toml --target-dir "$base/peers"
