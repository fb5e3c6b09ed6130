#!/usr/bin/env bash
# Runs all tests and keeps their counts: `tests.sh FILE`. Writes these lines:
#     suite NAME TESTS                       the tests that passed in `unit`, `doc`, or a file of tests/
#     property SUITE TEST CASES              a test of random cases, and the number of cases
#     timelines SUBJECT PROFILE TIMELINES STEPS REJECTED
#     histories TEST HISTORIES CALLS OVERLAPPING
source "$(dirname "$0")/../../.ci/lib.sh"

log=$base/verify/tests.log
# One test at a time, so that its output stands behind its name.
PROPTEST_VERBOSE=2 cargo test --all-features -- --nocapture --test-threads=1 2>&1 | awk '
    # A case is long: keep only that there was one.
    /proptest: Next test input/ { sub(/proptest: Next test input.*/, ""); print $0 "@case"; next }
    /^(test |test result|running|error|failures)|Running (unittests|tests)|Doc-tests|timelines|histories|panicked/
' >"$log" || { tail -n 50 "$log"; exit 1; }
awk '
    function flush() { if (cases) print "property", suite, test, cases; cases = 0 }
    / Running unittests src\/lib.rs/ { flush(); suite = "unit" }
    / Running unittests examples/ { flush(); suite = "examples" }
    / Running tests\// { flush(); suite = $2; gsub(/^tests\/|\.rs$/, "", suite) }
    / Doc-tests / { flush(); suite = "doc" }
    match($0, /^test [^ ]+ \.\.\. /) { flush(); test = $2 }
    /@case$/ { cases++ }
    /^test result: ok/ { flush(); passed[suite] += $4 }
    / timelines, [0-9]+ steps, / {
        match($0, /(limiter|model): [a-z_0-9-]+: [0-9]+ timelines.*/)
        split(substr($0, RSTART), word, /[:, ]+/)
        print "timelines", word[1], word[2], word[3], word[5], word[7]
    }
    /[0-9]+ histories, / { match($0, /[0-9]+ histories/); split(substr($0, RSTART), word, " "); print "histories", test, word[1], word[3], word[5] }
    END { for (suite in passed) print "suite", suite, passed[suite] }
' "$log" | sort >"$1"
grep -q '^suite' "$1"
