//! Calls that wait: tasks, and blocked threads.

use core::{future::Future, time::Duration};
use std::sync::Arc;

use super::RateLimiter;
use crate::{
    Acquire, AcquireError, AcquireN, AcquireNOwned, AcquireOwned, AcquireWithin, AcquireWithinOwned, Amount,
    Clock, Denied, InvalidPermits, Lane, Permits, Reservation, queue::Ask,
};

/// One permit is only refused by a closed limiter. A thread that would wait for good panics instead.
pub(crate) const BLOCKED_FOR_GOOD: &str = "blocking_acquire on a closed limiter would never return: use blocking_acquire_n(1), which returns an error";

impl<C: Clock> RateLimiter<C> {
    const fn ask(&self, permits: Permits, max_wait: Option<Duration>) -> Ask {
        Ask { permits, lane: self.lane, max_wait }
    }

    fn ask_for(&self, n: impl Amount, max_wait: Option<Duration>) -> Result<Ask, InvalidPermits> {
        Ok(self.ask(n.permits()?, max_wait))
    }

    /// A handle on the same limiter whose calls are in a lane. Waiters of higher lanes are granted first, and calls of higher
    /// lanes are not refused because they wait. All other methods do the same through any handle, and clones keep the lane.
    /// A handle is in the normal lane unless it was made by this method. See [`Lane`] for the order, starvation, and an
    /// example.
    ///
    /// A waiter with a longest wait is refused as soon as waiters of higher lanes make it too late.
    ///
    /// ```
    /// use tidegate::{Lane, Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(100));
    /// let (interactive, batch) = (limiter.clone(), limiter.lane(Lane::Background));
    /// interactive.acquire().await;
    /// batch.acquire_n(20).await.unwrap();
    /// # });
    /// ```
    #[must_use]
    pub fn lane(&self, lane: Lane) -> Self {
        Self { driver: Arc::clone(&self.driver), lane }
    }

    /// Waits for one permit, on any executor.
    ///
    /// The future joins the queue when it is first polled. A waiter allocates no memory, except
    /// when the limiter is locked for the first time.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(1000).with_burst(1));
    /// for _ in 0..3 {
    ///     limiter.acquire().await;
    ///     // At most one call a millisecond.
    /// }
    /// # });
    /// ```
    ///
    /// # Fairness
    /// Tasks and blocked threads wait in one queue and are granted in order of arrival. Small requests do not overtake
    /// a large one. Only [`charge`](Self::charge), [`AllOf::acquire`](crate::AllOf::acquire) and calls in a higher
    /// [lane](Self::lane) go ahead of waiters. While a caller waits in the same or a higher lane,
    /// [`try_acquire`](Self::try_acquire) is refused.
    ///
    /// If the queue is empty, an available permit is granted without a wait, also to a caller that was granted the one
    /// before. Callers do not get equal shares.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue. A permit that was granted but not yet reported goes back, and the next
    /// waiter is granted it, except for the part that may have overflowed the bucket meanwhile (see [`Reservation`]). A
    /// future that is leaked with `mem::forget` keeps its permit and delays no other waiter.
    ///
    /// # Timers
    /// A clock with alarms of its own wakes the waiters, such as `TokioClock` and [`ManualClock`](crate::ManualClock).
    /// With any other clock, a timer of the tokio runtime does if all waiters are tasks of one multi-thread runtime.
    /// Otherwise one timer thread of the process does, which starts when it is first needed.
    ///
    /// tokio tells only by a panic that a multi-thread runtime has no timers (`enable_time`). The limiter catches this panic, and
    /// remembers the runtime, so the message is printed once. A program that aborts on panics needs a runtime with timers.
    ///
    /// # Paused time
    /// In a tokio runtime with paused time, use a [`TokioClock`](crate::TokioClock). A limiter on the default clock
    /// waits for real time there. In debug builds such a wait panics at its end.
    ///
    /// # Panics
    /// - If the timer thread is needed and cannot be spawned.
    /// - In debug builds, after a wait for real time under paused time.
    /// - If the clock panics. The limiter can be used afterwards.
    /// - If the future is polled again after it was ready.
    pub fn acquire(&self) -> Acquire<'_, C> {
        Acquire::new(&self.driver, Ok(self.ask(1.into(), None)))
    }

    /// Waits for `n` permits, and takes all of them at once. Otherwise as [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// - [`AcquireError::TooMany`] at the first poll if `n` is more than the [largest request](Self::largest_request),
    ///   or later if [`set_quota`](Self::set_quota) sets a burst below `n`.
    /// - [`AcquireError::Invalid`] at the first poll if `n` is negative, not a number, or too large for 64 bits.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(1000));
    /// limiter.acquire_n(250).await.unwrap();
    /// assert!(limiter.acquire_n(1001).await.is_err());
    /// # });
    /// ```
    pub fn acquire_n(&self, n: impl Amount) -> AcquireN<'_, C> {
        AcquireN::new(&self.driver, self.ask_for(n, None))
    }

    /// As [`acquire`](Self::acquire), with a future that owns a handle on the limiter, so that it can be spawned.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(1000));
    /// tokio::spawn(limiter.acquire_owned()).await.unwrap();
    /// tokio::spawn(limiter.acquire_n_owned(5)).await.unwrap().unwrap();
    /// # });
    /// ```
    pub fn acquire_owned(&self) -> AcquireOwned<C> {
        AcquireOwned::new(Arc::clone(&self.driver), Ok(self.ask(1.into(), None)))
    }

    /// As [`acquire_n`](Self::acquire_n), with an owned future as in the example of
    /// [`acquire_owned`](Self::acquire_owned).
    ///
    /// # Errors
    /// As [`acquire_n`](Self::acquire_n).
    pub fn acquire_n_owned(&self, n: impl Amount) -> AcquireNOwned<C> {
        AcquireNOwned::new(Arc::clone(&self.driver), self.ask_for(n, None))
    }

    /// Waits for `n` permits if they are due within `max_wait`; otherwise fails at once.
    ///
    /// This is no timeout: a loop around a call that cannot be granted in time spins, unless it sleeps for `retry_after`.
    /// To wait until another event happens, use [`acquire`](Self::acquire) with `tokio::select!` or a timeout.
    ///
    /// The limiter's clock measures `max_wait` from the first poll. All waiters ahead count. A request that is due
    /// exactly after `max_wait` is granted. The task may run later than that, as its timer and executor allow.
    ///
    /// Fairness, cancel safety, timers, paused time and panics as [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// Nothing is taken if the call fails.
    /// - [`Denied::NotYet`] at the first poll, if the request is not due in time. The same call succeeds after
    ///   [`retry_after`](Denied::retry_after) if no other caller comes.
    /// - [`Denied::NotYet`] later, as soon as the request can no longer be granted in time: after a
    ///   [`set_quota`](Self::set_quota) or [`charge`](Self::charge), a timer later than the catch-up, a clock that
    ///   stepped back, or because a call ahead waits for [other limits](crate::AllOf).
    /// - [`Denied::TooMany`] and [`Denied::Invalid`] as [`acquire_n`](Self::acquire_n).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_hour(1).with_burst(10));
    /// limiter.acquire_within(10, Duration::ZERO).await.unwrap();
    /// // The next permit comes in an hour.
    /// let denied = limiter.acquire_within(1, Duration::from_millis(100)).await.unwrap_err();
    /// assert!(denied.retry_after() > Some(Duration::from_secs(3_000)));
    /// # });
    /// ```
    pub fn acquire_within(&self, n: impl Amount, max_wait: Duration) -> AcquireWithin<'_, C> {
        AcquireWithin::new(&self.driver, self.ask_for(n, Some(max_wait)))
    }

    /// As [`acquire_within`](Self::acquire_within), with an owned future as in the example of
    /// [`acquire_owned`](Self::acquire_owned).
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    pub fn acquire_within_owned(&self, n: impl Amount, max_wait: Duration) -> AcquireWithinOwned<C> {
        AcquireWithinOwned::new(Arc::clone(&self.driver), self.ask_for(n, Some(max_wait)))
    }

    /// Waits as [`acquire_n`](Self::acquire_n), for permits that go back on drop unless they are
    /// [spent](Reservation::spend). Each call takes the queue's lock.
    ///
    /// # Errors
    /// As [`acquire_n`](Self::acquire_n).
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// let reservation = limiter.reserve(4).await.unwrap();
    /// // The call does not take place.
    /// drop(reservation);
    /// assert_eq!(limiter.available(), 10);
    /// # });
    /// ```
    pub async fn reserve(&self, n: impl Amount) -> Result<Reservation<C>, AcquireError> {
        Reservation::wait(&self.driver, self.ask_for(n, None)?).await.map_err(AcquireError::of)
    }

    /// As [`reserve`](Self::reserve), if the permits can be had within `max_wait`; else fails at once.
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Quota, RateLimiter};
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// let reservation = limiter.reserve_within(4, Duration::from_secs(1)).await.unwrap();
    /// assert!(limiter.reserve_within(10, Duration::from_secs(1)).await.is_err());
    /// drop(reservation);
    /// assert_eq!(limiter.available(), 10);
    /// # });
    /// ```
    pub async fn reserve_within(&self, n: impl Amount, max_wait: Duration) -> Result<Reservation<C>, Denied> {
        Reservation::wait(&self.driver, self.ask_for(n, Some(max_wait))?).await
    }

    // === waiting, for threads ===

    /// Blocks the thread until it has one permit.
    ///
    /// The thread parks, without spinning, in the same queue as the tasks of [`acquire`](Self::acquire). No runtime is
    /// needed. Fairness and timers as [`acquire`](Self::acquire).
    ///
    /// # Panics
    /// - If the call is not granted at once inside a task of a tokio runtime, like tokio's own blocking calls. In
    ///   `tokio::task::spawn_blocking` and `block_in_place` it may wait. On other executors, and without the feature
    ///   `tokio`, it does not panic, but blocks the executor's thread.
    /// - If the timer thread is needed and cannot be spawned, or the clock panics.
    /// - If the limiter is or becomes [closed](Self::close).
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(1000).with_burst(1));
    /// for _ in 0..3 {
    ///     limiter.blocking_acquire();
    ///     // At most one call a millisecond.
    /// }
    /// ```
    pub fn blocking_acquire(&self) {
        let granted = self.driver.wait_blocking(self.ask(1.into(), None));
        assert!(granted.is_ok(), "{BLOCKED_FOR_GOOD}");
    }

    /// Blocks the thread until it has `n` permits, and takes all of them at once. See the example of
    /// [`blocking_acquire_within`](Self::blocking_acquire_within).
    ///
    /// # Panics
    /// As [`blocking_acquire`](Self::blocking_acquire).
    ///
    /// # Errors
    /// As [`acquire_n`](Self::acquire_n).
    pub fn blocking_acquire_n(&self, n: impl Amount) -> Result<(), AcquireError> {
        self.driver.wait_blocking(self.ask_for(n, None)?).map_err(AcquireError::of)
    }

    /// Blocks the thread until it has `n` permits if they are due within `max_wait`; otherwise fails at once.
    ///
    /// This is no timeout: see [`acquire_within`](Self::acquire_within). The wait is measured from the call on.
    ///
    /// # Panics
    /// As [`blocking_acquire`](Self::blocking_acquire).
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(1).with_burst(10));
    /// limiter.blocking_acquire_n(9).unwrap();
    /// limiter.blocking_acquire_within(1, Duration::ZERO).unwrap();
    /// assert!(limiter.blocking_acquire_within(1, Duration::from_secs(60)).is_err());
    /// ```
    pub fn blocking_acquire_within(&self, n: impl Amount, max_wait: Duration) -> Result<(), Denied> {
        self.driver.wait_blocking(self.ask_for(n, Some(max_wait))?)
    }

    /// Blocks the thread until it has a [`Reservation`] of `n` permits, as [`reserve`](Self::reserve).
    ///
    /// # Errors
    /// As [`acquire_n`](Self::acquire_n).
    ///
    /// # Panics
    /// If it is called inside a task, also if the permits are available.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// limiter.blocking_reserve(4).unwrap().settle(3).unwrap();
    /// assert_eq!(limiter.available(), 7);
    /// ```
    #[track_caller]
    pub fn blocking_reserve(&self, n: impl Amount) -> Result<Reservation<C>, AcquireError> {
        Reservation::wait_blocking(&self.driver, self.ask_for(n, None)?).map_err(AcquireError::of)
    }

    /// As [`blocking_reserve`](Self::blocking_reserve), if the permits can be had within `max_wait`; else fails at once.
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// # Panics
    /// If it is called inside a task, also if the permits are available.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// limiter.blocking_reserve_within(10, Duration::ZERO).unwrap().spend();
    /// assert!(limiter.blocking_reserve_within(1, Duration::from_secs(1)).is_err());
    /// ```
    #[track_caller]
    pub fn blocking_reserve_within(
        &self,
        n: impl Amount,
        max_wait: Duration,
    ) -> Result<Reservation<C>, Denied> {
        Reservation::wait_blocking(&self.driver, self.ask_for(n, Some(max_wait))?)
    }

    /// Waits for one permit as [`acquire`](Self::acquire), then runs `future`.
    ///
    /// The permit is spent once `future` has been polled, also if the call is dropped later.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(1000));
    /// let answer = limiter.run(async { 6 * 7 }).await;
    /// assert_eq!(answer, 42);
    /// # });
    /// ```
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        self.acquire().await;
        future.await
    }
}
