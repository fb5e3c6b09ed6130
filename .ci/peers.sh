#!/usr/bin/env bash
# Tests the package that compares with rivals. (The job `clippy` compiles all benchmarks.)
source "$(dirname "$0")/lib.sh"

# Some tests start servers of their own.
if ! need_redis; then
    echo "no redis-server here, and none can be fetched: the tests that need it are skipped"
    export TIDEGATE_SKIP_REDIS=1
fi
cargo test --manifest-path benches/peers/Cargo.toml --target-dir "$base/peers"
