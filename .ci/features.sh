#!/usr/bin/env bash
# Every set of features compiles.
source "$(dirname "$0")/lib.sh"

need_cargo_tool hack
cargo hack check --feature-powerset --no-dev-deps
