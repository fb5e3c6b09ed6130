//! What tidegate has to do in each cell, and where a peer does better.

use super::{grid::Cell, measure::Outcome};
use crate::{
    rivals::{Rival, Ticker, names},
    stats::median,
};

/// What is to be delivered of the allowance: up to a million a second, and above.
const DELIVERED: f64 = 0.999;
const DELIVERED_ABOVE: f64 = 0.985;

/// What a grant may cost at this rate a second, as a multiple of what it costs the semaphore with its ticker.
const fn most_to_semaphore(rate: u32) -> f64 {
    match rate {
        0..100_000 => 1.25,
        100_000..=1_000_000 => 1.05,
        _ => 1.9,
    }
}

/// What came of one cell in one round.
pub(super) struct Round {
    /// Rival by rival; tidegate is the first.
    pub(super) outcomes: Vec<Outcome>,
    /// How many cores the machine's other work took meanwhile.
    pub(super) other_cores: f64,
}

/// What came of one cell, round by round.
pub(super) struct Results {
    pub(super) cell: Cell,
    pub(super) rounds: Vec<Round>,
}

impl Results {
    /// Of one rival, round by round.
    pub(super) fn each(&self, rival: usize, what: impl Fn(&Outcome) -> f64) -> Vec<f64> {
        self.rounds.iter().map(|round| what(&round.outcomes[rival])).collect()
    }

    /// The median over the rounds, of one rival.
    pub(super) fn of(&self, rival: usize, what: impl Fn(&Outcome) -> f64) -> f64 {
        median(self.each(rival, what))
    }

    /// What a grant of a rival costs, as a multiple of what it costs another one: the median of the rounds.
    pub(super) fn cost_to(&self, rival: usize, other: usize) -> f64 {
        median(self.rounds.iter().map(|round| round.outcomes[rival].cpu_us / round.outcomes[other].cpu_us))
    }
}

/// One thing that tidegate has to do in a cell.
pub(super) struct Gate {
    pub(super) value: String,
    pub(super) passed: bool,
    /// What is wrong, for the list of losses.
    failure: String,
}

/// The headings of the gates, in their order.
pub(super) const GATES: [&str; 3] = [
    "delivered, at least 99.9 % (98.5 % at 1e7)",
    "never above the bound",
    "cost to the semaphore, at most 1.25 (1.05 from 1e5, 1.9 at 1e7)",
];

/// Judges one cell.
pub(super) fn judge(results: &Results) -> [Gate; GATES.len()] {
    let rate = results.cell.rate;
    let share = results.of(0, |outcome| outcome.share);
    let wanted = if rate <= 1_000_000 { DELIVERED } else { DELIVERED_ABOVE };
    let delivered = Gate {
        value: format!("{:.2} %", share * 100.0),
        passed: share >= wanted,
        failure: format!("{:.2} % delivered; the promise is {:.1} %", share * 100.0, wanted * 100.0),
    };
    // Once is too often, so this is no median.
    let excess = results.rounds.iter().map(|round| round.outcomes[0].excess).fold(f64::MIN, f64::max);
    let bound = Gate {
        value: if excess <= 0.0 { "kept".to_owned() } else { format!("{excess:.1} above") },
        passed: excess <= 0.0,
        failure: format!("{excess:.1} permits above the bound"),
    };
    let semaphore = names().iter().position(|&name| name == Ticker::NAME).expect("it is there");
    let (ratio, wanted) = (results.cost_to(0, semaphore), most_to_semaphore(rate));
    let cost = Gate {
        value: format!("{ratio:.3}"),
        passed: ratio <= wanted,
        failure: format!("a grant costs {ratio:.3} of what it costs the semaphore; the aim is {wanted}"),
    };
    [delivered, bound, cost]
}

/// Every failed gate of a cell, and every rival that is ahead in it.
pub(super) fn losses(results: &Results, gates: &[Gate]) -> Vec<String> {
    let cell = results.cell;
    let failed = gates.iter().filter(|gate| !gate.passed);
    let mut losses: Vec<String> = failed.map(|gate| format!("{cell}: {}", gate.failure)).collect();
    let share = |rival| results.of(rival, |outcome| outcome.share);
    let (mut more, mut cheaper) = (Vec::new(), Vec::new());
    for (rival, name) in names().into_iter().enumerate().skip(1) {
        let (own, other) = (share(0), share(rival));
        if own < other - 0.001 {
            more.push(format!("{name} {:.2} %", 100.0 * other));
        }
        let ratio = results.cost_to(0, rival);
        // For the semaphore there is a gate.
        if name != Ticker::NAME && ratio > 1.02 {
            cheaper
                .push(format!("{ratio:.2} times as much as with {name} ({:.0} % delivered)", 100.0 * other));
        }
    }
    if !more.is_empty() {
        losses.push(format!("{cell}: {:.2} % delivered, by {}", 100.0 * share(0), more.join(", ")));
    }
    if !cheaper.is_empty() {
        losses.push(format!("{cell}: a grant costs {}", cheaper.join(", ")));
    }
    losses
}
