#!/usr/bin/env bash
# Builds the documentation without warnings: no broken links, all public items documented. Checks that
# docs/VERIFICATION.md names only files that exist.
source "$(dirname "$0")/lib.sh"

RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features --document-private-items
bash scripts/verify.sh --check
