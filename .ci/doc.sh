#!/usr/bin/env bash
# Builds the documentation without warnings: no broken links, all public items documented. Checks that
# docs/VERIFICATION.md names only files that exist, and that the pictures of the guide are as their script writes them.
source "$(dirname "$0")/lib.sh"

RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features --document-private-items
bash scripts/verify.sh --check
python3 scripts/pictures.py --check
