#!/usr/bin/env bash
# The unit tests of the queue under Miri: the list, which has the only raw pointers, all that is around it, threads that block
# on it, and shares on every core. MIRI_SEEDS says in how many interleavings of each; one unless it is set.
source "$(dirname "$0")/lib.sh"

need_nightly miri rust-src
export CARGO_TARGET_DIR="$base/miri"
export MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-many-seeds=0..${MIRI_SEEDS:-1} ${MIRIFLAGS:-}"
echo "MIRIFLAGS=$MIRIFLAGS"
# The list is the only part with raw pointers, and the driver what shares it between threads.
cargo +nightly miri test --lib -- queue::list queue::wake_batch queue::work queue::alarm queue::driver queue::ledger::tests::proportion
# Histories of thousands of steps take Miri too long: they run natively, and the rules one by one here.
cargo +nightly miri test --lib -- queue::core --skip random
MIRIFLAGS="$MIRIFLAGS -Zmiri-disable-isolation" cargo +nightly miri test --test threads -- --skip real_time
MIRIFLAGS="$MIRIFLAGS -Zmiri-disable-isolation" cargo +nightly miri test --lib per_core:: -- --skip schedules
