#!/usr/bin/env bash
# Runs the benchmarks and writes docs/BENCHMARKS.md: `bash scripts/bench.sh`, with `--full` for every cell.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target/peers}
cargo build --release --manifest-path benches/peers/Cargo.toml --target-dir "$target"
report=$(mktemp)
trap 'rm -f "$report"' EXIT
"$target/release/report" "$@" >"$report"
cargo build --release --manifest-path benches/http/Cargo.toml --target-dir "$target"
{
    printf '\n## A handler of axum\n\n'
    printf 'The same handler without a layer, behind `LimitLayer`, and behind the layer of tower_governor.\n\n'
    "$target/release/tidegate-http-load"
} >>"$report"
cp "$report" docs/BENCHMARKS.md
cat docs/BENCHMARKS.md
