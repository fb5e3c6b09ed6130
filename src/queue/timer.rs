//! The timer of the queue: two boxed tokio `Sleep`s for all waiters, made when first needed.
//!
//! This is the only file that names tokio's timer. A clock with alarms of its own needs none of this.
//!
//! The sleeps belong to a runtime, and live and die with it. If that runtime shuts down, its timer wakes
//! the alarm before its time, and polling a sleep again would panic; [`Timer::arm`] then lets go of them,
//! and the queue asks its waiters to bring others.
//!
//! # Why two
//! While a runtime's driver has no timer set, whoever sets one has to interrupt it: a write to an event
//! descriptor, and another return of the system call that the driver waits in. A single sleep that is set anew
//! each time it has rung always finds it so, and half of what a tick costs is that. With the sleep after the
//! next one set as well, there always is one, and an earlier one.

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

use crate::gcra::nanos;

/// The runtime that a waiter is polled on, if any.
pub(super) type Runtime = Option<Id>;

/// The longest single sleep; the queue looks again after it.
const LONGEST: Duration = Duration::from_secs(86_400);

/// A runtime's timer ticks in milliseconds, and rounds up.
pub(super) const TICK_NS: u64 = 1_000_000;

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
    bells: [Bell; 2],
}

/// A sleep, and the clock reading for which it was last set.
#[derive(Debug)]
struct Bell {
    sleep: Pin<Box<Sleep>>,
    set_ns: Option<u64>,
}

impl Bell {
    fn new() -> Self {
        // Panics if the runtime has no timer, with tokio's own message; nothing is held here.
        Self { sleep: Box::pin(sleep_until(Instant::now())), set_ns: None }
    }

    /// When it will ring.
    fn pending_ns(&self) -> Option<u64> {
        self.set_ns.filter(|_| !self.sleep.is_elapsed())
    }

    /// Whether it will ring in the tick of that reading, or in one beside it.
    fn serves(&self, due_ns: u64) -> bool {
        self.pending_ns().is_some_and(|set_ns| set_ns.abs_diff(due_ns) <= TICK_NS)
    }

    /// Sets it; `None` if its runtime is going down.
    fn set(&mut self, times: &Times, due_ns: u64, alarm: &Waker) -> Option<Poll<()>> {
        self.sleep.as_mut().reset(times.instant + nanos(due_ns.saturating_sub(times.now_ns)));
        self.set_ns = Some(due_ns);
        let sleep = self.sleep.as_mut();
        // Unconstrained: out of its budget, a task would be told "pending" without being registered. Unwind
        // safe: a sleep that panics is dropped.
        catch_unwind(AssertUnwindSafe(|| {
            core::pin::pin!(unconstrained(sleep)).poll(&mut Context::from_waker(alarm))
        }))
        .ok()
    }
}

/// When an alarm is to ring, by the limiter's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    instant: Instant,
    now_ns: u64,
    due_ns: u64,
    /// When the one after it is likely to have to.
    then_ns: Option<u64>,
}

impl Times {
    pub(super) fn new(now_ns: u64, due_ns: u64, then_ns: Option<u64>) -> Self {
        let longest_ns = now_ns.saturating_add(LONGEST.as_nanos() as u64);
        let then_ns = then_ns.filter(|then_ns| (due_ns..longest_ns).contains(then_ns));
        Self { instant: Instant::now(), now_ns, due_ns: due_ns.min(longest_ns), then_ns }
    }

    /// When it rings; the queue looks again after [`LONGEST`].
    pub(super) const fn due_ns(&self) -> u64 {
        self.due_ns
    }
}

impl Timer {
    /// The runtime that drives it, if it does so only while somebody is blocked on it.
    pub(super) fn fickle(&self) -> Runtime {
        self.0.as_ref().filter(|timed| !timed.steady).map(|timed| timed.runtime)
    }

    /// Whether there is one.
    pub(super) const fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a runtime with threads of its own drives it.
    pub(super) fn is_steady(&self) -> bool {
        self.0.as_ref().is_some_and(|timed| timed.steady)
    }

    /// Whether all that was set has woken the alarm; if that was before its time, its runtime is going down.
    pub(super) fn has_fired(&self) -> bool {
        self.0.as_ref().is_some_and(|timed| timed.bells.iter().all(|bell| bell.pending_ns().is_none()))
    }

    /// Has `alarm` woken when it is due. New sleeps are made only if the caller is being polled by a runtime
    /// (`may_create`): elsewhere, the current runtime may be one that is just going down.
    ///
    /// The caller holds no lock: tokio may wake `alarm` from in here.
    pub(super) fn arm(&mut self, times: &Times, alarm: &Waker, may_create: bool) -> Armed {
        if self.0.is_none() {
            let Some(handle) = may_create.then(Handle::try_current).and_then(Result::ok) else {
                return Armed::Missing;
            };
            let steady = handle.runtime_flavor() != RuntimeFlavor::CurrentThread;
            self.0 = Some(Timed { runtime: handle.id(), steady, bells: [Bell::new(), Bell::new()] });
        }
        let Some(timed) = &mut self.0 else { return Armed::Missing };
        let [one, other] = &mut timed.bells;
        // The one that rings first, or does not ring, is set anew.
        let (first, second) = if other.serves(times.due_ns) { (other, one) } else { (one, other) };
        let mut polled = Some(Poll::Pending);
        if !first.serves(times.due_ns) {
            polled = first.set(times, times.due_ns, alarm);
        }
        if let (Some(Poll::Pending), Some(then_ns)) = (polled, times.then_ns)
            && !second.serves(then_ns)
        {
            polled = second.set(times, then_ns, alarm);
        }
        match polled {
            Some(Poll::Pending) => Armed::Pending,
            Some(Poll::Ready(())) => Armed::Elapsed,
            None => {
                self.0 = None;
                Armed::Missing
            }
        }
    }
}
