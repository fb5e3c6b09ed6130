#!/usr/bin/env bash
# Seeds faults one at a time; a named model or test has to catch each. By default some of every kind, else the faults
# named in FAULTS, or all with FAULTS=all (a quarter of an hour; see JOB_SECONDS in `run`).
source "$(dirname "$0")/lib.sh"

some="admitted-one-tick-late alarm-of-the-past-silent claim-kept-by-both draw-not-published nothing-set-aside
    taken-one-by-one thread-not-unparked"
read -r -d '' -a names <<<"${FAULTS:-$some}" || true
if [ "${names[*]}" = all ]; then
    names=()
fi
bash scripts/faults.sh "${names[@]}"
