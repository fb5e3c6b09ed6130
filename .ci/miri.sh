#!/usr/bin/env bash
# The unit tests of the queue under Miri, the only part with raw pointers, in several interleavings; and
# threads that block on it.
source "$(dirname "$0")/lib.sh"

need_nightly miri rust-src
export CARGO_TARGET_DIR="$base/miri"
export MIRIFLAGS="-Zmiri-strict-provenance -Zmiri-many-seeds=0..${MIRI_SEEDS:-4} ${MIRIFLAGS:-}"
echo "MIRIFLAGS=$MIRIFLAGS"
cargo +nightly miri test --lib queue::
MIRIFLAGS="$MIRIFLAGS -Zmiri-disable-isolation" cargo +nightly miri test --test threads -- --skip real_time
