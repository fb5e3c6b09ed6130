#!/usr/bin/env bash
# Checks the formatting of every package against rustfmt.toml.
source "$(dirname "$0")/lib.sh"

cargo fmt --all --check
cargo fmt --manifest-path benches/peers/Cargo.toml --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
cargo fmt --manifest-path interop/tonic/Cargo.toml --check
