#!/usr/bin/env bash
# Checks that files import each other as docs/DESIGN.md says, without circles, and that none is too long.
source "$(dirname "$0")/lib.sh"

python3 scripts/imports.py
