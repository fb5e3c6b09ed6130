#!/usr/bin/env bash
# Runs the soak: an hour of virtual time for each test, ten minutes of real time over loopback, and ten in process. It
# runs only when named: `bash .ci/run soak`.
source "$(dirname "$0")/lib.sh"

export TIDEGATE_SOAK_SECONDS=${TIDEGATE_SOAK_SECONDS:-3600}
export TIDEGATE_SOAK_REAL_SECONDS=${TIDEGATE_SOAK_REAL_SECONDS:-600}
cargo test --all-features --test soak -- --show-output
