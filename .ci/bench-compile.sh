#!/usr/bin/env bash
# Compiles the benchmarks, and the package that compares with peers.
source "$(dirname "$0")/lib.sh"

cargo bench --no-run
cargo bench --manifest-path benches/peers/Cargo.toml --target-dir "$base/peers" --no-run
cargo check --manifest-path benches/http/Cargo.toml --target-dir "$base/http"
