#!/usr/bin/env bash
# Runs the loom models: every interleaving with up to LOOM_MAX_PREEMPTIONS preemptions, for at most LOOM_MAX_DURATION seconds a
# model. Each model prints its executions, and whether these were all. `scripts/loom.sh` runs all of them to their ends.
source "$(dirname "$0")/lib.sh"

export RUSTFLAGS="--cfg tidegate_loom"
export CARGO_TARGET_DIR="$base/loom"
export LOOM_MAX_DURATION=${LOOM_MAX_DURATION:-8}
echo "LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-as each model says}"
cargo test --release --lib models:: -- --nocapture
