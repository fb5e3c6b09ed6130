# Sourced by every job: goes to the repository root, and defines shared helpers.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TERM_COLOR=never
# Builds that differ from `cargo test` have their own folders in here.
base=${CARGO_TARGET_DIR:-target}
export CARGO_INCREMENTAL=0
# Debug information makes binaries large and slow to link.
export CARGO_PROFILE_DEV_DEBUG=line-tables-only
export CARGO_PROFILE_RELEASE_DEBUG=0
export CARGO_PROFILE_BENCH_DEBUG=0

# Ends the job as skipped. The run continues, and its closing table shows the skip.
skip() {
    echo
    echo "############################################################"
    echo "## SKIPPED: $*"
    echo "############################################################"
    exit 77
}

# Installs a nightly toolchain with the named components if necessary. Ends the job as skipped if that fails.
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

# Installs a cargo subcommand if necessary.
need_cargo_tool() {
    if ! cargo "$1" --version >/dev/null 2>&1; then
        cargo install --locked "cargo-$1"
    fi
}

# Installs redis-server if necessary. Fails if there is none. Debian's package would start one as a service.
need_redis() {
    command -v redis-server >/dev/null && return
    command -v apt-get >/dev/null || return
    { apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq redis-server >/dev/null; } || return
}

# Prints the commit, with a `+` if files outside docs/ have changes.
revision() {
    local change
    change=$(git status --porcelain -- . ':!docs')
    echo "$(git rev-parse --short HEAD)${change:++}"
}

# Prints the fuzz targets, a line each. Fails if there are none.
fuzz_targets() {
    cargo +nightly fuzz list | grep . || { echo "no fuzz targets" >&2; return 1; }
}

# Builds a fuzz target, and sets `sanitizer` and CARGO_TARGET_DIR. The target with unsafe code runs with
# AddressSanitizer. The other targets look for wrong answers, and run ten times as fast without it.
build_fuzz_target() {
    sanitizer=none
    if [ "$1" = list ]; then
        sanitizer=address
    fi
    # A folder for each sanitizer: two builds in one folder would rebuild each other's files.
    export CARGO_TARGET_DIR="$base/fuzz/$sanitizer"
    cargo +nightly fuzz build --sanitizer "$sanitizer" "$1"
}

host() {
    rustc -vV | sed -n 's/^host: //p'
}
