//! Alarms that ring late, waiters dropped at any time, and calls that do not wait in between: the credit of late alarms
//! stays within what catch-up allows, whether callers take it with or without the lock.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tidegate::{AcquireNOwned, Clock, Quota, RateLimiter};

use super::windows::{Log, check_windows};
use crate::late_clock::LateClock;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// In quarters of the time of one permit.
    Advance(u64),
    Ring,
    Try,
    TryAll,
    Join(u64),
    /// Drop a waiter, granted or not, without a look at it.
    Drop(usize),
    /// Let a waiter look, and keep what it has.
    Look(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..24).prop_map(Step::Advance),
        3 => Just(Step::Ring),
        1 => Just(Step::Try),
        1 => Just(Step::TryAll),
        5 => (1_u64..4).prop_map(Step::Join),
        2 => (0_usize..100).prop_map(Step::Drop),
        3 => (0_usize..100).prop_map(Step::Look),
    ];
    prop::collection::vec(step, 1..80)
}

/// A quarter of the time of one permit, at so many a second.
fn quarter_ns(rate: u64) -> u64 {
    1_000_000_000 / rate / 4
}

/// What was used, and when. A grant is used at the time it was made, which is at or before the
/// time that a waiter looks: so what a waiter holds is counted when it joins the used ones, and only those
/// that are used at once tell about windows.
fn run(quota: Quota, steps: &[Step]) -> Log {
    let clock = LateClock::default();
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiters: Vec<Pin<Box<AcquireNOwned<LateClock>>>> = Vec::new();
    let mut used = Log::new();
    for &step in steps {
        match step {
            Step::Advance(quarters) => {
                clock.now.fetch_add(quarters * quarter_ns(quota.permits()), Ordering::Relaxed);
            }
            Step::Ring => clock.ring(),
            Step::Try if limiter.try_acquire().is_ok() => used.push((clock.now(), 1)),
            Step::TryAll => used.push((clock.now(), limiter.try_acquire_up_to(u64::MAX))),
            Step::Join(n) => {
                let n = n.min(quota.burst());
                let mut waiter = Box::pin(limiter.acquire_n_owned(n));
                if waiter.as_mut().poll(&mut cx).is_ready() {
                    used.push((clock.now(), n));
                } else {
                    waiters.push(waiter);
                }
            }
            Step::Drop(i) if !waiters.is_empty() => drop(waiters.remove(i % waiters.len())),
            Step::Look(i) if !waiters.is_empty() => {
                let i = i % waiters.len();
                if waiters[i].as_mut().poll(&mut cx).is_ready() {
                    drop(waiters.remove(i));
                }
            }
            _ => {}
        }
    }
    used
}

proptest! {
    /// At a rate at which credit is taken without the lock, and at one at which it is shared out.
    #[test]
    fn keep_to_the_bound(
        fast in any::<bool>(),
        burst in 1_u64..6,
        catch_up in 0_u64..40,
        steps in steps(),
    ) {
        let rate = if fast { 1_000_000 } else { 1_000 };
        let catch_up_ns = catch_up * quarter_ns(rate);
        let quota = Quota::per_second(rate).with_burst(burst).with_catch_up(Duration::from_nanos(catch_up_ns));
        check_windows(&quota, catch_up_ns, &run(quota, &steps))?;
    }
}
