#!/usr/bin/env bash
# Runs every example.
source "$(dirname "$0")/lib.sh"

cargo build --release --all-features --examples
for example in examples/*.rs examples/*/main.rs; do
    name=${example#examples/}
    name=${name%/main.rs}
    name=${name%.rs}
    echo "== $name"
    timeout 120 cargo run --quiet --release --all-features --example "$name"
done
echo "== throttle_api --adaptive"
timeout 120 cargo run --quiet --release --all-features --example throttle_api -- --adaptive
# Examples and tests with packages that need a newer Rust than the crate.
echo "== tonic"
export CARGO_TARGET_DIR=$base/interop
timeout 300 cargo run --quiet --manifest-path interop/tonic/Cargo.toml
timeout 300 cargo test --quiet --manifest-path interop/tonic/Cargo.toml
