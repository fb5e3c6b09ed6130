//! Permits of several limits that return unless they are used.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{
    AllOf,
    acquire::AcquireAll,
    denied::{AllOfChargeError, AllOfDenied},
    members::{Member, for_each},
};
use crate::{permits::Permits, queue::Grant};

/// Permits of several limits that return to them on drop, unless they are [spent](Self::spend) or
/// [settled](Self::settle).
///
/// It is made by [`AllOf::try_reserve`], [`AllOf::reserve`] and their like. Of each limit as much returns as of a
/// [`Reservation`](crate::Reservation). Its drop takes the lock of each queue, one after the other, and never waits for
/// permits.
///
/// # Examples
/// ```
/// use tidegate::{AllOf, ManualClock, Quota, RateLimiter};
///
/// let clock = ManualClock::new();
/// let requests = RateLimiter::with_clock(Quota::per_minute(60), clock.clone());
/// let tokens = RateLimiter::with_clock(Quota::per_minute(1_000), clock);
/// let call = |n: u64| AllOf::new().and(&requests, 1).and(&tokens, n);
///
/// // An estimate. The call then took 420 tokens.
/// let reservation = call(600).try_reserve().unwrap();
/// reservation.settle(&call(420)).unwrap();
/// assert_eq!((requests.available(), tokens.available()), (59, 580));
///
/// // The call does not take place.
/// drop(call(500).try_reserve().unwrap());
/// assert_eq!((requests.available(), tokens.available()), (59, 580));
/// ```
#[must_use = "dropping a reservation gives the permits back"]
pub struct ReservationAll {
    /// In lock order. Empty once spent or settled.
    parts: Vec<(Member, Grant)>,
}

impl ReservationAll {
    pub(super) const fn new(parts: Vec<(Member, Grant)>) -> Self {
        Self { parts }
    }

    /// Spends the permits: the call takes place.
    ///
    /// ```
    /// use tidegate::{AllOf, Quota, RateLimiter};
    /// let (requests, bytes) = (RateLimiter::new(Quota::per_hour(10)), RateLimiter::new(Quota::per_hour(1_000)));
    /// AllOf::new().and(&requests, 1).and(&bytes, 400).try_reserve().unwrap().spend();
    /// assert_eq!((requests.available(), bytes.available()), (9, 600));
    /// ```
    pub fn spend(mut self) {
        self.parts.clear();
    }

    /// Ends the reservation with what the call has cost: the same limits with the real amounts. Of each limit the rest goes
    /// back, or the difference is charged, as by [`Reservation::settle`](crate::Reservation::settle). See the example of
    /// [`ReservationAll`].
    ///
    /// A limiter counts as the same if it is a handle on the same limiter, in whatever order or `AllOf` it was added. A limiter
    /// that `cost` does not have has cost nothing, and all that was reserved of it goes back. A limiter that only `cost` has is
    /// charged.
    ///
    /// Each limit is settled by itself. Another caller may see that some are settled and others not yet.
    ///
    /// # Errors
    /// All permits of the limit that refuses stay used. All other limits are settled. If several refuse, the error is that of
    /// the first one in `cost`.
    /// - [`DebtTooDeep`](crate::ChargeError::DebtTooDeep) as [`RateLimiter::charge`](crate::RateLimiter::charge).
    /// - [`Invalid`](crate::ChargeError::Invalid) if an amount in `cost` is negative, not a number, or too large for 64 bits.
    ///   Then no limit is settled, and all permits of the reservation stay used.
    ///
    /// # Panics
    /// If a clock panics. The other limits are settled.
    ///
    /// ```
    /// use tidegate::{AllOf, ChargeError, ManualClock, Quota, RateLimiter};
    /// let clock = ManualClock::new();
    /// let [input, output] = [1_000, 500].map(|n| RateLimiter::with_clock(Quota::per_minute(n), clock.clone()));
    /// let call = |i: i64, o: i64| AllOf::new().and_named("input", &input, i).and_named("output", &output, o);
    ///
    /// // Less input than estimated, and more output.
    /// call(300, 100).try_reserve().unwrap().settle(&call(280, 150)).unwrap();
    /// assert_eq!((input.available(), output.available()), (720, 350));
    ///
    /// let error = call(300, 100).try_reserve().unwrap().settle(&call(280, -1)).unwrap_err();
    /// assert_eq!(error.name(), Some("output"));
    /// assert!(matches!(error.error(), ChargeError::Invalid(_)));
    /// assert_eq!((input.available(), output.available()), (420, 250));
    /// ```
    pub fn settle(mut self, cost: &AllOf) -> Result<(), AllOfChargeError> {
        let parts = core::mem::take(&mut self.parts);
        cost.check_charge()?;
        let only_in_cost =
            cost.members.iter().filter(|member| parts.iter().all(|(part, _)| !part.is_same_as(member)));
        let parts = parts.iter().map(|(member, grant)| (member, Some(*grant)));
        let mut first = None;
        for_each(parts.chain(only_in_cost.map(|member| (member, None))), |(member, grant)| {
            let priced = cost.members.iter().find(|priced| priced.is_same_as(member));
            let permits = priced.map_or(Permits::ZERO, |priced| priced.permits);
            let settled = match grant {
                Some(grant) => member.driver.settle(grant, member.permits, permits),
                None => member.driver.charge(permits).map(drop),
            };
            if let (Err(error), Some(priced)) = (settled, priced) {
                first = AllOfChargeError::first(first, AllOfChargeError::new(priced.which, error));
            }
        });
        first.map_or(Ok(()), Err)
    }
}

impl Drop for ReservationAll {
    fn drop(&mut self) {
        for_each(self.parts.drain(..), |(member, grant)| {
            member.driver.give_back_unused(grant, member.permits);
        });
    }
}

impl fmt::Debug for ReservationAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permits = self.parts.iter().map(|(member, _)| member.permits).collect::<Vec<_>>();
        f.debug_struct("ReservationAll").field("permits", &permits).finish_non_exhaustive()
    }
}

/// The future of [`AllOf::reserve`] and [`AllOf::reserve_within`], with the output `Result<ReservationAll, AllOfDenied>`. It is
/// owned, as [`AcquireAll`].
#[must_use = "futures do nothing unless polled or awaited"]
pub struct ReserveAll {
    all: AcquireAll,
}

impl ReserveAll {
    pub(super) const fn new(all: AcquireAll) -> Self {
        Self { all }
    }
}

impl Future for ReserveAll {
    type Output = Result<ReservationAll, AllOfDenied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.all.poll_held(cx));
        Poll::Ready(outcome.map(|()| ReservationAll::new(self.all.take_parts())))
    }
}

impl fmt::Debug for ReserveAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReserveAll").field("all", &self.all).finish()
    }
}
