#!/usr/bin/env bash
# Runs the tests of fleets that start a server on Valkey; the job `test` runs them on Redis. The server is `valkey-server` of the
# PATH, else that of Debian's package. The package is unpacked into a folder of the build, and not installed: Valkey and its
# libraries may be in Debian's backports only.
source "$(dirname "$0")/lib.sh"

folder=$(realpath -m "$base/valkey")

# Prints the address of the repository from which this machine gets the packages of its release.
mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' "Codename: $1" | sed -n 1p
}

# Unpacks the package and those libraries of it that this machine lacks, and writes the program $folder/valkey-server. Fails if it
# does not start.
fetch_valkey() {
    local codename address key suite package libraries
    command -v apt-get >/dev/null || return
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    address=$(mirror "$codename")
    if [ -z "$address" ]; then
        # A new machine has no lists of packages.
        timeout 20 apt-get -qq update || return
        address=$(mirror "$codename")
    fi
    [ -n "$address" ] || return

    rm -rf "$folder"
    mkdir -p "$folder"/{lists,archives}/partial
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    for suite in "$codename" "$codename-backports"; do
        echo "deb $([ ! -e $key ] || echo "[signed-by=$key]") $address $suite main"
    done >"$folder/sources.list"
    # Nothing of the machine is changed, so no lock is needed: another job may install packages meanwhile.
    local apt=(timeout 20 apt-get -qq -o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder" -o Acquire::Languages=none
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Sandbox::User=root -o Debug::NoLocking=true)
    # It fails where a release has no backports. The next step tells whether there is enough.
    "${apt[@]}" update || true
    "${apt[@]}" --yes --no-install-recommends --download-only install valkey-server || return
    for package in "$folder"/archives/*.deb; do
        dpkg-deb --extract "$package" "$folder/root" || return
    done
    rm -rf "$folder/lists"

    libraries=$(find "$folder/root" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
    cat >"$folder/valkey-server" <<SCRIPT
#!/bin/sh
exec env LD_LIBRARY_PATH='$libraries' '$folder/root/usr/bin/valkey-server' "\$@"
SCRIPT
    chmod +x "$folder/valkey-server"
    "$folder/valkey-server" --version >/dev/null || { rm "$folder/valkey-server"; return 1; }
}

server=$(command -v valkey-server) || server=$folder/valkey-server
[ -x "$server" ] || fetch_valkey || skip "no valkey-server here, and no package of it can be fetched"
"$server" --version
export TIDEGATE_REDIS_SERVER=$server
unset TIDEGATE_SKIP_REDIS

# `cargo test` passes with a filter that fits no test.
cargo test --all-features --lib -- --list fleet::authority:: | grep -c ': test$' >/dev/null
cargo test --all-features --lib -- fleet::authority::
cargo test --all-features --test 'fleet*'
