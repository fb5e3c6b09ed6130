//! Clocks on their own; what a limiter makes of them is for its own tests.

mod discipline;
mod histories;
mod manual;
mod monotonic;
mod quanta;
mod shared;
#[cfg(feature = "tokio")]
mod tokio;

use core::{
    sync::atomic::{AtomicU64, Ordering},
    task::Waker,
};
use std::{sync::Arc, task::Wake};

/// Counts how often it is woken.
#[derive(Debug, Default)]
struct AlarmWaker(AtomicU64);

impl AlarmWaker {
    fn new() -> (Arc<Self>, Waker) {
        let alarm_waker = Arc::new(Self::default());
        (Arc::clone(&alarm_waker), alarm_waker.into())
    }

    fn rings(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for AlarmWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
