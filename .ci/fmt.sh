#!/usr/bin/env bash
# The formatting is that of rustfmt.toml, in every package.
source "$(dirname "$0")/lib.sh"

cargo fmt --all --check
cargo fmt --manifest-path benches/peers/Cargo.toml --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
