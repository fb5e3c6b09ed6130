//! The two alarms. No test asserts how soon an alarm wakes its waker: only in which order, and not before its time.

#[cfg(all(feature = "tokio", not(miri)))]
mod runtime;
#[cfg(not(miri))]
mod thread;

use core::time::Duration;
use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    task::Wake,
    time::Instant,
};

use super::*;

/// Long enough for any machine.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// Sends its number, and when it was woken.
struct AlarmWaker(u32, Sender<(u32, Instant)>);

impl Wake for AlarmWaker {
    fn wake(self: Arc<Self>) {
        // The test may be over.
        let _ = self.1.send((self.0, Instant::now()));
    }
}

pub(super) struct Bells {
    sender: Sender<(u32, Instant)>,
    receiver: Receiver<(u32, Instant)>,
}

impl Bells {
    pub(super) fn new() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver }
    }

    pub(super) fn alarm_waker(&self, number: u32) -> Waker {
        Waker::from(Arc::new(AlarmWaker(number, self.sender.clone())))
    }

    /// The next alarm waker that is woken.
    pub(super) fn next(&self) -> (u32, Instant) {
        self.receiver.recv_timeout(LONG).expect("no alarm has rung")
    }

    /// Whether none has rung that was not waited for.
    pub(super) fn is_silent(&self) -> bool {
        self.receiver.try_recv().is_err()
    }
}

pub(super) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
