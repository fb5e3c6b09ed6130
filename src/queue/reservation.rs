//! Permits that are taken, and go back unless they are used.

use core::{fmt, future::poll_fn, pin::pin};
use std::sync::Arc;

use super::{driver::Driver, entry::Grant, waiter::Waiter};
use crate::{
    clock::{Clock, QuantaClock},
    error::{AcquireError, Denied},
    permits::Permits,
};

/// Permits that have been taken, and go back on drop unless they are [spent](Self::spend): for calls that may
/// not take place after all.
///
/// It is made by [`RateLimiter::try_reserve`](crate::RateLimiter::try_reserve) and
/// [`RateLimiter::reserve`](crate::RateLimiter::reserve). To drop it takes the queue's lock, and never waits for permits.
///
/// # How much goes back
/// All of it, except for what may have overflowed the bucket since. What goes back is granted to the waiters first.
///
/// Without this reservation the bucket would have held more. If it would have been full at some time since, permits that
/// came then would have been lost, and to give as many back would be a second burst. Part of a reservation can go back.
/// Calls that took permits without the queue's lock leave no note of when they did. If there were some since, the
/// limiter takes the least that can be right, as of the next call under the lock.
///
/// So an unused reservation may be worth little or nothing after longer than `burst / rate`, also under load. An
/// estimate that is settled after a call of five seconds wants a burst of `rate * 5 s`. After
/// [`reset`](crate::RateLimiter::reset), after a change of quota that does not keep the level
/// ([`Inherit`](crate::Inherit)), and after the clock has stepped back, nothing goes back.
///
/// # Examples
/// ```
/// use tidegate::{ManualClock, Quota, RateLimiter};
///
/// let limiter = RateLimiter::with_clock(Quota::per_second(10), ManualClock::new());
/// let reservation = limiter.try_reserve(4).unwrap();
/// assert_eq!(limiter.available(), 6);
/// drop(reservation);
/// assert_eq!(limiter.available(), 10);
///
/// limiter.try_reserve(4).unwrap().spend();
/// assert_eq!(limiter.available(), 6);
/// ```
#[must_use = "dropping a reservation gives the permits back"]
pub struct Reservation<C: Clock = QuantaClock> {
    driver: Arc<Driver<C>>,
    permits: Permits,
    /// None once it is spent.
    grant: Option<Grant>,
}

impl<C: Clock> Reservation<C> {
    /// Takes permits if they are there and nobody waits.
    pub(crate) fn try_new(driver: &Arc<Driver<C>>, permits: Permits) -> Result<Self, Denied> {
        let grant = driver.try_hold(permits)?;
        Ok(Self { driver: Arc::clone(driver), permits, grant: Some(grant) })
    }

    /// Waits for permits.
    pub(crate) async fn wait(driver: &Arc<Driver<C>>, permits: Permits) -> Result<Self, AcquireError> {
        let mut waiter = pin!(Waiter::new(&**driver, Ok(permits), None));
        let grant = poll_fn(|cx| waiter.as_mut().poll_grant(cx, true)).await.map_err(AcquireError::of)?;
        Ok(Self { driver: Arc::clone(driver), permits, grant })
    }

    /// Uses the permits for good: the call takes place.
    ///
    /// See the example of [`Reservation`].
    pub fn spend(mut self) {
        self.grant = None;
    }

    /// How many permits it holds.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(10));
    /// assert_eq!(limiter.try_reserve(4).unwrap().permits(), 4.into());
    /// ```
    pub const fn permits(&self) -> Permits {
        self.permits
    }
}

impl<C: Clock> Drop for Reservation<C> {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.driver.give_back(grant);
        }
    }
}

impl<C: Clock> fmt::Debug for Reservation<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("permits", &self.permits).finish_non_exhaustive()
    }
}
