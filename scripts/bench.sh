#!/usr/bin/env bash
# Runs the benchmarks, and writes docs/BENCHMARKS.md, and docs/benchmarks with its pictures and the numbers of each round:
# `bash scripts/bench.sh`, some ten minutes; with `--full` for every cell and the builds of each rival, some forty.
# The section about fleets needs `redis-server`; without it, it says so in a line.
# `--try --only calls` prints a section alone, after a second; see benches/peers/src/bin/report.rs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target/peers}
cargo build --release --manifest-path benches/peers/Cargo.toml --target-dir "$target"
case " $* " in
    *" --only "* | *" --to "*) "$target/release/report" "$@" ;;
    *)
        "$target/release/report" --to docs "$@"
        {
            printf '\n## Bytes\n\nA copy over a socket on loopback, with `Paced` at one end.\n\n'
            cargo bench --quiet --features io --bench bytes
        } >>docs/BENCHMARKS.md
        ;;
esac
