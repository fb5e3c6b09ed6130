#!/usr/bin/env bash
# The library compiles with the Rust version that Cargo.toml promises.
source "$(dirname "$0")/lib.sh"

msrv=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
echo "rust-version = $msrv"
default=$(rustc --version | sed -E 's/^rustc ([0-9]+\.[0-9]+).*/\1/')
if [ "$default" = "$msrv" ]; then
    echo "the default toolchain is $msrv"
    cargo check --all-features --target-dir "$base/msrv"
elif cargo "+$msrv" --version >/dev/null 2>&1 || rustup toolchain install "$msrv" --profile minimal; then
    cargo "+$msrv" check --all-features --target-dir "$base/msrv"
else
    skip "Rust $msrv is not here and cannot be fetched; the default is $default"
fi
