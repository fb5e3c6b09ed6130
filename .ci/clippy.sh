#!/usr/bin/env bash
# Fails on any warning of the compiler or clippy: library, tests, benches, examples, and the loom build.
source "$(dirname "$0")/lib.sh"

cargo clippy --lib --no-default-features -- -D warnings
cargo clippy --all-targets --all-features -- -D warnings
RUSTFLAGS="--cfg tidegate_loom" CARGO_TARGET_DIR="$base/loom" cargo clippy --lib --tests -- -D warnings
cargo clippy --manifest-path benches/peers/Cargo.toml --target-dir "$base/peers" --all-targets -- -D warnings
