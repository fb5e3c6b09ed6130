//! What tidegate has to do in each cell, and where a peer does better.

use super::{GOVERNOR, PARTIES, SEMAPHORE, grid::Cell, measure::Outcome};
use crate::stats::median;

/// What is to be delivered of the allowance: up to a million a second, and above.
const DELIVERED: f64 = 0.999;
const DELIVERED_ABOVE: f64 = 0.98;

/// What a grant may cost, as a multiple of what it costs the semaphore with its ticker, and governor.
const TO_SEMAPHORE: f64 = 0.8;
const TO_GOVERNOR: f64 = 0.1;

/// Up to this rate the counts of tasks that start at once differ by at most one.
const EVEN_RATE: u32 = 100_000;

/// What came of one cell in one round.
pub(super) struct Round {
    /// Party by party.
    pub(super) outcomes: [Outcome; PARTIES.len()],
    /// How many cores the machine's other work took meanwhile.
    pub(super) other_cores: f64,
}

/// What came of one cell, round by round.
pub(super) struct Results {
    pub(super) cell: Cell,
    pub(super) rounds: Vec<Round>,
}

impl Results {
    /// The median over the rounds, of one party.
    pub(super) fn of(&self, party: usize, what: impl Fn(&Outcome) -> f64) -> f64 {
        median(self.rounds.iter().map(|round| what(&round.outcomes[party])))
    }

    /// What a grant of tidegate costs, as a multiple of what it costs a peer: the median of the rounds.
    pub(super) fn cost_to(&self, peer: usize) -> f64 {
        median(self.rounds.iter().map(|round| round.outcomes[0].cpu_us / round.outcomes[peer].cpu_us))
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
pub(super) const GATES: [&str; 5] = [
    "delivered, at least 99.9 % (98 % at 1e7)",
    "never above the bound",
    "cost to the semaphore, at most 0.8",
    "cost to governor, at most 0.1",
    "rounds apart, at most 1 up to 1e5",
];

/// Judges one cell; `None` where a gate does not apply.
pub(super) fn judge(results: &Results) -> [Option<Gate>; GATES.len()] {
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
    let cost = |peer: usize, wanted: f64| {
        let ratio = results.cost_to(peer);
        let name = PARTIES[peer].0;
        Gate {
            value: format!("{ratio:.3}"),
            passed: ratio <= wanted,
            failure: format!("a grant costs {ratio:.3} of what it costs {name}; the aim is {wanted}"),
        }
    };
    let apart = results.of(0, |outcome| outcome.rounds_apart);
    let even = Gate {
        value: format!("{apart}"),
        passed: apart <= 1.0,
        failure: format!("the counts of two tasks differ by {apart}; the promise is 1"),
    };
    [
        Some(delivered),
        Some(bound),
        Some(cost(SEMAPHORE, TO_SEMAPHORE)),
        Some(cost(GOVERNOR, TO_GOVERNOR)),
        (rate <= EVEN_RATE).then_some(even),
    ]
}

/// Every failed gate of a cell, and every peer that is ahead in it.
pub(super) fn losses(results: &Results, gates: &[Option<Gate>]) -> Vec<String> {
    let cell = results.cell;
    let failed = gates.iter().flatten().filter(|gate| !gate.passed);
    let mut losses: Vec<String> = failed.map(|gate| format!("{cell}: {}", gate.failure)).collect();
    let share = |party| results.of(party, |outcome| outcome.share);
    for (peer, (name, _)) in PARTIES.iter().enumerate().skip(1) {
        if share(0) < share(peer) - 0.001 {
            losses.push(format!(
                "{cell}: {:.2} % delivered, by {name} {:.2} %",
                share(0) * 100.0,
                share(peer) * 100.0
            ));
        }
        let ratio = results.cost_to(peer);
        // For the others there is a gate.
        if peer != SEMAPHORE && peer != GOVERNOR && ratio > 1.02 {
            losses.push(format!("{cell}: a grant costs {ratio:.2} times as much as with {name}"));
        }
    }
    losses
}
