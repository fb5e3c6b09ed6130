//! Hungry tasks: each asks again as soon as it is served. How much of the allowance do they get, what does a
//! grant cost in processor time, and do all get the same?
//!
//! A cell is a rate, a number of tasks, and a burst. In each, the parties are measured one after the other,
//! and each time another one is first.

mod gates;
mod grid;
mod measure;
mod party;
mod tick;

use std::{fmt::Write, time::Duration};

pub use self::grid::{Cell, full, quick, select, short};
use self::{
    gates::{GATES, Results, Round, judge, losses},
    measure::{Outcome, measure},
    party::{Governor, LeakyBucket, Party, Ticker, Tidegate},
    tick::tick_alone,
};
use crate::{Report, machine::OtherWork, stats::median};

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where.
    pub cells: Vec<Cell>,
    /// How often; the tables show medians.
    pub rounds: usize,
    /// How long each party in each cell.
    pub measured: Duration,
}

/// How long each party is measured unless it is for a try.
pub const MEASURED: Duration = Duration::from_secs(2);

/// What the tables show, in words.
pub const EXPLANATION: &str = "Each task asks again as soon as it is served; tokio with two workers. A \
cell is a rate a second, a number of tasks, and a burst; the bucket is empty at first. For each party: \
what was delivered of the allowance, processor time of the whole process a grant, and by how much the \
counts of two tasks differ at most. leaky-bucket gets a burst of at least the permits of a millisecond, \
and the semaphore has no bound and so is no limiter. The bound is the allowance and what comes in the \
catch-up of 10 ms. A machine that is busy with other work holds workers up, for more than the catch-up \
at times: then the bound does not allow all of it to be made up for, and counts drift apart.";

/// Measures one cell.
type Measure = fn(Cell, Duration) -> Outcome;

const PARTIES: [(&str, Measure); 4] = [
    (Tidegate::NAME, measure::<Tidegate>),
    (Governor::NAME, measure::<Governor>),
    (Ticker::NAME, measure::<Ticker>),
    (LeakyBucket::NAME, measure::<LeakyBucket>),
];
const SEMAPHORE: usize = 2;

/// Measures all cells, round by round. What each came to is told on standard error meanwhile.
pub fn run(plan: &Plan) -> Report {
    let mut all: Vec<Results> = plan.cells.iter().map(|&cell| Results { cell, rounds: Vec::new() }).collect();
    let mut ticks = Vec::new();
    for round in 0..plan.rounds {
        ticks.push(tick_alone(plan.measured));
        for (number, results) in all.iter_mut().enumerate() {
            let watch = OtherWork::watch();
            let outcomes = measure_all(results.cell, plan.measured, round + number);
            let other_cores = watch.cores();
            eprintln!("round {} of {}, {}:{}", round + 1, plan.rounds, results.cell, line(&outcomes));
            results.rounds.push(Round { outcomes, other_cores });
        }
    }
    let mut report = Report::default();
    outcome_table(&mut report.tables, &all);
    tick_line(&mut report.tables, median(ticks));
    gate_table(&mut report, &all);
    report
}

/// Measures every party in one cell, beginning with the one whose turn it is.
fn measure_all(cell: Cell, measured: Duration, turn: usize) -> [Outcome; PARTIES.len()] {
    let mut outcomes = [None; PARTIES.len()];
    for step in 0..PARTIES.len() {
        let party = (turn + step) % PARTIES.len();
        outcomes[party] = Some((PARTIES[party].1)(cell, measured));
    }
    outcomes.map(|outcome| outcome.expect("each has had its turn"))
}

fn line(outcomes: &[Outcome]) -> String {
    let mut line = String::new();
    for (outcome, (name, _)) in outcomes.iter().zip(PARTIES) {
        let Outcome { share, cpu_us, rounds_apart, .. } = outcome;
        write!(line, " {name} {:.2} % {cpu_us:.3} µs {rounds_apart};", share * 100.0).unwrap();
    }
    line
}

fn outcome_table(out: &mut String, all: &[Results]) {
    writeln!(out, "| rate x tasks x burst | {} |", PARTIES.map(|(name, _)| name).join(" | ")).unwrap();
    writeln!(out, "|---|{}", "---:|".repeat(PARTIES.len())).unwrap();
    for results in all {
        write!(out, "| {} |", results.cell).unwrap();
        for party in 0..PARTIES.len() {
            write!(
                out,
                " {:.2} %, {:.3} µs, {} |",
                results.of(party, |outcome| outcome.share) * 100.0,
                results.of(party, |outcome| outcome.cpu_us),
                results.of(party, |outcome| outcome.rounds_apart),
            )
            .unwrap();
        }
        out.push('\n');
    }
    out.push('\n');
}

/// The cost that every limiter has that wakes a task every millisecond.
fn tick_line(out: &mut String, tick_us: f64) {
    writeln!(
        out,
        "A task that a timer wakes every millisecond, and that does nothing, costs {tick_us:.3} µs each time, nearly \
         all of it in the system's scheduler. That is in what a grant costs wherever permits come one by one or tick \
         by tick: {tick_us:.1} µs of it at 1e3/s, {:.2} µs at 1e4/s, {:.3} µs at 1e5/s.\n",
        tick_us / 10.0,
        tick_us / 100.0,
    )
    .unwrap();
}

fn gate_table(report: &mut Report, all: &[Results]) {
    let out = &mut report.tables;
    writeln!(out, "| rate x tasks x burst | {} | other work, cores |", GATES.join(" | ")).unwrap();
    writeln!(out, "|---|{}", "---:|".repeat(GATES.len() + 1)).unwrap();
    let (mut failed, mut judged) = (0, 0);
    for results in all {
        let gates = judge(results);
        write!(out, "| {} |", results.cell).unwrap();
        for gate in &gates {
            judged += 1;
            failed += usize::from(!gate.passed);
            write!(out, " {} {} |", gate.value, if gate.passed { "pass" } else { "**FAIL**" }).unwrap();
        }
        writeln!(out, " {:.2} |", median(results.rounds.iter().map(|round| round.other_cores))).unwrap();
        report.losses.extend(losses(results, &gates));
    }
    writeln!(out, "\n{failed} of {judged} gates failed.\n").unwrap();
}
