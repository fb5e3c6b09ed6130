#!/usr/bin/env bash
# Makes small changes to a copy of the sources, one at a time, with cargo-mutants, and prints the changes that no test
# notices: `scripts/mutants.sh` for all files named below (some hours), `scripts/mutants.sh FILE ...` for some.
#
# Each mutant has to make a test fail: a unit test, or a test of tests/ without the slow ones (see
# .config/nextest.toml). A mutant that no test notices must have a line in `mutants.explained`:
#     FILE: MUTANT -- why it behaves the same, or which check outside these tests catches it
# MUTANT is as cargo-mutants prints it, without line and column. Of several with the same text, `MUTANT (2 of 3)` is the
# second. Any other mutant fails the run, with exit status 10. cargo-mutants does not change memory orderings: see
# `faults.sh`.
#
# MUTANTS_REPORT names a file for the results of each source file, with date and commit. Its lines about other files
# stay.
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

# The copies are new each time, but their dependencies stay built. They need a target folder of their own, because cargo
# does not tell the copy of this package from the package.
base=$(realpath -m "$base")/mutants
mkdir -p "$base"
export CARGO_TARGET_DIR=$base/target
# Only one file changes from one build to the next.
export CARGO_INCREMENTAL=1
export CARGO_PROFILE_DEV_DEBUG=0
# Few cases are enough: a mutant that only a few cases notice is noticed by other tests, too.
export PROPTEST_CASES=${PROPTEST_CASES:-48}
# A mutant that loops for ever may take all memory.
ulimit -v 6000000
# Tests that build fast go first.
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
    # Status 2: no test noticed a mutant. Status 3: a mutant ran too long. The table at the end judges both.
    status=0
    cargo mutants --jobs 1 --no-shuffle --timeout "${MUTANT_SECONDS:-60}" --output "$base" "${options[@]}" \
        "${examined[@]}" "${targets[@]}" -- --profile=mutants || status=$?
    case $status in
        0 | 2 | 3) cp -r "$base/mutants.out" "$base/round-$round" ;;
        *) exit "$status" ;;
    esac
    [ -s "$base/mutants.out/missed.txt" ] || break
    # The next round takes only mutants that no test caught, by a failure or by a timeout.
    cat "$base/mutants.out/timeout.txt" >>"$base/mutants.out/caught.txt"
    options=(--iterate)
done

perl scripts/verify/mutants.pl "$base" "$explained" "$(date -u +%F)" "$(revision)" "${MUTANTS_REPORT:-}"
