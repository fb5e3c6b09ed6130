#!/usr/bin/env bash
# Runs the loom models one at a time, and prints the executions of each: `scripts/loom.sh` for all models,
# `scripts/loom.sh PREFIX ...` for the models whose names begin with it (`scripts/loom.sh cancel`).
#
# Each model runs to its end with its own bound on preemptions. With LOOM_SECONDS it runs again without any bound, for
# at most so many seconds. A failed model fails the run.
#
# LOOM_TABLE names a file for the numbers, a line for each model: name, bound, executions, seconds; and, without any
# bound, executions, seconds, and `all` or `some`.
source "$(dirname "$0")/../.ci/lib.sh"

export RUSTFLAGS="--cfg tidegate_loom"
export CARGO_TARGET_DIR="$base/loom"
build=$(cargo test --release --lib --no-run 2>&1) || { echo "$build"; exit 1; }
built=$(sed -n 's/.*Executable unittests .*(\(.*\))$/\1/p' <<<"$build")
# A copy, so that another build meanwhile does not change it.
tests=$CARGO_TARGET_DIR/models
cp "$built" "$tests"
log=$CARGO_TARGET_DIR/model.log

# Runs a model and prints its executions, bound, seconds, and whether these were all executions. loom checks its own
# time limit only between executions, so `timeout` bounds an execution that does not end.
run() {
    timeout "${LOOM_LIMIT:-3600}" "$tests" --exact --nocapture "models::$1" >"$log" 2>&1 \
        || { cat "$log" >&2; echo "FAILED: $1" >&2; return 1; }
    sed -nE "s/^(test .*)?model $1: ([0-9]+) executions, bound ([a-z0-9]+), ([0-9.]+) s(, not all)?\$/\2 \3 \4 all\5/p" "$log" \
        | sed 's/all, not all$/some/' | grep . || { echo "it said nothing: $1" >&2; return 1; }
}

# Prints the models to run.
chosen() {
    local model name
    "$tests" --list models:: | sed -n 's/^models::\(.*\): test$/\1/p' | while read -r model; do
        for name in "$@"; do
            [[ $model != "$name"* ]] || { echo "$model"; break; }
        done
    done
}

mapfile -t models < <(chosen "${@:-}")
[ ${#models[@]} -gt 0 ] || { echo "no model is called so: $*" >&2; exit 1; }
count=0
failed=0
[ -z "${LOOM_TABLE:-}" ] || : >"$LOOM_TABLE"
for model in "${models[@]}"; do
    bounded=$(unset LOOM_MAX_DURATION; run "$model") || { failed=1; continue; }
    read -r executions bound seconds _ <<<"$bounded"
    line="$model $bound $executions $seconds"
    if [ -n "${LOOM_SECONDS:-}" ]; then
        unbounded=$(LOOM_MAX_PREEMPTIONS=255 LOOM_MAX_DURATION=$LOOM_SECONDS run "$model") || { failed=1; continue; }
        read -r executions _ seconds outcome <<<"$unbounded"
        line+=" $executions $seconds $outcome"
    fi
    count=$((count + 1))
    echo "$line"
    [ -z "${LOOM_TABLE:-}" ] || echo "$line" >>"$LOOM_TABLE"
done
echo "$count of ${#models[@]} models"
exit "$failed"
