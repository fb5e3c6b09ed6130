//! Several limits at once, all or nothing.

mod acquire;
mod calls;
mod denied;
mod final_round;
mod limit;
mod members;
mod reservation;
mod reserving;

use core::{fmt, time::Duration};
use std::sync::Arc;

pub(crate) use self::limit::{Parts, Whole};
pub use self::{
    acquire::AcquireAll,
    denied::{AllOfChargeError, AllOfDenied},
    limit::{AcquireAny, Limit},
    reservation::{ReservationAll, ReserveAll},
};
use self::{
    denied::{Refusals, Which},
    members::{Member, Members, tell},
};
use crate::{
    error::Denied,
    lane::Lane,
    permits::{Amount, InvalidPermits, Permits},
    queue::{Ask, Caller, Grant, block_on, not_yet},
};

/// Several limits for one call, such as requests and bytes: either all limits admit the call, or nothing is taken.
///
/// The limits may be of any kind ([`Limit`]) and on different clocks. A limiter can be in any number of `AllOf`s, and be
/// used on its own as well. A clone uses the same limiters. An empty `AllOf` admits every call.
///
/// A call waits in the same [lane](crate::RateLimiter::lane) for all limits: the lowest of those that were added.
///
/// What a call costs may be known only after it: [`reserve`](Self::reserve) an estimate, and settle it with the real amounts.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{AllOf, ManualClock, Quota, RateLimiter};
///
/// let clock = ManualClock::new();
/// let requests = RateLimiter::with_clock(Quota::per_second(10), clock.clone());
/// let bytes = RateLimiter::with_clock(Quota::per_second(1000), clock);
///
/// let call = |size: u32| AllOf::new().and(&requests, 1).and(&bytes, size);
/// call(600).try_acquire().unwrap();
/// // Enough requests are available, but not enough bytes. Neither is taken.
/// let denied = call(600).try_acquire().unwrap_err();
/// assert_eq!(denied.limit(), 1);
/// assert_eq!(denied.retry_after(), Some(Duration::from_millis(200)));
/// assert_eq!((requests.available(), bytes.available()), (9, 400));
/// ```
///
/// A key of a [`Keyed`](crate::Keyed), with limits of all users and of the machine, each on a clock of its own:
/// ```
/// # #[cfg(feature = "keyed")] {
/// use tidegate::{AllOf, Keyed, ManualClock, PerCore, Quota, RateLimiter};
///
/// let users = Keyed::<String>::builder(Quota::per_minute(60)).clock(ManualClock::new()).build().unwrap();
/// let all_users = RateLimiter::new(Quota::per_second(1000));
/// let machine = PerCore::new(&RateLimiter::new(Quota::per_second(1_000_000)));
/// let everybody = AllOf::new().and_named("all users", &all_users, 1).and_named("machine", &machine, 1);
///
/// let call = |user: &str, n: u32| {
///     let user = users.limiter(user).expect("the table evicts");
///     AllOf::new().and_named("user", &user, n).and(&everybody, n)
/// };
/// call("ada", 60).try_acquire().unwrap();
/// assert_eq!(call("ada", 1).try_acquire().unwrap_err().to_string(), "user: rate limited: retry after 1s");
/// call("ben", 1).try_acquire().unwrap();
/// # }
/// ```
#[must_use = "nothing is taken before `try_acquire` or `acquire`"]
#[derive(Clone)]
pub struct AllOf {
    members: Members,
    /// How often [`and`](Self::and) was called.
    named: usize,
    invalid: Option<(Which, InvalidPermits)>,
}

impl AllOf {
    /// No limits yet. See the example of [`AllOf`].
    pub const fn new() -> Self {
        Self { members: Members::new(), named: 0, invalid: None }
    }

    /// Adds `n` permits of `limit`. If the same limiter is added again, also inside an `AllOf`, the amounts add up. Of an
    /// `AllOf`, all amounts are added `n` times. An invalid amount, such as a negative one, is reported by the acquiring call. See the
    /// example of [`AllOf`].
    pub fn and(self, limit: &(impl Limit + ?Sized), n: impl Amount) -> Self {
        self.add(None, limit, n)
    }

    /// As [`and`](Self::and), with a name for refusals: [`AllOfDenied::name`]. In an `AllOf` that is added to another one, the
    /// name of the outer one counts first. A name that is known only at run time can be found by
    /// [`AllOfDenied::limit`] instead.
    ///
    /// ```
    /// use tidegate::{AllOf, Quota, RateLimiter};
    /// let requests = RateLimiter::new(Quota::per_hour(60));
    /// let tokens = RateLimiter::new(Quota::per_hour(1_000));
    /// let call = |n: u64| AllOf::new().and_named("requests", &requests, 1).and_named("tokens", &tokens, n);
    /// let denied = call(1_001).try_acquire().unwrap_err();
    /// assert_eq!(denied.name(), Some("tokens"));
    /// assert!(denied.to_string().starts_with("tokens: rate limited: a request for 1001 permits"));
    /// ```
    pub fn and_named(self, name: &'static str, limit: &(impl Limit + ?Sized), n: impl Amount) -> Self {
        self.add(Some(name), limit, n)
    }

    fn add(mut self, name: Option<&'static str>, limit: &(impl Limit + ?Sized), n: impl Amount) -> Self {
        let which = Which { index: self.named, name };
        self.named += 1;
        let mut parts = Parts { members: &mut self.members, which };
        let added = n.permits().and_then(|n| limit.add_to(&mut parts, n));
        if let Err(invalid) = added {
            let which = parts.which;
            self.invalid = self.invalid.or(Some((which, invalid)));
        }
        self
    }

    /// Takes the permits of all limits if all are available and no caller waits for any of them; otherwise none.
    ///
    /// It first looks at every limit without a lock. Only if none refuses, it takes all locks. It allocates no memory, except when
    /// a limiter is locked for the first time.
    /// See the example of [`AllOf`].
    ///
    /// # Errors
    /// The limit that refuses for longest, with the [`Denied`] of
    /// [`RateLimiter::try_acquire_n`](crate::RateLimiter::try_acquire_n).
    pub fn try_acquire(&self) -> Result<(), AllOfDenied> {
        let decision = self.decide();
        tell(&self.members, &decision);
        decision
    }

    fn decide(&self) -> Result<(), AllOfDenied> {
        self.check()?;
        self.refusal()?;
        let (mut refusals, mut drives) = (Refusals(None), false);
        take_all(&self.members, self.members.lane(), &mut refusals, &mut drives, &mut |_| ());
        if drives {
            self.drive();
        }
        refusals.result()
    }

    /// Waits until all limits admit the call, and takes the permits of all. It joins a queue when it is first polled,
    /// and allocates memory. The future is owned: it can be spawned. Timers, paused time and panics as [`RateLimiter::acquire`](crate::RateLimiter::acquire).
    ///
    /// ```
    /// use tidegate::{AllOf, Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let one_user = RateLimiter::new(Quota::per_second(100).with_burst(1));
    /// let all_users = RateLimiter::new(Quota::per_second(1000).with_burst(10));
    /// let call = AllOf::new().and(&one_user, 1).and(&all_users, 1);
    /// for _ in 0..3 {
    ///     call.acquire().await.unwrap();
    ///     // At the rate of 100 calls a second for this user, and of 1,000 for all users.
    /// }
    /// # });
    /// ```
    ///
    /// # Fairness
    /// If not all limits admit the call at once, it waits in the queue of the scarcest limit as any other waiter, then
    /// in the queue of the next. It holds the permits granted so far as reservations. When every limit has granted its
    /// part, an early part may have lost permits that would have overflowed its bucket meanwhile. Then the call moves
    /// to the front of its lane in all its queues, until all limits admit it at the same instant. Calls of higher lanes go before
    /// it in each queue; the waits that callers behind it are told then do not count those in its other queues.
    ///
    /// The waits add up. While all limits are saturated, up to half of a limit's permits can be lost. Callers behind a call at the
    /// front also wait for its other limits. So calls over a chain of limits (`a` and `b`, `b` and `c`, and so on) can wait one
    /// for another, although each limit alone has few callers.
    ///
    /// # Cancel safety
    /// Dropping the future leaves all queues. Permits that were granted go back, as those of
    /// [`RateLimiter::acquire`](crate::RateLimiter::acquire) do.
    ///
    /// # Errors
    /// [`AllOfDenied`] with [`Denied::TooMany`] or [`Denied::Invalid`], as
    /// [`RateLimiter::acquire_n`](crate::RateLimiter::acquire_n), of the first limit that refuses.
    pub fn acquire(&self) -> AcquireAll {
        self.waits(None)
    }

    /// As [`acquire`](Self::acquire), if all limits can admit the call within `max_wait`. Otherwise it fails as soon as
    /// that is known: mostly at once, or later if other callers take what the call has counted on. The decision may come later
    /// than `max_wait`, behind another call for several limits; also if it is a grant whose parts were due in time. A part that a
    /// limit grants in time counts, also if the task runs later; the call then gets the parts of the other limits only if they are available at once.
    ///
    /// This is no timeout: see [`RateLimiter::acquire_within`](crate::RateLimiter::acquire_within). The clock of each limit
    /// measures `max_wait` for that limit, from the first poll.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`Denied::NotYet`] of the limit with the longest wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{AllOf, Quota, RateLimiter};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let requests = RateLimiter::new(Quota::per_second(100));
    /// let tokens = RateLimiter::new(Quota::per_hour(1_000));
    /// let call = AllOf::new().and(&requests, 1).and(&tokens, 600);
    /// call.acquire_within(Duration::from_secs(1)).await.unwrap();
    /// let denied = call.acquire_within(Duration::from_secs(1)).await.unwrap_err();
    /// assert_eq!(denied.limit(), 1);
    /// # });
    /// ```
    pub fn acquire_within(&self, max_wait: Duration) -> AcquireAll {
        self.waits(Some(max_wait))
    }

    /// Blocks the thread until all limits admit the call, as [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    /// If it is called inside a task, also if the permits are available.
    ///
    /// ```
    /// use tidegate::{AllOf, Quota, RateLimiter};
    /// let (one_user, all_users) = (RateLimiter::new(Quota::per_second(100)), RateLimiter::new(Quota::per_second(1000)));
    /// AllOf::new().and(&one_user, 1).and(&all_users, 1).blocking_acquire().unwrap();
    /// ```
    #[track_caller]
    pub fn blocking_acquire(&self) -> Result<(), AllOfDenied> {
        block_on(self.acquire())
    }

    /// Blocks the thread until all limits admit the call, as [`acquire_within`](Self::acquire_within).
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// # Panics
    /// If it is called inside a task, also if the permits are available.
    #[track_caller]
    pub fn blocking_acquire_within(&self, max_wait: Duration) -> Result<(), AllOfDenied> {
        block_on(self.acquire_within(max_wait))
    }

    fn waits(&self, max_wait: Option<Duration>) -> AcquireAll {
        AcquireAll::new(self.check().map(|()| self.members.clone()), max_wait)
    }

    /// Refuses a call that does not wait, as far as no lock is needed. Otherwise the waiters that are due are granted.
    #[inline]
    fn refusal(&self) -> Result<(), AllOfDenied> {
        let mut refusals = Refusals(None);
        for member in self.members.iter() {
            if let Some(denied) =
                member.driver.refusal(member.permits, self.members.lane(), member.driver.clock().now())
            {
                refusals.note(member.which, denied);
            }
        }
        refusals.result()?;
        self.members.iter().for_each(|member| member.driver.drive_if_waiters());
        Ok(())
    }

    fn drive(&self) {
        self.members.iter().for_each(|member| member.driver.drive());
    }

    fn check(&self) -> Result<(), AllOfDenied> {
        match self.invalid {
            Some((which, invalid)) => Err(AllOfDenied::new(which, invalid.into())),
            None => Ok(()),
        }
    }
}

/// Locks all limits in order, and takes from all if none refuses. `keep` gets the grants, from the last limit to the
/// first. Sets `drives` if a queue has to be driven afterwards, when no lock is held.
fn take_all(
    members: &[Member],
    lane: Lane,
    refusals: &mut Refusals,
    drives: &mut bool,
    keep: &mut impl FnMut(Grant),
) {
    let Some((member, rest)) = members.split_first() else { return };
    let mut step = member.driver.step();
    let cost = match step.cost(member.permits) {
        Ok(cost) => {
            member.driver.reclaim_parked(&mut step, cost, lane);
            if let Err(tick) = step.conforms(cost, Caller::Try(lane)) {
                let due_ns = step.frame().reading_at(tick);
                refusals.note(member.which, not_yet(due_ns, step.now_ns()));
            }
            cost
        }
        Err(denied) => {
            refusals.note(member.which, denied);
            0
        }
    };
    take_all(rest, lane, refusals, drives, keep);
    if refusals.0.is_none() {
        let taken = step.take(cost, Caller::Try(lane));
        debug_assert!(taken.is_ok(), "it conformed, and the lock was held since");
        taken.into_iter().for_each(&mut *keep);
    }
    *drives |= step.needs_hand_off();
}

impl Limit for AllOf {
    fn try_acquire_n(&self, n: Permits) -> Result<(), Denied> {
        Ok(self.times(n).try_acquire()?)
    }
}

impl Whole for AllOf {
    fn add_to(&self, parts: &mut Parts<'_>, n: Permits) -> Result<(), InvalidPermits> {
        if let Some((which, invalid)) = self.invalid {
            parts.which = parts.which.or_named(which.name);
            return Err(invalid);
        }
        for member in self.members.iter() {
            let which = parts.which.or_named(member.which.name);
            let permits = member.permits.times(n)?;
            parts.members.add(Arc::clone(&member.driver), permits, self.members.lane(), which)?;
        }
        Ok(())
    }

    fn wait(&self, n: Permits, max_wait: Option<Duration>) -> AcquireAny {
        match (&*self.members, self.invalid) {
            ([only], None) => match only.permits.times(n) {
                Ok(permits) => {
                    let ask = Ask { permits, lane: self.members.lane(), max_wait };
                    AcquireAny::one(Arc::clone(&only.driver), ask)
                }
                Err(_) => AcquireAny::all(self.times(n).waits(max_wait)),
            },
            _ => AcquireAny::all(self.times(n).waits(max_wait)),
        }
    }
}

impl AllOf {
    /// All amounts `n` times.
    fn times(&self, n: Permits) -> Self {
        if n == Permits::from(1) { self.clone() } else { Self::new().and(self, n) }
    }
}

impl Default for AllOf {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AllOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permits = self.members.iter().map(|member| member.permits).collect::<Vec<_>>();
        f.debug_struct("AllOf").field("permits", &permits).finish_non_exhaustive()
    }
}
