//! Prints the whole of `docs/BENCHMARKS.md`; `scripts/bench.sh` runs it. `--full` measures every rate.

use tidegate_peers::{arena, machine, ratios};

fn main() {
    let full = std::env::args().any(|argument| argument == "--full");
    let effort = ratios::Effort::default();
    let calls = ratios::run(effort);
    let arena = arena::run(full);
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
    println!("## Hungry tasks\n");
    println!(
        "Each task asks again as soon as it is served. Share of the allowance that was delivered, and \
         processor time of the whole process a grant; tokio with two workers, two seconds a cell. The burst \
         is 1, but for leaky-bucket, which gets the permits of a millisecond, and for the semaphore, which \
         has no bound and so is no limiter.\n"
    );
    println!("{}", arena.tables);
    println!("## Where tidegate loses\n");
    let mut losses = calls;
    losses.losses.extend(arena.losses);
    print!("{}", losses.losses());
}
