#!/usr/bin/env bash
# Files import each other as docs/DESIGN.md says, without circles, and none is too long.
source "$(dirname "$0")/lib.sh"

python3 scripts/imports.py
