//! Calls that do not wait: first an attempt without the lock, then the lock for what the attempt cannot decide.

use core::time::Duration;

use super::{
    core::{Caller, Core, not_yet},
    driver::Driver,
    entry::{Ask, Grant},
    shares::{Shares, Stolen},
};
use crate::{
    clock::{Clock, Fetch},
    error::{ChargeError, Denied, TooMany},
    frame::Frame,
    gcra::nanos,
    lane::Lane,
    meter::{Snapshot, Taken},
    permits::Permits,
    sync::{Ordering, fence},
};

impl<C: Clock + ?Sized> Driver<C> {
    /// Takes permits if they are available and no waiter goes first.
    #[inline]
    pub(crate) fn try_take(&self, permits: Permits, lane: Lane) -> Result<(), Denied> {
        let decision = self.decide_take(permits, lane);
        self.watch().decided(&decision);
        decision
    }

    /// A call that does not wait is refused.
    #[inline]
    pub(crate) fn lacks(&self, permits: Permits) {
        if let Some(supplier) = self.clock().supplier() {
            supplier.refused(permits.whole_up());
        }
    }

    /// Asks the clock for permits that time does not bring, for a call that waits.
    pub(crate) fn fetch(&self, Ask { permits, lane, max_wait }: Ask) -> Option<Fetch> {
        let (supplier, max_wait) = (self.clock().supplier()?, max_wait?);
        let due = self.time_until(permits, lane).ok()?;
        supplier.fetch(permits.whole_up(), due, max_wait)
    }

    /// As [`try_take`](Self::try_take), without telling the watch.
    #[inline]
    fn decide_take(&self, permits: Permits, lane: Lane) -> Result<(), Denied> {
        let now_ns = self.clock().now();
        self.finish_take(permits, lane, now_ns, self.meter().draw(permits, 0, now_ns))
    }

    /// Ends a call after its attempt without the lock.
    #[inline]
    pub(crate) fn finish_take(
        &self,
        permits: Permits,
        lane: Lane,
        now_ns: u64,
        taken: Taken,
    ) -> Result<(), Denied> {
        match taken {
            Taken::Yes(_) => Ok(()),
            Taken::NotYet(not_yet) => match self.shares() {
                None => {
                    self.lacks(permits);
                    Err(Denied::NotYet(not_yet))
                }
                Some(shares) => self.try_steal(&**shares, permits, lane, now_ns),
            },
            Taken::Slow => self.try_take_slow(permits, lane, now_ns),
        }
    }

    #[cold]
    #[inline(never)]
    fn try_take_slow(&self, permits: Permits, lane: Lane, now_ns: u64) -> Result<(), Denied> {
        match self.refusal(permits, lane, now_ns) {
            Some(denied) => Err(denied),
            None => self.try_take_locked(permits, lane).map(drop),
        }
    }

    /// Steals parked permits for a call that the word refuses. It is refused only if all slots were seen empty and the
    /// word has not changed since before that scan: a change may have parked permits behind the scan.
    #[cold]
    #[inline(never)]
    fn try_steal(
        &self,
        shares: &dyn Shares,
        permits: Permits,
        lane: Lane,
        now_ns: u64,
    ) -> Result<(), Denied> {
        let mut word = self.meter().bits();
        loop {
            match shares.steal(permits) {
                Stolen::All => return Ok(()),
                Stolen::Parts => return self.try_take_locked(permits, lane).map(drop),
                Stolen::Nothing => {}
            }
            match self.meter().draw(permits, 0, now_ns) {
                Taken::Yes(_) => return Ok(()),
                Taken::Slow => return self.try_take_slow(permits, lane, now_ns),
                Taken::NotYet(not_yet) => {
                    let before = core::mem::replace(&mut word, self.meter().bits());
                    if before == word {
                        self.lacks(permits);
                        return Err(Denied::NotYet(not_yet));
                    }
                }
            }
        }
    }

    /// Refuses a call as far as the lock is not needed. `None`: it may be admitted, or only the lock holder can tell.
    pub(crate) fn refusal(&self, permits: Permits, lane: Lane, now_ns: u64) -> Option<Denied> {
        let word = self.meter().bits();
        if self.shares().is_some_and(|shares| shares.parked() > 0) {
            return None;
        }
        // Acquire fence: pairs with the Release fence of a lock holder that empties slots, as in `steal_from_one`.
        fence(Ordering::Acquire);
        let behind = if self.meter().is_owned() { self.meter().behind_waiters(lane, now_ns) } else { None };
        let Some(Snapshot { frame, tat, now }) = behind.or_else(|| self.meter().snapshot(now_ns)) else {
            return self.meter().is_closed().then_some(Denied::Closed);
        };
        let Some(cost) = frame.scale().cost(permits) else { return self.too_many(&frame, permits) };
        if cost == 0 {
            return None;
        }
        let due_ns = frame.conforms_at(u128::from(tat.max(now)) + u128::from(cost));
        let moved = self.shares().is_some() && self.may_have_moved(word, lane);
        if due_ns <= now_ns || moved {
            // The lock holder serves waiters that are late, or admits the call.
            return None;
        }
        self.lacks(permits);
        Some(not_yet(due_ns, now_ns))
    }

    /// Whether permits may have moved between the word and slots since the word had these bits. Also if a lock holder may just
    /// move them for a waiter that does not go first.
    fn may_have_moved(&self, bits: u64, lane: Lane) -> bool {
        let meter = self.meter();
        meter.bits() != bits || (meter.has_waiters() && meter.queued_ticks(lane) == 0)
    }

    /// The refusal of a request above the burst. `None` if there are slots: only the lock holder knows what is set
    /// aside.
    pub(super) fn too_many(&self, frame: &Frame, requested: Permits) -> Option<Denied> {
        let burst = frame.scale().limit / frame.scale().per_permit;
        self.shares().is_none().then(|| TooMany::new(requested, burst, burst).into())
    }

    pub(super) fn try_hold(&self, permits: Permits, lane: Lane) -> Result<Grant, Denied> {
        let decision = match self.refusal(permits, lane, self.clock().now()) {
            Some(denied) => Err(denied),
            None => self.try_take_locked(permits, lane),
        };
        self.watch().decided(&decision);
        decision
    }

    fn try_take_locked(&self, permits: Permits, lane: Lane) -> Result<Grant, Denied> {
        self.drive_if_waiters();
        let taken = self.with(|core| {
            let cost = core.cost(permits)?;
            self.reclaim_parked(core, cost, lane);
            core.take(cost, Caller::Try(lane))
                .map_err(|tick| not_yet(core.frame().reading_at(tick), core.now_ns()))
        });
        if let Err(Denied::NotYet(_)) = taken {
            self.lacks(permits);
        }
        taken
    }

    /// Drives the queue if there are waiters: they come first, and a change may make them due or too late.
    pub(crate) fn drive_if_waiters(&self) {
        if self.meter().has_waiters() {
            self.drive();
        }
    }

    /// Drives the queue if only waiters of lower lanes wait. A late alarm may have left some of them due: a newcomer goes before
    /// the others, but not before these.
    pub(crate) fn drive_if_overtaking(&self, lane: Lane) {
        if self.meter().has_waiters() && self.meter().queued_ticks(lane) == 0 {
            self.drive();
        }
    }

    /// Takes as many whole permits as are available, up to `most`.
    pub(crate) fn try_take_up_to(&self, most: u64, lane: Lane) -> u64 {
        let count = self.take_up_to_anywhere(most, lane);
        if count > 0 {
            self.watch().admitted();
        } else if most > 0 {
            self.watch().found_none();
            self.lacks(most.into());
        }
        count
    }

    fn take_up_to_anywhere(&self, most: u64, lane: Lane) -> u64 {
        let mut count = self.take_up_to(most, lane);
        let Some(shares) = self.shares() else { return count };
        if count == most || self.meter().queued_ticks(lane) > 0 {
            return count;
        }
        count += shares.steal_whole(most - count);
        // Each slot holds less than one permit now. Together with the word they may make up whole ones.
        while count < most && shares.parked() > 0 && self.decide_take(1.into(), lane).is_ok() {
            count += 1;
        }
        count
    }

    /// As [`take_up_to_anywhere`](Self::take_up_to_anywhere), from the word alone.
    fn take_up_to(&self, most: u64, lane: Lane) -> u64 {
        let now_ns = self.clock().now();
        if let Some(count) = self.meter().take_up_to(most, now_ns) {
            return count;
        }
        if self.refusal(1.into(), lane, now_ns).is_some() {
            return 0;
        }
        self.drive_if_waiters();
        self.with(|core| {
            let (tat, now) = core.level();
            let scale = *core.frame().scale();
            let count = scale.whole_level(tat, now).min(most);
            core.take(count * scale.per_permit, Caller::Try(lane)).map_or(0, |_| count)
        })
    }

    /// Takes permits even if they are not available. Returns how long it takes to pay off the debt.
    pub(crate) fn charge(&self, permits: Permits) -> Result<Duration, ChargeError> {
        if self.meter().draw_reporting(permits, self.clock().now()).is_some() {
            self.watch().charged(permits);
            return Ok(Duration::ZERO);
        }
        self.drive_if_waiters();
        let paid = self.with(|core| {
            let cost = core.cost_of_charge(permits)?;
            Ok(self.charge_in(core, cost))
        });
        if paid.is_ok() {
            self.watch().charged(permits);
        }
        paid
    }

    /// Charges `cost` ticks, for which there is room, in a step. Returns how long it takes to pay off the debt.
    pub(crate) fn charge_in(&self, core: &mut Core, cost: u64) -> Duration {
        let charged = core.charge(cost);
        debug_assert!(charged.is_ok(), "`cost_of_charge` has found room, and the lock was held since");
        // Parked permits pay a debt first.
        if let Some(shares) = self.shares() {
            shares.reclaim_for(core, 0);
        }
        nanos(core.paid_ns().saturating_sub(core.now_ns()))
    }

    /// Gives permits back, up to a full burst. Waiters get them first.
    pub(crate) fn refund(&self, permits: Permits) {
        self.refund_ticks(|frame| {
            let ticks = permits.ticks_given_back(frame.scale().per_permit);
            u64::try_from(ticks).unwrap_or(u64::MAX)
        });
        self.watch().given_back(permits);
    }

    pub(crate) fn refund_ticks(&self, ticks: impl FnOnce(&Frame) -> u64) {
        self.with(|core| {
            let ticks = ticks(core.frame());
            core.refund(ticks);
        });
    }

    pub(crate) fn reset(&self) {
        self.with(Core::reset);
    }
}
