#!/usr/bin/env bash
# Runs tests under Miri: the list (the only raw pointers), the rest of the queue, blocked threads, and shares on every
# core. MIRI_SEEDS is the number of interleavings of each; 1 by default.
source "$(dirname "$0")/lib.sh"

need_nightly miri rust-src
export CARGO_TARGET_DIR="$base/miri"
export MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-many-seeds=0..${MIRI_SEEDS:-1} ${MIRIFLAGS:-}"
echo "MIRIFLAGS=$MIRIFLAGS"
# The list has the only raw pointers, and the driver shares the list between threads.
cargo +nightly miri test --lib -- queue::list queue::wake_batch queue::work queue::alarm queue::driver queue::ledger::tests::proportion
# Histories of thousands of steps take too long under Miri. They run natively; here each rule runs alone.
cargo +nightly miri test --lib -- queue::core --skip random
MIRIFLAGS="$MIRIFLAGS -Zmiri-disable-isolation" cargo +nightly miri test --test threads -- --skip real_time
MIRIFLAGS="$MIRIFLAGS -Zmiri-disable-isolation" cargo +nightly miri test --lib per_core:: -- --skip schedules
