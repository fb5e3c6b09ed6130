//! The calls that wait: tasks, and threads.

use core::{future::Future, time::Duration};
use std::sync::Arc;

use super::RateLimiter;
use crate::{Acquire, AcquireN, AcquireNOwned, AcquireOwned, Amount, Clock, Denied, Reservation};

impl<C: Clock> RateLimiter<C> {
    /// Waits for one permit.
    ///
    /// The future does nothing until it is polled: its place in the queue is that of its first poll. It
    /// allocates nothing.
    ///
    /// # Fairness
    /// First come, first served, among all who wait for this limiter. At up to 100,000 permits a second, and while
    /// permits are short, a late timer that has released several at once is followed by half a millisecond in which
    /// those are waited for who have not come back: whoever comes back before them is served together with them, and
    /// none twice before the others once. So this call may wait for up to a tick of the timer although permits are
    /// there; but not beyond a longest wait, of its own or of another who waits. Who finds the queue empty and a permit
    /// there yields once before it goes on, so that others of its worker come first. Calls that do not wait have no
    /// part in it: whoever is held back goes first, at once.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the queue. A permit that had been granted but not yet reported goes back
    /// and on to the next in the queue; unless the bucket has been full in the meantime and others have
    /// taken permits since: to give it back then would exceed the quota. Calls that do not wait leave no note of
    /// when they took theirs, so that it counts as full if it would have been by the time of the drop.
    ///
    /// # Panics
    /// If it has to wait outside a tokio runtime with time enabled, unless the clock has alarms of its own,
    /// as [`ManualClock`](crate::ManualClock) does.
    ///
    /// # Examples
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(1000).burst(1));
    /// for _ in 0..3 {
    ///     limiter.acquire().await;
    ///     // … at most one call a millisecond.
    /// }
    /// # });
    /// ```
    pub fn acquire(&self) -> Acquire<'_, C> {
        Acquire::new(&self.queue, Ok(1.into()), None)
    }

    /// Waits for `n` permits, all at once.
    ///
    /// Fairness, cancel safety and panics are those of [`acquire`](Self::acquire): a waiter for many is not
    /// overtaken by waiters for few.
    ///
    /// # Errors
    /// At once, [`Denied::Never`] if `n` is more than the burst, or [`Denied::Invalid`] if it is negative or
    /// not a number.
    ///
    /// # Examples
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_second(1000));
    /// limiter.acquire_n(250).await.unwrap();
    /// assert!(limiter.acquire_n(1001).await.unwrap_err().is_never());
    /// # });
    /// ```
    pub fn acquire_n(&self, n: impl Amount) -> AcquireN<'_, C> {
        AcquireN::new(&self.queue, n.permits(), None)
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
        AcquireOwned::new(Arc::clone(&self.queue), Ok(1.into()), None)
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
        AcquireNOwned::new(Arc::clone(&self.queue), n.permits(), None)
    }

    /// Waits for `n` permits if they can be had within `max_wait`; else fails at once.
    ///
    /// Everyone ahead is counted. The wait is measured by the limiter's clock from the first poll, and
    /// inclusive: a request that is due exactly after `max_wait` is served. It is served by the time it
    /// is due; when the task hears of it is up to the runtime and its timer.
    ///
    /// Fairness, cancel safety and panics are those of [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// - [`Denied::NotYet`], at once and without taking anything, if the turn of this request does not come in
    ///   time. `retry_after` says after how long the same call would succeed, if nobody else came.
    /// - The same later, if the turn was put off meanwhile, by a lower [quota](Self::set_quota) or a
    ///   [charge](Self::charge), or because the runtime stalled for longer than the catch-up; or if somebody
    ///   ahead who waits for [other limits as well](crate::AllOf) has left the bucket full meanwhile.
    /// - [`Denied::Never`] and [`Denied::Invalid`] as [`acquire_n`](Self::acquire_n).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let limiter = RateLimiter::new(Quota::per_hour(1).burst(10));
    /// limiter.acquire_within(10, Duration::ZERO).await.unwrap();
    /// // The next permit comes in an hour.
    /// let denied = limiter.acquire_within(1, Duration::from_millis(100)).await.unwrap_err();
    /// assert!(denied.retry_after() > Some(Duration::from_secs(3_000)));
    /// # });
    /// ```
    pub fn acquire_within(&self, n: impl Amount, max_wait: Duration) -> AcquireN<'_, C> {
        AcquireN::new(&self.queue, n.permits(), Some(max_wait))
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
    pub fn acquire_within_owned(&self, n: impl Amount, max_wait: Duration) -> AcquireNOwned<C> {
        AcquireNOwned::new(Arc::clone(&self.queue), n.permits(), Some(max_wait))
    }

    /// Waits for `n` permits as [`acquire_n`](Self::acquire_n), to be given back unless they are
    /// [spent](Reservation::spend).
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
    pub async fn reserve(&self, n: impl Amount) -> Result<Reservation<C>, Denied> {
        let permits = n.permits()?;
        Reservation::wait(&self.queue, permits).await
    }

    // === waiting, for threads ===

    /// Blocks the thread until it has one permit.
    ///
    /// It parks, without spinning, in the same queue as the tasks of [`acquire`](Self::acquire), and is
    /// served in its turn. No runtime is needed: one of the blocked threads keeps the time.
    ///
    /// It must not be called by a task, which would block a worker of its runtime: see
    /// `tokio::task::block_in_place` and `spawn_blocking`.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(1000).burst(1));
    /// for _ in 0..3 {
    ///     limiter.acquire_blocking();
    ///     // … at most one call a millisecond.
    /// }
    /// ```
    pub fn acquire_blocking(&self) {
        let granted = self.queue.wait_blocking(1.into(), None);
        debug_assert!(granted.is_ok(), "one permit was refused");
    }

    /// Blocks the thread until it has `n` permits, all at once; as
    /// [`acquire_blocking`](Self::acquire_blocking).
    ///
    /// # Errors
    /// As [`acquire_n`](Self::acquire_n).
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_second(1000));
    /// limiter.acquire_n_blocking(250).unwrap();
    /// assert!(limiter.acquire_n_blocking(1001).unwrap_err().is_never());
    /// ```
    pub fn acquire_n_blocking(&self, n: impl Amount) -> Result<(), Denied> {
        self.queue.wait_blocking(n.permits()?, None)
    }

    /// Blocks the thread until it has `n` permits, if they can be had within `max_wait`; else fails at once.
    ///
    /// The wait is inclusive, and counts everyone ahead; the thread is back at the latest when it is over. See
    /// [`acquire_within`](Self::acquire_within) and [`acquire_blocking`](Self::acquire_blocking).
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(1).burst(10));
    /// limiter.acquire_within_blocking(10, Duration::ZERO).unwrap();
    /// assert!(limiter.acquire_within_blocking(1, Duration::from_secs(60)).is_err());
    /// ```
    pub fn acquire_within_blocking(&self, n: impl Amount, max_wait: Duration) -> Result<(), Denied> {
        self.queue.wait_blocking(n.permits()?, Some(max_wait))
    }

    /// Waits for one permit, then runs `future`: the form of a context manager.
    ///
    /// Fairness, cancel safety and panics are those of [`acquire`](Self::acquire). A permit is spent once
    /// `future` has been polled, whatever becomes of it.
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
