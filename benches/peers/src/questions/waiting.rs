//! Hungry tasks: each asks again as soon as it is served. How much of the allowance do they get, what does a grant cost in
//! processor time, and do all get the same?
//!
//! A cell is a rate, a number of tasks, and a burst. In each, the rivals are measured one after the other, and each time another
//! one is first.

mod gates;
mod grid;
mod measure;
mod tick;

use std::time::Duration;

use self::{
    gates::{GATES, Results, Round, judge, losses},
    measure::{Outcome, measure},
    tick::tick_alone,
};
pub(super) use self::{
    grid::Cell,
    measure::{WARM_UP, runtime},
};
use crate::{
    Effort, Report,
    machine::OtherWork,
    rivals::{Rival, each_rival, names},
    stats::{median, short},
};

/// What the tables show, in words.
const EXPLANATION: &str = "Each task asks again as soon as it is served; tokio with two workers. A cell is a rate a second, a \
number of tasks, and a burst; the bucket is empty at first. For each rival: what was delivered of the allowance; processor \
time of the whole process a grant, as a multiple of tidegate's, and in µs; and by how much the counts of two tasks differ at \
most. tidegate and the semaphore hold permits back for the first 50 ms, until all tasks wait. The bound is the allowance and what comes in the catch-up of 10 ms. A machine that is busy with other work holds workers \
up, for more than the catch-up at times: then the bound does not allow all of it to be made up for, and counts drift apart.";

type Measure = fn(Cell, Duration) -> Outcome;

fn measured<R: Rival>() -> Measure {
    measure::<R>
}

fn note<R: Rival>() -> String {
    format!("- {}: {}", R::NAME, R::NOTE)
}

/// Measures all cells, round by round. What each came to is told on standard error meanwhile.
pub fn run(effort: Effort) -> Report {
    let mut report = Report::new("Hungry tasks", EXPLANATION);
    report.say(&each_rival!(note()).join("\n"));
    report.say(&format!("Medians of {} rounds of {:?} a rival.", effort.long_rounds, effort.long));
    let cells = if effort.full { grid::full() } else { grid::short() };
    let mut all: Vec<Results> = cells.into_iter().map(|cell| Results { cell, rounds: Vec::new() }).collect();
    let mut ticks = Vec::new();
    for round in 0..effort.long_rounds {
        ticks.push(tick_alone(effort.long));
        for (number, results) in all.iter_mut().enumerate() {
            let watch = OtherWork::watch();
            let cell = results.cell;
            let outcomes =
                in_turn(&each_rival!(measured()), round + number, |measure| measure(cell, effort.long));
            let other_cores = watch.cores();
            eprintln!("waiting, round {}, {cell}: {:.2} %", round + 1, 100.0 * outcomes[0].share);
            results.rounds.push(Round { outcomes, other_cores });
        }
    }
    outcome_table(&mut report, &all);
    tick_line(&mut report, median(ticks));
    gate_table(&mut report, &all);
    report
}

/// Measures every rival, beginning with the one whose turn it is.
pub(super) fn in_turn<M: Copy, T>(rivals: &[M], turn: usize, mut measure: impl FnMut(M) -> T) -> Vec<T> {
    let first = turn % rivals.len();
    let (after, before) = rivals.split_at(first);
    let mut results: Vec<T> = before.iter().chain(after).map(|&rival| measure(rival)).collect();
    results.rotate_right(first);
    results
}

fn outcome_table(report: &mut Report, all: &[Results]) {
    let mut lines = Vec::new();
    for results in all {
        let mut line = vec![results.cell.to_string()];
        for (rival, name) in names().into_iter().enumerate() {
            let share = results.of(rival, |outcome| outcome.share);
            let cost = results.of(rival, |outcome| outcome.cpu_us);
            let apart = results.of(rival, |outcome| outcome.rounds_apart);
            let ratio = short(results.cost_to(rival, 0));
            line.push(format!("{:.2} %, × {ratio} ({} µs), {apart}", 100.0 * share, short(cost)));
            let cell = results.cell;
            report.keep(format!("{cell}, {name}: delivered"), results.each(rival, |outcome| outcome.share));
            report.keep(format!("{cell}, {name}: µs a grant"), results.each(rival, |outcome| outcome.cpu_us));
            report
                .keep(format!("{cell}, {name}: apart"), results.each(rival, |outcome| outcome.rounds_apart));
        }
        lines.push(line);
    }
    let head: Vec<&str> = ["rate x tasks x burst"].into_iter().chain(names()).collect();
    report.table(&head, &lines);
}

/// The cost that every limiter has that wakes a task every millisecond.
fn tick_line(report: &mut Report, tick_us: f64) {
    report.say(&format!(
        "A task that a timer wakes every millisecond, and that does nothing, costs {tick_us:.3} µs each time, nearly all of \
         it in the system's scheduler. That is in what a grant costs wherever permits come one by one or tick by tick: \
         {tick_us:.1} µs of it at 1e3/s, {:.2} µs at 1e4/s, {:.3} µs at 1e5/s.",
        tick_us / 10.0,
        tick_us / 100.0,
    ));
}

fn gate_table(report: &mut Report, all: &[Results]) {
    let (mut failed, mut judged) = (0, 0);
    let mut lines = Vec::new();
    for results in all {
        let gates = judge(results);
        let mut line = vec![results.cell.to_string()];
        for gate in &gates {
            judged += 1;
            failed += usize::from(!gate.passed);
            line.push(format!("{} {}", gate.value, if gate.passed { "pass" } else { "**FAIL**" }));
        }
        line.push(format!("{:.2}", median(results.rounds.iter().map(|round| round.other_cores))));
        lines.push(line);
        report.losses.extend(losses(results, &gates));
    }
    let head: Vec<&str> =
        ["rate x tasks x burst"].into_iter().chain(GATES).chain(["other work, cores"]).collect();
    report.table(&head, &lines);
    report.say(&format!("{failed} of {judged} gates failed."));
}

#[cfg(test)]
mod tests {
    use super::in_turn;

    #[test]
    fn each_turn_begins_with_another_rival_and_keeps_their_places() {
        let mut order = Vec::new();
        let results = in_turn(&['a', 'b', 'c'], 4, |rival| {
            order.push(rival);
            rival.to_ascii_uppercase()
        });
        assert_eq!(order, ['b', 'c', 'a']);
        assert_eq!(results, ['A', 'B', 'C']);
    }
}
