//! The limiter: a clock, a quota, the word, and the queue, behind one handle.

mod waiting;

use core::{fmt, time::Duration};
use std::sync::Arc;

use crate::{
    Amount, Clock, Denied, Inherit, QuantaClock, Quota, QuotaError, Reservation, gcra::Scale,
    queue::WaitQueue,
};

/// A rate limiter that threads and tasks share.
///
/// Cloning it gives another handle on the same limiter. It is `Send` and `Sync`, and every method takes
/// `&self`.
///
/// Methods named `_n` take an [`Amount`]: an integer, or a fraction such as `0.5`. Zero is always admitted
/// and changes nothing.
///
/// # Fairness
/// While anyone waits, newcomers go to the back of the queue, and `try_acquire` is refused. A waiter for
/// many permits is never overtaken by waiters for few.
///
/// # Examples
/// ```
/// use tidegate::{Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_second(100).burst(20));
/// match limiter.try_acquire() {
///     Ok(()) => { /* go on */ }
///     Err(denied) => println!("{denied}"),
/// }
/// ```
pub struct RateLimiter<C: Clock = QuantaClock> {
    queue: Arc<WaitQueue<C>>,
}

impl RateLimiter {
    /// A limiter on the default clock.
    ///
    /// # Panics
    /// If the burst is too large for its word, which takes a bucket of some 10^18 permits. See
    /// [`try_new`](Self::try_new).
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(100));
    /// assert!(limiter.try_acquire().is_ok());
    /// ```
    #[track_caller]
    pub fn new(quota: Quota) -> Self {
        Self::with_clock(quota, QuantaClock::new())
    }

    /// As [`new`](Self::new), for quotas from outside.
    ///
    /// # Errors
    /// If the burst or the rate is too large for the limiter's word.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// assert!(RateLimiter::try_new(Quota::per_day(1).burst(u64::MAX)).is_err());
    /// ```
    pub fn try_new(quota: Quota) -> Result<Self, QuotaError> {
        Self::try_with_clock(quota, QuantaClock::new())
    }
}

impl<C: Clock> RateLimiter<C> {
    /// A limiter on a clock of one's own.
    ///
    /// # Panics
    /// As [`new`](RateLimiter::new).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::with_clock(Quota::per_second(1), clock.clone());
    /// assert!(limiter.try_acquire().is_ok());
    /// assert!(limiter.try_acquire().is_err());
    /// clock.advance(Duration::from_secs(1));
    /// assert!(limiter.try_acquire().is_ok());
    /// ```
    #[track_caller]
    pub fn with_clock(quota: Quota, clock: C) -> Self {
        match Self::try_with_clock(quota, clock) {
            Ok(limiter) => limiter,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`with_clock`](Self::with_clock), for quotas from outside.
    ///
    /// # Errors
    /// If the burst or the rate is too large for the limiter's word.
    ///
    /// ```
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// assert!(RateLimiter::try_with_clock(Quota::per_second(5), ManualClock::new()).is_ok());
    /// ```
    pub fn try_with_clock(quota: Quota, clock: C) -> Result<Self, QuotaError> {
        let scale = Scale::new(&quota)?;
        Ok(Self { queue: WaitQueue::new(quota, scale, clock) })
    }

    pub(crate) const fn queue(&self) -> &Arc<WaitQueue<C>> {
        &self.queue
    }

    /// The clock.
    ///
    /// ```
    /// use tidegate::{Clock, Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(100));
    /// let _now = limiter.clock().now();
    /// ```
    pub fn clock(&self) -> &C {
        self.queue.clock()
    }

    /// The quota.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(100));
    /// assert_eq!(limiter.quota(), Quota::per_second(100));
    /// ```
    pub fn quota(&self) -> Quota {
        self.queue.quota()
    }

    // === without waiting ===

    /// Takes one permit if it is there and nobody waits.
    ///
    /// An admission is one reading of the clock and one compare-and-swap; a refusal writes nothing.
    ///
    /// # Errors
    /// [`Denied::NotYet`], with the time after which the call succeeds if nobody else comes.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(1));
    /// assert!(limiter.try_acquire().is_ok());
    /// assert!(limiter.try_acquire().unwrap_err().retry_after().is_some());
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<(), Denied> {
        self.queue.try_take(1.into())
    }

    /// Takes `n` permits if all are there and nobody waits; else none.
    ///
    /// # Errors
    /// [`Denied::NotYet`] as [`try_acquire`](Self::try_acquire); [`Denied::Never`] if `n` is more than the
    /// burst; [`Denied::Invalid`] if it is negative or not a number.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// assert!(limiter.try_acquire_n(7).is_ok());
    /// assert!(limiter.try_acquire_n(2.5).is_ok());
    /// assert!(limiter.try_acquire_n(1).is_err());
    /// assert!(limiter.try_acquire_n(11).unwrap_err().is_never());
    /// ```
    #[inline]
    pub fn try_acquire_n(&self, n: impl Amount) -> Result<(), Denied> {
        self.queue.try_take(n.permits()?)
    }

    /// Takes `n` permits as [`try_acquire_n`](Self::try_acquire_n), to be given back unless they are
    /// [spent](Reservation::spend). It takes the queue's lock.
    ///
    /// # Errors
    /// As [`try_acquire_n`](Self::try_acquire_n).
    ///
    /// See the example of [`Reservation`].
    pub fn try_reserve(&self, n: impl Amount) -> Result<Reservation<C>, Denied> {
        Reservation::try_new(&self.queue, n.permits()?)
    }

    /// Takes as many whole permits as are there, but not more than `most`; returns how many. None while
    /// anyone waits.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// assert_eq!(limiter.try_acquire_up_to(7), 7);
    /// assert_eq!(limiter.try_acquire_up_to(7), 3);
    /// assert_eq!(limiter.try_acquire_up_to(7), 0);
    /// ```
    pub fn try_acquire_up_to(&self, most: u64) -> u64 {
        self.queue.try_take_up_to(most)
    }

    /// Takes `n` permits whether they are there or not, if need be into debt: for costs that are known only
    /// afterwards. Returns how long until the debt is paid, rounded up; zero if there is none.
    ///
    /// It does not wait, and goes ahead of those who do.
    ///
    /// # Errors
    /// [`Denied::DebtTooDeep`] if the limiter cannot hold such a debt, which takes at least a burst of it,
    /// and by far more for usual quotas; [`Denied::Invalid`] if `n` is negative or not a number. Nothing is
    /// taken then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// let limiter = RateLimiter::with_clock(Quota::per_second(10), ManualClock::new());
    /// assert_eq!(limiter.charge(15), Ok(Duration::from_millis(500)));
    /// assert_eq!(limiter.available(), -5);
    /// ```
    pub fn charge(&self, n: impl Amount) -> Result<Duration, Denied> {
        self.queue.charge(n.permits()?)
    }

    /// Gives back `n` permits that were taken and not used. The level does not rise above the burst. Those
    /// who wait get them first. A fraction is rounded down to a tick, so that many small refunds make no permit; for
    /// the rates that people write a millionth is a whole number of ticks.
    ///
    /// # Errors
    /// [`Denied::Invalid`] if `n` is negative or not a number.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// limiter.try_acquire_n(10).unwrap();
    /// limiter.refund(4).unwrap();
    /// assert_eq!(limiter.available(), 4);
    /// ```
    pub fn refund(&self, n: impl Amount) -> Result<(), Denied> {
        self.queue.refund(n.permits()?);
        Ok(())
    }

    /// Makes the full burst available again, whatever was taken.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// limiter.charge(100).unwrap();
    /// limiter.reset();
    /// assert_eq!(limiter.available(), 10);
    /// ```
    pub fn reset(&self) {
        self.queue.reset();
    }

    // === another quota ===

    /// Replaces the quota of the live limiter. The time up to now counts at the old rate, the permits that are
    /// there stay (up to the new burst), and those who wait are re-timed at once.
    ///
    /// The hot path pays nothing for the possibility. Whoever takes permits while the quota changes does so
    /// by the old one or by the new one.
    ///
    /// # Waiters
    /// Who waits for more than the new burst is turned away with [`Denied::Never`], and who can no longer be
    /// served [within](Self::acquire_within) the time given with [`Denied::NotYet`]; both without taking
    /// anything. A waiter for [one permit](Self::acquire) always stays. The order stays.
    ///
    /// # Errors
    /// If the burst, the rate, or the present debt is too large for the limiter's word; nothing changes then.
    ///
    /// ```
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::with_clock(Quota::per_second(5).burst(2), clock.clone());
    /// limiter.try_acquire_n(2).unwrap();
    /// clock.advance(Duration::from_millis(100));
    /// limiter.set_quota(Quota::per_second(10).burst(2)).unwrap();
    /// // Half a permit from before, and half a permit at the new rate.
    /// assert_eq!(limiter.time_until(1), Ok(Duration::from_millis(50)));
    /// ```
    pub fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.set_quota_with(quota, Inherit::AsIs)
    }

    /// As [`set_quota`](Self::set_quota), with a choice of what becomes of the level.
    ///
    /// # Errors
    /// As [`set_quota`](Self::set_quota).
    ///
    /// See the example of [`Inherit`].
    pub fn set_quota_with(&self, quota: Quota, inherit: Inherit) -> Result<(), QuotaError> {
        self.queue.set_quota(quota, inherit)
    }

    // === reports ===

    /// Whether [`try_acquire_n`](Self::try_acquire_n) of that amount would succeed now. Takes nothing.
    ///
    /// An amount that is negative or not a number never fits.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(1));
    /// assert!(limiter.has_capacity(0.5));
    /// assert!(!limiter.has_capacity(1.5));
    /// ```
    pub fn has_capacity(&self, n: impl Amount) -> bool {
        n.permits().is_ok_and(|n| self.queue.time_until(n) == Ok(Duration::ZERO))
    }

    /// The permits there are now, rounded down to a whole one; negative in debt. Those who wait have not
    /// taken theirs yet.
    ///
    /// After the clock has stepped back this, like all that tells what is there, may find that it is time to go by the
    /// clock again; then those who wait and are due are woken.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// assert_eq!(RateLimiter::new(Quota::per_hour(10)).available(), 10);
    /// ```
    pub fn available(&self) -> i64 {
        self.queue.available()
    }

    /// How long until `n` permits can be had, rounded up, counting those who wait; zero if they are there.
    /// Takes nothing.
    ///
    /// # Errors
    /// [`Denied::Never`] if `n` is more than the burst; [`Denied::Invalid`] if it is negative or not a
    /// number.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// let limiter = RateLimiter::with_clock(Quota::per_second(3), ManualClock::new());
    /// limiter.try_acquire_n(3).unwrap();
    /// assert_eq!(limiter.time_until(1), Ok(Duration::from_nanos(333_333_334)));
    /// ```
    pub fn time_until(&self, n: impl Amount) -> Result<Duration, Denied> {
        self.queue.time_until(n.permits()?)
    }

    /// How long until the full burst is there again, if nobody takes any, rounded up.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// let limiter = RateLimiter::with_clock(Quota::per_second(10), ManualClock::new());
    /// limiter.try_acquire_n(10).unwrap();
    /// assert_eq!(limiter.time_until_full(), Duration::from_secs(1));
    /// ```
    pub fn time_until_full(&self) -> Duration {
        self.queue.time_until_full()
    }

    /// How many wait in the queue.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// assert_eq!(RateLimiter::new(Quota::per_hour(10)).waiting(), 0);
    /// ```
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }
}

impl<C: Clock> Clone for RateLimiter<C> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue) }
    }
}

impl<C: Clock> fmt::Debug for RateLimiter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("quota", &format_args!("{}", self.quota()))
            .field("available", &self.queue.available_as_is())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
