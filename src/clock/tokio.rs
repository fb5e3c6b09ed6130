//! A clock that follows tokio's time.

use core::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    task::Wake,
};

use tokio::{
    runtime::Handle,
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

use super::Clock;
use crate::sync::plain::Mutex;

/// A clock that follows the time of a tokio runtime, also while a test has paused it.
///
/// Use it where the program measures time by [`tokio::time`], above all in tests with paused time. A reading is in
/// nanoseconds since the clock was made. It costs about two readings of the default clock, and takes a lock of tokio's
/// if time has ever been paused.
///
/// # Which runtime
/// [`new`](Self::new) uses the current runtime, and [`with_handle`](Self::with_handle) any other. The clock shows the
/// time of its runtime everywhere, also in other runtimes, on other threads, and after the runtime has shut down.
/// Clones show the same time.
///
/// A clock that was made outside of any runtime has none, and no alarms: [another timer](crate::RateLimiter::acquire)
/// wakes the waiters. In a runtime it shows the time of that runtime, elsewhere real time.
///
/// # Alarms
/// The clock's alarms are timers of its runtime. Like all timers of tokio they may be late by a millisecond, and need a
/// runtime that is driven. Under paused time they stop its automatic advance. If the runtime shuts down, it wakes the
/// waiters, which then use [another timer](crate::RateLimiter::acquire). Dropping the last clone of the clock cancels
/// its alarms.
///
/// # Blocking
/// **A blocking call under paused time never ends.** Paused time advances only while the runtime is idle. A runtime
/// with a blocked thread is not idle, and a thread of `spawn_blocking` counts as well.
///
/// # Panics
/// [`now`](Clock::now) panics in the destructor of a thread local variable if tokio's own has been destroyed.
/// [`wake_at`](Clock::wake_at) panics, as every timer of tokio, if the runtime was built without time.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{Quota, RateLimiter, TokioClock};
///
/// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
/// # rt.block_on(async {
/// // In a test with paused time: `#[tokio::test(start_paused = true)]`.
/// let limiter = RateLimiter::with_clock(Quota::per_second(1), TokioClock::new());
/// let start = tokio::time::Instant::now();
/// for _ in 0..3 {
///     limiter.acquire().await;
/// }
/// assert_eq!(start.elapsed(), Duration::from_secs(2));
/// # });
/// ```
#[derive(Clone)]
pub struct TokioClock {
    origin: Instant,
    runtime: Option<Runtime>,
}

#[derive(Clone)]
struct Runtime {
    handle: Handle,
    alarms: Arc<Alarms>,
}

impl TokioClock {
    /// A clock of the current runtime, or of [no runtime](Self#which-runtime). It counts from now. See the example of
    /// [`TokioClock`].
    pub fn new() -> Self {
        Handle::try_current()
            .map_or_else(|_| Self { origin: Instant::now(), runtime: None }, Self::with_handle)
    }

    /// A clock of the runtime of `handle`. It counts from now.
    ///
    /// # Panics
    /// If tokio's thread local variable has been destroyed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Clock, TokioClock};
    ///
    /// let paused =
    ///     tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    /// let clock = TokioClock::with_handle(paused.handle().clone());
    /// paused.block_on(async { tokio::time::sleep(Duration::from_secs(7)).await });
    /// // Outside of the runtime, the clock shows the runtime's time.
    /// assert_eq!(clock.now(), 7_000_000_000);
    /// ```
    pub fn with_handle(handle: Handle) -> Self {
        let origin = {
            let _entered = handle.enter();
            Instant::now()
        };
        Self { origin, runtime: Some(Runtime { handle, alarms: Arc::default() }) }
    }

    #[cfg(all(test, not(tidegate_loom)))]
    pub(super) fn alarms(&self) -> usize {
        self.runtime.as_ref().map_or(0, |runtime| runtime.alarms.0.lock().alarms.len())
    }

    /// The runtime's time. The call enters the runtime: outside of it, tokio shows real time even if time is paused.
    fn instant(&self) -> Instant {
        let _entered = self.runtime.as_ref().map(|runtime| runtime.handle.enter());
        Instant::now()
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TokioClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runtime = self.runtime.as_ref().map(|runtime| runtime.handle.id());
        f.debug_struct("TokioClock").field("runtime", &runtime).finish_non_exhaustive()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> u64 {
        // 2^64 ns are 584 years of uptime.
        self.instant().saturating_duration_since(self.origin).as_nanos() as u64
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        let Some(Runtime { handle, alarms }) = &self.runtime else { return false };
        drop(alarms.remove(|alarm| alarm.waker.will_wake(waker)));
        let Some(deadline) = self.origin.checked_add(Duration::from_nanos(deadline)) else {
            // No clock of this system ever shows this time.
            return true;
        };
        if deadline <= self.instant() {
            waker.wake_by_ref();
            return true;
        }
        alarms.set(handle, deadline, waker)
    }
}

/// The alarms of a clock and its clones: one for each limiter.
///
/// An alarm is a `Sleep` that is polled once, and so leaves a waker with the runtime's timer. A task instead would be
/// late by a turn of the scheduler, which a test that advances paused time would notice.
#[derive(Default)]
struct Alarms(Mutex<List>);

#[derive(Default)]
struct List {
    made: u64,
    alarms: Vec<Alarm>,
}

struct Alarm {
    id: u64,
    waker: Waker,
    /// Dropping it cancels the timer. `None` while the sleep is being polled.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarms {
    /// The caller drops the alarm without a lock: dropping a waker may run any code.
    fn remove(&self, which: impl Fn(&Alarm) -> bool) -> Option<Alarm> {
        let alarms = &mut self.0.lock().alarms;
        alarms.iter().position(which).map(|at| alarms.swap_remove(at))
    }

    /// Whether the waker has been or will be woken.
    fn set(self: &Arc<Self>, handle: &Handle, deadline: Instant, waker: &Waker) -> bool {
        let entered = handle.enter();
        // Panics if the runtime was built without time. Nothing has changed so far.
        let mut sleep = Box::pin(sleep_until(deadline));
        // Registers the sleep. A timer that is shutting down ends it at once, and then polling it would panic.
        sleep.as_mut().reset(deadline);
        if sleep.is_elapsed() {
            let is_due = deadline <= Instant::now();
            drop(entered);
            if is_due {
                waker.wake_by_ref();
            }
            // If it is not due, the waker is not woken: the limiter would set the alarm again, in an endless loop.
            return is_due;
        }
        drop(entered);
        let waker = waker.clone();
        let id = {
            let mut list = self.0.lock();
            list.made += 1;
            let id = list.made;
            list.alarms.push(Alarm { id, waker, sleep: None });
            id
        };
        let ring = Waker::from(Arc::new(Ring { alarms: Arc::downgrade(self), id }));
        let mut cx = Context::from_waker(&ring);
        // Unconstrained: without budget, `poll` would return pending and register no waker. It panics if the timer
        // shuts down at this moment. Unwind safe: a sleep that panics is dropped.
        let poll = AssertUnwindSafe(|| pin!(unconstrained(sleep.as_mut())).poll(&mut cx));
        match catch_unwind(poll) {
            Ok(Poll::Pending) => {
                let mut list = self.0.lock();
                // If the alarm is gone, it has rung, or another thread has replaced it. Then the sleep is dropped,
                // after the lock is released.
                if let Some(alarm) = list.alarms.iter_mut().find(|alarm| alarm.id == id) {
                    alarm.sleep = Some(sleep);
                }
                true
            }
            Ok(Poll::Ready(())) => {
                ring.wake();
                true
            }
            Err(_) => {
                drop(self.remove(|alarm| alarm.id == id));
                false
            }
        }
    }
}

/// Woken by the runtime's timer when the alarm is due or the runtime shuts down. Wakes the waker of the alarm.
struct Ring {
    /// Weak, so that the runtime's timer does not keep the alarms alive.
    alarms: Weak<Alarms>,
    id: u64,
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        // None if the alarm was cancelled.
        let alarm = self.alarms.upgrade().and_then(|alarms| alarms.remove(|alarm| alarm.id == self.id));
        if let Some(Alarm { waker, sleep, .. }) = alarm {
            drop(sleep);
            waker.wake();
        }
    }
}
