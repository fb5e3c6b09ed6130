//! Linearizability: whatever several threads do to one limiter at once, and to its clock, there is an order of their
//! calls, each within its own time, in which one after the other gives the very same answers by exact arithmetic.
//!
//! Histories are recorded, and searched for such an order (Wing and Gong 1993). How the threads interleave is up to
//! the machine, so what fails is printed whole: the seed for the calls, and the history, which can be checked again.
//!
//! | histories of                            | by which specification                                  |
//! |-----------------------------------------|---------------------------------------------------------|
//! | calls that do not wait, and changes of quota (`plain.rs`) | the bucket, exact to a tick (`spec.rs`) |
//! | shares, by core and by `Local` (`shares.rs`) | the bucket in parts: a permit on its way is nowhere else |
//! | several limits at once, all or nothing (`several.rs`) | the buckets, of which all are taken from in one step |
//! | calls that wait for several limits, and waiters (`groups.rs`) | the buckets and their queues; a group waits for one limit after the other, and then for all at once (`groups_spec.rs`) |
//! | waiters, beside calls that do not wait (`waiters.rs`) | the bucket and a queue, first in first out  |
//! | the same while the clock moves (`timed.rs`) | the arrival time, a queue, and an alarm (`timed_spec.rs`) |

#[path = "soak/calls.rs"]
mod calls;
#[path = "support/random.rs"]
mod random;

#[path = "linearizability/checker.rs"]
mod checker;
#[path = "linearizability/groups.rs"]
mod groups;
#[path = "linearizability/groups_spec.rs"]
mod groups_spec;
#[path = "linearizability/groups_state.rs"]
mod groups_state;
#[path = "linearizability/plain.rs"]
mod plain;
#[path = "linearizability/record.rs"]
mod record;
#[path = "linearizability/several.rs"]
mod several;
#[path = "linearizability/shares.rs"]
mod shares;
#[path = "linearizability/spec.rs"]
mod spec;
#[path = "linearizability/timed.rs"]
mod timed;
#[path = "linearizability/timed_spec.rs"]
mod timed_spec;
#[path = "linearizability/timed_state.rs"]
mod timed_state;
#[path = "linearizability/waiters.rs"]
mod waiters;
#[path = "linearizability/wrong.rs"]
mod wrong;
#[path = "linearizability/wrong/groups.rs"]
mod wrong_groups;
#[path = "linearizability/wrong/several.rs"]
mod wrong_several;
#[path = "linearizability/wrong/shares.rs"]
mod wrong_shares;
#[path = "linearizability/wrong/timed.rs"]
mod wrong_timed;
#[path = "linearizability/wrong/waiters.rs"]
mod wrong_waiters;

use random::Random;
use record::check;

#[test]
fn every_history_has_an_order() {
    let rates = [(1, 1_000), (3, 1_000), (1_000, 1_000_000_000), (7, 60_000)];
    check(2_000, |seed| plain::run(&mut Random(seed), &[rates[seed as usize % 4]]));
}

/// Of the same rate with another burst; of rates that divide one another; and of ticks that do not, so that levels
/// are rounded.
#[test]
fn every_history_with_changes_of_quota_has_an_order() {
    let rates = [(1, 1_000), (1, 1_000), (2, 1_000), (5, 1_000), (7, 60_000)];
    check(2_000, |seed| {
        let mut random = Random(seed);
        let count = 2 + random.below(2);
        let rates: Vec<_> = (0..count).map(|_| rates[random.below(5) as usize]).collect();
        plain::run(&mut random, &rates)
    });
}

#[test]
fn every_history_of_shares_has_an_order() {
    check(2_000, |seed| shares::run(&mut Random(seed)));
}

#[test]
fn every_history_of_several_limits_has_an_order() {
    check(2_000, |seed| several::run(&mut Random(seed)));
}

#[test]
fn every_history_with_waiters_has_an_order() {
    check(1_000, |seed| waiters::run(&mut Random(seed)));
}

#[test]
fn every_history_with_alarms_has_an_order() {
    check(500, |seed| timed::run(&mut Random(seed)));
}

#[test]
fn every_history_with_groups_has_an_order() {
    check(200, |seed| groups::run(&mut Random(seed)));
}
