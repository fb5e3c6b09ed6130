#!/usr/bin/env bash
# Runs the test command of the README: unit, integration and documentation tests. Compiles the examples.
source "$(dirname "$0")/lib.sh"

cargo test --all-features
