//! Several limits at once, all or nothing.

mod acquire;
mod denied;
mod final_round;
mod limit;

use core::fmt;
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use self::denied::Refusals;
pub(crate) use self::limit::{Parts, Whole};
pub use self::{
    acquire::AcquireAll,
    denied::AllOfDenied,
    limit::{AcquireAny, Limit},
};
use crate::{
    permits::{Amount, InvalidPermits, Permits},
    queue::{AnyDriver, Caller, NEVER, not_yet},
};

/// Several limits for one call, such as requests and bytes: either all limits admit the call, or nothing is taken.
///
/// The limits may be of any kind ([`Limit`]) and on different clocks. A limiter can be in any number of `AllOf`s, and be
/// used on its own as well. A clone uses the same limiters. An empty `AllOf` admits every call.
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
#[must_use = "nothing is taken before `try_acquire` or `acquire`"]
#[derive(Clone)]
pub struct AllOf {
    /// Each limiter once, in lock order, without those from which nothing is asked.
    members: Vec<Member>,
    /// How often [`and`](Self::and) was called.
    named: usize,
    invalid: Option<(usize, InvalidPermits)>,
}

#[derive(Clone, Debug)]
struct Member {
    driver: Arc<AnyDriver>,
    permits: Permits,
    /// The number of its [`AllOf::and`] call, from 0.
    index: usize,
    /// The latest acceptable reading of its clock, or `NEVER`.
    deadline_ns: u64,
}

impl AllOf {
    /// No limits yet. See the example of [`AllOf`].
    pub const fn new() -> Self {
        Self { members: Vec::new(), named: 0, invalid: None }
    }

    /// Adds `n` permits of `limit`. If the same limiter is added again, the amounts add up. Of an `AllOf`, all amounts
    /// are added `n` times. An invalid amount, such as a negative one, is reported by the acquiring call. See the
    /// example of [`AllOf`].
    pub fn and(mut self, limit: &(impl Limit + ?Sized), n: impl Amount) -> Self {
        let index = self.named;
        self.named += 1;
        let added = n.permits().and_then(|n| limit.add_to(&mut Parts { all: &mut self, index }, n));
        if let Err(invalid) = added {
            self.invalid = self.invalid.or(Some((index, invalid)));
        }
        self
    }

    fn add(&mut self, driver: Arc<AnyDriver>, n: Permits, index: usize) -> Result<(), InvalidPermits> {
        let place = self.members.binary_search_by_key(&driver.list_id(), |member| member.driver.list_id());
        let before = place.map_or(Permits::ZERO, |place| self.members[place].permits);
        let permits = before.plus(n)?;
        match place {
            Ok(place) => self.members[place].permits = permits,
            Err(_) if permits == Permits::ZERO => {}
            Err(place) => {
                self.members.insert(place, Member { driver, permits, index, deadline_ns: NEVER });
            }
        }
        Ok(())
    }

    /// Takes the permits of all limits if all are available and no caller waits for any of them; otherwise none.
    ///
    /// It first looks at every limit without a lock. Only if none refuses, it takes all locks. It allocates no memory, except when
    /// a limiter is locked for the first time.
    /// See the example of [`AllOf`].
    ///
    /// # Errors
    /// The limit that refuses for longest, with the [`Denied`] of [`RateLimiter::try_acquire_n`].
    pub fn try_acquire(&self) -> Result<(), AllOfDenied> {
        self.check()?;
        let mut refusals = Refusals(None);
        for member in &self.members {
            if let Some(denied) = member.driver.refusal(member.permits, member.driver.clock().now()) {
                refusals.note(member.index, denied);
            }
        }
        refusals.result()?;
        self.members.iter().for_each(|member| member.driver.drive_if_waiters());
        let mut look = false;
        take_all(&self.members, &mut refusals, &mut look);
        if look {
            self.members.iter().for_each(|member| member.driver.drive());
        }
        refusals.result()
    }

    fn check(&self) -> Result<(), AllOfDenied> {
        match self.invalid {
            Some((index, invalid)) => Err(AllOfDenied::new(index, invalid.into())),
            None => Ok(()),
        }
    }
}

/// Locks all limits in order, and takes from all if none refuses. Sets `look` if a queue has to be driven afterwards,
/// when no lock is held.
fn take_all(members: &[Member], refusals: &mut Refusals, look: &mut bool) {
    let Some((member, rest)) = members.split_first() else { return };
    let mut step = member.driver.step();
    let cost = match step.cost(member.permits) {
        Ok(cost) => {
            member.driver.reclaim_parked(&mut step, cost);
            if let Err(tick) = step.look(cost, Caller::Try) {
                let due_ns = step.frame().reading_at(tick);
                refusals.note(member.index, not_yet(due_ns, step.now_ns()));
            }
            cost
        }
        Err(denied) => {
            refusals.note(member.index, denied);
            0
        }
    };
    take_all(rest, refusals, look);
    if refusals.0.is_none() {
        let taken = step.take(cost, Caller::Try);
        debug_assert!(taken.is_ok(), "it conformed, and the lock was held since");
    }
    *look |= step.is_alarm_void();
}

/// Calls `f` for all items, also if a clock panics in one call. Resumes the first panic at the end.
fn for_each<T>(all: impl Iterator<Item = T>, mut f: impl FnMut(T)) {
    let mut panicked = None;
    for one in all {
        // Unwind safe: `f` keeps no state from one item to the next.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| f(one))) {
            panicked.get_or_insert(payload);
        }
    }
    if let Some(payload) = panicked {
        resume_unwind(payload);
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
