//! Calls that do not wait: the fast path first, and under the lock what it cannot decide alone.

use core::time::Duration;

use super::{
    doubt::Refusal,
    hand_off::By,
    inner::{Grant, NEVER},
    locked::{charged, not_yet},
    wait_queue::{Stale, WaitQueue},
};
use crate::{
    clock::Clock,
    error::Denied,
    gcra::{Decision, Scale, decide, nanos},
    meter::{Fast, Taken, UNTOLD},
    permits::Permits,
    published::Frame,
    shares::Stolen,
    word::{Mode, Step},
};

impl<C: Clock> WaitQueue<C> {
    /// Takes permits if they are there and nobody waits.
    #[inline]
    pub(crate) fn try_take(&self, permits: Permits) -> Result<(), Denied> {
        let now_ns = self.clock.now();
        match self.meter.take_at_once(permits, now_ns) {
            Ok(()) => Ok(()),
            Err(stale) => self.try_take_slow(permits, now_ns, stale),
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn try_take_slow(&self, permits: Permits, now_ns: u64, stale: Stale) -> Result<(), Denied> {
        self.undo(stale);
        if permits == Permits::ZERO {
            return Ok(());
        }
        // The arrival time before the slots were seen to be empty.
        let mut looked = None;
        loop {
            return match &self.meter.take(permits, now_ns) {
                Fast::Done(Taken::Yes, _) => Ok(()),
                Fast::Done(Taken::Never, frame) => Err(never(frame, permits)),
                Fast::Done(Taken::NotBefore(tick, tat), frame) => {
                    let look = self.slots().is_some() && looked != Some(*tat);
                    match if look { self.steal(permits) } else { Stolen::Nothing } {
                        Stolen::All => Ok(()),
                        Stolen::Parts => self.try_take_locked(permits).map(drop),
                        Stolen::Nothing if look => {
                            // If the word has changed, something may have been parked behind this look's back.
                            looked = Some(*tat);
                            continue;
                        }
                        Stolen::Nothing => {
                            if self.meter.doubted() || self.meter.is_behind(frame, now_ns, *tat) {
                                return self.try_take_locked(permits).map(drop);
                            }
                            Err(not_yet(frame.instant(*tick), now_ns))
                        }
                    }
                }
                Fast::Slow if self.meter.queued() > 0 => self.refuse_behind_waiters(permits, now_ns),
                Fast::Slow => self.try_take_locked(permits).map(drop),
                Fast::Stale { before, after } => {
                    self.undo(Some((*before, *after)));
                    self.try_take_locked(permits).map(drop)
                }
            };
        }
    }

    /// As [`try_take`](Self::try_take), for permits that can be given back.
    pub(super) fn try_hold(&self, permits: Permits) -> Result<Grant, Denied> {
        self.try_take_locked(permits)
    }

    /// Somebody waits, so a newcomer is refused.
    fn refuse_behind_waiters(&self, permits: Permits, now_ns: u64) -> Result<(), Denied> {
        match self.estimate_turn(permits, now_ns)? {
            Some(due_ns) => Err(not_yet(due_ns, now_ns)),
            None => self.try_take_locked(permits).map(drop),
        }
    }

    /// When it is the turn of a newcomer, after those who wait, without the lock. `None` if it takes the lock to tell, or
    /// the time has come: the alarm is late, or somebody is held back. While some are being granted it may be later by
    /// what these ask for, and not sooner.
    fn estimate_turn(&self, permits: Permits, now_ns: u64) -> Result<Option<u64>, Denied> {
        let Some((edition, frame)) = self.meter.published.read() else { return Ok(None) };
        // In this order.
        let queued = self.meter.queued();
        let state = self.meter.word.load();
        let tat = state.tat();
        let cost = cost(&frame, permits)?;
        let Some(now) = frame.tick(now_ns) else { return Ok(None) };
        let behind = self.meter.doubted() || self.meter.is_behind(&frame, now_ns, tat);
        // Nobody has taken what has come within the catch-up.
        let lost = tat < now.saturating_sub(frame.scale.catch_up);
        let waits = state.is(Mode::Queued) && queued > 0 && queued < UNTOLD;
        if !waits || behind || lost || !self.meter.published.is_current(edition) {
            return Ok(None);
        }
        let all = tat.saturating_add(queued).saturating_add(cost);
        let due_ns = frame.instant(all.saturating_sub(frame.scale.limit));
        Ok((due_ns > now_ns).then_some(due_ns))
    }

    /// Serves those who wait and are due, if the alarm is late or they are held back (see `rounds.rs`): whoever calls
    /// comes after them.
    pub(super) fn serve_due(&self) {
        if self.meter.queued() > 0 {
            self.inner.lock().rounds.forget();
            self.drive(By::Other);
        }
    }

    fn try_take_locked(&self, permits: Permits) -> Result<Grant, Denied> {
        self.serve_due();
        let mut seen = None;
        loop {
            let now_ns = self.clock.now();
            let outcome = self.locked_at(now_ns, |locked| {
                let cost = locked.cost(permits).map_err(Err)?;
                loop {
                    // Those who wait come first.
                    let tick = if cost == 0 || locked.inner.list.is_empty() {
                        match locked.take(cost, false) {
                            Ok(grant) => return Ok(grant),
                            Err(tick) => tick,
                        }
                    } else {
                        let all = locked.after_all().saturating_add(cost);
                        all.saturating_sub(locked.frame.scale.limit)
                    };
                    let refusal = locked.refuse(tick, seen);
                    if refusal != Refusal::Settled {
                        return Err(Ok(refusal));
                    }
                }
            });
            if outcome.is_err() && self.meter.queued() > 0 {
                // Those who wait are looked after too: the clock may have stepped back since their alarm
                // was set.
                self.drive(By::Other);
            }
            return match outcome {
                Ok(grant) => Ok(grant),
                Err(Err(never)) => Err(never),
                Err(Ok(Refusal::Until(due_ns))) => Err(not_yet(due_ns, now_ns)),
                Err(Ok(Refusal::Unsure(saw))) => {
                    seen = Some(saw);
                    continue;
                }
                Err(Ok(Refusal::Settled)) => continue,
            };
        }
    }

    /// Takes as many whole permits as are there, up to `most`.
    pub(crate) fn try_take_up_to(&self, most: u64) -> u64 {
        let mut count = self.take_up_to(most);
        let Some(slots) = self.slots().filter(|_| count < most && !self.somebody_waits()) else {
            return count;
        };
        count += slots.steal_whole(most - count);
        // Less than one in each slot is left, which may make whole ones with each other and the word.
        while count < most && slots.parked() > 0 && self.try_take(1.into()).is_ok() {
            count += 1;
        }
        count
    }

    /// As many as the word has.
    fn take_up_to(&self, most: u64) -> u64 {
        let now_ns = self.clock.now();
        let fast = self.meter.fast(now_ns, |state, now, scale| {
            let count = whole_permits(scale, state.tat(), now).min(most);
            let cost = count * scale.per_permit;
            match decide(state.tat(), now, now, cost, scale.limit) {
                Decision::Admit(tat) if cost > 0 => Step::Set(state.with_tat(tat), count),
                _ => Step::Keep(0),
            }
        });
        match fast {
            // Nothing there, or a clock that is behind: the latter is dealt with under the lock.
            Fast::Done(count, _) if count > 0 || most == 0 => return count,
            Fast::Stale { before, after } => self.undo(Some((before, after))),
            Fast::Done(..) | Fast::Slow => {}
        }
        self.serve_due();
        if self.meter.queued() > 0 {
            return 0;
        }
        let mut seen = None;
        loop {
            let outcome = self.locked(|locked| {
                loop {
                    if !locked.inner.list.is_empty() {
                        return Ok(0);
                    }
                    let count = whole_permits(&locked.frame.scale, locked.tat, locked.now).min(most);
                    let cost = count * locked.frame.scale.per_permit;
                    if count > 0 {
                        return Ok(locked.take(cost, false).map_or(0, |_| count));
                    }
                    match locked.refuse(locked.tat, seen) {
                        Refusal::Until(_) => return Ok(0),
                        Refusal::Unsure(saw) => return Err(saw),
                        Refusal::Settled => {}
                    }
                }
            });
            match outcome {
                Ok(count) => return count,
                Err(saw) => seen = Some(saw),
            }
        }
    }

    /// Takes permits whether they are there or not; how long until the debt is paid.
    pub(crate) fn charge(&self, permits: Permits) -> Result<Duration, Denied> {
        let now_ns = self.clock.now();
        let fast = self.meter.fast(now_ns, |state, now, scale| {
            let Ok(cost) = u64::try_from(permits.ticks(scale.per_permit)) else { return Step::Keep(None) };
            match charged(state.tat(), now, cost) {
                // Into debt, or the clock is behind: under the lock the two are told apart, and the debt is noted.
                Some(tat) if tat > now + scale.limit => Step::Keep(None),
                Some(tat) if cost > 0 => Step::Set(state.with_tat(tat), Some(tat)),
                Some(_) => Step::Keep(Some(state.tat())),
                None => Step::Keep(None),
            }
        });
        let paid_ns = match fast {
            Fast::Done(Some(tat), frame) => frame.instant_of(tat.into()),
            Fast::Stale { before, after } => {
                self.undo(Some((before, after)));
                self.charge_locked(permits)?
            }
            Fast::Done(None, _) | Fast::Slow => self.charge_locked(permits)?,
        };
        if paid_ns <= now_ns || self.slots().is_none() {
            return Ok(nanos(paid_ns.saturating_sub(now_ns)));
        }
        // A debt comes out of what is parked first.
        Ok(self.locked(|locked| {
            locked.gather(0);
            nanos(locked.paid_ns().saturating_sub(locked.now_ns))
        }))
    }

    /// When the debt is paid: the clock reading.
    fn charge_locked(&self, permits: Permits) -> Result<u64, Denied> {
        self.serve_due();
        let mut seen = None;
        let charged = loop {
            let outcome = self.locked(|locked| {
                // A clock that seems to have stepped back is doubted from here on at the latest: else all that is charged
                // before somebody asks for permits would look like debt.
                if let Refusal::Unsure(saw) = locked.refuse_at(NEVER, seen) {
                    return Err(saw);
                }
                let per_permit = locked.frame.scale.per_permit;
                let cost = u64::try_from(permits.ticks(per_permit)).unwrap_or(u64::MAX);
                let tat = if cost == 0 { Some(locked.tat) } else { locked.charge(cost) };
                Ok(tat.map(|_| locked.paid_ns()).ok_or_else(|| {
                    let most = locked.chargeable() / per_permit;
                    Denied::DebtTooDeep { requested: permits, most: most.into() }
                }))
            });
            match outcome {
                Ok(charged) => break charged,
                Err(saw) => seen = Some(saw),
            }
        };
        // It goes ahead of those who wait, some of whom may be too late now.
        self.drive(By::Other);
        charged
    }

    /// Gives permits back, up to a full burst, and on to those who wait.
    pub(crate) fn refund(&self, permits: Permits) {
        self.locked(|locked| {
            let ticks = permits.ticks_given_back(locked.frame.scale.per_permit);
            locked.refund(u64::try_from(ticks).unwrap_or(u64::MAX));
        });
        self.drive(By::Other);
    }

    /// Fills the bucket.
    pub(crate) fn reset(&self) {
        self.locked(|locked| {
            locked.reset();
        });
        self.drive(By::Other);
    }
}

/// What so many permits cost.
pub(super) fn cost(frame: &Frame, permits: Permits) -> Result<u64, Denied> {
    frame.scale.cost(permits).ok_or_else(|| never(frame, permits))
}

/// More than a burst.
pub(super) fn never(frame: &Frame, requested: Permits) -> Denied {
    Denied::Never { requested, burst: Permits::from(frame.scale.limit / frame.scale.per_permit) }
}

/// The whole permits there are at `now`, zero in debt.
fn whole_permits(scale: &Scale, tat: u64, now: u64) -> u64 {
    scale.level(tat, now).max(0) as u64 / scale.per_permit
}
