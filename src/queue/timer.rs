//! The timer of the queue: one boxed tokio `Sleep` for all waiters, made when first needed.
//!
//! This is the only file that names tokio's timer. A clock with alarms of its own needs none of this.
//!
//! The sleep belongs to a runtime, and lives and dies with it. If that runtime shuts down, its timer wakes
//! the alarm before its time, and polling the sleep again would panic; [`Timer::arm`] then lets go of it,
//! and the queue asks its waiters to bring another.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::{
    runtime::{Handle, Id, RuntimeFlavor},
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

/// The runtime that a waiter is polled on, if any.
pub(super) type Runtime = Option<Id>;

/// The longest single sleep; the queue looks again after it.
pub(super) const LONGEST: Duration = Duration::from_secs(86_400);

/// The runtime of the caller.
pub(super) fn current_runtime() -> Runtime {
    Handle::try_current().ok().map(|handle| handle.id())
}

/// What became of an attempt to arm the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Armed {
    /// The alarm will be woken.
    Pending,
    /// The time has come already.
    Elapsed,
    /// There is no runtime to time it.
    Missing,
}

#[derive(Debug, Default)]
pub(super) struct Timer(Option<Timed>);

#[derive(Debug)]
struct Timed {
    runtime: Id,
    /// Whether it has threads of its own that drive it.
    steady: bool,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    /// The runtime that drives it, if it does so only while somebody is blocked on it.
    pub(super) fn fickle(&self) -> Runtime {
        self.0.as_ref().filter(|timed| !timed.steady).map(|timed| timed.runtime)
    }

    /// Whether a runtime with threads of its own drives it.
    pub(super) fn is_steady(&self) -> bool {
        self.0.as_ref().is_some_and(|timed| timed.steady)
    }

    /// Whether it has woken its alarm; if that was before its time, its runtime is going down.
    pub(super) fn has_fired(&self) -> bool {
        self.0.as_ref().is_some_and(|timed| timed.sleep.is_elapsed())
    }

    /// Has `alarm` woken in `delay`, or after [`LONGEST`] if that is sooner. A new sleep is made only if the caller is being polled by a runtime
    /// (`may_create`): elsewhere, the current runtime may be one that is just going down.
    ///
    /// The caller holds no lock: tokio may wake `alarm` from in here.
    pub(super) fn arm(&mut self, delay: Duration, alarm: &Waker, may_create: bool) -> Armed {
        let deadline = Instant::now() + delay.min(LONGEST);
        if self.0.is_none() {
            let Some(handle) = may_create.then(Handle::try_current).and_then(Result::ok) else {
                return Armed::Missing;
            };
            // Panics if the runtime has no timer, with tokio's own message; nothing is held here.
            let sleep = Box::pin(sleep_until(deadline));
            let steady = handle.runtime_flavor() != RuntimeFlavor::CurrentThread;
            self.0 = Some(Timed { runtime: handle.id(), steady, sleep });
        } else if let Some(timed) = &mut self.0 {
            timed.sleep.as_mut().reset(deadline);
        }
        let Some(timed) = &mut self.0 else { return Armed::Missing };
        let sleep = timed.sleep.as_mut();
        // Unconstrained: out of its budget, a task would be told "pending" without being registered. Unwind
        // safe: a sleep that panics is dropped.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            core::pin::pin!(unconstrained(sleep)).poll(&mut Context::from_waker(alarm))
        }));
        match polled {
            Ok(Poll::Pending) => Armed::Pending,
            Ok(Poll::Ready(())) => Armed::Elapsed,
            Err(_shutting_down) => {
                self.0 = None;
                Armed::Missing
            }
        }
    }
}
