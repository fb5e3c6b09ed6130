#!/usr/bin/env bash
# The soak: `soak.sh FILE`. Its lines:
#     TEST SECONDS virtual|real ROUNDS ADMITTED CANCELLED CHANGES REQUESTS heap|process FIRST LAST
#         how many calls were admitted, waiters left the queue, changes of quota there were, and requests over loopback;
#         and the memory of the heap or the process, in bytes, after warming up and in the end
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
