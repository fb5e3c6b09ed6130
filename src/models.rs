//! loom models: one claim a file, in words at its head.
//!
//! Run with `RUSTFLAGS="--cfg tidegate_loom" cargo test --release --lib models::`. The number of
//! preemptions explored is bounded by `LOOM_MAX_PREEMPTIONS`, or else by what each model names;
//! `LOOM_MAX_PREEMPTIONS=0` is taken to mean none at all, and [`EXHAUSTIVE`] or more to mean any number.
//! `LOOM_MAX_DURATION` ends each after so many seconds.
//!
//! With `-- --nocapture` each says how many executions it took; `scripts/loom.sh` makes a table of that.

mod admission;
mod cancel;
mod double_grant;
mod no_barging;
mod no_lost_wakeup;
mod queued;
mod quota_change;
mod refusals;
mod rounds;
mod scale_change;
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

use crate::{
    Clock, Quota,
    gcra::Scale,
    queue::{AcquireNOwned, WaitQueue},
    sync::Mutex,
};

/// One second, the period of all models.
const SECOND: u64 = 1_000_000_000;

/// As a bound on preemptions: none. (loom counts them in eight bits.)
const EXHAUSTIVE: usize = 255;

/// Runs a model with a bound on preemptions, which the environment overrides. Says what came of it.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // Without any bound loom has fewer executions to look at than with a large one.
    builder.preemption_bound =
        Some(builder.preemption_bound.unwrap_or(preemptions)).filter(|bound| *bound < EXHAUSTIVE);
    // loom looks at its time once in so many executions.
    builder.checkpoint_interval = 100;
    let executions = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counted = Arc::clone(&executions);
    let start = Instant::now();
    builder.check(move || {
        // Relaxed: it only counts. (It is none of loom's, which would explore it.)
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

/// A clock with one alarm. It moves only when [`ring`](ModelClock::ring) runs, which jumps to the alarm.
///
/// A deadlock report of loom therefore means that somebody waits and nobody has set an alarm.
#[derive(Clone, Debug)]
struct ModelClock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    now: AtomicU64,
    alarm: Mutex<Alarm>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Alarm {
    set: Option<(u64, Waker)>,
    done: bool,
}

impl ModelClock {
    fn new() -> Self {
        Self(Arc::new(Inner {
            now: AtomicU64::new(0),
            alarm: Mutex::new(Alarm::default()),
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
                let mut alarm = self.0.alarm.lock();
                let (due, waker) = loop {
                    if let Some(set) = alarm.set.take() {
                        break set;
                    }
                    if alarm.done {
                        return;
                    }
                    alarm = self.0.changed.wait(alarm).unwrap();
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

    /// How far `ring` has moved it by now.
    fn rung(&self) -> u64 {
        let _alarm = self.0.alarm.lock();
        self.now()
    }

    /// Lets `ring` return once no alarm is set.
    fn finish(&self) {
        self.0.alarm.lock().done = true;
        self.0.changed.notify_one();
    }
}

impl Clock for ModelClock {
    fn now(&self) -> u64 {
        // Relaxed: see `set`.
        self.0.now.load(Ordering::Relaxed)
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        self.0.alarm.lock().set = Some((deadline, waker.clone()));
        self.0.changed.notify_one();
        true
    }
}

/// One permit a second, burst `burst`, `initial` there at the start.
fn queue(burst: u64, initial: u64, clock: &ModelClock) -> Arc<WaitQueue<ModelClock>> {
    queue_of(Quota::per_second(1).burst(burst).initial(initial), clock)
}

fn queue_of(quota: Quota, clock: &ModelClock) -> Arc<WaitQueue<ModelClock>> {
    WaitQueue::new(quota, Scale::new(&quota).unwrap(), clock.clone())
}

type Waiter<C = ModelClock> = Pin<Box<AcquireNOwned<C>>>;

/// One that has not been polled yet.
fn waiter<C: Clock>(queue: &Arc<WaitQueue<C>>, n: u64) -> Waiter<C> {
    Box::pin(AcquireNOwned::new(queue.clone(), Ok(n.into()), None))
}

/// One that stands in the queue, and is woken by nobody.
fn queued<C: Clock>(queue: &Arc<WaitQueue<C>>, n: u64) -> Waiter<C> {
    let mut waiter = waiter(queue, n);
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
