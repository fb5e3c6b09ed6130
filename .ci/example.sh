#!/usr/bin/env bash
# The main job, in short form, and every demo.
source "$(dirname "$0")/lib.sh"

cargo build --release --examples
for example in examples/*.rs examples/*/main.rs; do
    name=${example#examples/}
    name=${name%/main.rs}
    name=${name%.rs}
    echo "== $name"
    case $name in
        throttle_api) timeout 120 cargo run --quiet --release --example "$name" -- --seconds "${EXAMPLE_SECONDS:-20}" ;;
        *) timeout 120 cargo run --quiet --release --example "$name" ;;
    esac
done
