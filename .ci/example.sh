#!/usr/bin/env bash
# Runs every example.
source "$(dirname "$0")/lib.sh"

# Without it, the example `fleet` says so and ends.
need_redis || true
# All but `reqwest`, which no example uses.
features=client,io-body,keyed,metrics,redis,serde,sink,tower
cargo build --release --features "$features" --examples
for example in examples/*.rs examples/*/main.rs; do
    name=${example#examples/}
    name=${name%/main.rs}
    name=${name%.rs}
    echo "== $name"
    timeout 120 cargo run --quiet --release --features "$features" --example "$name"
done
# Examples and tests with packages that need a newer Rust than the crate.
echo "== tonic"
export CARGO_TARGET_DIR=$base/interop
timeout 300 cargo run --quiet --manifest-path interop/tonic/Cargo.toml
timeout 300 cargo test --quiet --manifest-path interop/tonic/Cargo.toml
