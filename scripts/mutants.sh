#!/usr/bin/env bash
# Changes the sources in small ways, one at a time, by cargo-mutants, and shows which changes no test notices:
# `scripts/mutants.sh` for all files named below (some hours), `scripts/mutants.sh FILE ...` for some. The working tree
# is left alone.
#
# Each mutant has to make a test fail: a unit test, or else one of tests/, the slow ones left out (see
# .config/nextest.toml). What no test notices has to be in `mutants.explained`, one line for each:
#     FILE: MUTANT -- why it cannot be told apart, or who else catches it
# as cargo-mutants prints it, without the line and column; of several that read alike, as `MUTANT (2 of 3)`. Any other
# fails the run, which then ends with 10. Memory orderings are none of its changes: for these see `faults.sh`.
#
# MUTANTS_REPORT names a file that keeps what came of each file of the sources, with the date and the commit; what
# it says of other files stays.
source "$(dirname "$0")/../.ci/lib.sh"

need_cargo_tool mutants
need_cargo_tool nextest
explained=scripts/mutants.explained
files=("$@")
if [ $# -eq 0 ]; then
    files=(src/gcra.rs src/word.rs src/frame.rs src/seq_lock.rs src/meter.rs 'src/queue/**/*.rs' 'src/all_of/*.rs'
        src/shares.rs 'src/shares/*.rs' src/per_core.rs 'src/per_core/*.rs')
fi
for file in "${files[@]}"; do
    examined+=(--file "$file")
done

# The copies that the mutants are built in are new ones each time, and what their dependencies were built to is not:
# a folder of its own, for cargo does not tell this package in one place from this package in another.
base=$(realpath -m "$base")/mutants
mkdir -p "$base"
export CARGO_TARGET_DIR=$base/target
# Only one file changes from one build to the next.
export CARGO_INCREMENTAL=1
export CARGO_PROFILE_DEV_DEBUG=0
# A mutant that only few of the cases notice is noticed by other tests, too.
export PROPTEST_CASES=${PROPTEST_CASES:-48}
# One that goes round and round may take all the memory there is.
ulimit -v 6000000
# What is quick to build goes first.
rounds=(
    "--lib"
    "--test=late_alarms --test=timers --test=runtimes --test=several --test=threads --test=per_core
        --test=reservation"
    "--test=conformance --test=promises --test=peers --test=wakers --test=replay --test=panicking_clocks
        --test=virtual_time --test=no_alloc --test=cancel_storm"
)

rm -rf "$base"/mutants.out "$base"/mutants.out.old "$base"/round-*
options=()
for round in "${!rounds[@]}"; do
    targets=()
    for target in ${rounds[round]}; do
        targets+=(--cargo-arg="$target")
    done
    # It fails where nobody has noticed a mutant, or one ran for too long: by 2 and 3, which is for the table to judge.
    status=0
    cargo mutants --jobs 1 --no-shuffle --timeout "${MUTANT_SECONDS:-60}" --output "$base" "${options[@]}" \
        "${examined[@]}" "${targets[@]}" -- --profile=mutants || status=$?
    case $status in
        0 | 2 | 3) cp -r "$base/mutants.out" "$base/round-$round" ;;
        *) exit "$status" ;;
    esac
    [ -s "$base/mutants.out/missed.txt" ] || break
    # Only what has not been caught so far, by a test that fails or by one that does not end.
    cat "$base/mutants.out/timeout.txt" >>"$base/mutants.out/caught.txt"
    options=(--iterate)
done

perl scripts/verify/mutants.pl "$base" "$explained" "$(date -u +%F)" "$(revision)" "${MUTANTS_REPORT:-}"
