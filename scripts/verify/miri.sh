#!/usr/bin/env bash
# What .ci/miri.sh runs: `miri.sh FILE`. A line a command: the seeds, the tests that passed with each, and the command.
source "$(dirname "$0")/../../.ci/lib.sh"

bash scripts/verify/traced.sh miri "$1"
