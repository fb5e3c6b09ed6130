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

# The fuzz targets, a line each; fails if there are none.
fuzz_targets() {
    cargo +nightly fuzz list | grep . || { echo "no fuzz targets" >&2; return 1; }
}

# Builds a fuzz target, and says in `sanitizer` and CARGO_TARGET_DIR how and where. The only unsafe code is looked at by
# AddressSanitizer. The other targets look for wrong answers, and run ten times as fast without it.
build_fuzz_target() {
    sanitizer=none
    if [ "$1" = list ]; then
        sanitizer=address
    fi
    # A folder for each, or one would undo what the other has built.
    export CARGO_TARGET_DIR="$base/fuzz/$sanitizer"
    cargo +nightly fuzz build --sanitizer "$sanitizer" "$1"
}

host() {
    rustc -vV | sed -n 's/^host: //p'
}
