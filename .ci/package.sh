#!/usr/bin/env bash
# Checks what is published: no large or foreign file is packed; the packed crate has all that its documentation includes, and
# compiles with the least versions of its dependencies that Cargo.toml allows; and their licences, sources and versions are
# those of deny.toml. It runs only when named: `bash .ci/run package`. (The job `msrv` compiles and tests the packed crate with
# the versions of the lock file.)
source "$(dirname "$0")/lib.sh"

need_nightly
cargo package --allow-dirty --no-verify --quiet
unpacked=$(realpath -m "$base/least")
rm -rf "$unpacked"
mkdir -p "$unpacked"
tar -xzf "$base"/package/tidegate-*.crate -C "$unpacked" --strip-components 1

echo "== files"
large=$(cd "$unpacked" && find . -type f -size +256k)
[ -z "$large" ] || { printf 'larger than 256 KiB:\n%s\n' "$large"; exit 1; }
known='README|CHANGELOG|CONTRIBUTING|SECURITY|LICENSE|Cargo|deny|rustfmt|benches|docs|examples|src|tests|\.gitignore|\.cargo_vcs_info'
foreign=$(cd "$unpacked" && find . -mindepth 1 -maxdepth 1 | grep -vE "^\./($known)" || true)
[ -z "$foreign" ] || { printf 'packed, and not known here:\n%s\n' "$foreign"; exit 1; }
find "$unpacked" -type f | wc -l

echo "== documentation, as docs.rs makes it"
(cd "$unpacked" && RUSTDOCFLAGS="--cfg docsrs -D warnings" CARGO_TARGET_DIR=$unpacked/target \
    cargo +nightly doc --lib --no-deps --all-features --locked)

echo "== the least versions"
# The versions of tests and benchmarks do not matter to a user, and would raise those of the crate.
python3 - "$unpacked/Cargo.toml" <<'PYTHON'
import re, sys
path = sys.argv[1]
parts = re.split(r"(?m)^(?=\[)", open(path).read())
of_tests = re.compile(r"\[(\[(bench|example|test)\]\]|(target\..*\.)?dev-dependencies)")
open(path, "w").write("".join(part for part in parts if not of_tests.match(part)))
PYTHON
rm -f "$unpacked/Cargo.lock"
(
    cd "$unpacked"
    cargo +nightly generate-lockfile -Z direct-minimal-versions
    for features in --no-default-features "" --all-features; do
        # shellcheck disable=SC2086
        CARGO_TARGET_DIR=$unpacked/target cargo check --lib --locked $features
    done
)

echo "== licences, sources and versions"
need_cargo_tool deny
# Not the advisories, which need the network.
cargo deny check bans licenses sources
