#!/usr/bin/env bash
# What .ci/tsan.sh runs: `tsan.sh FILE`. A line a suite: one seed, the tests that passed, and the suite.
source "$(dirname "$0")/../../.ci/lib.sh"

bash scripts/verify/traced.sh tsan "$1"
