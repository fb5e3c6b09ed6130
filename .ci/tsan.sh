#!/usr/bin/env bash
# The cancel storm, blocked threads, calls that wait for several limits, shares on every core, histories of calls that
# are made at once, wakers that do what they like, and a short soak, under ThreadSanitizer, with a standard library built
# the same way. TIDEGATE_STORM_ACQUIRES, TIDEGATE_HISTORIES, and TIDEGATE_SOAK_SECONDS and
# TIDEGATE_SOAK_REAL_SECONDS (in virtual and in real time) say how long the long ones are.
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
# Ten thousand calls in a chain, and the search for an order of calls for several limits, take it too long: they run
# natively.
timeout "${TSAN_SECONDS:-840}" \
    cargo +nightly test -Zbuild-std --target "$(host)" --test cancel_storm --test threads --test several --test per_core \
    --test linearizability --test wakers --test soak \
    -- --skip every_history_with_groups --skip chains::
