#!/usr/bin/env bash
# Runs a job of .ci/ and counts the passed tests: `traced.sh JOB FILE`. Writes a line for each command of the job:
# seeds, tests passed in all of them, and the command. A command without a passed test fails the run.
source "$(dirname "$0")/../../.ci/lib.sh"

log=$base/verify/$1.log
mkdir -p "$(dirname "$log")"
bash -x ".ci/$1.sh" >"$log" 2>&1 || { tail -n 50 "$log"; exit 1; }
awk '
    function flush() { if (command) print seeds, passed + 0, command; command = ""; passed = 0 }
    BEGIN { seeds = 1 }
    # The flags stand before their command. If there are several, the last counts.
    /^\++ (export )?.?MIRIFLAGS=/ {
        flush()
        seeds = 1
        if (sub(/.*many-seeds=0\.\./, "")) { sub(/[^0-9].*/, ""); seeds = $0 }
        next
    }
    /^\++ .*cargo \+nightly (miri )?test/ { flush(); command = $0; sub(/.*cargo/, "cargo", command); next }
    # Several seeds run at a time and write in pieces: a line may have several of these.
    { while (match($0, /[0-9]+ passed; 0 failed/)) { passed += substr($0, RSTART); $0 = substr($0, RSTART + RLENGTH) } }
    END { flush() }
' "$log" | tee "$2"
grep -q . "$2"
! grep -E '^[0-9]+ 0 ' "$2" || { echo "nothing passed"; exit 1; }
