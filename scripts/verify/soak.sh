#!/usr/bin/env bash
# Runs the soak: `soak.sh FILE`. Writes these lines:
#     TEST SECONDS virtual|real ROUNDS ADMITTED CANCELLED CHANGES REQUESTS heap|process FIRST LAST
#         ADMITTED calls, CANCELLED waiters, CHANGES of quota, REQUESTS over loopback, and the memory of the heap or the
#         process, in bytes, after warming up (FIRST) and at the end (LAST)
#     passed TESTS SECONDS
source "$(dirname "$0")/../../.ci/lib.sh"

export TIDEGATE_SOAK_SECONDS=${TIDEGATE_SOAK_SECONDS:-3600}
export TIDEGATE_SOAK_REAL_SECONDS=${TIDEGATE_SOAK_REAL_SECONDS:-600}
log=$base/verify/soak.log
bash .ci/soak.sh >"$log" 2>&1 || { tail -n 50 "$log"; exit 1; }
awk '
    $1 == "soak:" && ($4 == "virtual" || $4 == "real") { sub(/^soak: /, ""); print }
    /^test result: ok/ { print "passed", $4, substr($NF, 1, length($NF) - 1) }
' "$log" | tee "$1"
grep -q ' virtual ' "$1" && grep -q ' real ' "$1" && grep -q '^passed' "$1"
