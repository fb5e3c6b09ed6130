//! A clock that goes on where another one steps back.

use core::task::Waker;

use super::Clock;
use crate::sync::plain::Mutex;

/// Makes a clock that never goes back from one that may, such as a wall clock that is set by hand.
///
/// Where the inner clock steps back, this clock goes on from its latest reading, and the way forward from
/// there counts as time. Steps forward are believed. Time that passes between the latest reading and a step back is
/// lost, because nobody can tell it from the step.
///
/// Readings are nanoseconds. Until the first step back they are those of the inner clock. They saturate at
/// 2^64 - 1.
///
/// The inner clock is read with a mutex held, so that threads cannot mistake a reading that is merely late for a step
/// back. So it must not read the adaptor that it is in. If it panics, the panic goes on to the caller and nothing
/// has changed. The adaptor is not `Clone`, as two copies would come to show different times; share an
/// [`Arc`](std::sync::Arc) of it, which is a clock as well.
///
/// # Alarms
/// [`wake_at`](Clock::wake_at) asks the inner clock for an alarm at the time that corresponds to the deadline. A
/// step back makes that time wrong, so it relies on the inner clock to wake all its wakers at a step back, as
/// [`ManualClock`](crate::ManualClock) does. If the inner clock has no alarms, neither has this one.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{Clock, ManualClock, Monotonic};
///
/// let wall = ManualClock::starting_at(5_000);
/// let clock = Monotonic::new(wall.clone());
/// assert_eq!(clock.now(), 5_000);
/// wall.set(2_000);
/// assert_eq!(clock.now(), 5_000);
/// wall.advance(Duration::from_nanos(10));
/// assert_eq!(clock.now(), 5_010);
/// ```
/// A limiter by the wall clock:
/// ```
/// use std::time::SystemTime;
/// use tidegate::{Clock, Monotonic, Quota, RateLimiter};
///
/// #[derive(Debug)]
/// struct WallClock;
///
/// impl Clock for WallClock {
///     fn now(&self) -> u64 {
///         // 2^64 ns since 1970 end in the year 2554.
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

/// What has been seen of the inner clock.
#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    /// Its latest reading.
    latest: u64,
    /// By how much it has stepped back, all in all.
    back: u64,
}

impl<C> Monotonic<C> {
    /// A clock that goes by `clock`.
    ///
    /// See the examples of [`Monotonic`].
    pub fn new(clock: C) -> Self {
        Self { clock, steps: Mutex::default() }
    }

    /// The inner clock.
    ///
    /// ```
    /// use tidegate::{Clock, ManualClock, Monotonic};
    ///
    /// let clock = Monotonic::new(ManualClock::new());
    /// clock.get_ref().set(7);
    /// assert_eq!(clock.now(), 7);
    /// ```
    pub const fn get_ref(&self) -> &C {
        &self.clock
    }

    /// The inner clock, without the adaptor.
    ///
    /// ```
    /// use tidegate::{Clock, ManualClock, Monotonic};
    /// assert_eq!(Monotonic::new(ManualClock::starting_at(7)).into_inner().now(), 7);
    /// ```
    pub fn into_inner(self) -> C {
        self.clock
    }
}

impl<C: Clock> Monotonic<C> {
    /// Reads the inner clock.
    fn read(&self) -> Steps {
        let mut steps = self.steps.lock();
        // Under the lock: a reading behind the latest one is then a step back for certain.
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
        // The inner clock may have stepped back before it had the waker. Then the alarm is too late.
        if self.read().back != back {
            waker.wake_by_ref();
        }
        true
    }
}
