//! A handle for one thread or task, with a share of its own.

use core::fmt;

use super::{PerCore, draw::LocalShare};
use crate::{
    AcquireError, Amount, Clock, Denied, Permits, QuantaClock, RateLimiter, limiter::BLOCKED_FOR_GOOD,
    queue::poll_proceed,
};

/// Permits that one thread or task holds: to take one is a plain subtraction.
///
/// It is made by [`PerCore::local`]. When it runs out, it draws from the limiter what it needs and a share more, or
/// takes from slots. It can be moved to another thread. Its drop gives back what it holds.
///
/// Only this handle takes what it holds. A call elsewhere can be refused meanwhile, and the handle may go on taking
/// while others wait: at most a share, and nothing where permits are scarce. After a change to a lower quota it keeps
/// what it holds. The [bound](PerCore#the-bound) is that of the limiter.
///
/// If it is leaked with `mem::forget`, what it holds is lost, and its part of the capacity with it.
///
/// # Examples
/// ```
/// use tidegate::{PerCore, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_second(10_000_000).with_burst(1_000_000));
/// let per_core = PerCore::new(&limiter);
/// std::thread::scope(|scope| {
///     for _ in 0..4 {
///         let mut local = per_core.local();
///         scope.spawn(move || {
///             for _ in 0..1000 {
///                 assert!(local.try_acquire().is_ok());
///             }
///         });
///     }
/// });
/// ```
pub struct Local<C: Clock = QuantaClock> {
    pub(super) share: LocalShare,
    per_core: PerCore<C>,
}

impl<C: Clock> PerCore<C> {
    /// Makes a handle for one thread or task, with a share of its own. See the example of [`Local`].
    pub fn local(&self) -> Local<C> {
        Local::new(self.clone())
    }
}

impl<C: Clock> Local<C> {
    pub(super) fn new(per_core: PerCore<C>) -> Self {
        Self { share: LocalShare::default(), per_core }
    }

    /// Takes one permit if it is held, or is available and no caller waits.
    ///
    /// # Errors
    /// As [`RateLimiter::try_acquire`].
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// let mut local = PerCore::new(&RateLimiter::new(Quota::per_hour(1))).local();
    /// assert!(local.try_acquire().is_ok());
    /// assert!(local.try_acquire().unwrap_err().retry_after().is_some());
    /// ```
    #[inline]
    pub fn try_acquire(&mut self) -> Result<(), Denied> {
        if self.take(Permits::MILLION) { Ok(()) } else { self.take_elsewhere(1.into()) }
    }

    /// Takes `n` permits if all are held, or are available and no caller waits; otherwise none.
    ///
    /// # Errors
    /// As [`PerCore::try_acquire_n`].
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// let mut local = PerCore::new(&RateLimiter::new(Quota::per_hour(10))).local();
    /// assert!(local.try_acquire_n(2.5).is_ok());
    /// assert!(local.try_acquire_n(8).is_err());
    /// ```
    #[inline]
    pub fn try_acquire_n(&mut self, n: impl Amount) -> Result<(), Denied> {
        let permits = n.permits()?;
        if self.take_all(permits) { Ok(()) } else { self.take_elsewhere(permits) }
    }

    /// Waits for one permit, as [`acquire_n`](Self::acquire_n). Cancel safety and panics as [`RateLimiter::acquire`].
    pub async fn acquire(&mut self) {
        if self.acquire_n(1).await.is_err() {
            // The limiter is closed: as `RateLimiter::acquire`.
            core::future::pending::<()>().await;
        }
    }

    /// Waits for `n` permits. Takes what is held, and joins the queue of the limiter for what it lacks; until that is
    /// granted, what is held is kept. Cancel safety and panics as [`RateLimiter::acquire`].
    ///
    /// # Errors
    /// As [`PerCore::acquire_n`].
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let mut local = PerCore::new(&RateLimiter::new(Quota::per_second(1_000_000))).local();
    /// local.acquire_n(5).await.unwrap();
    /// # });
    /// ```
    pub async fn acquire_n(&mut self, n: impl Amount) -> Result<(), AcquireError> {
        let permits = n.permits()?;
        // Taking permits uses the task's budget, whether they are held or not.
        core::future::poll_fn(|cx| poll_proceed(cx).map(|budget| budget.made_progress())).await;
        if let Err(missing) = self.take_at_once(permits) {
            self.per_core.limiter.acquire_n(missing).await.map_err(|error| error.of_request(permits))?;
            self.share.take_all_but(permits, missing);
        }
        Ok(())
    }

    /// Blocks the thread until it has one permit, as [`acquire`](Self::acquire). See [`RateLimiter::blocking_acquire`].
    ///
    /// # Panics
    /// As [`RateLimiter::blocking_acquire`].
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// PerCore::new(&RateLimiter::new(Quota::per_second(1000))).local().blocking_acquire();
    /// ```
    pub fn blocking_acquire(&mut self) {
        let acquired = self.blocking_acquire_n(1);
        assert!(acquired.is_ok(), "{BLOCKED_FOR_GOOD}");
    }

    /// Blocks the thread until it has `n` permits, as [`acquire_n`](Self::acquire_n).
    ///
    /// # Errors
    /// As [`PerCore::acquire_n`].
    ///
    /// ```
    /// use tidegate::{PerCore, Quota, RateLimiter};
    /// let mut local = PerCore::new(&RateLimiter::new(Quota::per_second(1000))).local();
    /// local.blocking_acquire_n(5).unwrap();
    /// ```
    pub fn blocking_acquire_n(&mut self, n: impl Amount) -> Result<(), AcquireError> {
        let permits = n.permits()?;
        if let Err(missing) = self.take_at_once(permits) {
            self.per_core.limiter.blocking_acquire_n(missing).map_err(|error| error.of_request(permits))?;
            self.share.take_all_but(permits, missing);
        }
        Ok(())
    }

    /// The permits held.
    ///
    /// ```
    /// use tidegate::{ManualClock, PerCore, Quota, RateLimiter};
    /// let limiter = RateLimiter::with_clock(Quota::per_second(1000), ManualClock::new());
    /// let mut local = PerCore::builder(&limiter).slots(1).share(100).build().unwrap().local();
    /// local.try_acquire().unwrap();
    /// assert_eq!(local.held(), 100.into());
    /// local.give_back();
    /// assert_eq!((local.held(), limiter.available()), (0.into(), 874));
    /// ```
    pub const fn held(&self) -> Permits {
        Permits::of_millionths(self.share.held)
    }

    /// Gives back what is held, to waiters first: for a handle that stays unused for a while. The level of the limiter
    /// does not rise above the part of the burst that is not set aside.
    pub fn give_back(&mut self) {
        self.share.give_back(self.per_core.limiter.driver(), &self.per_core.shares);
    }

    /// The limiter whose quota this handle takes, as [`PerCore::limiter`].
    pub const fn limiter(&self) -> &RateLimiter<C> {
        self.per_core.limiter()
    }

    #[inline]
    fn take(&mut self, millionths: u64) -> bool {
        let is_current = self.share.level_change == self.per_core.limiter.driver().level_changes().number();
        let there = self.share.held >= millionths && is_current;
        if there {
            self.share.held -= millionths;
        }
        there
    }

    #[inline]
    fn take_all(&mut self, permits: Permits) -> bool {
        permits.in_millionths(u64::MAX).is_some_and(|millionths| self.take(millionths))
    }

    #[inline(never)]
    fn take_elsewhere(&mut self, permits: Permits) -> Result<(), Denied> {
        let PerCore { limiter, shares, sizing, .. } = &self.per_core;
        let taken = self.share.take(limiter.driver(), shares, permits, *sizing);
        let decision = taken.map_err(|denied| denied.of_request(permits));
        limiter.driver().watch().decided(&decision);
        decision
    }

    /// Takes permits without waiting or stealing. The error is how many are missing.
    fn take_at_once(&mut self, permits: Permits) -> Result<(), Permits> {
        if self.take_all(permits) {
            return Ok(());
        }
        let PerCore { limiter, shares, sizing, .. } = &self.per_core;
        let taken = self.share.take_at_once(limiter.driver(), shares, permits, *sizing);
        if taken.is_ok() {
            limiter.driver().watch().admitted();
        }
        taken
    }
}

impl<C: Clock> Drop for Local<C> {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl<C: Clock> fmt::Debug for Local<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("held", &self.held()).finish_non_exhaustive()
    }
}
