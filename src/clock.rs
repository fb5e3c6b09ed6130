//! Time: the one trait through which every use of time goes. Each clock has a file of its own.

mod discipline;
mod manual;
mod monotonic;
mod quanta;
mod shared;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(all(test, not(tidegate_loom)))]
mod tests;

use core::{fmt, task::Waker};

#[cfg(feature = "tokio")]
pub use self::tokio::TokioClock;
pub use self::{manual::ManualClock, monotonic::Monotonic, quanta::QuantaClock};

/// A source of time: nanoseconds since an origin of the clock's own.
///
/// [`Clock::now`](Self::now) does not go back. If it does, the step grants nothing (calls already under way aside),
/// the bucket counts as empty at the new time, and the way forward again counts as time. Put a clock that is known to
/// step back, such as a wall clock, into [`Monotonic`]: it goes on from where it was.
///
/// An [`Arc`](std::sync::Arc) of a clock and a `&'static` reference to a clock are clocks as well, so that several
/// limiters can share one.
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
/// let limiter = RateLimiter::with_clock(Quota::per_second(60).with_burst(1), Frames::default());
/// assert!(limiter.try_acquire().is_ok());
/// assert!(limiter.try_acquire().is_err());
/// limiter.clock().0.fetch_add(1, Ordering::Relaxed);
/// assert!(limiter.try_acquire().is_ok());
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Nanoseconds since the clock's origin.
    ///
    /// A limiter may call it with a lock of its own held. So it must not call a limiter that uses this clock, nor wait
    /// for a thread that does. It may panic: the panic goes on to the caller of the limiter, and nothing is lost.
    fn now(&self) -> u64;

    /// Asks a clock with alarms of its own to wake `waker` as soon as [`now`](Self::now) is at or past
    /// `deadline`, at once if it is already. Returns `false` if the clock has no alarms, as by default:
    /// waiters are then served by a timer of the limiter's own.
    ///
    /// A later call with the same waker may replace the earlier deadline. A clock that steps back should wake all
    /// wakers that it has, so that waiters look at the time again. An alarm that comes too early does no harm.
    ///
    /// A limiter calls it without a lock held. The clock may wake a waker from in here, but not with a lock of its own
    /// held: a waker may call the limiter, which reads the clock.
    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        let _ = (deadline, waker);
        false
    }
}
