#!/usr/bin/env bash
# Builds the fuzz targets and runs each for FUZZ_SECONDS, starting from its seeds.
source "$(dirname "$0")/lib.sh"

need_nightly
need_cargo_tool fuzz
export CARGO_TARGET_DIR="$base/fuzz"
# No sanitizer: the fuzz targets look for wrong answers, and run ten times as fast.
cargo +nightly fuzz build --sanitizer none
for target in $(cargo +nightly fuzz list); do
    echo "== $target"
    mkdir -p "fuzz/corpus/$target"
    cargo +nightly fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-20}" -max_len=2048 -print_final_stats=1 -verbosity=0
done
