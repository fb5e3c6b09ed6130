//! Several limits at once, as they are asked for. Those who wait for them are in `group.rs`.

use core::fmt;
use std::sync::Arc;

use super::{
    doubt::{Refusal, Seen},
    group::{AcquireAll, freeze},
    locked::{Locked, not_yet},
    wait_queue::WaitQueue,
};
use crate::{
    clock::Clock,
    error::{Denied, InvalidPermits},
    gcra::{Decision, decide},
    limiter::RateLimiter,
    permits::{Amount, Permits},
};

/// Several limits that a call has to keep at once, such as those of a user and of all users, or of requests and
/// of bytes: all of them admit it, or nothing is taken from any.
///
/// Limiters may be part of any number of these, and be used on their own as well.
///
/// # Fairness
/// Who [waits](Self::acquire) stands in line with the others, without holding permits of one limit while it
/// waits for another: first for the limit whose turn comes last; when it is due there, for the others. From
/// then on its time in all of them is known, and nobody passes who would put it off. So others use what it
/// cannot use yet, large requests are not starved by small ones, and no two wait for each other. In the queues
/// where it stands, [`try_acquire`](RateLimiter::try_acquire) is refused, as it is behind any waiter, and told the
/// time from which it is out of the way; but as long as it waits for one limit alone, not what the others are
/// going to make of it.
///
/// # Examples
/// ```
/// use tidegate::{AllOf, ManualClock, Quota, RateLimiter};
///
/// let clock = ManualClock::new();
/// let requests = RateLimiter::with_clock(Quota::per_second(10), clock.clone());
/// let bytes = RateLimiter::with_clock(Quota::per_second(1000), clock);
///
/// let call = |size: u32| AllOf::new().and(&requests, 1).and(&bytes, size);
/// call(600).try_acquire().unwrap();
/// // There are requests left, but not bytes: neither is taken.
/// assert!(call(600).try_acquire().is_err());
/// assert_eq!((requests.available(), bytes.available()), (9, 400));
/// ```
#[must_use = "nothing is taken before `try_acquire` or `acquire`"]
pub struct AllOf<C: Clock> {
    /// Each queue once, in the order in which they are locked, and none for nothing.
    members: Vec<(Arc<WaitQueue<C>>, Permits)>,
    invalid: Option<InvalidPermits>,
}

impl<C: Clock> AllOf<C> {
    /// No limits yet.
    ///
    /// See the example of [`AllOf`].
    pub const fn new() -> Self {
        Self { members: Vec::new(), invalid: None }
    }

    /// And `n` permits of `limiter`. For a limiter that is named again the amounts add up.
    ///
    /// An amount that is none, such as a negative one, is reported when it is asked for.
    ///
    /// See the example of [`AllOf`].
    pub fn and(mut self, limiter: &RateLimiter<C>, n: impl Amount) -> Self {
        let queue = limiter.queue();
        let place = self.members.binary_search_by_key(&queue.list, |(queue, _)| queue.list);
        let before = place.map_or(Permits::ZERO, |place| self.members[place].1);
        match n.permits().and_then(|n| before.plus(n)) {
            Err(invalid) => self.invalid = self.invalid.or(Some(invalid)),
            Ok(Permits::ZERO) => {}
            Ok(sum) => match place {
                Ok(place) => self.members[place].1 = sum,
                Err(place) => self.members.insert(place, (Arc::clone(queue), sum)),
            },
        }
        self
    }

    /// Takes the permits of all limits if they are there and nobody waits for any of them; else nothing.
    ///
    /// # Errors
    /// - [`Denied::NotYet`] if one of them does not admit it now: the longest wait among them. Those who wait
    ///   are counted.
    /// - [`Denied::Never`] if one of them cannot ever, and [`Denied::Invalid`] for an amount that is none.
    ///
    /// See the example of [`AllOf`].
    pub fn try_acquire(&self) -> Result<(), Denied> {
        if let Some(invalid) = self.invalid {
            return Err(invalid.into());
        }
        self.members.iter().for_each(|(queue, _)| queue.serve_due());
        let mut seen = vec![None; self.members.len()];
        loop {
            let now: Vec<_> = self.members.iter().map(|(queue, _)| queue.clock.now()).collect();
            let mut guards: Vec<_> = self.members.iter().map(|(queue, _)| queue.inner.lock()).collect();
            let mut all = freeze(self.members.iter().map(|(queue, _)| &**queue), &mut guards, &now);
            if let Some(outcome) = try_all(&mut all, self.members.iter().map(|&(_, n)| n), &mut seen) {
                return outcome;
            }
        }
    }

    /// Waits until all limits admit it, and takes the permits of all at once.
    ///
    /// Its place in line is that of the first poll. It allocates.
    ///
    /// # Cancel safety
    /// Dropping the future leaves all queues. Permits that had been granted but not yet reported go back, as
    /// those of [`RateLimiter::acquire`] do.
    ///
    /// # Errors
    /// At once, [`Denied::Never`] if one of the limits cannot ever admit it, or [`Denied::Invalid`] for an
    /// amount that is none; later, `Never` if a [quota](RateLimiter::set_quota) has become too small.
    ///
    /// # Panics
    /// As [`RateLimiter::acquire`].
    ///
    /// # Examples
    /// ```
    /// use tidegate::{AllOf, Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let user = RateLimiter::new(Quota::per_second(100).burst(1));
    /// let everybody = RateLimiter::new(Quota::per_second(1000).burst(10));
    /// for _ in 0..3 {
    ///     AllOf::new().and(&user, 1).and(&everybody, 1).acquire().await.unwrap();
    ///     // … at most 100 calls a second for this user, and 1,000 for all together.
    /// }
    /// # });
    /// ```
    pub fn acquire(self) -> AcquireAll<C> {
        AcquireAll::new(self.members, self.invalid)
    }
}

impl<C: Clock> Default for AllOf<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clock> fmt::Debug for AllOf<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permits = self.members.iter().map(|(_, permits)| permits).collect::<Vec<_>>();
        f.debug_struct("AllOf").field("permits", &permits).finish_non_exhaustive()
    }
}

/// Takes all or nothing; `None` if the clock has to be read again.
fn try_all(
    all: &mut [Locked<'_>],
    amounts: impl Iterator<Item = Permits>,
    seen: &mut [Option<Seen>],
) -> Option<Result<(), Denied>> {
    let costs = all.iter().zip(amounts).map(|(locked, permits)| locked.cost(permits));
    let costs: Vec<_> = match costs.collect() {
        Ok(costs) => costs,
        Err(denied) => return Some(Err(denied)),
    };
    let mut wait_ns = 0;
    for ((locked, &cost), seen) in all.iter_mut().zip(&costs).zip(seen) {
        let waiting = !locked.inner.list.is_empty();
        if !waiting {
            locked.gather(cost);
        }
        let due_ns = match decide(locked.tat, locked.now, locked.now, cost, locked.frame.scale.limit) {
            _ if waiting => locked.frame.instant_of(u128::from(locked.after_all()) + u128::from(cost)),
            Decision::Admit(_) => continue,
            Decision::NotBefore(tick) => locked.frame.instant(tick),
        };
        match locked.refuse_at(due_ns, *seen) {
            // At least a nanosecond: who is due, and late, still comes first.
            Refusal::Until(due_ns) => wait_ns = wait_ns.max(due_ns.saturating_sub(locked.now_ns).max(1)),
            Refusal::Unsure(saw) => {
                *seen = Some(saw);
                return None;
            }
            Refusal::Settled => return None,
        }
    }
    if wait_ns > 0 {
        return Some(Err(not_yet(wait_ns, 0)));
    }
    for (locked, cost) in all.iter_mut().zip(costs) {
        let taken = locked.take(cost, false);
        debug_assert!(taken.is_ok(), "it was there a moment ago");
    }
    Some(Ok(()))
}
