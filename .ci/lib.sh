# Sourced by every job: where we are, and the helpers they share.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TERM_COLOR=never
# What is built in another way than `cargo test` builds it has a folder of its own in here.
base=${CARGO_TARGET_DIR:-target}
export CARGO_INCREMENTAL=0
# Debug information is what makes binaries large and slow to link.
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
export CARGO_PROFILE_RELEASE_DEBUG=0
export CARGO_PROFILE_BENCH_DEBUG=0

# Ends the job as skipped. The run goes on, and its closing table says so.
skip() {
    echo
    echo "############################################################"
    echo "## SKIPPED: $*"
    echo "############################################################"
    exit 77
}

# Makes sure that there is a nightly toolchain with the components named, or ends the job as skipped.
need_nightly() {
    if ! cargo +nightly --version >/dev/null 2>&1; then
        echo "no nightly toolchain here; asking rustup for one"
        timeout 300 rustup toolchain install nightly --profile minimal \
            || skip "no nightly toolchain here, and none can be fetched"
    fi
    cargo +nightly --version
    local component
    for component in "$@"; do
        if ! rustup +nightly component list --installed 2>/dev/null | grep -q "^$component"; then
            timeout 300 rustup +nightly component add "$component" \
                || skip "the nightly toolchain has no $component, and it cannot be fetched"
        fi
    done
}

# Makes sure that a cargo subcommand is there.
need_cargo_tool() {
    if ! cargo "$1" --version >/dev/null 2>&1; then
        cargo install --locked "cargo-$1"
    fi
}

# The commit, with a `+` if the tree has changes other than those of docs/.
revision() {
    local change
    change=$(git status --porcelain -- . ':!docs')
    echo "$(git rev-parse --short HEAD)${change:++}"
}

host() {
    rustc -vV | sed -n 's/^host: //p'
}
