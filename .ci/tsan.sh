#!/usr/bin/env bash
# Runs the tests of threads under ThreadSanitizer, with a standard library that is built for it: the cancel storm,
# blocked threads, calls for several limits, shares on every core, concurrent histories, wakers, counters, and a short soak. The
# lengths are in TIDEGATE_STORM_ACQUIRES, TIDEGATE_HISTORIES, TIDEGATE_SOAK_SECONDS (virtual time) and
# TIDEGATE_SOAK_REAL_SECONDS.
source "$(dirname "$0")/lib.sh"

need_nightly rust-src
if [ ! -e tests/cancel_storm.rs ]; then
    skip "there is no tests/cancel_storm.rs"
fi
export CARGO_TARGET_DIR="$base/tsan"
export RUSTFLAGS="-Zsanitizer=thread"
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
# ThreadSanitizer is some ten times slower.
export TIDEGATE_STORM_ACQUIRES=${TIDEGATE_STORM_ACQUIRES:-30000}
export TIDEGATE_HISTORIES=${TIDEGATE_HISTORIES:-100}
export TIDEGATE_SOAK_SECONDS=${TIDEGATE_SOAK_SECONDS:-20}
export TIDEGATE_SOAK_REAL_SECONDS=${TIDEGATE_SOAK_REAL_SECONDS:-5}
# ThreadSanitizer keeps memory for each thread that has ended.
export TIDEGATE_SOAK_MEMORY=off
# Ten thousand calls in a chain, and histories of calls that wait for several limits, take too long here. They run
# natively.
timeout "${TSAN_SECONDS:-840}" \
    cargo +nightly test -Zbuild-std --target "$(host)" --test cancel_storm --test threads --test several --test per_core \
    --test linearizability --test wakers --test soak --features stats --test stats \
    -- --skip every_history_with_groups --skip chains::
