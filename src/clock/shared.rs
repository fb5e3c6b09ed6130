//! Pointers to clocks are clocks.

use core::task::Waker;
use std::sync::Arc;

use super::{Clock, Supplier};

/// One clock for several limiters, also if its type is known only at run time.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use tidegate::{Clock, ManualClock, QuantaClock, Quota, RateLimiter};
///
/// # let simulated = true;
/// let clock: Arc<dyn Clock> =
///     if simulated { Arc::new(ManualClock::new()) } else { Arc::new(QuantaClock::new()) };
/// let reads = RateLimiter::with_clock(Quota::per_second(10), Arc::clone(&clock));
/// let writes = RateLimiter::with_clock(Quota::per_second(1), clock);
/// assert!(reads.try_acquire().is_ok() && writes.try_acquire().is_ok());
/// ```
impl<C: Clock + ?Sized> Clock for Arc<C> {
    #[inline]
    fn now(&self) -> u64 {
        (**self).now()
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        (**self).wake_at(deadline, waker)
    }

    fn supplier(&self) -> Option<&dyn Supplier> {
        (**self).supplier()
    }
}

/// One clock for all limiters of a program.
///
/// # Examples
/// ```
/// use std::sync::LazyLock;
/// use tidegate::{Clock, Monotonic, QuantaClock, Quota, RateLimiter};
///
/// static CLOCK: LazyLock<Monotonic<QuantaClock>> = LazyLock::new(|| Monotonic::new(QuantaClock::new()));
///
/// let limiter = RateLimiter::with_clock(Quota::per_second(10), &*CLOCK);
/// assert!(limiter.try_acquire().is_ok());
/// ```
impl<C: Clock + ?Sized> Clock for &'static C {
    #[inline]
    fn now(&self) -> u64 {
        (**self).now()
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        (**self).wake_at(deadline, waker)
    }

    fn supplier(&self) -> Option<&dyn Supplier> {
        (**self).supplier()
    }
}
