#!/usr/bin/env bash
# The soak: `soak.sh FILE`. Seconds of virtual time, seconds of real time, tests that passed, and how long they took.
source "$(dirname "$0")/../../.ci/lib.sh"

export TIDEGATE_SOAK_SECONDS=${TIDEGATE_SOAK_SECONDS:-3600}
export TIDEGATE_SOAK_REAL_SECONDS=${TIDEGATE_SOAK_REAL_SECONDS:-600}
log=$base/verify/soak.log
bash .ci/soak.sh >"$log" 2>&1 || { tail -n 50 "$log"; exit 1; }
awk -v asked="$TIDEGATE_SOAK_SECONDS $TIDEGATE_SOAK_REAL_SECONDS" '
    /^test result: ok/ { print asked, $4, substr($NF, 1, length($NF) - 1) }
' "$log" | tee "$1"
grep -q . "$1"
