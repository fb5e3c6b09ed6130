//! A clock that steps back and forward, by a little and by hours, and whose threads read times up to a millisecond apart.
//!
//! 1. The bound: what is admitted in any window is at most `burst + rate * (w + catch_up + 2 * skew)`. A window is
//!    measured in believed time, which is what the clock went forward. A step back takes none of it.
//! 2. Recovery: once the clock is steady, a permit is admitted within the time of one permit, or of the debt, and twice
//!    the skew.

mod history;
mod rate;
mod rules;
mod subject;

use self::{history::history, rules::Rules};
use crate::{Outcome, each_seed, failures, random::Random};

const HISTORIES: u64 = 25_000;
/// Enough for the wrong rules.
const FEW: u64 = 6_000;

fn bound(random: &mut Random, rules: Option<Rules>) -> Outcome {
    let [bound, _] = history(random, rules);
    bound
}

fn recovery(random: &mut Random, rules: Option<Rules>) -> Outcome {
    let [_, recovery] = history(random, rules);
    recovery
}

#[test]
fn a_clock_that_steps_back_admits_nothing_extra() {
    each_seed(HISTORIES, |random| bound(random, None));
}

#[test]
fn after_a_step_back_permits_are_soon_admitted_again() {
    each_seed(HISTORIES, |random| recovery(random, None));
}

#[test]
fn with_all_rules_both_hold() {
    each_seed(FEW, |random| {
        let [bound, recovery] = history(random, Some(Rules::All));
        bound.and(recovery)
    });
}

#[test]
fn each_rule_is_needed() {
    for rules in [Rules::Full, Rules::NoDebts] {
        let found = failures(FEW, |random| bound(random, Some(rules)));
        assert!(found > 0, "{rules:?} keeps the bound");
    }
    for rules in [Rules::NoLockToRefuse, Rules::NothingBeforeTheOrigin, Rules::OldDebts] {
        let found = failures(FEW, |random| recovery(random, Some(rules)));
        assert!(found > 0, "{rules:?} recovers");
    }
}
