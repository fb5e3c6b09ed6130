//! Grants of equal cost, dropped late and in any order, between calls that do not wait: the bound holds in
//! every window, and nothing is lost while the bucket cannot have been full.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tidegate::{AcquireN, Clock, ManualClock, Quota, RateLimiter};

use super::windows::{Log, check_windows};

type Waiter<'a> = Pin<Box<AcquireN<'a, ManualClock>>>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    Try,
    TryAll,
    Join,
    /// Drop a waiter, granted or not, without a look at it.
    Drop(usize),
    /// Let a waiter look, and keep what it has.
    Look(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        // Mostly whole periods, so that arrival times and readings coincide.
        1 => (0_u64..4_000).prop_map(Step::Advance),
        2 => (0_u64..5).prop_map(|s| Step::Advance(s * 1_000)),
        2 => Just(Step::Try),
        1 => Just(Step::TryAll),
        4 => Just(Step::Join),
        3 => (0_usize..100).prop_map(Step::Drop),
        2 => (0_usize..100).prop_map(Step::Look),
    ];
    prop::collection::vec(step, 1..60)
}

/// Runs the steps. Returns the permits used without waiting, with their times, and the permits that waiters kept. At
/// the end all remaining waiters leave.
fn run(limiter: &RateLimiter<ManualClock>, clock: &ManualClock, cost: u64, steps: &[Step]) -> (Log, u64) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiters: Vec<Waiter<'_>> = Vec::new();
    let (mut used, mut kept) = (Log::new(), 0);
    for &step in steps {
        match step {
            Step::Advance(ms) => clock.advance(Duration::from_millis(ms)),
            Step::Try if limiter.try_acquire_n(cost).is_ok() => used.push((clock.now(), cost)),
            Step::TryAll => used.push((clock.now(), limiter.try_acquire_up_to(u64::MAX))),
            Step::Join => {
                let mut waiter = Box::pin(limiter.acquire_n(cost));
                if waiter.as_mut().poll(&mut cx).is_ready() {
                    used.push((clock.now(), cost));
                } else {
                    waiters.push(waiter);
                }
            }
            Step::Drop(i) if !waiters.is_empty() => drop(waiters.remove(i % waiters.len())),
            Step::Look(i) if !waiters.is_empty() => {
                let i = i % waiters.len();
                if waiters[i].as_mut().poll(&mut cx).is_ready() {
                    kept += cost;
                    drop(waiters.remove(i));
                }
            }
            _ => {}
        }
    }
    (used, kept)
}

proptest! {
    /// Only what goes through calls that do not wait, or is taken at once, is counted: grants that are
    /// never looked at may be dropped, so whatever they give back must fit under the bound with the rest.
    #[test]
    fn keep_to_the_bound(burst in 1_u64..12, cost in 1_u64..6, steps in steps()) {
        let cost = cost.min(burst);
        let clock = ManualClock::new();
        let quota = Quota::per_second(1).with_burst(burst).with_catch_up(Duration::ZERO);
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let (used, _) = run(&limiter, &clock, cost, &steps);
        check_windows(&quota, 0, &used)?;
    }

    /// A bucket that starts empty and is too large to fill keeps exact books.
    #[test]
    fn lose_nothing_where_the_bucket_is_never_full(cost in 1_u64..6, steps in steps()) {
        let clock = ManualClock::new();
        let quota = Quota::per_second(1).with_burst(1_000_000).with_initial(0).with_catch_up(Duration::ZERO);
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let (used, kept) = run(&limiter, &clock, cost, &steps);
        let taken = kept + used.iter().map(|(_, n)| n).sum::<u64>();
        prop_assert_eq!(limiter.waiting(), 0);
        prop_assert_eq!(limiter.available(), (clock.now() / 1_000_000_000) as i64 - taken as i64);
    }
}
