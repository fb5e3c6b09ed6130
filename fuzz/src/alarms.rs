//! A clock whose alarms can be held up.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use tidegate::{Clock, ManualClock};

/// A clock for one limiter: of all the alarms that are held up, only the last matters.
#[derive(Clone, Debug)]
pub struct Alarms {
    pub clock: ManualClock,
    late: Arc<AtomicBool>,
    held_up: Arc<Mutex<Option<(u64, Waker)>>>,
}

impl Alarms {
    pub fn new(clock: ManualClock) -> Self {
        Self { clock, late: Arc::default(), held_up: Arc::default() }
    }

    /// From now on alarms ring when they are told to.
    pub fn hold_up(&self) {
        // Relaxed, here and below: all of it is on one thread.
        self.late.store(true, Ordering::Relaxed);
    }

    /// Rings, if the alarm that is held up is due.
    pub fn ring(&self) {
        let due = self.held_up.lock().unwrap().take_if(|(deadline, _)| *deadline <= self.now());
        if let Some((_, alarm)) = due {
            alarm.wake();
        }
    }

    /// From now on alarms ring in time.
    pub fn let_go(&self) {
        self.late.store(false, Ordering::Relaxed);
        let alarm = self.held_up.lock().unwrap().take();
        if let Some((deadline, alarm)) = alarm {
            self.clock.wake_at(deadline, &alarm);
        }
    }
}

impl Clock for Alarms {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        if !self.late.load(Ordering::Relaxed) {
            return self.clock.wake_at(deadline, waker);
        }
        *self.held_up.lock().unwrap() = Some((deadline, waker.clone()));
        true
    }
}
