#!/usr/bin/env bash
# Seeds faults one at a time, each of which a named model or test has to catch: some of every kind, or those named in
# FAULTS, or with FAULTS=all every one (a quarter of an hour; see JOB_SECONDS in `run`).
source "$(dirname "$0")/lib.sh"

some="grant-not-published word-stored-plainly queued-cleared-early alarm-not-moved-up grant-lost-on-drop
    waker-not-replaced head-leaves-in-silence slack-not-noted gathered-without-fence nothing-set-aside"
read -r -d '' -a names <<<"${FAULTS:-$some}" || true
if [ "${names[*]}" = all ]; then
    names=()
fi
bash scripts/faults.sh "${names[@]}"
