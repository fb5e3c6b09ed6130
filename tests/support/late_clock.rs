//! A clock whose alarm rings late.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

use tidegate::Clock;

/// A clock whose alarm rings when the test rings it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LateClock {
    pub(crate) now: Arc<AtomicU64>,
    alarm: Arc<Mutex<Option<(u64, Waker)>>>,
}

impl LateClock {
    /// Rings, if the alarm is due.
    pub(crate) fn ring(&self) {
        let due = self.alarm.lock().unwrap().take_if(|(deadline, _)| *deadline <= self.now());
        if let Some((_, alarm)) = due {
            alarm.wake();
        }
    }
}

impl Clock for LateClock {
    fn now(&self) -> u64 {
        // Relaxed: all of it is on one thread.
        self.now.load(Ordering::Relaxed)
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        *self.alarm.lock().unwrap() = Some((deadline, waker.clone()));
        true
    }
}
