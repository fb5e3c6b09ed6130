//! Threads that wait: each polls the future of a waiter, and parks until it is woken. The timer thread serves them (see
//! `alarm.rs`).

use core::{
    future::{Future, poll_fn},
    task::{Context, Poll},
};
use std::{
    sync::Arc,
    task::{Wake, Waker},
};

use super::{
    alarm::poll_for_thread,
    driver::Driver,
    entry::{Ask, Grant},
    waiter::Waiter,
};
use crate::{
    clock::Clock,
    error::Denied,
    sync::{Parker, Unparker},
};

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

/// Blocks the thread until `future` is complete.
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
            match poll_for_thread(|| future.as_mut().poll(&mut cx)) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread.parker.park(),
            }
        }
    })
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
        let mut waiter = core::pin::pin!(Waiter::new(self, Ok(ask)));
        let granted = block_on(poll_fn(|cx| waiter.as_mut().poll_grant(cx, true)))?;
        let Some(grant) = granted else { unreachable!("a waiter that takes the lock has a grant") };
        Ok(grant)
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
