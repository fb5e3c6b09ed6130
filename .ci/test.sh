#!/usr/bin/env bash
# Runs the test command of the README: unit, integration and documentation tests. Compiles the examples.
source "$(dirname "$0")/lib.sh"

# The tests of fleets start servers of their own.
if ! need_redis; then
    echo "no redis-server here, and none can be fetched: the tests that need it are skipped"
    export TIDEGATE_SKIP_REDIS=1
fi
cargo test --all-features
