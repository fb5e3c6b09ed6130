#!/usr/bin/env bash
# The cancel storm, blocked threads, and shares on every core, under ThreadSanitizer, with a standard library built
# the same way.
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
timeout "${TSAN_SECONDS:-840}" \
    cargo +nightly test -Zbuild-std --target "$(host)" --test cancel_storm --test threads --test several --test per_core
