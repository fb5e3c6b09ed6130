//! loom models. The head of each file states its claim.
//!
//! Run with `RUSTFLAGS="--cfg tidegate_loom" cargo test --release --lib models::`. The number of
//! preemptions explored is bounded by `LOOM_MAX_PREEMPTIONS`, or else by what each model names;
//! `LOOM_MAX_PREEMPTIONS=0` is taken to mean none at all, and [`EXHAUSTIVE`] or more to mean any number.
//! `LOOM_MAX_DURATION` ends each after so many seconds.
//!
//! With `-- --nocapture` each model prints its number of executions; `scripts/loom.sh` makes a table of them.

mod admission;
mod cancel;
mod debt;
mod double_grant;
mod frames;
mod giving_back;
mod hand_off;
mod lanes;
mod late_readings;
mod no_barging;
mod no_lost_wakeup;
mod owned;
mod pause;
mod quota_change;
mod refusals;
mod several;
mod shares;
mod threads;
mod waker;

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use std::{sync::Arc, time::Instant};

use loom::sync::{
    Condvar,
    atomic::{AtomicU64, Ordering},
};

use crate::{AcquireNOwned, Clock, Quota, RateLimiter, sync::Mutex};

/// One second, the period of all models.
const SECOND: u64 = 1_000_000_000;

/// As a bound on preemptions: none. (loom counts them in eight bits.)
const EXHAUSTIVE: usize = 255;

/// Runs a model with a bound on preemptions, which the environment overrides. Prints the result.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Without any bound loom needs fewer executions than with a large bound.
    builder.preemption_bound =
        Some(builder.preemption_bound.unwrap_or(preemptions)).filter(|bound| *bound < EXHAUSTIVE);
    // loom checks its time limit once in so many executions.
    builder.checkpoint_interval = 100;
    let executions = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&executions);
    let start = Instant::now();
    builder.check(move || {
        // Relaxed: it only counts. (Not an atomic of loom, which would explore its accesses.)
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });

    let (seconds, most) = (start.elapsed(), builder.max_duration);
    let executions = executions.load(std::sync::atomic::Ordering::Relaxed);
    let bound = builder.preemption_bound.map_or("none".into(), |bound| bound.to_string());
    let thread = std::thread::current();
    let name = thread.name().and_then(|name| name.strip_prefix("models::")).unwrap_or("?");
    let end = if most.is_some_and(|most| seconds >= most) { ", not all" } else { "" };
    eprintln!("model {name}: {executions} executions, bound {bound}, {:.2} s{end}", seconds.as_secs_f64());
}

/// A clock with alarms. It moves only when it is set, or when [`ring`](ModelClock::ring) runs, which jumps to the
/// earliest alarm.
///
/// A deadlock report of loom therefore means that no thread set an alarm for a waiter.
#[derive(Clone, Debug)]
struct ModelClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    now: AtomicU64,
    alarms: Mutex<Alarms>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Alarms {
    /// One for each alarm waker: a limiter has one.
    set: Vec<(u64, Waker)>,
    done: bool,
}

impl Alarms {
    fn take_earliest(&mut self) -> Option<(u64, Waker)> {
        let earliest = (0..self.set.len()).min_by_key(|&i| self.set[i].0)?;
        Some(self.set.remove(earliest))
    }
}

impl ModelClock {
    fn new() -> Self {
        Self(Arc::new(Inner {
            now: AtomicU64::new(0),
            alarms: Mutex::new(Alarms::default()),
            changed: Condvar::new(),
        }))
    }

    fn set(&self, now: u64) {
        // Relaxed: other threads may see an older time, as they may of a real clock.
        self.0.now.store(now, Ordering::Relaxed);
    }

    /// Waits for an alarm to be set, moves the clock to it, and wakes it; over and over until `finish`.
    fn ring(&self) {
        loop {
            let waker = {
                let mut alarms = self.0.alarms.lock();
                let (due, waker) = loop {
                    if let Some(set) = alarms.take_earliest() {
                        break set;
                    }
                    if alarms.done {
                        return;
                    }
                    alarms = self.0.changed.wait(alarms).unwrap();
                };
                // Under the lock: it does not jump past an alarm that has been set since.
                if due > self.now() {
                    self.set(due);
                }
                waker
            };
            waker.wake();
        }
    }

    /// Runs [`ring`](Self::ring) on a thread of its own.
    fn spawn_ring(&self) -> Ringing {
        let clock = self.clone();
        Ringing(self.clone(), loom::thread::spawn(move || clock.ring()))
    }

    /// How far `ring` has moved it by now.
    fn rung(&self) -> u64 {
        let _alarms = self.0.alarms.lock();
        self.now()
    }
}

/// A thread that rings the alarms of a clock.
struct Ringing(ModelClock, loom::thread::JoinHandle<()>);

impl Ringing {
    /// Ends it once no alarm is set.
    fn finish(self) {
        let Self(ModelClock(clock), ringing) = self;
        clock.alarms.lock().done = true;
        clock.changed.notify_one();
        ringing.join().unwrap();
    }
}

impl Clock for ModelClock {
    fn now(&self) -> u64 {
        // Relaxed: see `set`.
        self.0.now.load(Ordering::Relaxed)
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        let mut alarms = self.0.alarms.lock();
        alarms.set.retain(|(_, set)| !set.will_wake(waker));
        alarms.set.push((deadline, waker.clone()));
        drop(alarms);
        self.0.changed.notify_one();
        true
    }
}

type Limiter<C = ModelClock> = RateLimiter<C>;

/// One permit a second, burst `burst`, `initial` there at the start.
fn limiter(burst: u64, initial: u64, clock: &ModelClock) -> Limiter {
    Limiter::with_clock(Quota::per_second(1).with_burst(burst).with_initial(initial), clock.clone())
}

/// Grants the due waiters, as the alarm would.
fn drive(limiter: &Limiter) {
    limiter.driver().drive();
}

/// Runs [`drive`] on a thread of its own.
fn spawn_drive(limiter: &Limiter) -> loom::thread::JoinHandle<()> {
    let limiter = limiter.clone();
    loom::thread::spawn(move || drive(&limiter))
}

/// One call that does not wait, on a thread of its own. Whether it was admitted.
fn spawn_try(limiter: &Limiter) -> loom::thread::JoinHandle<bool> {
    let limiter = limiter.clone();
    loom::thread::spawn(move || limiter.try_acquire().is_ok())
}

type Waiter<C = ModelClock> = Pin<Box<AcquireNOwned<C>>>;

/// A waiter that has not been polled yet.
fn waiter<C: Clock>(limiter: &Limiter<C>, n: u64) -> Waiter<C> {
    Box::pin(limiter.acquire_n_owned(n))
}

/// A waiter in the queue, with a waker that does nothing.
fn queued<C: Clock>(limiter: &Limiter<C>, n: u64) -> Waiter<C> {
    let mut waiter = waiter(limiter, n);
    assert!(!poll(&mut waiter, Waker::noop()), "it should have to wait");
    waiter
}

/// Whether it has been granted.
fn poll<C: Clock>(waiter: &mut Waiter<C>, waker: &Waker) -> bool {
    match waiter.as_mut().poll(&mut Context::from_waker(waker)) {
        Poll::Ready(outcome) => {
            outcome.unwrap();
            true
        }
        Poll::Pending => false,
    }
}
