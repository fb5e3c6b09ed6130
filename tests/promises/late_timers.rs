//! Alarms that ring late, waiters dropped at any time, and calls that do not wait in between: the credit that
//! lateness leaves stays within what catch-up allows, whoever takes it, with or without the lock.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tidegate::{AcquireNOwned, Clock, Quota, RateLimiter};

/// A clock whose one alarm rings when told to.
#[derive(Clone, Debug, Default)]
struct LateClock {
    now: Arc<AtomicU64>,
    alarm: Arc<Mutex<Option<(u64, Waker)>>>,
}

impl Clock for LateClock {
    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        *self.alarm.lock().unwrap() = Some((deadline, waker.clone()));
        true
    }
}

impl LateClock {
    /// Rings, if the alarm is due.
    fn ring(&self) {
        let due = self.alarm.lock().unwrap().take_if(|(deadline, _)| *deadline <= self.now());
        if let Some((_, waker)) = due {
            waker.wake();
        }
    }
}

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

/// What was used, and when, in quarters. A grant is used at the time it was made, which is at or before the
/// time that a waiter looks: so what a waiter holds is counted when it joins the used ones, and only those
/// that are used at once tell about windows.
fn run(rate: u64, burst: u64, catch_up: u64, steps: &[Step]) -> Vec<(u64, u64)> {
    let quarter_ns = 1_000_000_000 / rate / 4;
    let clock = LateClock::default();
    let catch_up = Duration::from_nanos(catch_up * quarter_ns);
    let quota = Quota::per_second(rate).burst(burst).catch_up(catch_up);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiters: Vec<Pin<Box<AcquireNOwned<LateClock>>>> = Vec::new();
    let (mut now, mut used) = (0, Vec::new());
    for &step in steps {
        match step {
            Step::Advance(quarters) => {
                clock.now.fetch_add(quarters * quarter_ns, Ordering::Relaxed);
                now += quarters;
            }
            Step::Ring => clock.ring(),
            Step::Try if limiter.try_acquire().is_ok() => used.push((now, 1)),
            Step::TryAll => used.push((now, limiter.try_acquire_up_to(u64::MAX))),
            Step::Join(n) => {
                let n = n.min(burst);
                let mut waiter = Box::pin(limiter.acquire_n_owned(n));
                if waiter.as_mut().poll(&mut cx).is_ready() {
                    used.push((now, n));
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
        let used = run(rate, burst, catch_up, &steps);
        for from in 0..used.len() {
            let mut sum = 0;
            for (at, n) in &used[from..] {
                sum += n;
                let most = burst * 4 + (at - used[from].0) + catch_up;
                prop_assert!(sum * 4 <= most, "{sum} from {} to {at}", used[from].0);
            }
        }
    }
}
