//! Time: the trait through which the crate reads it. Each clock has a file of its own.

mod discipline;
mod manual;
mod monotonic;
mod quanta;
mod shared;
mod supplier;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(all(test, not(tidegate_loom)))]
mod tests;

use core::{fmt, task::Waker};

pub(crate) use self::supplier::{Fetch, Supplier};
#[cfg(feature = "tokio")]
pub use self::tokio::TokioClock;
pub use self::{manual::ManualClock, monotonic::Monotonic, quanta::QuantaClock};

/// A source of time: nanoseconds since an origin that the clock chooses.
///
/// Readings must not go back. If they go back far, the limiter's bucket counts as empty at the new time, and the time
/// that passes again counts. A small step back may go unnoticed, and its time counts twice. Wrap a clock that can step
/// back, such as a wall clock, in [`Monotonic`].
///
/// An [`Arc`](std::sync::Arc) of a clock and a `&'static` reference to a clock are clocks too, so that limiters can
/// share a clock.
///
/// # Examples
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
/// let limiter = RateLimiter::with_clock(Quota::per_second(60).with_burst(1), Frames::default());
/// assert!(limiter.try_acquire().is_ok());
/// assert!(limiter.try_acquire().is_err());
/// limiter.clock().0.fetch_add(1, Ordering::Relaxed);
/// assert!(limiter.try_acquire().is_ok());
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Nanoseconds since the clock's origin.
    ///
    /// A limiter may call this method while it holds a lock. So the method must not call a limiter, nor wait for a thread
    /// that does. A panic reaches the caller of the limiter, which can be used afterwards.
    fn now(&self) -> u64;

    /// Sets an alarm: wakes `waker` as soon as [`now`](Self::now) is `deadline` or later, or at once. Returns `false`
    /// if the clock has no alarms, as by default. Then [another timer](crate::RateLimiter::acquire) is used.
    ///
    /// A later call with the same waker may replace the earlier deadline. An early wake-up does no harm. A clock that
    /// steps back should wake all its wakers, so that the limiters read the time again.
    ///
    /// A limiter holds no lock when it calls this method. The method may wake wakers, but not while it holds a lock of
    /// the clock: a waker may call the limiter, which reads the clock.
    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        let _ = (deadline, waker);
        false
    }

    /// Where permits come from that time does not bring, for the clocks of fleets.
    #[doc(hidden)]
    #[inline]
    fn supplier(&self) -> Option<&dyn Supplier> {
        None
    }
}
