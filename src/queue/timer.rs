//! The timer of the queue: two boxed tokio `Sleep`s for all waiters, made when first needed.
//!
//! This is the only file that names tokio's timer. A clock with alarms of its own needs none of this.
//!
//! The sleeps belong to a runtime, and live and die with it. If that runtime shuts down, its timer wakes
//! the alarm before its time, and polling a sleep again would panic; [`Timer::arm`] then lets go of them,
//! and the queue asks its waiters to bring others. One that was due just then looks as if it had rung in time; but
//! set anew it rings at once, before its new time. Should the runtime go down between that look and the poll, the
//! panic is caught.
//!
//! # Why two
//! While a runtime's driver has no timer set, whoever sets one has to interrupt it: a write to an event
//! descriptor, and another return of the system call that the driver waits in. A single sleep that is set anew
//! each time it has rung always finds it so. With the one after the next set as well, there always is one, and an
//! earlier one: a tick then takes two system calls less.

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

/// A runtime's timer ticks in milliseconds, and rounds up.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// The limiter's clock and tokio's are not read at one time, so that one instant is not quite the same in both.
pub(super) const TOLERANCE: Duration = Duration::from_micros(50);

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

/// A sleep that has been set, or not yet.
#[derive(Debug)]
pub(super) struct Bell {
    sleep: Pin<Box<Sleep>>,
    set: bool,
}

impl Bell {
    pub(super) fn new() -> Self {
        // Panics if the runtime has no timer, with tokio's own message; nothing is held here.
        Self { sleep: Box::pin(sleep_until(Instant::now())), set: false }
    }

    /// Whether it has woken its alarm before its time: its runtime is going down, and to poll it would panic.
    pub(super) fn is_cut_short(&self, now: Instant) -> bool {
        self.set && self.sleep.is_elapsed() && now < self.sleep.deadline()
    }

    /// When it will ring.
    pub(super) fn pending(&self) -> Option<Instant> {
        (self.set && !self.sleep.is_elapsed()).then(|| self.sleep.deadline())
    }

    /// Until when those deadlines lie that are in the tick after the one in which it has rung, or before.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        (self.set && self.sleep.is_elapsed()).then(|| self.sleep.deadline() + TICK)
    }

    /// Whether it rings no later than if it were set for `due`, which is still to come, and at most a tick earlier.
    /// If it is set for a later time, that has to be in the tick after one in which `other` has rung: `due`
    /// is in no earlier one.
    pub(super) fn serves(&self, due: Instant, other: &Self) -> bool {
        self.pending().is_some_and(|set| {
            if set > due + TOLERANCE {
                other.next_tick().is_some_and(|last| set <= last)
            } else {
                due.saturating_duration_since(set) <= TICK
            }
        })
    }

    /// Sets it; `None` if its runtime is going down.
    pub(super) fn set(&mut self, deadline: Instant, alarm: &Waker) -> Option<Poll<()>> {
        self.sleep.as_mut().reset(deadline);
        self.set = true;
        if self.is_cut_short(Instant::now()) {
            return None;
        }
        let sleep = self.sleep.as_mut();
        // Unconstrained: out of its budget, a task would be told "pending" without being registered. Unwind
        // safe: a sleep that panics is dropped.
        catch_unwind(AssertUnwindSafe(|| {
            core::pin::pin!(unconstrained(sleep)).poll(&mut Context::from_waker(alarm))
        }))
        .ok()
    }
}

/// How long until an alarm is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delay {
    pub(super) due: Duration,
    /// Until the one after it is likely to be wanted, which is a tick later at the soonest.
    pub(super) then: Option<Duration>,
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

    /// Its sleeps.
    #[cfg(test)]
    pub(super) fn bells(&self) -> [&Bell; 2] {
        self.0.as_ref().expect("it is set").bells.each_ref()
    }

    /// Has `alarm` woken after that delay, or after [`LONGEST`] if that is sooner. New sleeps are made only if the
    /// caller is being polled by a runtime (`may_create`): elsewhere, the current runtime may be one that is just
    /// going down.
    ///
    /// The caller holds no lock: tokio may wake `alarm` from in here.
    pub(super) fn arm(&mut self, delay: Delay, alarm: &Waker, may_create: bool) -> Armed {
        let now = Instant::now();
        self.0.take_if(|timed| timed.bells.iter().any(|bell| bell.is_cut_short(now)));
        if self.0.is_none() {
            let Some(handle) = may_create.then(Handle::try_current).and_then(Result::ok) else {
                return Armed::Missing;
            };
            let steady = handle.runtime_flavor() != RuntimeFlavor::CurrentThread;
            self.0 = Some(Timed { runtime: handle.id(), steady, bells: [Bell::new(), Bell::new()] });
        }
        let Some(timed) = &mut self.0 else { return Armed::Missing };
        let due = now + delay.due.min(LONGEST);
        let [one, other] = &mut timed.bells;
        let (first, second) = if other.serves(due, one) { (other, one) } else { (one, other) };
        let mut polled = Some(Poll::Pending);
        if !first.serves(due, second) {
            polled = first.set(due, alarm);
        }
        if let (Some(Poll::Pending), Some(then)) = (polled, delay.then.filter(|&then| then < LONGEST)) {
            let then = (now + then).max(first.sleep.deadline() + TICK);
            if second.pending() != Some(then) {
                polled = second.set(then, alarm);
            }
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
