#!/usr/bin/env bash
# Every seeded fault: `faults.sh FILE`. A line a fault, as scripts/faults.sh writes it.
source "$(dirname "$0")/../../.ci/lib.sh"

FAULT_TABLE=$1 bash scripts/faults.sh
