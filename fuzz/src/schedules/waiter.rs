//! Waiters, and what wakes them.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
};

use tidegate::{AcquireWithinOwned, Clock, Denied, ManualClock};

use super::Alarms;

/// Which waiters were woken, and when.
pub(super) type Woken = Arc<Mutex<Vec<(usize, u64)>>>;

pub(super) struct Recorder {
    pub(super) id: usize,
    pub(super) clock: ManualClock,
    pub(super) woken: Woken,
}

impl Wake for Recorder {
    fn wake(self: Arc<Self>) {
        let now_ns = self.clock.now();
        self.woken.lock().unwrap().push((self.id, now_ns));
    }
}

pub(super) struct Waiter {
    pub(super) id: usize,
    pub(super) permits: u64,
    /// Whether it cannot be refused.
    pub(super) patient: bool,
    pub(super) waker: Waker,
    pub(super) future: Pin<Box<AcquireWithinOwned<Alarms>>>,
}

impl Waiter {
    pub(super) fn poll(&mut self) -> Poll<Result<(), Denied>> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}
