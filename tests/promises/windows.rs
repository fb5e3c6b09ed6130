//! The bound, in every window, with waiters whose alarms ring late.

use std::{
    collections::VecDeque,
    future::Future,
    sync::atomic::Ordering,
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tidegate::{Clock, ManualClock, Quota, RateLimiter};

use super::waiter::Waiter;
use crate::late_clock::LateClock;

const MS: u64 = 1_000_000;

/// What was admitted, and when: nanoseconds and permits.
pub(crate) type Log = Vec<(u64, u64)>;

/// Fails unless every window keeps to `burst + rate * (w + catch_up)`.
pub(crate) fn check_windows(quota: &Quota, catch_up_ns: u64, log: &Log) -> Result<(), TestCaseError> {
    let period = quota.period().as_nanos();
    for (i, (from, _)) in log.iter().enumerate() {
        let mut sum = 0;
        for (to, n) in &log[i..] {
            sum += n;
            let earned = u128::from(to - from + catch_up_ns) * u128::from(quota.permits());
            let bound = u128::from(quota.burst()) * period + earned;
            prop_assert!(u128::from(sum) * period <= bound, "{} from {} to {} ns", sum, from, to);
        }
    }
    Ok(())
}

/// One random run: callers come, the alarm rings, waiters leave. `late_leavers`: granted waiters that have not been
/// polled since leave, too.
fn run(quota: Quota, steps: &[(u8, u64, u64)], late_leavers: bool) -> Result<(), TestCaseError> {
    let clock = LateClock::default();
    clock.now.store(1_000_000 * MS, Ordering::Relaxed);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut waiting: VecDeque<Waiter<LateClock>> = VecDeque::new();
    let (mut log, mut tries) = (Log::new(), Log::new());
    for &(kind, n, ns) in steps {
        match kind {
            0 => {
                if limiter.try_acquire_n(n).is_ok() {
                    prop_assert!(waiting.iter().all(Waiter::is_told), "a newcomer passed the queue");
                    log.push((clock.now(), n));
                    tries.push((clock.now(), n));
                }
            }
            1..=3 if n <= quota.burst() => {
                let mut waiter = Waiter::new(&limiter, n);
                if waiter.poll() == Poll::Ready(Ok(())) {
                    prop_assert!(waiting.iter().all(Waiter::is_told), "a waiter passed the queue");
                    log.push((clock.now(), n));
                } else {
                    waiting.push_back(waiter);
                }
            }
            4 if !waiting.is_empty() => {
                let i = ns as usize % waiting.len();
                if late_leavers || !waiting[i].is_told() {
                    drop(waiting.remove(i));
                }
            }
            5 => {
                // One that has been granted looks at last.
                if let Some(i) = waiting.iter().position(Waiter::is_told) {
                    let mut waiter = waiting.remove(i).unwrap();
                    prop_assert_eq!(waiter.poll(), Poll::Ready(Ok(())));
                    log.push((waiter.told_at().unwrap(), waiter.n));
                }
            }
            6 => clock.ring(),
            _ => {
                clock.now.fetch_add(ns, Ordering::Relaxed);
                if ns % 2 == 0 {
                    clock.ring();
                }
            }
        }
        let granted = waiting.iter().position(|waiter| !waiter.is_told()).unwrap_or(waiting.len());
        let behind = waiting.iter().skip(granted).any(Waiter::is_told);
        prop_assert!(!behind, "granted out of order");
    }
    for mut waiter in waiting.into_iter().filter(Waiter::is_told) {
        prop_assert_eq!(waiter.poll(), Poll::Ready(Ok(())));
        log.push((waiter.told_at().unwrap(), waiter.n));
    }
    log.sort_unstable();
    // Calls that do not wait may not use the credit of waiters.
    check_windows(&quota, 0, &tries)?;
    check_windows(&quota, quota.catch_up().as_nanos() as u64, &log)
}

fn steps() -> impl Strategy<Value = Vec<(u8, u64, u64)>> {
    prop::collection::vec((0..10_u8, 1..6_u64, 0..60 * MS), 1..150)
}

fn quota() -> impl Strategy<Value = Quota> {
    (1..200_u64, 1..8_u64, prop::sample::select(vec![0, 1, 10, 50])).prop_map(|(permits, burst, catch_up)| {
        Quota::per_second(permits)
            .with_burst(burst)
            .with_initial(0)
            .with_catch_up(Duration::from_millis(catch_up))
    })
}

proptest! {
    #[test]
    fn late_alarms_keep_to_the_bound_and_the_order(quota in quota(), steps in steps()) {
        run(quota, &steps, false)?;
    }

    /// A grant that its waiter did not live to use is none; what it gives back must not become a second
    /// burst.
    #[test]
    fn those_who_leave_with_a_grant_keep_to_the_bound(quota in quota(), steps in steps()) {
        run(quota, &steps, true)?;
    }
}

/// From one a year to a trillion a second: the quota, what is asked for at a time, and the time that brings it.
fn any_rate() -> impl Strategy<Value = (Quota, u64, u64)> {
    let rate = prop::sample::select(vec![
        (1, 31_557_600_000 * MS),
        (3, 86_400_000 * MS),
        (7, 60_000 * MS),
        (999_983, 1_000 * MS),
        (2_000_000_000, 1_000 * MS),
        (1_000_000_000_000, 1_000 * MS),
    ]);
    (rate, 1..8_u64, 0..3_u64).prop_map(|((permits, period_ns), burst, catch_up)| {
        let unit = (permits / period_ns).max(1);
        let brought_ns = (period_ns * unit).div_ceil(permits);
        let quota =
            Quota::new(permits, Duration::from_nanos(period_ns)).with_burst(burst * unit).with_initial(0);
        (quota.with_catch_up(Duration::from_nanos(catch_up * brought_ns)), unit, brought_ns)
    })
}

proptest! {
    #[test]
    fn every_window_is_within_the_bound_at_any_rate(
        (quota, unit, brought_ns) in any_rate(),
        late_leavers in any::<bool>(),
        steps in prop::collection::vec((0..10_u8, 1..6_u64, 0..6_u64, 0..2_u64), 1..150),
    ) {
        // In quarters of that time, and a nanosecond. All of them are fewer years than the clock can show.
        let steps: Vec<_> = steps
            .into_iter()
            .map(|(kind, n, quarters, more)| (kind, n * unit, brought_ns * quarters / 4 + more))
            .collect();
        run(quota, &steps, late_leavers)?;
    }
}

/// Ten are granted to `first` at 10 s, and ten to `second` at 20 s. Had `first` not been there, the bucket
/// would have been full from 10 s on; so when it leaves at 20 s it has nothing to give back.
#[test]
fn a_grant_that_is_dropped_late_is_no_second_burst() {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).with_burst(10).with_initial(0).with_catch_up(Duration::ZERO);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut first = Box::pin(limiter.acquire_n(10));
    let mut second = Box::pin(limiter.acquire_n(10));
    assert!(first.as_mut().poll(&mut cx).is_pending());
    assert!(second.as_mut().poll(&mut cx).is_pending());
    clock.advance(Duration::from_secs(20));
    assert!(second.as_mut().poll(&mut cx).is_ready());
    drop(first);
    assert!(limiter.try_acquire().is_err(), "more than a burst of ten at 20 s");
}
