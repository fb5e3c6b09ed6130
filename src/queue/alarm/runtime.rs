//! A timer of a multi-thread tokio runtime, for all waiters of a queue: one boxed `Sleep`.
//!
//! This is the only file that names tokio's timer. The sleep belongs to its runtime, and lives and dies with it. If that
//! runtime shuts down, it wakes the alarm waker before its time, and to poll the sleep again would panic. So a sleep that has
//! been cut short is let go. Should the runtime go down between that look and the poll, the panic is caught.

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

pub(super) type RuntimeId = Id;

/// The runtime of the caller, if it drives its timers without the caller.
pub(super) fn current() -> Option<RuntimeId> {
    let handle = Handle::try_current().ok()?;
    (handle.runtime_flavor() == RuntimeFlavor::MultiThread).then(|| handle.id())
}

#[derive(Debug)]
pub(super) struct RuntimeAlarm {
    runtime: RuntimeId,
    sleep: Pin<Box<Sleep>>,
    set: bool,
}

impl RuntimeAlarm {
    /// A timer of that runtime; `None` if the caller is not inside it, or it has no timers.
    pub(super) fn new(runtime: RuntimeId) -> Option<Self> {
        if current() != Some(runtime) {
            return None;
        }
        // A runtime without timers panics here.
        let sleep = catch_unwind(|| Box::pin(sleep_until(Instant::now()))).ok()?;
        Some(Self { runtime, sleep, set: false })
    }

    pub(super) const fn runtime(&self) -> RuntimeId {
        self.runtime
    }

    /// Has the alarm waker woken after that time; `Ready` if it is over. `None` if the runtime is going down.
    pub(super) fn set(&mut self, wait: Duration, alarm_waker: &Waker) -> Option<Poll<()>> {
        if self.is_cut_short() {
            return None;
        }
        self.sleep.as_mut().reset(Instant::now() + wait);
        self.set = true;
        // One that was due just then looks as if it had rung in time; but set anew it alarms at once.
        if self.is_cut_short() {
            return None;
        }
        let sleep = self.sleep.as_mut();
        // Unconstrained: out of its budget, a task would be told "pending" without being registered. Unwind
        // safe: a sleep that panics is let go.
        catch_unwind(AssertUnwindSafe(|| {
            core::pin::pin!(unconstrained(sleep)).poll(&mut Context::from_waker(alarm_waker))
        }))
        .ok()
    }

    /// Whether it has woken the alarm waker before its time.
    fn is_cut_short(&self) -> bool {
        self.set && self.sleep.is_elapsed() && Instant::now() < self.sleep.deadline()
    }
}
