#!/usr/bin/env bash
# Builds and tests the published package with the oldest Rust that Cargo.toml promises. Uses Debian's packages rustc-web
# and cargo-web if they have that version; else rustup fetches it.
source "$(dirname "$0")/lib.sh"

msrv=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
echo "rust-version = $msrv"

# Whether this compiler has the version of Cargo.toml.
is_msrv() { "$@" --version 2>/dev/null | grep -q "^rustc $msrv\."; }

if ! is_msrv /usr/bin/rustc && [ "$msrv" = 1.85 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && apt-get install -y -qq rustc-web cargo-web >/dev/null; } || true
fi
if is_msrv /usr/bin/rustc && /usr/bin/cargo --version >/dev/null 2>&1; then
    export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
    cargo=(/usr/bin/cargo)
elif rustup run "$msrv" rustc --version >/dev/null 2>&1 || rustup toolchain install "$msrv" --profile minimal; then
    cargo=(rustup run "$msrv" cargo)
else
    skip "Rust $msrv is not here and cannot be fetched"
fi
"${cargo[@]}" --version

# The package as a user gets it: unpacked elsewhere, with the versions of its lock file.
target=$(realpath -m "$base/msrv")
cargo package --allow-dirty --no-verify --quiet
unpacked=$target/unpacked
rm -rf "$unpacked"
mkdir -p "$unpacked"
tar -xzf "$base"/package/tidegate-*.crate -C "$unpacked" --strip-components 1
cd "$unpacked"
# Default features, as Debian's users have them. Long random tests run with the newest compiler only.
export CARGO_TARGET_DIR=$target PROPTEST_CASES=16
"${cargo[@]}" build --locked
# The features `redis` and `redis-cluster` need a newer Rust.
others=$(awk '/^\[/ { inside = $0 == "[features]" } inside && /^[a-z-]+ = / && $1 !~ /^redis/ { print $1 }' Cargo.toml | paste -sd,)
"${cargo[@]}" check --locked --features "$others"
"${cargo[@]}" test --locked --lib --test conformance --test reservation --test threads --test virtual_time --test several
