//! Prints the whole of `docs/BENCHMARKS.md`; `scripts/bench.sh` runs it. `--full` measures every cell.

use tidegate_peers::{
    arena::{self, MEASURED, Plan},
    fairness, keyed, machine, ratios, shares, waiters,
};

/// How often the arena measures each cell.
const ROUNDS: usize = 3;

fn main() {
    let full = std::env::args().any(|argument| argument == "--full");
    let effort = ratios::Effort::default();
    let calls = ratios::run(effort);
    let per_core = shares::run(effort);
    let keys = keyed::run(effort);
    let fairness = fairness::run();
    let cells = if full { arena::full() } else { arena::short() };
    let arena = arena::run(&Plan { cells, rounds: ROUNDS, measured: MEASURED });
    let waiters = waiters::run();
    println!("# Benchmarks\n");
    println!("Written by `scripts/bench.sh`; run it again rather than change this page.\n");
    print!("{}", machine::describe());
    println!("\nCompare the ratios, not the times: the machine may be busy with other work.\n");
    println!("## Calls that do not wait\n");
    println!(
        "The floor is one reading of the processor's time stamp counter and one uncontended \
         compare-and-swap. Medians of {} rounds, in each of which every call is measured for {} ms, one \
         after the other; the ratios are taken round by round.\n",
        effort.rounds,
        effort.slice.as_millis()
    );
    print!("{}", calls.tables);
    println!("## One quota on every core\n");
    println!("{}\n", shares::EXPLANATION);
    print!("{}", per_core.tables);
    println!("### With hogs on half the cores\n");
    println!("{}\n", fairness::EXPLANATION);
    print!("{}", fairness.tables);
    println!("## A limiter for each key\n");
    println!("{}\n", keyed::EXPLANATION);
    print!("{}", keys.tables);
    println!("## Hungry tasks\n");
    println!("{}\n", arena::EXPLANATION);
    println!("Medians of {ROUNDS} rounds of {} s a party.\n", MEASURED.as_secs());
    print!("{}", arena.tables);
    println!("## Long queues\n");
    println!("{}\n", waiters::EXPLANATION);
    print!("{}", waiters.tables);
    println!("## Where tidegate loses\n");
    let mut losses = calls;
    losses.losses.extend(per_core.losses);
    losses.losses.extend(keys.losses);
    losses.losses.extend(fairness.losses);
    losses.losses.extend(arena.losses);
    losses.losses.extend(waiters.losses);
    print!("{}", losses.losses());
}
