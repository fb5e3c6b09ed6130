//! The quota changes again and again while waiters come and leave: no window sees more than the larger quota allows,
//! and no permit is lost.

use std::{task::Poll, time::Duration};

use num_rational::Ratio;
use proptest::prelude::*;
use tidegate::{AcquireError, Clock, Inherit, ManualClock, Quota, RateLimiter};

use super::{
    waiter::Waiter,
    windows::{Log, check_windows},
};

type Exact = Ratio<i128>;

/// Permits in so many milliseconds, and a burst.
type Plain = (u64, u64, u64);

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    Try(u64),
    Change(Plain, Inherit),
    Join(u64),
    Drop(usize),
    Look(usize),
}

fn quota((permits, period_ms, burst): Plain) -> Quota {
    Quota::new(permits, Duration::from_millis(period_ms)).with_burst(burst).with_catch_up(Duration::ZERO)
}

fn plain() -> impl Strategy<Value = Plain> {
    (1_u64..8, prop_oneof![Just(1_000_u64), Just(700), Just(3_000)], 1_u64..12)
}

/// With waiters, and with changes that keep what there is, or else what is missing.
fn waits() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![Just(Inherit::AsIs), Just(Inherit::Additively)].prop_flat_map(waits_with)
}

fn waits_with(inherit: Inherit) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0_u64..2_000).prop_map(Step::Advance),
        2 => (0_u64..3).prop_map(|s| Step::Advance(s * 1_000)),
        2 => (1_u64..12).prop_map(Step::Try),
        4 => (1_u64..6).prop_map(Step::Join),
        3 => (0_usize..100).prop_map(Step::Drop),
        2 => (0_usize..100).prop_map(Step::Look),
        2 => plain().prop_map(move |to| Step::Change(to, inherit)),
    ];
    prop::collection::vec(step, 1..60)
}

fn whole(n: u64) -> Exact {
    Exact::from_integer(n.into())
}

/// Runs steps with waiters. Returns the permits used (for a waiter, with the time of its grant), and the permits
/// earned.
fn run(limiter: &RateLimiter<ManualClock>, first: Plain, steps: &[Step]) -> (Log, Exact) {
    let clock = limiter.clock();
    let mut waiters: Vec<Waiter<ManualClock>> = Vec::new();
    let (mut used, mut tried) = (Log::new(), Log::new());
    let (mut rate, mut earned) = (first, whole(0));
    let mut look = |waiter: &mut Waiter<ManualClock>| {
        match waiter.poll() {
            Poll::Ready(Ok(())) => used.push((waiter.told_at().unwrap(), waiter.n)),
            Poll::Ready(Err(denied)) => assert!(matches!(denied, AcquireError::TooMany(_)), "{denied}"),
            Poll::Pending => return false,
        }
        true
    };
    for &step in steps {
        match step {
            Step::Advance(ms) => {
                clock.advance(Duration::from_millis(ms));
                earned += whole(rate.0) * whole(ms) / whole(rate.1);
            }
            Step::Try(n) if limiter.try_acquire_n(n).is_ok() => tried.push((clock.now(), n)),
            Step::Change(to, inherit) => {
                limiter.set_quota_with(quota(to), inherit).unwrap();
                rate = to;
            }
            Step::Join(n) => {
                let mut waiter = Waiter::new(limiter, n);
                if !look(&mut waiter) {
                    waiters.push(waiter);
                }
            }
            Step::Drop(i) if !waiters.is_empty() => drop(waiters.remove(i % waiters.len())),
            Step::Look(i) if !waiters.is_empty() => {
                let i = i % waiters.len();
                if look(&mut waiters[i]) {
                    waiters.remove(i);
                }
            }
            _ => {}
        }
    }
    // Granted waiters that have not been polled since.
    waiters.iter_mut().filter(|waiter| waiter.is_told()).for_each(|waiter| assert!(look(waiter)));
    used.append(&mut tried);
    used.sort_unstable();
    (used, earned)
}

proptest! {
    /// However often the quota changes, if always in the same way.
    #[test]
    fn no_window_sees_more_than_the_larger_quota_allows(first in plain(), steps in waits()) {
        let limiter = RateLimiter::with_clock(quota(first).with_initial(0), ManualClock::new());
        let (used, _) = run(&limiter, first, &steps);
        let quotas = steps.iter().filter_map(|step| match step {
            Step::Change(to, _) => Some(*to),
            _ => None,
        });
        let all: Vec<_> = quotas.chain([first]).collect();
        let rate = |&(permits, period_ms, _): &Plain| whole(permits) / whole(period_ms);
        let (permits, period_ms, _) = all.iter().copied().max_by_key(rate).unwrap();
        let burst = all.iter().map(|&(.., burst)| burst).max().unwrap();
        check_windows(&quota((permits, period_ms, burst)), 0, &used)?;
    }

    /// A bucket too large to fill keeps its books through changes and cancellations.
    #[test]
    fn nothing_is_lost_where_the_bucket_is_never_full(first in plain(), steps in waits()) {
        let large = |(permits, period_ms, _): Plain| (permits, period_ms, 1_000_000);
        let steps: Vec<_> = steps
            .iter()
            .map(|step| match *step {
                Step::Change(to, _) => Step::Change(large(to), Inherit::AsIs),
                other => other,
            })
            .collect();
        let limiter = RateLimiter::with_clock(quota(large(first)).with_initial(0), ManualClock::new());
        let (used, earned) = run(&limiter, large(first), &steps);
        prop_assert_eq!(limiter.waiting(), 0);
        let taken = used.iter().map(|(_, n)| n).sum::<u64>();
        let level = earned - whole(taken);
        let slack = Exact::new(steps.len() as i128, 1_000);
        let found = Exact::from_integer(limiter.available().into());
        prop_assert!(found <= level && found >= (level - slack).floor(), "{found} of {level}");
    }
}
