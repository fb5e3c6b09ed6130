//! The timer thread: one for the whole process, started when it is first needed.
//!
//! An alarm waker runs a hand-off, which wakes tasks. So a waker that blocks delays all alarms of the process, as it
//! would delay the timers of its runtime. A waker that panics does not: the thread catches the panic.

use core::{task::Waker, time::Duration};
use std::{
    collections::BTreeMap,
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use crate::queue::panics::end_panics;

/// The least time between two rings of one alarm. Waiters that have come due meanwhile are granted together, and take
/// only a seventh of the processor time that single alarms take. The catch-up makes up for the lateness.
const LEAST_BETWEEN: Duration = Duration::from_micros(500);

/// The alarms that are set, by time. The number tells apart two of the same time.
#[derive(Debug, Default)]
struct Alarms {
    set: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    runs: bool,
}

#[derive(Debug, Default)]
struct TimerThread {
    alarms: Mutex<Alarms>,
    earlier: Condvar,
}

static TIMER: LazyLock<TimerThread> = LazyLock::new(TimerThread::default);

impl TimerThread {
    fn lock(&self) -> MutexGuard<'_, Alarms> {
        // A panic under this lock (no thread can be spawned) leaves nothing half done.
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut alarms = self.lock();
        loop {
            let now = Instant::now();
            let wait = alarms.set.first_key_value().map(|((at, _), _)| at.saturating_duration_since(now));
            alarms = match wait {
                None => self.earlier.wait(alarms).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    let due = alarms.set.pop_first();
                    drop(alarms);
                    if let Some((_, alarm_waker)) = due {
                        end_panics(|| alarm_waker.wake());
                    }
                    self.lock()
                }
                Some(wait) => {
                    self.earlier.wait_timeout(alarms, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn start(&'static self, alarms: &mut Alarms) {
        if !alarms.runs {
            let spawned = thread::Builder::new().name("tidegate-timer".into()).spawn(|| self.run());
            match spawned {
                Ok(_) => alarms.runs = true,
                Err(error) => panic!("the timer thread of tidegate cannot be spawned: {error}"),
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct ThreadAlarm(Option<(Instant, u64)>);

impl ThreadAlarm {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Has the alarm waker woken after `wait`, in place of what was set before.
    #[allow(clippy::assertions_on_constants, reason = "constant on each target")]
    pub(super) fn set(&mut self, wait: Duration, alarm_waker: &Waker) {
        // There, `Instant` would panic first, without a remedy.
        assert!(
            cfg!(not(all(target_family = "wasm", target_os = "unknown"))),
            "tidegate has no timer thread on this target: \
             to wait, give the limiter a clock that sets alarms (`Clock::wake_at`)"
        );
        let alarm_waker = alarm_waker.clone();
        let now = Instant::now();
        let mut at = now + wait;
        if let Some((last, _)) = self.0 {
            // The last alarm has rung if its time has passed; then keep the distance from it. One that has not rung is
            // replaced.
            at = if last <= now { at.max(last + LEAST_BETWEEN) } else { at };
        }
        let replaced = {
            let mut alarms = TIMER.lock();
            TIMER.start(&mut alarms);
            let replaced = self.0.and_then(|key| alarms.set.remove(&key));
            let key = (at, alarms.next);
            alarms.next += 1;
            alarms.set.insert(key, alarm_waker);
            self.0 = Some(key);
            if alarms.set.first_key_value().is_some_and(|(first, _)| *first == key) {
                TIMER.earlier.notify_one();
            }
            replaced
        };
        drop(replaced);
    }
}

impl Drop for ThreadAlarm {
    fn drop(&mut self) {
        let removed = self.0.and_then(|key| TIMER.lock().set.remove(&key));
        drop(removed);
    }
}
