//! A clock that keeps going forward where another clock steps back.

use core::task::Waker;

use super::Clock;
use crate::sync::plain::Mutex;

/// Makes a clock that never goes back from a clock that may, such as a wall clock that is set by hand.
///
/// When the inner clock steps back, this clock continues from its latest reading, and the time that passes again
/// counts. Steps forward are taken as time. Time between the latest reading and a step back is lost, because it cannot
/// be told from the step. Until the first step back, readings equal those of the inner clock. They saturate at 2^64 - 1
/// ns.
///
/// The inner clock is read with a mutex held, so that a reading that is merely late is not mistaken for a step back. So
/// the inner clock must not read this clock. If it panics, nothing changes. Two copies of this clock would show
/// different times, so there is no `Clone`: share an [`Arc`](std::sync::Arc).
///
/// # Alarms
/// [`wake_at`](Clock::wake_at) sets an alarm of the inner clock at the time that corresponds to the deadline, if the
/// inner clock has alarms. A step back makes that time wrong. So the inner clock must wake all its wakers when it steps
/// back, as [`ManualClock`](crate::ManualClock) does.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{Clock, ManualClock, Monotonic};
///
/// let clock = Monotonic::new(ManualClock::starting_at(5_000));
/// assert_eq!(clock.now(), 5_000);
/// clock.get_ref().set(2_000);
/// assert_eq!(clock.now(), 5_000);
/// clock.get_ref().advance(Duration::from_nanos(10));
/// assert_eq!(clock.now(), 5_010);
/// assert_eq!(clock.into_inner().now(), 2_010);
/// ```
/// A limiter on the wall clock:
/// ```
/// use std::time::SystemTime;
/// use tidegate::{Clock, Monotonic, Quota, RateLimiter};
///
/// #[derive(Debug)]
/// struct WallClock;
///
/// impl Clock for WallClock {
///     fn now(&self) -> u64 {
///         // 64 bits last until the year 2554.
///         SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos() as u64
///     }
/// }
///
/// let limiter = RateLimiter::with_clock(Quota::per_second(10), Monotonic::new(WallClock));
/// assert!(limiter.try_acquire().is_ok());
/// ```
#[derive(Debug, Default)]
pub struct Monotonic<C> {
    clock: C,
    steps: Mutex<Steps>,
}

/// The readings of the inner clock so far.
#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    latest: u64,
    /// The sum of all steps back.
    back: u64,
}

impl<C> Monotonic<C> {
    /// A clock that follows `clock`. See the examples of [`Monotonic`].
    pub fn new(clock: C) -> Self {
        Self { clock, steps: Mutex::default() }
    }

    /// The inner clock. See the examples of [`Monotonic`].
    pub const fn get_ref(&self) -> &C {
        &self.clock
    }

    /// Unwraps the inner clock. See the examples of [`Monotonic`].
    pub fn into_inner(self) -> C {
        self.clock
    }
}

impl<C: Clock> Monotonic<C> {
    fn read(&self) -> Steps {
        let mut steps = self.steps.lock();
        // Under the lock, so that a reading behind the latest one is certainly a step back.
        let reading = self.clock.now();
        let step = steps.latest.saturating_sub(reading);
        *steps = Steps { latest: reading, back: steps.back.saturating_add(step) };
        *steps
    }
}

impl<C: Clock> Clock for Monotonic<C> {
    fn now(&self) -> u64 {
        let Steps { latest, back } = self.read();
        latest.saturating_add(back)
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        let back = self.read().back;
        if !self.clock.wake_at(deadline.saturating_sub(back), waker) {
            return false;
        }
        // If the inner clock stepped back before it had the waker, the alarm would come too late.
        if self.read().back != back {
            waker.wake_by_ref();
        }
        true
    }
}
