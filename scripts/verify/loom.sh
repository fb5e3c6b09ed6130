#!/usr/bin/env bash
# Every loom model, with its own bound and without any: `loom.sh FILE`. A line a model, as scripts/loom.sh writes it.
source "$(dirname "$0")/../../.ci/lib.sh"

LOOM_SECONDS=${LOOM_SECONDS:-60} LOOM_TABLE=$1 bash scripts/loom.sh
