//! A timer of a multi-thread tokio runtime, for all waiters of a queue: one boxed `Sleep`.
//!
//! The sleep belongs to its runtime. If that runtime shuts down, the sleep wakes the alarm waker early, and polling it
//! again would panic. So a sleep that was cut short is dropped. If the runtime shuts down between that check and the
//! poll, the panic is caught.

use core::{
    cell::Cell,
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

use crate::sync::{plain::Mutex, with_flag};

pub(super) type RuntimeId = Id;

std::thread_local! {
    /// Whether this thread polls a future for which it blocks.
    static IS_BLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// The last runtime that was found to have no timers. Asking a runtime again would print the message of a panic again.
static WITHOUT_TIMERS: Mutex<Option<RuntimeId>> = Mutex::new(None);

/// Polls a future for a thread that blocks meanwhile: the thread is not a task of the runtime that it is inside. While such
/// threads wait, the runtime may have no worker left that drives its timers.
pub(in crate::queue) fn poll_for_thread<T>(poll: impl FnOnce() -> T) -> T {
    with_flag(&IS_BLOCKED, poll)
}

/// The runtime whose task the caller is, if its workers drive its timers.
pub(super) fn current() -> Option<RuntimeId> {
    if IS_BLOCKED.get() {
        return None;
    }
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
    /// A timer of `runtime`. `None` if the caller is not inside that runtime, or if it has no timers.
    pub(super) fn new(runtime: RuntimeId) -> Option<Self> {
        if current() != Some(runtime) || *WITHOUT_TIMERS.lock() == Some(runtime) {
            return None;
        }
        // The only way to ask: a runtime without timers panics here.
        let Ok(sleep) = catch_unwind(|| Box::pin(sleep_until(Instant::now()))) else {
            *WITHOUT_TIMERS.lock() = Some(runtime);
            return None;
        };
        Some(Self { runtime, sleep, set: false })
    }

    pub(super) const fn runtime(&self) -> RuntimeId {
        self.runtime
    }

    /// Has the alarm waker woken after `wait`; `Ready` if that is over. `None` if the runtime is shutting down.
    pub(super) fn set(&mut self, wait: Duration, alarm_waker: &Waker) -> Option<Poll<()>> {
        if self.is_cut_short() {
            return None;
        }
        self.sleep.as_mut().reset(Instant::now() + wait);
        self.set = true;
        // If the runtime shut down just at the deadline, the first check cannot tell. After `reset` a dead sleep reads
        // as elapsed at once, so check again.
        if self.is_cut_short() {
            return None;
        }
        let sleep = self.sleep.as_mut();
        // Unconstrained: a task without budget would be told "pending" without being registered. Unwind safe: a sleep
        // that panics is dropped.
        catch_unwind(AssertUnwindSafe(|| {
            core::pin::pin!(unconstrained(sleep)).poll(&mut Context::from_waker(alarm_waker))
        }))
        .ok()
    }

    /// Whether the sleep has woken the alarm waker early.
    fn is_cut_short(&self) -> bool {
        self.set && self.sleep.is_elapsed() && Instant::now() < self.sleep.deadline()
    }
}
