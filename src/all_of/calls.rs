//! Calls on several limits that take no turn: charges, refunds, reports and pauses.

use core::time::Duration;

use super::{
    AllOf,
    acquire::lock_all,
    denied::{AllOfChargeError, AllOfDenied},
    members::for_each,
};

impl AllOf {
    /// Takes the permits of all limits for a cost that is known only afterwards, if need be into debt. Returns how long
    /// until the debts of these limits are paid, rounded up to a nanosecond; zero if there are none. Waiters as
    /// [`RateLimiter::charge`](crate::RateLimiter::charge).
    ///
    /// It takes all locks, and memory for them: no other call sees that some limits are charged and others are not yet.
    ///
    /// # Errors
    /// As [`RateLimiter::charge`](crate::RateLimiter::charge), of the first limit that refuses. No limit is charged then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{AllOf, ManualClock, Quota, RateLimiter};
    /// let clock = ManualClock::new();
    /// let requests = RateLimiter::with_clock(Quota::per_second(1), clock.clone());
    /// let tokens = RateLimiter::with_clock(Quota::per_second(10), clock);
    /// let call = |n: u64| AllOf::new().and_named("requests", &requests, 1).and_named("tokens", &tokens, n);
    /// assert_eq!(call(25).charge(), Ok(Duration::from_millis(1_500)));
    /// assert_eq!((requests.available(), tokens.available()), (0, -15));
    ///
    /// let error = call(u64::MAX).charge().unwrap_err();
    /// assert_eq!(error.name(), Some("tokens"));
    /// assert_eq!((requests.available(), tokens.available()), (0, -15));
    /// ```
    pub fn charge(&self) -> Result<Duration, AllOfChargeError> {
        self.check_charge()?;
        for_each(self.members.iter(), |member| member.driver.drive_if_waiters());
        let charged = self.charge_locked();
        // The charge goes ahead of the waiters: some may be too late now.
        for_each(self.members.iter(), |member| member.driver.drive_if_needed());
        if charged.is_ok() {
            self.members.iter().for_each(|member| member.driver.watch().charged(member.permits));
        }
        charged
    }

    /// Charges all limits in one hold of all locks, if all have room.
    fn charge_locked(&self) -> Result<Duration, AllOfChargeError> {
        let mut steps = lock_all(&self.members);
        let mut costs = Vec::with_capacity(steps.len());
        let mut first = None;
        for (step, member) in steps.iter().zip(self.members.iter()) {
            match step.cost_of_charge(member.permits) {
                Ok(cost) => costs.push(cost),
                Err(error) => {
                    first = AllOfChargeError::first(first, AllOfChargeError::new(member.which, error));
                }
            }
        }
        if let Some(error) = first {
            return Err(error);
        }
        let charges = steps.iter_mut().zip(self.members.iter()).zip(costs);
        let paid = charges.map(|((step, member), cost)| member.driver.charge_in(step, cost));
        Ok(paid.max().unwrap_or_default())
    }

    pub(super) fn check_charge(&self) -> Result<(), AllOfChargeError> {
        match self.invalid {
            Some((which, invalid)) => Err(AllOfChargeError::new(which, invalid.into())),
            None => Ok(()),
        }
    }

    /// Gives the permits back to all limits, one after the other, each as
    /// [`RateLimiter::refund`](crate::RateLimiter::refund) does: nothing checks that they were taken. To give back what a call
    /// has not used, a [`ReservationAll`](super::ReservationAll) is the safer way.
    ///
    /// # Errors
    /// [`Denied::Invalid`](crate::Denied::Invalid) of the first limit with an invalid amount. Nothing is given back then.
    ///
    /// ```
    /// use tidegate::{AllOf, Quota, RateLimiter};
    /// let (requests, bytes) = (RateLimiter::new(Quota::per_hour(10)), RateLimiter::new(Quota::per_hour(1_000)));
    /// let call = AllOf::new().and(&requests, 1).and(&bytes, 400);
    /// call.try_acquire().unwrap();
    /// call.refund().unwrap();
    /// assert_eq!((requests.available(), bytes.available()), (10, 1_000));
    /// ```
    pub fn refund(&self) -> Result<(), AllOfDenied> {
        self.check()?;
        for_each(self.members.iter(), |member| member.driver.refund(member.permits));
        Ok(())
    }

    /// How long until all limits would admit the call behind all present waiters, if no other caller comes; zero if they
    /// would admit it now. It is the longest wait of all limits, each by its own clock. Takes nothing.
    ///
    /// # Errors
    /// [`AllOfDenied`] as [`acquire`](Self::acquire).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{AllOf, ManualClock, Quota, RateLimiter};
    /// let clock = ManualClock::new();
    /// let requests = RateLimiter::with_clock(Quota::per_second(1), clock.clone());
    /// let bytes = RateLimiter::with_clock(Quota::per_second(1_000), clock);
    /// let call = |n: u64| AllOf::new().and(&requests, 1).and(&bytes, n);
    /// assert!(call(1_000).has_capacity());
    /// call(1_000).try_acquire().unwrap();
    /// assert_eq!(call(400).time_until(), Ok(Duration::from_secs(1)));
    /// assert_eq!(call(2_000).time_until().unwrap_err().limit(), 1);
    /// ```
    pub fn time_until(&self) -> Result<Duration, AllOfDenied> {
        self.check()?;
        let mut longest = Duration::ZERO;
        for member in self.members.iter() {
            let wait = member.driver.time_until(member.permits, self.members.lane());
            longest = longest.max(wait.map_err(|denied| member.denied(denied))?);
        }
        Ok(longest)
    }

    /// How many such calls the rates alone admit in `time`: fewer than one is none.
    #[cfg(feature = "io")]
    pub(crate) fn times_within(&self, time: Duration) -> u64 {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let times = self.members.iter().map(|member| {
            let scale = member.driver.scale();
            scale.cost(member.permits).map_or(0, |cost| scale.span(ns).checked_div(cost).unwrap_or(u64::MAX))
        });
        times.min().unwrap_or(u64::MAX)
    }

    /// Whether [`try_acquire`](Self::try_acquire) would succeed now. Takes nothing. See the example of
    /// [`time_until`](Self::time_until).
    pub fn has_capacity(&self) -> bool {
        self.time_until() == Ok(Duration::ZERO)
    }

    /// Pauses all limits, as [`RateLimiter::pause_for`](crate::RateLimiter::pause_for) each, one after the other. The amounts do
    /// not matter, but a limit of which zero permits were added is not paused.
    ///
    /// Also callers of single limits are not admitted then, and nothing accrues in any of them. To stop only the calls for all
    /// limits, it is enough to pause one limit that is not shared with others.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{AllOf, ManualClock, Quota, RateLimiter};
    /// let clock = ManualClock::new();
    /// let requests = RateLimiter::with_clock(Quota::per_minute(60), clock.clone());
    /// let tokens = RateLimiter::with_clock(Quota::per_minute(1_000), clock.clone());
    /// let call = AllOf::new().and(&requests, 1).and(&tokens, 600);
    /// // The server has answered 429, with "Retry-After: 20".
    /// call.pause_for(Duration::from_secs(20));
    /// assert_eq!(call.try_acquire().unwrap_err().retry_after(), Some(Duration::from_secs(20)));
    /// assert!(tokens.try_acquire().is_err());
    /// clock.advance(Duration::from_secs(20));
    /// assert!(call.try_acquire().is_ok());
    /// ```
    pub fn pause_for(&self, pause: Duration) {
        for_each(self.members.iter(), |member| member.driver.pause_for(pause));
    }

    /// Ends the pauses of all limits now, as [`RateLimiter::resume`](crate::RateLimiter::resume) each.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{AllOf, Quota, RateLimiter};
    /// let (requests, bytes) = (RateLimiter::new(Quota::per_hour(10)), RateLimiter::new(Quota::per_hour(1_000)));
    /// let call = AllOf::new().and(&requests, 1).and(&bytes, 400);
    /// call.pause_for(Duration::from_secs(60));
    /// call.resume();
    /// assert!(call.try_acquire().is_ok());
    /// ```
    pub fn resume(&self) {
        for_each(self.members.iter(), |member| member.driver.resume(false));
    }

    /// Ends the pauses of all limits now, with empty buckets, as
    /// [`RateLimiter::resume_gently`](crate::RateLimiter::resume_gently) each.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{AllOf, Quota, RateLimiter};
    /// let (requests, bytes) = (RateLimiter::new(Quota::per_hour(10)), RateLimiter::new(Quota::per_hour(1_000)));
    /// let call = AllOf::new().and(&requests, 1).and(&bytes, 400);
    /// call.pause_for(Duration::from_secs(60));
    /// call.resume_gently();
    /// assert!(call.try_acquire().is_err());
    /// ```
    pub fn resume_gently(&self) {
        for_each(self.members.iter(), |member| member.driver.resume(true));
    }
}
