#!/usr/bin/env bash
# Builds the fuzz targets and runs each for FUZZ_SECONDS, starting from its seeds.
source "$(dirname "$0")/lib.sh"

need_nightly
need_cargo_tool fuzz
found=$(fuzz_targets)
mapfile -t targets <<<"$found"
for target in "${targets[@]}"; do
    echo "== $target"
    build_fuzz_target "$target"
    mkdir -p "fuzz/corpus/$target"
    cargo +nightly fuzz run --sanitizer "$sanitizer" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="${FUZZ_SECONDS:-5}" -max_len=2048 -print_final_stats=1 -verbosity=0
done
