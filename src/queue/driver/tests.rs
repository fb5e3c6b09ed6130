//! The driver under clocks of the test's own: hand-offs, wakes, alarms, clocks that panic or step back.

mod alarms;
mod blocking;
mod hand_off;
mod panics;
mod parking;
#[cfg(all(feature = "tokio", not(miri)))]
mod runtimes;
mod waiters;

use core::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{sync::Arc, task::Wake};

use super::{super::guarded::HandOff, hand_off::LATE_NS, *};
use crate::{AcquireN, Denied, ManualClock, RateLimiter, sync::plain::Mutex};

pub(super) const SECOND: u64 = 1_000_000_000;
pub(super) const START: u64 = 100 * SECOND;

/// A clock that moves only when it is set, and keeps the alarms that are set, which ring only when the test says so.
#[derive(Clone, Debug, Default)]
pub(super) struct Dial(Arc<DialState>);

#[derive(Debug, Default)]
struct DialState {
    now: AtomicU64,
    /// By how much each reading moves it.
    pace: AtomicU64,
    /// How many readings there are until one panics; zero if none does.
    panics: AtomicUsize,
    alarms: Mutex<Vec<(u64, Waker)>>,
}

impl Dial {
    pub(super) fn set(&self, now_ns: u64) {
        self.0.now.store(now_ns, Relaxed);
    }

    pub(super) fn advance(&self, ns: u64) {
        self.0.now.fetch_add(ns, Relaxed);
    }

    /// From now on, each reading moves it by that.
    pub(super) fn pass(&self, ns_a_reading: u64) {
        self.0.pace.store(ns_a_reading, Relaxed);
    }

    /// The reading after so many panics.
    pub(super) fn panic_after(&self, readings: usize) {
        self.0.panics.store(readings + 1, Relaxed);
    }

    pub(super) fn is_set_to_panic(&self) -> bool {
        self.0.panics.load(Relaxed) > 0
    }

    /// Whether no reading has panicked since it was told to; none will.
    pub(super) fn calm(&self) -> bool {
        self.0.panics.swap(0, Relaxed) > 0
    }

    /// The deadlines of all alarms that were set so far.
    pub(super) fn deadlines(&self) -> Vec<u64> {
        self.0.alarms.lock().iter().map(|(deadline_ns, _)| *deadline_ns).collect()
    }

    /// The alarm that was set last rings.
    pub(super) fn ring(&self) {
        let alarm_waker = self.0.alarms.lock().last().map(|(_, alarm_waker)| alarm_waker.clone());
        alarm_waker.expect("no alarm was set").wake();
    }
}

impl Clock for Dial {
    fn now(&self) -> u64 {
        let left = self.0.panics.load(Relaxed);
        if left > 0 {
            self.0.panics.store(left - 1, Relaxed);
            assert!(left > 1, "a clock that panics, on purpose");
        }
        self.0.now.fetch_add(self.0.pace.load(Relaxed), Relaxed)
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        self.0.alarms.lock().push((deadline, waker.clone()));
        true
    }
}

/// How often it was woken.
#[derive(Default)]
pub(super) struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Counter {
    pub(super) fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// What a waker does when it is woken.
pub(super) struct Does<F>(pub(super) F);

impl<F: Fn() + Send + Sync + 'static> Wake for Does<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

pub(super) fn waker(does: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Does(does)))
}

pub(super) fn dialed(text: &str) -> (RateLimiter<Dial>, Dial) {
    let clock = Dial::default();
    clock.set(START);
    (RateLimiter::with_clock(text.parse().unwrap(), clock.clone()), clock)
}

pub(super) fn manual(text: &str) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::starting_at(START);
    (RateLimiter::with_clock(text.parse().unwrap(), clock.clone()), clock)
}

pub(super) type Waiting<'a, C> = Pin<Box<AcquireN<'a, C>>>;

pub(super) fn poll<F: Future>(waiter: &mut Pin<Box<F>>) -> Poll<F::Output> {
    poll_with(waiter, Waker::noop())
}

pub(super) fn poll_with<F: Future>(waiter: &mut Pin<Box<F>>, waker: &Waker) -> Poll<F::Output> {
    waiter.as_mut().poll(&mut Context::from_waker(waker))
}

/// A waiter that has joined the queue.
pub(super) fn queued<C: Clock>(limiter: &RateLimiter<C>, n: u64) -> Waiting<'_, C> {
    let mut waiter = Box::pin(limiter.acquire_n(n));
    assert!(poll(&mut waiter).is_pending());
    waiter
}

/// As [`queued`], with a waker of the test's own.
pub(super) fn queued_with<'a, C: Clock>(
    limiter: &'a RateLimiter<C>,
    n: u64,
    waker: &Waker,
) -> Waiting<'a, C> {
    let mut waiter = Box::pin(limiter.acquire_n(n));
    assert!(poll_with(&mut waiter, waker).is_pending());
    waiter
}

/// What the word says, whether it is owned, the hand-off, and the clock reading for which the alarm is set.
pub(super) fn state<C: Clock>(limiter: &RateLimiter<C>) -> (bool, HandOff, Option<u64>) {
    let driver = limiter.driver();
    let guarded = driver.lock();
    (driver.meter.is_owned(), guarded.hand_off, guarded.armed)
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
