#!/usr/bin/env bash
# Compiles with each feature alone, with none, and with all, without a warning. Tests the crate without tokio.
source "$(dirname "$0")/lib.sh"

for features in "" "--no-default-features" "--no-default-features --features serde" \
    "--no-default-features --features sink" "--no-default-features --features tokio" \
    "--no-default-features --features keyed" \
    "--no-default-features --features tower" "--no-default-features --features client" \
    "--no-default-features --features stats" "--no-default-features --features metrics" \
    "--no-default-features --features metrics,redis" \
    "--no-default-features --features tracing" "--no-default-features --features reqwest" "--no-default-features --features io" \
    "--no-default-features --features redis" "--no-default-features --features redis-cluster,tower" \
    "--no-default-features --features io-body" "--no-default-features --features io,tokio" "--all-features"; do
    echo "== ${features:-default features}"
    # shellcheck disable=SC2086
    RUSTFLAGS="${RUSTFLAGS:-} -D warnings" cargo check --lib --target-dir "$base/features" $features
done
# Compiles the files of tests/ that do not use tokio's clock and timers. Runs the unit tests and the doc tests.
echo "== tests without tokio"
named=()
for file in tests/*.rs; do
    name=$(basename "$file" .rs)
    grep -rqsE 'TokioClock|feature = "tokio"' "$file" "tests/$name" || named+=(--test "$name")
done
cargo check --no-default-features "${named[@]}"
cargo test --no-default-features --lib
cargo test --no-default-features --doc
