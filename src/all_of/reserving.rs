//! Reserving several limits at once.

use core::time::Duration;

use super::{
    AllOf,
    denied::{AllOfDenied, Refusals},
    members::tell,
    reservation::{ReservationAll, ReserveAll},
    take_all,
};
use crate::queue::block_on;

impl AllOf {
    /// As [`try_acquire`](Self::try_acquire), with permits that go back on drop unless they are
    /// [spent](ReservationAll::spend) or [settled](ReservationAll::settle). It allocates memory. See the example of
    /// [`ReservationAll`].
    ///
    /// # Errors
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_reserve(&self) -> Result<ReservationAll, AllOfDenied> {
        let reserved = self.decide_reserving();
        tell(&self.members, &reserved);
        reserved
    }

    fn decide_reserving(&self) -> Result<ReservationAll, AllOfDenied> {
        self.check()?;
        self.refusal()?;
        let (mut refusals, mut drives) = (Refusals(None), false);
        // With room for all: nothing is allocated under the locks.
        let mut grants = Vec::with_capacity(self.members.len());
        let keep = &mut |grant| grants.push(grant);
        take_all(&self.members, self.members.lane(), &mut refusals, &mut drives, keep);
        grants.reverse();
        // Before the queues are driven: if a clock panics there, all goes back.
        let reserved = refusals
            .result()
            .map(|()| ReservationAll::new(self.members.iter().cloned().zip(grants).collect()));
        if drives {
            self.drive();
        }
        reserved
    }

    /// Waits as [`acquire`](Self::acquire), for permits that go back on drop unless they are
    /// [spent](ReservationAll::spend) or [settled](ReservationAll::settle). Fairness, cancel safety and panics as
    /// [`acquire`](Self::acquire).
    ///
    /// The permits count as taken from the moment on at which all limits admit the call: what they may have lost while the call
    /// waited has been taken anew.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// ```
    /// use tidegate::{AllOf, Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let requests = RateLimiter::new(Quota::per_hour(60));
    /// let tokens = RateLimiter::new(Quota::per_hour(1_000));
    /// let call = |n: u64| AllOf::new().and(&requests, 1).and(&tokens, n);
    ///
    /// let reservation = call(600).reserve().await.unwrap();
    /// // The call took 700 tokens.
    /// reservation.settle(&call(700)).unwrap();
    /// assert_eq!((requests.available(), tokens.available()), (59, 300));
    /// # });
    /// ```
    pub fn reserve(&self) -> ReserveAll {
        ReserveAll::new(self.acquire())
    }

    /// As [`reserve`](Self::reserve), if all limits can admit the call within `max_wait`, as
    /// [`acquire_within`](Self::acquire_within).
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{AllOf, Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let requests = RateLimiter::new(Quota::per_hour(60));
    /// let tokens = RateLimiter::new(Quota::per_hour(1_000));
    /// let call = AllOf::new().and(&requests, 1).and(&tokens, 600);
    /// let reservation = call.reserve_within(Duration::from_secs(1)).await.unwrap();
    /// assert_eq!(call.reserve_within(Duration::from_secs(1)).await.unwrap_err().limit(), 1);
    /// drop(reservation);
    /// assert_eq!((requests.available(), tokens.available()), (60, 1_000));
    /// # });
    /// ```
    pub fn reserve_within(&self, max_wait: Duration) -> ReserveAll {
        ReserveAll::new(self.acquire_within(max_wait))
    }

    /// Blocks the thread until it has a reservation of all limits, as [`reserve`](Self::reserve).
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    /// If it is called inside a task, also if the permits are available.
    ///
    /// ```
    /// use tidegate::{AllOf, Quota, RateLimiter};
    /// let (requests, bytes) = (RateLimiter::new(Quota::per_hour(10)), RateLimiter::new(Quota::per_hour(1_000)));
    /// let call = |n: u64| AllOf::new().and(&requests, 1).and(&bytes, n);
    /// call(400).blocking_reserve().unwrap().settle(&call(250)).unwrap();
    /// assert_eq!((requests.available(), bytes.available()), (9, 750));
    /// ```
    #[track_caller]
    pub fn blocking_reserve(&self) -> Result<ReservationAll, AllOfDenied> {
        block_on(self.reserve())
    }

    /// Blocks the thread until it has a reservation of all limits, as [`reserve_within`](Self::reserve_within).
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// # Panics
    /// If it is called inside a task, also if the permits are available.
    #[track_caller]
    pub fn blocking_reserve_within(&self, max_wait: Duration) -> Result<ReservationAll, AllOfDenied> {
        block_on(self.reserve_within(max_wait))
    }
}
