//! Permits that return to the limiter unless they are used.

use core::{fmt, future::poll_fn, pin::pin};
use std::sync::Arc;

use super::{
    driver::Driver,
    entry::{Ask, Grant},
    waiter::Waiter,
};
use crate::{
    clock::{Clock, QuantaClock},
    error::{ChargeError, Denied},
    lane::Lane,
    permits::{Amount, Permits},
};

/// Permits that return to the limiter on drop unless they are [spent](Self::spend), for calls that may not take place.
///
/// It is made by [`RateLimiter::try_reserve`](crate::RateLimiter::try_reserve),
/// [`RateLimiter::reserve`](crate::RateLimiter::reserve) and their like. Its drop takes the queue's lock, and never waits for permits.
///
/// # How much returns
/// All permits, except those that would have overflowed the bucket meanwhile. Waiters get them first.
///
/// Without the reservation the bucket would have held more. If the bucket would have been full at some time since, the
/// permits that arrived then would have been lost, so they do not return: they would be a second burst. Calls without
/// the queue's lock do not record when they took permits. After such calls the least that can be right returns.
///
/// So a reservation that is unused for longer than `burst / rate` may return little or nothing, also under load. For an
/// estimate that is settled after five seconds, use a burst of `rate * 5 s` or more. Nothing returns after
/// [`reset`](crate::RateLimiter::reset), after a change of quota other than by [`Inherit::AsIs`](crate::Inherit::AsIs),
/// or after the limiter has seen its clock step back.
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
    /// `None` once spent.
    grant: Option<Grant>,
}

impl<C: Clock> Reservation<C> {
    pub(crate) fn try_new(driver: &Arc<Driver<C>>, permits: Permits, lane: Lane) -> Result<Self, Denied> {
        let grant = driver.try_hold(permits, lane)?;
        Ok(Self { driver: Arc::clone(driver), permits, grant: Some(grant) })
    }

    pub(crate) async fn wait(driver: &Arc<Driver<C>>, ask: Ask) -> Result<Self, Denied> {
        let mut waiter = pin!(Waiter::new(&**driver, Ok(ask)));
        let grant = poll_fn(|cx| waiter.as_mut().poll_grant(cx, true)).await?;
        Ok(Self { driver: Arc::clone(driver), permits: ask.permits, grant })
    }

    #[track_caller]
    pub(crate) fn wait_blocking(driver: &Arc<Driver<C>>, ask: Ask) -> Result<Self, Denied> {
        let grant = driver.hold_blocking(ask)?;
        Ok(Self { driver: Arc::clone(driver), permits: ask.permits, grant: Some(grant) })
    }

    /// Spends the permits: the call takes place. See the example of [`Reservation`].
    pub fn spend(mut self) {
        self.grant = None;
    }

    /// Uses as many of the permits as the call has cost, and gives the rest back by the rule of the type. If the call has
    /// cost more than was reserved, the difference is [charged](crate::RateLimiter::charge), which may leave a debt.
    ///
    /// # Errors
    /// As [`RateLimiter::charge`](crate::RateLimiter::charge). All permits of the reservation stay used then.
    ///
    /// ```
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// let tokens = RateLimiter::with_clock(Quota::per_minute(1_000), ManualClock::new());
    /// tokens.try_reserve(900).unwrap().settle(700).unwrap();
    /// assert_eq!(tokens.available(), 300);
    /// tokens.try_reserve(300).unwrap().settle(350).unwrap();
    /// assert_eq!(tokens.available(), -50);
    /// ```
    pub fn settle(mut self, cost: impl Amount) -> Result<(), ChargeError> {
        let grant = self.grant.take();
        let cost = cost.permits()?;
        grant.map_or(Ok(()), |grant| self.driver.settle(grant, self.permits, cost))
    }

    /// The permits reserved.
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

impl<C: Clock + ?Sized> Driver<C> {
    /// Ends a grant of `permits` for a call that does not take place.
    pub(crate) fn give_back_unused(&self, grant: Grant, permits: Permits) {
        self.give_back(grant);
        self.watch().given_back(permits);
    }

    /// Ends a grant of `permits` for a call that has cost `cost`: gives back what is left, or charges what is missing.
    pub(crate) fn settle(&self, grant: Grant, permits: Permits, cost: Permits) -> Result<(), ChargeError> {
        match cost.minus(permits) {
            Some(Permits::ZERO) => Ok(()),
            Some(more) => self.charge(more).map(drop),
            None => {
                self.give_back_unused(grant.without(cost), permits.minus(cost).unwrap_or(Permits::ZERO));
                Ok(())
            }
        }
    }
}

impl<C: Clock> Drop for Reservation<C> {
    fn drop(&mut self) {
        if let Some(grant) = self.grant.take() {
            self.driver.give_back_unused(grant, self.permits);
        }
    }
}

impl<C: Clock> fmt::Debug for Reservation<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("permits", &self.permits).finish_non_exhaustive()
    }
}
