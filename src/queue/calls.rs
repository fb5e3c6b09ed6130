//! Calls that do not wait: the fast path first, and under the lock what it cannot decide alone.

use core::time::Duration;

use super::{
    core::{Caller, Core, not_yet},
    driver::Driver,
    entry::Grant,
    shares::Stolen,
};
use crate::{
    clock::Clock,
    error::{ChargeError, Denied, TooMany},
    frame::Frame,
    gcra::nanos,
    meter::{Snapshot, Taken},
    permits::Permits,
    sync::{Ordering, fence},
};

impl<C: Clock> Driver<C> {
    /// Takes permits if they are available and nobody waits.
    #[inline]
    pub(crate) fn try_take(&self, permits: Permits) -> Result<(), Denied> {
        let now_ns = self.clock().now();
        self.settle(permits, now_ns, self.meter().draw(permits, 0, now_ns))
    }

    /// Ends a call that has tried to take permits without the lock.
    #[inline]
    pub(crate) fn settle(&self, permits: Permits, now_ns: u64, taken: Taken) -> Result<(), Denied> {
        match taken {
            Taken::Yes(_) => Ok(()),
            Taken::NotYet(not_yet) if self.shares().is_none() => Err(Denied::NotYet(not_yet)),
            Taken::NotYet(_) => self.try_steal(permits, now_ns),
            Taken::Slow => self.try_take_slow(permits, now_ns),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_take_slow(&self, permits: Permits, now_ns: u64) -> Result<(), Denied> {
        match self.refusal(permits, now_ns) {
            Some(denied) => Err(denied),
            None => self.try_take_locked(permits).map(drop),
        }
    }

    /// The word has not enough: takes what is parked. It is refused only if all that was parked is gone, and the word
    /// has not changed since before that was seen: else something may have been parked behind its back.
    #[cold]
    #[inline(never)]
    fn try_steal(&self, permits: Permits, now_ns: u64) -> Result<(), Denied> {
        let Some(shares) = self.shares() else { return self.try_take_locked(permits).map(drop) };
        let mut word = self.meter().bits();
        loop {
            match shares.steal(permits) {
                Stolen::All => return Ok(()),
                Stolen::Parts => return self.try_take_locked(permits).map(drop),
                Stolen::Nothing => {}
            }
            match self.meter().draw(permits, 0, now_ns) {
                Taken::Yes(_) => return Ok(()),
                Taken::Slow => return self.try_take_slow(permits, now_ns),
                Taken::NotYet(not_yet) => {
                    let before = core::mem::replace(&mut word, self.meter().bits());
                    if before == word {
                        return Err(Denied::NotYet(not_yet));
                    }
                }
            }
        }
    }

    /// Why a call is refused, as far as can be told without the lock: `None` if it may be admitted, or it takes the lock to
    /// tell.
    pub(crate) fn refusal(&self, permits: Permits, now_ns: u64) -> Option<Denied> {
        let word = self.meter().bits();
        if self.shares().is_some_and(|shares| shares.parked() > 0) {
            return None;
        }
        // Acquire fence: pairs with the Release fence of a lock holder that empties slots, as in `try_steal`.
        fence(Ordering::Acquire);
        let behind = self.meter().behind_waiters(now_ns);
        let Snapshot { frame, tat, now } = behind.or_else(|| self.meter().snapshot(now_ns))?;
        let Some(cost) = frame.scale().cost(permits) else { return self.too_many(&frame, permits) };
        if cost == 0 {
            return None;
        }
        let tat = if behind.is_some() { tat } else { tat.max(now) };
        let due_ns = frame.conforms_at(u128::from(tat) + u128::from(cost));
        // What was in the word when the slots were empty may have been parked since, and the other way round.
        let moved = self.shares().is_some() && self.meter().bits() != word;
        // A first waiter that is due, and late, is served under the lock.
        (due_ns > now_ns && !moved).then(|| not_yet(due_ns, now_ns))
    }

    /// The refusal of a request for more than one is granted. `None` while shares may set a part of the burst aside: the
    /// lock holder knows how much.
    pub(super) fn too_many(&self, frame: &Frame, requested: Permits) -> Option<Denied> {
        let burst = frame.scale().limit / frame.scale().per_permit;
        self.shares().is_none().then(|| TooMany::new(requested, burst, burst).into())
    }

    /// As [`try_take`](Self::try_take), for permits that can be given back.
    pub(super) fn try_hold(&self, permits: Permits) -> Result<Grant, Denied> {
        match self.refusal(permits, self.clock().now()) {
            Some(denied) => Err(denied),
            None => self.try_take_locked(permits),
        }
    }

    fn try_take_locked(&self, permits: Permits) -> Result<Grant, Denied> {
        self.drive_if_waiters();
        self.with(|core| {
            let cost = core.cost(permits)?;
            let tick = if cost == 0 || core.is_empty() {
                if let Some(shares) = self.shares() {
                    shares.reclaim_for(core, cost);
                }
                match core.take(cost, Caller::Try) {
                    Ok(grant) => return Ok(grant),
                    Err(tick) => tick,
                }
            } else {
                core.turn(cost)
            };
            Err(not_yet(core.frame().instant(tick), core.now_ns()))
        })
    }

    /// Looks after the waiters, if there are any: they come before the caller, and what it has changed may concern them.
    pub(crate) fn drive_if_waiters(&self) {
        if self.meter().queued() > 0 {
            self.drive();
        }
    }

    /// Takes as many whole permits as are there, up to `most`.
    pub(crate) fn try_take_up_to(&self, most: u64) -> u64 {
        let mut count = self.take_up_to(most);
        let Some(shares) = self.shares().filter(|_| count < most && self.meter().queued() == 0) else {
            return count;
        };
        count += shares.steal_whole(most - count);
        // Less than one in each slot is left, which may make whole ones with each other and the word.
        while count < most && shares.parked() > 0 && self.try_take(1.into()).is_ok() {
            count += 1;
        }
        count
    }

    /// As many as the word has.
    fn take_up_to(&self, most: u64) -> u64 {
        let now_ns = self.clock().now();
        if let Some(count) = self.meter().take_up_to(most, now_ns) {
            return count;
        }
        // Behind waiters, none of whom is due.
        if self.refusal(1.into(), now_ns).is_some() {
            return 0;
        }
        self.drive_if_waiters();
        self.with(|core| {
            if !core.is_empty() {
                return 0;
            }
            let (tat, now) = core.level();
            let scale = *core.frame().scale();
            let count = scale.whole_level(tat, now).min(most);
            core.take(count * scale.per_permit, Caller::Try).map_or(0, |_| count)
        })
    }

    /// Takes permits whether they are there or not; how long until the debt is paid.
    pub(crate) fn charge(&self, permits: Permits) -> Result<Duration, ChargeError> {
        if self.meter().charge(permits, self.clock().now()) {
            return Ok(Duration::ZERO);
        }
        self.drive_if_waiters();
        let paid = self.with(|core| {
            let per_permit = core.frame().scale().per_permit;
            let cost = u64::try_from(permits.ticks(per_permit)).unwrap_or(u64::MAX);
            let charged = core.charge(cost);
            // A debt comes out of what is parked first.
            if let (Ok(()), Some(shares)) = (&charged, self.shares()) {
                shares.reclaim_for(core, 0);
            }
            match charged {
                Ok(()) => Ok(nanos(core.paid_ns().saturating_sub(core.now_ns()))),
                Err(most) => Err(ChargeError::DebtTooDeep { requested: permits, most: most / per_permit }),
            }
        });
        // It goes ahead of the waiters, some of which may be too late now.
        self.drive_if_waiters();
        paid
    }

    /// Gives permits back, up to a full burst, and on to the waiters.
    pub(crate) fn refund(&self, permits: Permits) {
        self.refund_ticks(|frame| {
            let ticks = permits.ticks_given_back(frame.scale().per_permit);
            u64::try_from(ticks).unwrap_or(u64::MAX)
        });
    }

    /// As [`refund`](Self::refund), of what that is in ticks.
    pub(crate) fn refund_ticks(&self, ticks: impl FnOnce(&Frame) -> u64) {
        self.with(|core| {
            let ticks = ticks(core.frame());
            core.refund(ticks);
        });
        self.drive_if_waiters();
    }

    /// Fills the bucket.
    pub(crate) fn reset(&self) {
        self.with(Core::reset);
        self.drive_if_waiters();
    }
}
