//! The timer thread: one for the whole process, started when it is first needed.
//!
//! A bell runs the hand-off of a queue, and that wakes tasks. A waker that blocks holds up all alarms of the process, as it
//! would hold up the timers of its runtime. A waker that panics does not: the panic ends there.

use core::{task::Waker, time::Duration};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

/// The least time between two rings of one alarm. What has come due meanwhile is granted together, which costs a seventh
/// of the processor time; the rate makes up for the lateness.
const LEAST_BETWEEN: Duration = Duration::from_micros(500);

/// The alarms that are set, by time. The number makes two of one time differ.
#[derive(Debug, Default)]
struct Rings {
    set: BTreeMap<(Instant, u64), Waker>,
    next: u64,
    /// Whether the thread runs.
    runs: bool,
}

#[derive(Debug, Default)]
struct Timer {
    rings: Mutex<Rings>,
    earlier: Condvar,
}

static TIMER: LazyLock<Timer> = LazyLock::new(Timer::default);

impl Timer {
    fn lock(&self) -> MutexGuard<'_, Rings> {
        // Nothing foreign runs under the lock, so that nothing is left half done.
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut rings = self.lock();
        loop {
            let now = Instant::now();
            let wait = rings.set.first_key_value().map(|((at, _), _)| at.saturating_duration_since(now));
            rings = match wait {
                None => self.earlier.wait(rings).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    let due = rings.set.pop_first();
                    drop(rings);
                    // Unwind safe: a waker is consumed whole.
                    let rung = catch_unwind(AssertUnwindSafe(|| due.map(|(_, bell)| bell.wake())));
                    // To drop a payload may panic, too.
                    drop(catch_unwind(AssertUnwindSafe(|| drop(rung))));
                    self.lock()
                }
                Some(wait) => {
                    self.earlier.wait_timeout(rings, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Starts the thread unless it runs.
    fn start(&'static self, rings: &mut Rings) {
        if !rings.runs {
            let spawned = thread::Builder::new().name("tidegate-timer".into()).spawn(|| self.run());
            match spawned {
                Ok(_) => rings.runs = true,
                Err(error) => panic!("the timer thread of tidegate cannot be spawned: {error}"),
            }
        }
    }
}

/// One alarm.
#[derive(Debug)]
pub(super) struct Ring(Option<(Instant, u64)>);

impl Ring {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    /// Has the bell woken after that time, in place of what was set before.
    pub(super) fn set(&mut self, wait: Duration, bell: &Waker) {
        let bell = bell.clone();
        let now = Instant::now();
        let mut at = now + wait;
        if let Some((last, _)) = self.0 {
            // It has rung by then.
            at = if last <= now { at.max(last + LEAST_BETWEEN) } else { at };
        }
        let replaced = {
            let mut rings = TIMER.lock();
            TIMER.start(&mut rings);
            let replaced = self.0.and_then(|key| rings.set.remove(&key));
            let key = (at, rings.next);
            rings.next += 1;
            rings.set.insert(key, bell);
            self.0 = Some(key);
            if rings.set.first_key_value().is_some_and(|(first, _)| *first == key) {
                TIMER.earlier.notify_one();
            }
            replaced
        };
        drop(replaced);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let removed = self.0.and_then(|key| TIMER.lock().set.remove(&key));
        drop(removed);
    }
}
