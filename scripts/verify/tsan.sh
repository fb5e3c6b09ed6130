#!/usr/bin/env bash
# What .ci/tsan.sh runs: `tsan.sh FILE`. A line a command: one seed, the tests that passed, and the command.
source "$(dirname "$0")/../../.ci/lib.sh"

bash scripts/verify/traced.sh tsan "$1"
