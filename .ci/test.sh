#!/usr/bin/env bash
# The test command of the README: unit tests, integration tests, examples compiled, documentation tests.
source "$(dirname "$0")/lib.sh"

cargo test --all-features
