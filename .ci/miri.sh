#!/usr/bin/env bash
# The unit tests of the queue under Miri, the only part with raw pointers, in several interleavings; and
# threads that block on it, groups that wait in several queues, and shares on every core. MIRI_SEEDS says how many
# interleavings of each; the slow ones have fewer unless it is set.
source "$(dirname "$0")/lib.sh"

need_nightly miri rust-src
export CARGO_TARGET_DIR="$base/miri"
export MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-many-seeds=0..${MIRI_SEEDS:-4} ${MIRIFLAGS:-}"
echo "MIRIFLAGS=$MIRIFLAGS"
cargo +nightly miri test --lib queue::
MIRIFLAGS="$MIRIFLAGS -Zmiri-disable-isolation" cargo +nightly miri test --test threads -- --skip real_time
MIRIFLAGS="$MIRIFLAGS -Zmiri-disable-isolation -Zmiri-many-seeds=0..${MIRI_SEEDS:-1}" cargo +nightly miri test --test several -- \
    who_leaves a_grant_that a_quota_that all_or_nothing
MIRIFLAGS="$MIRIFLAGS -Zmiri-disable-isolation -Zmiri-many-seeds=0..${MIRI_SEEDS:-2}" cargo +nightly miri test --lib per_core:: -- \
    --skip schedules
MIRIFLAGS="$MIRIFLAGS -Zmiri-disable-isolation -Zmiri-many-seeds=0..${MIRI_SEEDS:-1}" cargo +nightly miri test --test per_core -- \
    --skip the_books_balance --skip hungry
