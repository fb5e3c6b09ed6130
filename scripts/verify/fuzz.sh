#!/usr/bin/env bash
# Each fuzz target for FUZZ_SECONDS from its seeds alone: `fuzz.sh FILE`. A line a target: its name, the seconds, the
# seeds, the edges and features they cover, and then executions, executions a second, edges, features, the size of the
# corpus, and how many edges there are; and of the edges that come from a line of src/: those by the seeds, those by the
# seeds and the corpus, and how many there are.
source "$(dirname "$0")/../../.ci/lib.sh"

need_nightly
need_cargo_tool fuzz
found=$(fuzz_targets)
mapfile -t targets <<<"$found"
log=$base/fuzz/fuzz.log
corpus=$base/fuzz/corpus
scratch=$base/fuzz/coverage
mkdir -p "$scratch"

# The edges of a target: a line each, in the order in which libFuzzer counts them, the place in the sources. (Its table
# of them is full of zeros until it is loaded, so what it will hold is read from the relocations.)
edges() {
    local from size
    read -r from size < <(readelf -SW "$1" | sed 's/^ *\[ *//' | awk '$2 == "__sancov_pcs" { print $4, $6 }')
    # All of one width, so that they compare as texts.
    readelf -rW "$1" \
        | awk -v from="$from" -v to="$(printf '%016x' $((16#$from + 16#$size)))" \
            '$3 == "R_X86_64_RELATIVE" && $1 "" >= from "" && $1 "" < to "" { print $1, "0x" $4 }' \
        | sort | cut -d ' ' -f 2 | addr2line -e "$1"
}

# How many edges from src/ the files of some folders cover: `covered TARGET FOLDER ...`. Merged into a corpus that is
# empty, libFuzzer notes for each file which edges it is the first to reach.
covered() {
    local notes=$scratch/notes none=$scratch/none
    rm -rf "$notes" "$none"
    mkdir -p "$none"
    "$bin/$1" -merge=1 -merge_control_file="$notes" -max_len=2048 "$none" "${@:2}" >"$scratch/log" 2>&1 \
        || { cat "$scratch/log" >&2; return 1; }
    awk -v here="$PWD/src/" '
        NR == FNR { if ($1 == "COV") for (i = 3; i <= NF; i++) hit[$i] = 1; next }
        index($0, here) == 1 && ((FNR - 1) in hit) { count++ }
        END { print count + 0 }
    ' "$notes" "$scratch/edges"
}

for target in "${targets[@]}"; do
    echo "== $target"
    build_fuzz_target "$target"
    bin=$CARGO_TARGET_DIR/$(host)/release
    rm -rf "$corpus"
    mkdir -p "$corpus"
    cargo +nightly fuzz run --sanitizer "$sanitizer" "$target" "$corpus" "fuzz/seeds/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-30}" -max_len=2048 -print_final_stats=1 >"$log" 2>&1 || { cat "$log"; exit 1; }
    edges "$bin/$target" >"$scratch/edges"
    by_seeds=$(covered "$target" "fuzz/seeds/$target")
    by_all=$(covered "$target" "fuzz/seeds/$target" "$corpus")
    own=$(awk -v here="$PWD/src/" 'index($0, here) == 1 { count++ } END { print count + 0 }' "$scratch/edges")
    awk -v target="$target" -v seconds="${FUZZ_SECONDS:-30}" -v own="$by_seeds $by_all $own" \
        -v there="$(wc -l <"$scratch/edges")" '
        function after(name,   i) { for (i = 1; i < NF; i++) if ($i == name) return $(i + 1); return "?" }
        /inline 8-bit counters\)/ { match($0, /\([0-9]+ inline/); all = substr($0, RSTART + 1, RLENGTH - 8) }
        /files found in/ { seeds += after("INFO:") }
        /\tINITED/ { seeded = after("cov:") " " after("ft:") }
        /\tDONE/ { edges = after("cov:"); features = after("ft:"); split(after("corp:"), corpus, "/") }
        /^stat::number_of_executed_units/ { executions = $2 }
        /^stat::average_exec_per_sec/ { speed = $2 }
        END {
            if (all + 0 != there) { print "of " all " edges " there " were found" >"/dev/stderr"; exit 1 }
            print target, seconds, seeds, seeded, executions, speed, edges, features, corpus[1], all, own
        }
    ' "$log" | tee -a "$1"
done
