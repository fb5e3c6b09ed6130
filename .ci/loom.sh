#!/usr/bin/env bash
# Runs the loom models: every interleaving with up to LOOM_MAX_PREEMPTIONS preemptions. Each model prints its
# executions.
source "$(dirname "$0")/lib.sh"

export RUSTFLAGS="--cfg tidegate_loom"
export CARGO_TARGET_DIR="$base/loom"
echo "LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-as each model says}"
cargo test --release --lib models:: -- --nocapture
