//! The tables of the section, and where tidegate loses.

use super::{
    CALLERS, PARTIES, Party, Speeds,
    measure::{Outcome, Scene, Speed},
};
use crate::{
    Report,
    stats::{Spread, median, short, spread},
};

/// Which values are better.
#[derive(Clone, Copy, PartialEq)]
enum Better {
    More,
    Less,
    /// They are not compared.
    Neither,
}

/// Something that is measured of a rival in a scene.
struct Column {
    name: &'static str,
    of: fn(&Outcome) -> f64,
    written: fn(f64) -> String,
    better: Better,
    /// By how much a rival has to be better, to be better: a part of tidegate's value, and a difference besides.
    slack: (f64, f64),
    /// Why tidegate loses, where that is known.
    why: &'static str,
}

const DELIVERED: Column = Column {
    name: "delivered",
    of: |it| it.shares.delivered,
    written: percent,
    better: Better::More,
    slack: (0.005, 0.0),
    why: "half of the burst is set aside for leases that are used late",
};

const LATER: Column = Column { name: "later", of: |it| it.shares.later, why: "", ..DELIVERED };

const LEAST: Column =
    Column { name: "least", of: |it| it.shares.least, written: short, slack: (0.05, 0.0), ..LATER };

const ABOVE: Column = Column {
    name: "above the rate",
    of: |it| it.shares.most,
    written: percent,
    better: Better::Neither,
    ..LATER
};

const CALLS: Column = Column {
    name: "calls",
    of: |it| it.trips,
    written: short,
    better: Better::Less,
    slack: (0.05, 0.0),
    why: "",
};

const OWN_TIME: Column = Column { name: "µs a permit", of: |it| it.processor[0] / 1e3, ..CALLS };

// Without a call it is that of the measurement.
const SERVERS_TIME: Column =
    Column { name: "µs, server", of: |it| it.processor[1] / 1e3, better: Better::Neither, ..CALLS };

const WAIT: Column = Column {
    name: "wait of the others, ms",
    of: |it| it.shares.idle_waits[0],
    slack: (0.1, 1.0),
    why: BOOKED,
    ..CALLS
};

const BOOKED: &str = "permits are booked for the hungry process first, up to those of a tenth of a second";

const LONGEST_WAIT: Column = Column { name: "longest, ms", of: |it| it.shares.idle_waits[1], ..WAIT };

/// The ratios come first.
const COLUMNS: [Column; 9] =
    [DELIVERED, LATER, LEAST, ABOVE, CALLS, OWN_TIME, SERVERS_TIME, WAIT, LONGEST_WAIT];

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

/// The table of a scene, from the outcomes of all rivals in each round.
pub(super) fn scene(report: &mut Report, scene: Scene, rounds: &[Vec<Outcome>]) {
    let mut head = vec!["".to_owned()];
    let mut lines: Vec<Vec<String>> = PARTIES.iter().map(|party| vec![party.name.to_owned()]).collect();
    let excessive: Vec<bool> = (0..PARTIES.len())
        .map(|party| rounds.iter().filter(|all| all[party].shares.exceeds).count() * 2 > rounds.len())
        .collect();
    for column in &COLUMNS {
        let of = |party: usize| rounds.iter().map(move |all| (column.of)(&all[party]));
        let values: Vec<f64> = (0..PARTIES.len()).map(|party| median(of(party))).collect();
        // What there is not in this scene.
        if values.iter().all(|value| value.is_nan()) {
            continue;
        }
        head.push(column.name.to_owned());
        for (party, &value) in values.iter().enumerate() {
            let text = if value.is_nan() { String::new() } else { (column.written)(value) };
            let marked = column.name == ABOVE.name && excessive[party];
            lines[party].push(if marked { format!("**{text}**") } else { text });
            report.keep(format!("{}, {}: {}", scene.name, PARTIES[party].name, column.name), of(party));
        }
        lose(report, scene, column, &values, &excessive);
    }
    report.table(&head, &lines);
    if excessive[0] {
        report.lose(format!("fleet: {}: more than the burst and what the rate brings", scene.name), "");
    }
}

/// A loss if rivals that keep the bound are better.
fn lose(report: &mut Report, scene: Scene, column: &Column, values: &[f64], excessive: &[bool]) {
    let ours = values[0];
    let (part, difference) = column.slack;
    let is_better = |theirs: f64| match column.better {
        // More than all is no better than all: what is left of a burst.
        Better::More => theirs.min(1.0) > ours * (1.0 + part) + difference,
        Better::Less => theirs * (1.0 + part) + difference < ours,
        Better::Neither => false,
    };
    let better: Vec<String> = (1..PARTIES.len())
        .filter(|&party| is_better(values[party]) && !excessive[party])
        .map(|party| format!("{} {}", PARTIES[party].name, (column.written)(values[party])))
        .collect();
    if !better.is_empty() {
        let ours = (column.written)(ours);
        report.lose(
            format!("fleet: {}, {}: {ours}; {}", scene.name, column.name, better.join(", ")),
            column.why,
        );
    }
}

/// The table of the speeds of one process.
pub(super) fn speeds(report: &mut Report, all: &Speeds) {
    let mut lines = Vec::new();
    for (tasks, rounds) in CALLERS.iter().zip(all) {
        let samples = |party: usize, of: fn(&Speed) -> f64| rounds.iter().map(move |all| of(&all[party]));
        let ratio = |party: usize, of: fn(&Speed) -> f64| -> Spread {
            spread(samples(party, of).zip(samples(0, of)).map(|(theirs, ours)| theirs / ours))
        };
        for (party, Party { name, .. }) in PARTIES.iter().enumerate() {
            let time = |of| short(median(samples(party, of)));
            let faster = ratio(party, RATE);
            lines.push(vec![
                (*name).to_owned(),
                tasks.to_string(),
                format!("{faster:.4}"),
                format!("{:.0}", spread(samples(party, RATE))),
                time(OWN),
                time(SERVERS),
            ]);
            report.keep(format!("{name}, tasks: {tasks}, calls a second"), samples(party, RATE));
            report.keep(format!("{name}, tasks: {tasks}, ns a call"), samples(party, OWN));
            report.keep(format!("{name}, tasks: {tasks}, ns a call, server"), samples(party, SERVERS));
            let cheaper = ratio(party, BOTH);
            if faster.median > 1.05 {
                report.lose(
                    format!(
                        "fleet: one process, tasks: {tasks}: {:.2} of the calls a second of {name}",
                        1.0 / faster.median
                    ),
                    "",
                );
            }
            if cheaper.median < 0.95 {
                report.lose(
                    format!(
                        "fleet: one process, tasks: {tasks}: {:.2} times the processor time of {name}",
                        1.0 / cheaper.median
                    ),
                    "",
                );
            }
        }
    }
    let head = ["", "tasks", "to tidegate", "calls a second", "ns a call", "ns, server"];
    report.table(&head, &lines);
}

const RATE: fn(&Speed) -> f64 = |speed| speed.rate;
const OWN: fn(&Speed) -> f64 = |speed| speed.processor[0];
const SERVERS: fn(&Speed) -> f64 = |speed| speed.processor[1];
const BOTH: fn(&Speed) -> f64 = |speed| speed.processor.iter().sum();
