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
