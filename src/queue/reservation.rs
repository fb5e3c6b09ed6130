//! Permits that are taken, and go back unless they are used.

use core::{fmt, future::poll_fn, pin::pin};
use std::sync::Arc;

use super::{acquire::Waiter, inner::Grant, wait_queue::WaitQueue};
use crate::{clock::Clock, error::Denied, permits::Permits};

/// Permits that have been taken, and go back on drop unless they are [spent](Self::spend): for calls that may
/// not come about after all.
///
/// # How much goes back
/// All of it, and on to those who wait; unless the bucket would have been full in the meantime without this
/// reservation. What came in then would have been lost, and to give the permits back would be a second burst;
/// nothing goes back then. Calls that do not wait leave no note of when they took permits: if there were some since,
/// the bucket counts as full if it would have been by the time of the drop.
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
pub struct Reservation<C: Clock> {
    queue: Arc<WaitQueue<C>>,
    permits: Permits,
    /// None once it is spent.
    grant: Option<Grant>,
}

impl<C: Clock> Reservation<C> {
    /// Takes permits if they are there and nobody waits.
    pub(crate) fn try_new(queue: &Arc<WaitQueue<C>>, permits: Permits) -> Result<Self, Denied> {
        let grant = queue.try_hold(permits)?;
        Ok(Self { queue: Arc::clone(queue), permits, grant: Some(grant) })
    }

    /// Waits for permits.
    pub(crate) async fn wait(queue: &Arc<WaitQueue<C>>, permits: Permits) -> Result<Self, Denied> {
        let mut waiter = pin!(Waiter::new(&**queue, Ok(permits), None));
        let grant = poll_fn(|cx| waiter.as_mut().poll_grant(cx, true)).await?;
        Ok(Self { queue: Arc::clone(queue), permits, grant })
    }

    /// Keeps the permits for good: the call takes place.
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
            self.queue.give_back(grant);
        }
    }
}

impl<C: Clock> fmt::Debug for Reservation<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("permits", &self.permits).finish_non_exhaustive()
    }
}
