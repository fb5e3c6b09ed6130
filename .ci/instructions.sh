#!/usr/bin/env bash
# Checks that the hot calls take no more instructions than benches/instructions/limits allows, in a program without the feature
# `stats` and in one with it. Unlike times, counts have no noise. valgrind counts; the result is the difference between many
# calls and twice as many, divided by the calls.
source "$(dirname "$0")/lib.sh"

if ! valgrind --version >/dev/null 2>&1; then
    { apt-get update -qq && apt-get install -y -qq valgrind >/dev/null; } || skip "no valgrind here, and none can be fetched"
fi
binary=$base/instructions/release/tidegate-instructions
log=$base/instructions/log
count=2000
status=0

# The instructions of a whole run.
instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$@" 2>"$log" || { cat "$log"; return 1; }
    sed -n 's/^.*Collected : \([0-9]*\).*$/\1/p' "$log"
}

# Checks all calls against a column of the limits.
check() {
    local column=$1 call limit once twice each verdict
    printf '%-24s %8s %8s\n' call instructions limit
    while read -r call; do
        limit=$(awk -v call="$call" -v column="$column" '$1 == call { print $column }' benches/instructions/limits)
        once=$(instructions "$call" "$count")
        twice=$(instructions "$call" $((2 * count)))
        each=$(((twice - once) / count))
        verdict=
        if [ "$each" -gt "${limit:-0}" ]; then
            verdict="too many"
            status=1
        fi
        printf '%-24s %8d %8d %s\n' "$call" "$each" "${limit:-0}" "$verdict"
    done < <("$binary")
}

build() {
    cargo build --release --manifest-path benches/instructions/Cargo.toml --target-dir "$base/instructions" "$@"
}

build
check 2
echo "== with the feature stats"
build --features stats
check 3
exit "$status"
