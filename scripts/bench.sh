#!/usr/bin/env bash
# Runs the benchmarks and writes docs/BENCHMARKS.md: `bash scripts/bench.sh`, with `--full` for every cell.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target/peers}
cargo build --release --manifest-path benches/peers/Cargo.toml --target-dir "$target"
report=$(mktemp)
trap 'rm -f "$report"' EXIT
"$target/release/report" "$@" >"$report"
cp "$report" docs/BENCHMARKS.md
cat docs/BENCHMARKS.md
