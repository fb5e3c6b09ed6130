#!/usr/bin/env bash
# Builds the fuzz targets and runs each for FUZZ_SECONDS, starting from its seeds.
source "$(dirname "$0")/lib.sh"

need_nightly
need_cargo_tool fuzz
found=$(cargo +nightly fuzz list)
mapfile -t targets <<<"$found"
if [ -z "$found" ]; then
    echo "no fuzz targets" >&2
    exit 1
fi
for target in "${targets[@]}"; do
    echo "== $target"
    # The only unsafe code is looked at by AddressSanitizer. The other targets look for wrong answers, and run ten times
    # as fast without it.
    sanitizer=none
    if [ "$target" = list ]; then
        sanitizer=address
    fi
    # A folder for each, or one would undo what the other has built.
    export CARGO_TARGET_DIR="$base/fuzz/$sanitizer"
    cargo +nightly fuzz build --sanitizer "$sanitizer" "$target"
    mkdir -p "fuzz/corpus/$target"
    cargo +nightly fuzz run --sanitizer "$sanitizer" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-20}" -max_len=2048 -print_final_stats=1 -verbosity=0
done
