#!/usr/bin/env bash
# Runs each fuzz target for FUZZ_SECONDS from its seeds alone: `fuzz.sh FILE`. Writes a line for each target: name,
# seconds, and libFuzzer's final counts: executions, executions a second, edges, and features.
source "$(dirname "$0")/../../.ci/lib.sh"

need_nightly
need_cargo_tool fuzz
found=$(fuzz_targets)
mapfile -t targets <<<"$found"
log=$base/fuzz/fuzz.log
corpus=$base/fuzz/corpus

for target in "${targets[@]}"; do
    echo "== $target"
    build_fuzz_target "$target"
    rm -rf "$corpus"
    mkdir -p "$corpus"
    cargo +nightly fuzz run --sanitizer "$sanitizer" "$target" "$corpus" "fuzz/seeds/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-30}" -max_len=2048 -print_final_stats=1 >"$log" 2>&1 || { cat "$log"; exit 1; }
    awk -v target="$target" -v seconds="${FUZZ_SECONDS:-30}" '
        function after(name,   i) { for (i = 1; i < NF; i++) if ($i == name) return $(i + 1); return "?" }
        /\tDONE/ { edges = after("cov:"); features = after("ft:") }
        /^stat::number_of_executed_units/ { executions = $2 }
        /^stat::average_exec_per_sec/ { speed = $2 }
        END { print target, seconds, executions, speed, edges, features }
    ' "$log" | tee -a "$1"
done
