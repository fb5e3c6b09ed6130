//! Time: the one trait through which every use of time goes, and the default clock.
//!
//! This is the only file that names quanta.

mod manual;
mod tokio;

use core::{fmt, task::Waker};

pub use self::{manual::ManualClock, tokio::TokioClock};

/// A source of time: nanoseconds since an origin of the clock's own.
///
/// The limiter reads it once a call. A clock should not go backwards; if it does, nothing extra is
/// admitted, and a permit is to be had again at the latest when the bucket would have filled, plus the time of
/// one permit and two milliseconds.
///
/// # Examples
/// A clock that counts in steps of its own:
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tidegate::{Clock, Quota, RateLimiter};
///
/// #[derive(Debug, Default)]
/// struct Frames(AtomicU64);
///
/// impl Clock for Frames {
///     fn now(&self) -> u64 {
///         self.0.load(Ordering::Relaxed) * 16_666_667
///     }
/// }
///
/// let limiter = RateLimiter::with_clock(Quota::per_second(60).burst(1), Frames::default());
/// assert!(limiter.try_acquire().is_ok());
/// assert!(limiter.try_acquire().is_err());
/// limiter.clock().0.fetch_add(1, Ordering::Relaxed);
/// assert!(limiter.try_acquire().is_ok());
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Nanoseconds since the clock's origin.
    ///
    /// It is never called with a lock held.
    fn now(&self) -> u64;

    /// Asks a clock with alarms of its own to wake `waker` as soon as [`now`](Self::now) is at or past
    /// `deadline`, at once if it is already. Returns `false` if the clock has no alarms, as by default:
    /// waiters then rely on the timer of the tokio runtime that polls them.
    ///
    /// A later call with the same waker may replace the earlier deadline.
    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        let _ = (deadline, waker);
        false
    }
}

/// The default clock: the processor's time stamp counter where it is steady, through [`quanta`], or else
/// the operating system's monotonic clock.
///
/// The first one made in a process calibrates the counter, which takes up to 200 ms.
///
/// # Examples
/// ```
/// use tidegate::{Clock, QuantaClock};
///
/// let clock = QuantaClock::new();
/// let earlier = clock.now();
/// assert!(clock.now() >= earlier);
/// ```
#[derive(Clone)]
pub struct QuantaClock {
    clock: quanta::Clock,
    origin: u64,
}

impl QuantaClock {
    /// A clock that counts from now.
    ///
    /// See the example of [`QuantaClock`].
    pub fn new() -> Self {
        let clock = quanta::Clock::new();
        let origin = clock.raw();
        Self { clock, origin }
    }
}

impl Default for QuantaClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for QuantaClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuantaClock").finish_non_exhaustive()
    }
}

impl Clock for QuantaClock {
    #[inline]
    fn now(&self) -> u64 {
        // A reading before the origin, from a counter of another core that lags, saturates to zero.
        self.clock.delta_as_nanos(self.origin, self.clock.raw())
    }
}
