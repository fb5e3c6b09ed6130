//! The calls that wait: tasks, and threads.

use core::{future::Future, time::Duration};
use std::sync::Arc;

use super::RateLimiter;
use crate::{
    Acquire, AcquireError, AcquireN, AcquireNOwned, AcquireOwned, AcquireWithin, AcquireWithinOwned, Amount,
    Clock, Denied, Reservation,
};

impl<C: Clock> RateLimiter<C> {
    /// Waits for one permit, on any executor.
    ///
    /// The future does nothing until it is polled: its place in the queue is that of its first poll. It
    /// allocates nothing.
    ///
    /// While all waiters of a limiter are tasks of one multi-thread tokio runtime, a timer of that runtime serves
    /// them. In every other case (another executor, a runtime of one thread, several runtimes, blocked threads) one
    /// timer thread of the process does. It is started when it is first needed.
    ///
    /// # Fairness
    /// Order of arrival: tasks and blocked threads wait in one queue, and the first to ask is granted first. A waiter
    /// for many permits is not overtaken by waiters for few. While a caller waits, calls that do not wait are refused.
    /// A call for several limits ([`AllOf`](crate::AllOf)) may come to stand at the front of the queue.
    ///
    /// An available permit is granted without a wait if the queue is empty. A caller that comes back at once is served
    /// again: there are no equal shares for hungry callers.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue. A permit that had been granted but not yet reported goes back and on
    /// to the next waiter, except for what may have overflowed the bucket since (see
    /// [`Reservation`], "How much goes back"). A future that is leaked with `mem::forget` keeps what it was granted,
    /// and delays nobody else.
    ///
    /// # Paused time
    /// A limiter on the default clock goes by real time. With it, a wait in a tokio runtime whose time is paused
    /// measures nonsense, and panics at its end in debug builds. Use a [`TokioClock`](crate::TokioClock) there:
    /// `RateLimiter::with_clock(quota, TokioClock::new())`.
    ///
    /// # Panics
    /// - If the timer thread is needed and cannot be spawned.
    /// - In debug builds, after a wait for real time under paused time, as said above.
    /// - If the clock panics. The limiter can be used afterwards.
    /// - If it is polled again after it was ready.
    ///
    /// # Examples
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(1000).with_burst(1));
    /// for _ in 0..3 {
    ///     limiter.acquire().await;
    ///     // … at most one call a millisecond.
    /// }
    /// # });
    /// ```
    pub fn acquire(&self) -> Acquire<'_, C> {
        Acquire::new(&self.driver, Ok(1.into()), None)
    }

    /// Waits for `n` permits, all at once.
    ///
    /// Fairness, cancel safety, paused time and panics are as for [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// - At once, [`AcquireError::TooMany`] if `n` is more than the [largest request](Self::largest_request), or
    ///   [`AcquireError::Invalid`] if it is negative or not a number.
    /// - Later, [`AcquireError::TooMany`] if another [quota](Self::set_quota) has a burst below `n`.
    ///
    /// # Examples
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(1000));
    /// limiter.acquire_n(250).await.unwrap();
    /// assert!(limiter.acquire_n(1001).await.is_err());
    /// # });
    /// ```
    pub fn acquire_n(&self, n: impl Amount) -> AcquireN<'_, C> {
        AcquireN::new(&self.driver, n.permits(), None)
    }

    /// As [`acquire`](Self::acquire), with a future that owns its handle on the limiter and can be moved to
    /// another task.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(1000));
    /// tokio::spawn(limiter.acquire_owned()).await.unwrap();
    /// # });
    /// ```
    pub fn acquire_owned(&self) -> AcquireOwned<C> {
        AcquireOwned::new(Arc::clone(&self.driver), Ok(1.into()), None)
    }

    /// As [`acquire_n`](Self::acquire_n), with a future that owns its handle on the limiter.
    ///
    /// # Errors
    /// As [`acquire_n`](Self::acquire_n).
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(1000));
    /// tokio::spawn(limiter.acquire_n_owned(5)).await.unwrap().unwrap();
    /// # });
    /// ```
    pub fn acquire_n_owned(&self, n: impl Amount) -> AcquireNOwned<C> {
        AcquireNOwned::new(Arc::clone(&self.driver), n.permits(), None)
    }

    /// Waits for `n` permits if they can be had within `max_wait`; else fails at once.
    ///
    /// All waiters ahead are counted. The wait is measured by the limiter's clock from the first poll, and
    /// inclusive: a request that is due exactly after `max_wait` is granted. It is granted as of the time it
    /// is due. When its task runs again depends on the timer and on the executor, and may be later.
    ///
    /// Fairness, cancel safety, paused time and panics are as for [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// - [`Denied::NotYet`], at once and without taking anything, if the turn of this request does not come in
    ///   time. `retry_after` says after how long the same call would succeed, if nobody else came.
    /// - The same later, as soon as it is known that the request cannot be granted in time any more: because of
    ///   another [quota](Self::set_quota), a [charge](Self::charge), a timer that was later than the catch-up, a
    ///   clock that has stepped back, or a call ahead that waits for [other limits as well](crate::AllOf).
    /// - [`Denied::TooMany`] and [`Denied::Invalid`] as [`acquire_n`](Self::acquire_n).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_hour(1).with_burst(10));
    /// limiter.acquire_within(10, Duration::ZERO).await.unwrap();
    /// // The next permit comes in an hour.
    /// let denied = limiter.acquire_within(1, Duration::from_millis(100)).await.unwrap_err();
    /// assert!(denied.retry_after() > Some(Duration::from_secs(3_000)));
    /// # });
    /// ```
    pub fn acquire_within(&self, n: impl Amount, max_wait: Duration) -> AcquireWithin<'_, C> {
        AcquireWithin::new(&self.driver, n.permits(), Some(max_wait))
    }

    /// As [`acquire_within`](Self::acquire_within), with a future that owns its handle on the limiter.
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(1000));
    /// let call = limiter.acquire_within_owned(5, Duration::from_secs(1));
    /// tokio::spawn(call).await.unwrap().unwrap();
    /// # });
    /// ```
    pub fn acquire_within_owned(&self, n: impl Amount, max_wait: Duration) -> AcquireWithinOwned<C> {
        AcquireWithinOwned::new(Arc::clone(&self.driver), n.permits(), Some(max_wait))
    }

    /// Waits for `n` permits as [`acquire_n`](Self::acquire_n). They go back on drop unless they are
    /// [spent](Reservation::spend). It takes the queue's lock.
    ///
    /// Fairness, cancel safety, paused time and panics are as for [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// As [`acquire_n`](Self::acquire_n).
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_hour(10));
    /// let reservation = limiter.reserve(4).await.unwrap();
    /// // … the call does not come about.
    /// drop(reservation);
    /// assert_eq!(limiter.available(), 10);
    /// # });
    /// ```
    pub async fn reserve(&self, n: impl Amount) -> Result<Reservation<C>, AcquireError> {
        let permits = n.permits()?;
        Reservation::wait(&self.driver, permits).await
    }

    // === waiting, for threads ===

    /// Blocks the thread until it has one permit.
    ///
    /// The thread parks, without spinning, in the same queue as the tasks of [`acquire`](Self::acquire), and is
    /// granted in its turn. No runtime is needed: the timer thread of the process wakes it.
    ///
    /// # Panics
    /// - If it has to wait while the thread polls a task of a tokio runtime, like tokio's own blocking calls. It may be
    ///   called in `tokio::task::spawn_blocking` and `block_in_place`. (Without the feature `tokio`, and on other
    ///   executors, nothing notices, and it blocks the executor's thread.)
    /// - If the timer thread is needed and cannot be spawned, or the clock panics.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(1000).with_burst(1));
    /// for _ in 0..3 {
    ///     limiter.blocking_acquire();
    ///     // … at most one call a millisecond.
    /// }
    /// ```
    pub fn blocking_acquire(&self) {
        let granted = self.driver.wait_blocking(1.into(), None);
        debug_assert!(granted.is_ok(), "one permit was refused");
    }

    /// Blocks the thread until it has `n` permits, all at once; as
    /// [`blocking_acquire`](Self::blocking_acquire).
    ///
    /// # Panics
    /// As [`blocking_acquire`](Self::blocking_acquire).
    ///
    /// # Errors
    /// As [`acquire_n`](Self::acquire_n).
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(1000));
    /// limiter.blocking_acquire_n(250).unwrap();
    /// assert!(limiter.blocking_acquire_n(1001).is_err());
    /// ```
    pub fn blocking_acquire_n(&self, n: impl Amount) -> Result<(), AcquireError> {
        self.driver.wait_blocking(n.permits()?, None).map_err(AcquireError::of)
    }

    /// Blocks the thread until it has `n` permits, if they can be had within `max_wait`; else fails at once.
    ///
    /// The wait is inclusive, and counts all waiters ahead. The thread returns when the wait is over at the latest, as
    /// far as the operating system lets it run. See [`acquire_within`](Self::acquire_within) and
    /// [`blocking_acquire`](Self::blocking_acquire).
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
    /// limiter.blocking_acquire_within(10, Duration::ZERO).unwrap();
    /// assert!(limiter.blocking_acquire_within(1, Duration::from_secs(60)).is_err());
    /// ```
    pub fn blocking_acquire_within(&self, n: impl Amount, max_wait: Duration) -> Result<(), Denied> {
        self.driver.wait_blocking(n.permits()?, Some(max_wait))
    }

    /// Waits for one permit, then runs `future`: the form of a context manager.
    ///
    /// Fairness, cancel safety, paused time and panics are as for [`acquire`](Self::acquire). The permit is spent once
    /// `future` has been polled, also if it is dropped then.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
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
