//! A clock without alarms that is moved by hand, so that those of tokio are needed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate::Clock;

#[derive(Clone, Debug, Default)]
pub(crate) struct Mute(Arc<AtomicU64>);

impl Mute {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for Mute {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
