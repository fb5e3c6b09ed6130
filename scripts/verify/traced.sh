#!/usr/bin/env bash
# Runs a job of .ci/ and counts what passed: `traced.sh JOB FILE`. A line a command of it: how many seeds, how many
# tests passed in all of them, and the command.
source "$(dirname "$0")/../../.ci/lib.sh"

log=$base/verify/$1.log
bash -x ".ci/$1.sh" >"$log" 2>&1 || { tail -n 50 "$log"; exit 1; }
awk '
    function flush() { if (command) print seeds, passed, command; passed = 0 }
    BEGIN { seeds = 1 }
    /^\++ (export )?.?MIRIFLAGS=/ { seeds = $0; sub(/.*many-seeds=0\.\./, "", seeds); sub(/[^0-9].*/, "", seeds) }
    /^\++ .*cargo \+nightly (miri )?test/ { flush(); command = $0; sub(/.*cargo/, "cargo", command) }
    /test result: ok/ { sub(/.*test result/, "test result"); passed += $4 }
    END { flush() }
' "$log" | tee "$2"
grep -q . "$2"
