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
            cat <<'EOF'

## Bytes

A copy over a socket on loopback, with `Paced` at one end. Windows are those of writes. A catch-up of 10 ms allows what comes in 10 ms
more than burst + rate × window; without one, 20 ms of burst are enough for the full rate. Copies at full speed vary most: compare
orders of magnitude. `Quota::UNLIMITED` cuts writes to 8 KiB, too.

EOF
            cargo bench --quiet --features io --bench bytes
            cat <<'EOF'

## Watching

What a call takes with the feature `stats`, at a limiter that nobody watches, at one that counts, and at one whose listener is told of
refusals and waits. In brackets: beside a limiter that nobody watches. `.ci/run instructions` counts instructions, without the feature
and with it.

EOF
            cargo bench --quiet --features stats --bench watching
        } >>docs/BENCHMARKS.md
        ;;
esac
