#!/usr/bin/env bash
# Compiles for a browser, and for processors without 64-bit atomics, where portable-atomic stands in. std is built as well: rustup
# has none for some of these targets. Nothing is run.
source "$(dirname "$0")/lib.sh"

need_nightly rust-src
check() {
    local target=$1
    shift
    echo "== $target"
    RUSTFLAGS="${RUSTFLAGS:-} -D warnings" cargo +nightly check --lib --target-dir "$base/targets" \
        -Zbuild-std=std,panic_abort --target "$target" "$@"
}
for target in armv5te-unknown-linux-gnueabi mipsel-unknown-linux-gnu; do
    check "$target" --no-default-features
    check "$target" --all-features
done
# Not `redis`: a browser has no sockets. Not `reqwest`: there its middleware has another trait, whose futures stay on a thread.
check wasm32-unknown-unknown --no-default-features
check wasm32-unknown-unknown --features client,io-body,keyed,metrics,serde,sink,tower,tracing
