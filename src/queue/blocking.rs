//! Threads that wait. They join the same queue as tasks, and park until they are granted or time out. The timer thread
//! serves them (see `alarm.rs`).

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use std::{
    sync::Arc,
    task::{Wake, Waker},
};

use super::{
    core::{after, not_yet},
    driver::Driver,
    entry::{Ask, Grant, Outcome, Place},
};
use crate::{
    clock::Clock,
    error::Denied,
    sync::{Parker, Unparker},
};

/// The shortest time to park: a limiter's clock may stand still.
const SHORTEST: Duration = Duration::from_millis(1);

struct Thread {
    parker: Parker,
    waker: Waker,
}

struct Unpark(Unparker);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Thread {
    fn new() -> Self {
        let parker = Parker::new();
        let waker = Waker::from(Arc::new(Unpark(parker.unparker().clone())));
        Self { parker, waker }
    }

    /// Calls `f` with this thread's `Thread`. It is made once, so that waiting allocates nothing.
    fn with<T>(f: impl FnOnce(&Self) -> T) -> T {
        #[cfg(not(all(test, tidegate_loom)))]
        {
            std::thread_local!(static CURRENT: Thread = Thread::new());
            let mut f = Some(f);
            let done = CURRENT.try_with(|thread| f.take().map(|f| f(thread)));
            match (done, f) {
                (Ok(Some(done)), _) => done,
                // The thread is exiting, and its `Thread` has been dropped.
                (_, Some(f)) => f(&Self::new()),
                _ => unreachable!("it was called, or is still there"),
            }
        }
        #[cfg(all(test, tidegate_loom))]
        f(&Self::new())
    }
}

/// Blocks the thread until `future` is complete, for calls that wait in several queues.
///
/// # Panics
/// If it is called inside a task.
#[track_caller]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    assert_may_block();
    Thread::with(|thread| {
        let mut future = core::pin::pin!(future);
        let mut cx = Context::from_waker(&thread.waker);
        loop {
            match future.as_mut().poll(&mut cx) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread.parker.park(),
            }
        }
    })
}

/// Leaves the queue on drop. Forgotten once the place is settled.
struct Leave<'a, C: Clock + ?Sized>(&'a Driver<C>, Pin<&'a Place>);

impl<C: Clock + ?Sized> Drop for Leave<'_, C> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

impl<C: Clock + ?Sized> Driver<C> {
    /// Blocks the thread until the permits are granted.
    ///
    /// # Panics
    /// If it would have to block inside a task.
    #[track_caller]
    pub(crate) fn wait_blocking(&self, ask: Ask) -> Result<(), Denied> {
        let meter = self.meter();
        if !meter.is_owned_beyond_a_step() && meter.take_as_waiter(ask.permits, self.clock().now()) {
            self.watch().admitted();
            return Ok(());
        }
        self.hold_blocking(ask).map(drop)
    }

    /// As [`wait_blocking`](Self::wait_blocking), with a [`Grant`] that can be given back: always takes the lock.
    #[track_caller]
    pub(super) fn hold_blocking(&self, ask: Ask) -> Result<Grant, Denied> {
        let ask = match self.fetch(ask) {
            Some(fetch) => Ask { max_wait: Some(block_on(fetch)), ..ask },
            None => ask,
        };
        assert_may_block();
        Thread::with(|thread| self.wait_in_queue(ask, thread))
    }

    fn wait_in_queue(&self, ask: Ask, thread: &Thread) -> Result<Grant, Denied> {
        let place = core::pin::pin!(self.place());
        let place = place.into_ref();
        let deadline_ns = ask.max_wait.map(|wait| after(self.clock().now(), wait));
        let leave = Leave(self, place);
        let entered = self.enter(place, ask, &mut Some(thread.waker.clone()));
        if let Some(decision) = entered.transpose() {
            if decision.is_ok() {
                core::mem::forget(leave);
            }
            self.watch().decided(&decision);
            return decision;
        }
        let began = self.watch().joined(self.clock());
        loop {
            match place.outcome() {
                Some(outcome) => {
                    core::mem::forget(leave);
                    return match outcome {
                        Outcome::Granted(grant) => {
                            self.watch().granted(began, self.clock());
                            Ok(grant)
                        }
                        Outcome::Denied(denied) => {
                            self.watch().too_late(began, &denied, self.clock());
                            Err(denied)
                        }
                    };
                }
                None => self.park(thread, deadline_ns),
            }
            let late = deadline_ns.filter(|_| place.outcome().is_none());
            if let Some(deadline_ns) = late.filter(|&deadline_ns| deadline_ns <= self.clock().now()) {
                // Last chance: the timer thread may be late, and another thread may be slow to run the hand-off.
                self.serve_due_here();
                if place.outcome().is_none() {
                    // Not due by the deadline: late by at least 1 ns, which `not_yet` makes of equal times.
                    let denied = not_yet(deadline_ns, deadline_ns);
                    drop(leave);
                    self.watch().too_late(began, &denied, self.clock());
                    return Err(denied);
                }
            }
        }
    }

    fn park(&self, thread: &Thread, deadline_ns: Option<u64>) {
        match deadline_ns {
            None => thread.parker.park(),
            Some(deadline_ns) => {
                let wait = Duration::from_nanos(deadline_ns.saturating_sub(self.clock().now()));
                thread.parker.park_timeout(wait.max(SHORTEST));
            }
        }
    }
}

/// Panics like tokio's own blocking calls if the thread is polling a task. A thread of `spawn_blocking` may block,
/// although it is inside a runtime.
#[cfg(feature = "tokio")]
#[track_caller]
fn assert_may_block() {
    if tokio::runtime::Handle::try_current().is_ok() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        drop(sender);
        // The sender is dropped, so this returns at once; but it panics where blocking is not allowed.
        let _ = receiver.blocking_recv();
    }
}

#[cfg(not(feature = "tokio"))]
const fn assert_may_block() {}
