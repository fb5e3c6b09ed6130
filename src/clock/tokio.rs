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

/// A clock that follows the time of a tokio runtime, also where a test has paused it.
///
/// Use it where the rest of the program measures time by [`tokio::time`], above all in tests with paused time. A
/// reading, in nanoseconds since the clock was made, costs about two readings of the default clock, and takes a lock
/// of tokio's where time has ever been paused.
///
/// # Which runtime
/// [`new`](Self::new) takes the runtime that it is called in, and [`with_handle`](Self::with_handle) any other. The
/// clock then shows that runtime's time everywhere: in it, in another runtime, on a thread outside of any,
/// and after it has shut down. Clones show the same time.
///
/// A clock that was made outside of any runtime has none of its own. It shows real time outside of runtimes, and in a
/// runtime the time of that one. It has no alarms: waiters are served by a timer of the
/// limiter's own.
///
/// # Alarms
/// With a runtime of its own, the clock's alarms are timers of it. So they ring, late by up to a millisecond as all timers
/// of tokio do, while that runtime is driven; under paused time they stop its automatic advance. If the
/// runtime shuts down, waiters are woken, and then served by a timer of the limiter's own. When the last
/// clone of the clock is dropped, its alarms are called off.
///
/// # Blocking
/// **A blocking call under paused time never ends.** Paused time advances only while the runtime is idle. A blocked
/// thread of the runtime keeps it from being idle, and tokio counts a thread of `spawn_blocking` as work as well.
///
/// # Panics
/// [`now`](Clock::now) panics in the destructor of a thread local variable where tokio's own has been destroyed.
/// [`wake_at`](Clock::wake_at) panics, as does every timer of tokio, if the runtime was built without time.
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

/// The clock's own runtime.
#[derive(Clone)]
struct Runtime {
    handle: Handle,
    alarms: Arc<Alarms>,
}

impl TokioClock {
    /// A clock of the current runtime that counts from now.
    ///
    /// Outside of any runtime see [`TokioClock`], "Which runtime".
    ///
    /// See the example of [`TokioClock`].
    pub fn new() -> Self {
        Handle::try_current()
            .map_or_else(|_| Self { origin: Instant::now(), runtime: None }, Self::with_handle)
    }

    /// A clock of that runtime that counts from now.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Clock, TokioClock};
    ///
    /// let paused =
    ///     tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    /// let clock = TokioClock::with_handle(paused.handle().clone());
    /// paused.block_on(async { tokio::time::sleep(Duration::from_secs(7)).await });
    /// // Outside of the runtime, and by its time.
    /// assert_eq!(clock.now(), 7_000_000_000);
    /// ```
    ///
    /// # Panics
    /// Where tokio's thread local variable has been destroyed.
    pub fn with_handle(handle: Handle) -> Self {
        let origin = {
            let _entered = handle.enter();
            Instant::now()
        };
        Self { origin, runtime: Some(Runtime { handle, alarms: Arc::default() }) }
    }

    /// How many alarms are set.
    #[cfg(all(test, not(tidegate_loom)))]
    pub(super) fn alarms(&self) -> usize {
        self.runtime.as_ref().map_or(0, |runtime| runtime.alarms.0.lock().alarms.len())
    }

    /// The runtime's time. It has to be entered: outside of it tokio shows real time, also where its own is paused.
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
            // No clock of this system ever shows that time.
            return true;
        };
        if deadline <= self.instant() {
            waker.wake_by_ref();
            return true;
        }
        alarms.set(handle, deadline, waker)
    }
}

/// The alarms of a clock and its clones. There are few: a limiter has one.
///
/// An alarm is a `Sleep`, polled once, which leaves a waker with the runtime's timer. A task would do as well, but
/// would be late by a turn of the scheduler: a test that has advanced paused time could tell.
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
    /// Leaves the runtime's timer when it is dropped. There is none yet while it is being polled.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarms {
    /// The caller drops what it is handed without a lock held: a waker may run any code.
    fn remove(&self, which: impl Fn(&Alarm) -> bool) -> Option<Alarm> {
        let alarms = &mut self.0.lock().alarms;
        alarms.iter().position(which).map(|at| alarms.swap_remove(at))
    }

    /// Whether the runtime will wake the waker, or has done so.
    fn set(self: &Arc<Self>, handle: &Handle, deadline: Instant, waker: &Waker) -> bool {
        let entered = handle.enter();
        // Panics if the runtime was built without time; nothing has changed so far.
        let mut sleep = Box::pin(sleep_until(deadline));
        // Hands it to the timer. One that is shutting down ends it at once, and to poll it would panic.
        sleep.as_mut().reset(deadline);
        if sleep.is_elapsed() {
            let is_due = deadline <= Instant::now();
            drop(entered);
            if is_due {
                waker.wake_by_ref();
            }
            // Otherwise not woken: the waiter would ask again, and again in vain.
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
        // Unconstrained: out of its budget, a task would be told "pending" without being registered. It panics if the
        // timer shuts down just now. Unwind safe: a sleep that panics is dropped.
        let poll = AssertUnwindSafe(|| pin!(unconstrained(sleep.as_mut())).poll(&mut cx));
        match catch_unwind(poll) {
            Ok(Poll::Pending) => {
                let mut list = self.0.lock();
                // If there is none, it has rung already, or another thread has set another for the same waker. Then
                // the sleep is not needed, and is dropped after the lock is released.
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

/// Wakes the waker of an alarm when the runtime's timer says so: because it is due, or because the runtime shuts
/// down.
struct Ring {
    /// Weak, so that the runtime's timer does not keep the alarms.
    alarms: Weak<Alarms>,
    id: u64,
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        // There are none, or none of that number, if it was called off.
        let alarm = self.alarms.upgrade().and_then(|alarms| alarms.remove(|alarm| alarm.id == self.id));
        if let Some(Alarm { waker, sleep, .. }) = alarm {
            drop(sleep);
            waker.wake();
        }
    }
}
