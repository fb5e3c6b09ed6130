#!/usr/bin/env bash
# Each fuzz target for FUZZ_SECONDS from its seeds alone: `fuzz.sh FILE`. A line a target: its name, the seconds, the
# seeds, the edges and features they cover, and then executions, executions a second, edges, features, the size of the
# corpus, and how many edges there are.
source "$(dirname "$0")/../../.ci/lib.sh"

need_nightly
need_cargo_tool fuzz
export CARGO_TARGET_DIR="$base/fuzz"
cargo +nightly fuzz build --sanitizer none
log=$CARGO_TARGET_DIR/fuzz.log
corpus=$CARGO_TARGET_DIR/corpus
for target in $(cargo +nightly fuzz list); do
    echo "== $target"
    rm -rf "$corpus"
    mkdir -p "$corpus"
    cargo +nightly fuzz run --sanitizer none "$target" "$corpus" "fuzz/seeds/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-30}" -max_len=2048 -print_final_stats=1 >"$log" 2>&1 || { cat "$log"; exit 1; }
    awk -v target="$target" -v seconds="${FUZZ_SECONDS:-30}" '
        function after(name,   i) { for (i = 1; i < NF; i++) if ($i == name) return $(i + 1); return "?" }
        /inline 8-bit counters\)/ { match($0, /\([0-9]+ inline/); all = substr($0, RSTART + 1, RLENGTH - 8) }
        /files found in/ { seeds += after("INFO:") }
        /\tINITED/ { seeded = after("cov:") " " after("ft:") }
        /\tDONE/ { edges = after("cov:"); features = after("ft:"); split(after("corp:"), corpus, "/") }
        /^stat::number_of_executed_units/ { executions = $2 }
        /^stat::average_exec_per_sec/ { speed = $2 }
        END { print target, seconds, seeds, seeded, executions, speed, edges, features, corpus[1], all }
    ' "$log" | tee -a "$1"
done
