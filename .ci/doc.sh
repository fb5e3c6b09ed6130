#!/usr/bin/env bash
# The documentation builds without warnings: no broken links, nothing public without a word. And docs/VERIFICATION.md names
# only files that exist.
source "$(dirname "$0")/lib.sh"

RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features --document-private-items
bash scripts/verify.sh --check
