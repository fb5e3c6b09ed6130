//! Rounds: those who come back first do not overtake those who were released with them.
//!
//! Hungry tasks ask again as soon as they are served. A timer that ticks in milliseconds releases many at a
//! time, and some are back while others still wait for a worker. If permits are there, because the timer was
//! late, they would be served twice before the others have come back once: order of arrival alone cannot
//! help those who have not arrived.
//!
//! So the queue is served in rounds. Who joins it joins the next round. A round is over when all of it have been
//! served. The next one begins when as many have joined as were released, if there is enough for all of it; else with
//! the alarm after nobody has been released for [`HOLD_NS`]. So there may be several in a tick, with nobody left out;
//! and of hungry tasks, none is served twice before all have been served once.
//!
//! # Invariants
//! 1. The rounds of those in the queue do not fall from front to back. So the order of service is that of
//!    arrival; all that a round changes is when.
//! 2. Who is due is held back for `HOLD_NS` after the latest release at most: an alarm is set for that.
//! 3. Nobody is held back beyond the deadline of anybody who waits, not if the alarm is as late as it may be
//!    ([`LATE_NS`]). Calls that do not wait see nothing of it: who is due goes on first (`WaitQueue::serve_due`), and
//!    until that is done, `free`, nobody is held back.
//! 4. Nobody is held back unless permits were short of late: somebody was served in the last [`SHORT_NS`] who had
//!    had to wait for its time. Else callers who come once would be taken for hungry ones, and go on waiting for
//!    each other although there is enough.
//! 5. Nor if that could cost what has come already: it is kept for `catch_up` only. Whoever then goes past others
//!    lets the tasks run first that wait for a worker (`acquire.rs`).
//! 6. Where permits come at more than 100,000 a second nobody is held back: there it would cost more than it is
//!    worth, and those who come back take what is there without the lock (see `locked.rs`). Nor where alarms
//!    are as precise as the clock, since nobody is released late.

use super::{
    inner::{Grant, Inner, NEVER},
    locked::Locked,
    timer::current_runtime,
    wait_queue::LATE_NS,
};
use crate::{
    gcra::{Decision, Scale, decide},
    published::Frame,
};

/// How long those who were released are waited for. Less than a tick, so that it is over by the next.
pub(super) const HOLD_NS: u64 = 500_000;

/// For how long permits count as short. More than a tick, and than a timer is late.
pub(super) const SHORT_NS: u64 = 4_000_000;

/// Which round it is.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// The one that is being served.
    current: u64,
    /// How many were released of late, less those who have joined since.
    away: usize,
    /// Until when they are waited for.
    until_ns: u64,
    /// Whether somebody is held back.
    held: bool,
    /// Whether nobody is to be, in the hand-off that comes next or is under way.
    free: bool,
    /// The first deadline of those who are.
    soonest_ns: u64,
    /// Whether the head has been seen to have to wait for its time.
    short: bool,
    /// Until when permits count as short.
    short_until_ns: u64,
}

impl Rounds {
    /// The round of those who join now.
    pub(super) const fn next(&self) -> u64 {
        self.current + 1
    }

    /// The head has to wait for its time.
    pub(super) const fn fall_short(&mut self) {
        self.short = true;
    }

    /// Somebody is due: who has waited for that shows that permits are short.
    const fn look_for_shortage(&mut self, now_ns: u64) {
        if self.short {
            self.short = false;
            self.short_until_ns = now_ns.saturating_add(SHORT_NS);
        }
    }

    /// Somebody has joined. Whether those who are held back can now go on.
    pub(super) const fn joined(&mut self, deadline_ns: u64) -> bool {
        self.away = self.away.saturating_sub(1);
        if deadline_ns < self.soonest_ns {
            self.soonest_ns = deadline_ns;
        }
        self.held && (self.away == 0 || self.soonest_ns < self.served_ns())
    }

    /// Somebody has left who was not served, and is as much awaited as before.
    pub(super) const fn left(&mut self) {
        self.away += 1;
    }

    /// Somebody is released.
    pub(super) const fn released(&mut self, now_ns: u64) {
        if !self.waits(self.away, now_ns) {
            self.away = 0;
        }
        self.away += 1;
        self.until_ns = now_ns.saturating_add(HOLD_NS);
    }

    /// Until when somebody of that round who is due is held back, unless somebody has a deadline before that. Else
    /// that round begins.
    pub(super) fn hold(&mut self, round: u64, now_ns: u64, soonest_ns: impl FnOnce() -> u64) -> Option<u64> {
        self.look_for_shortage(now_ns);
        if self.free || round <= self.current || !self.waits(self.away, now_ns) {
            return self.begin(round);
        }
        if !self.held {
            self.soonest_ns = soonest_ns();
        }
        self.held = self.served_ns() <= self.soonest_ns;
        if self.held { Some(self.until_ns) } else { self.begin(round) }
    }

    /// Somebody of that round is not held back.
    const fn begin(&mut self, round: u64) -> Option<u64> {
        self.held = false;
        if round > self.current {
            self.current = round;
        }
        None
    }

    /// Nobody is held back.
    const fn let_go(&mut self) {
        self.held = false;
    }

    /// Nobody is waited for any more, nor is anybody held back who is due by now.
    pub(super) const fn forget(&mut self) {
        self.away = 0;
        self.held = false;
        self.free = true;
    }

    /// Whoever was due has been served, or is held back.
    pub(super) const fn settled(&mut self) {
        self.free = false;
    }

    /// Whether somebody is held back who has come to an empty queue, and not joined it.
    pub(super) const fn hold_newcomer(&mut self, now_ns: u64, deadline_ns: u64) -> bool {
        self.soonest_ns = deadline_ns;
        self.held = self.waits(self.away.saturating_sub(1), now_ns) && self.served_ns() <= deadline_ns;
        self.held
    }

    /// Somebody has come to an empty queue and is served at once.
    pub(super) const fn passed(&mut self, now_ns: u64) {
        self.current += 1;
        self.away = self.away.saturating_sub(1);
        self.released(now_ns);
    }

    /// By when those are served who are held back: the alarm may be late.
    const fn served_ns(&self) -> u64 {
        self.until_ns.saturating_add(LATE_NS)
    }

    /// Until when somebody is held back.
    pub(super) const fn held_until(&self) -> Option<u64> {
        if self.held { Some(self.until_ns) } else { None }
    }

    /// Until when whoever comes next may have to be held back: not for one who may be that one.
    pub(super) const fn may_hold_until(&self, now_ns: u64) -> Option<u64> {
        if self.waits(self.away.saturating_sub(1), now_ns) { Some(self.until_ns) } else { None }
    }

    /// Whether so many are waited for. A clock that has stepped back prolongs nothing.
    const fn waits(&self, away: usize, now_ns: u64) -> bool {
        away > 0 && self.is_short(now_ns) && now_ns < self.until_ns && self.until_ns - now_ns <= HOLD_NS
    }

    /// Whether permits are short.
    const fn is_short(&self, now_ns: u64) -> bool {
        now_ns < self.short_until_ns && self.short_until_ns - now_ns <= SHORT_NS
    }
}

/// Whether what has come so far were lost, in part, if it were not taken by the next tick.
fn would_be_lost(scale: &Scale, tat: u64, now: u64) -> bool {
    // No overflow: each is below 2^62.
    tat + scale.catch_up < now + scale.span(LATE_NS)
}

/// Whether those who are held back and can go on do so at once: if all of them can, or something would be lost. Else
/// they go with the alarm that is set. A part of a round would be a hand-off more in each tick, for which workers
/// wake up and go to sleep again.
pub(super) fn go_at_once(frame: &Frame, tat: u64, now_ns: u64, ticks: u128) -> bool {
    let Some(now) = frame.tick(now_ns) else { return true };
    let all = u128::from(tat) + ticks <= u128::from(now) + u128::from(frame.scale.limit);
    all || would_be_lost(&frame.scale, tat, now)
}

impl Locked<'_> {
    /// Whether waiters are served in rounds.
    const fn has_rounds(&self) -> bool {
        !self.inner.rings && !self.frame.scale.is_fast()
    }

    /// Whether somebody who is due may be held back.
    fn may_hold(&self) -> bool {
        self.has_rounds() && !would_be_lost(&self.frame.scale, self.tat, self.now)
    }

    /// Whether hungry callers have what is there to share.
    pub(super) fn is_shared(&self) -> bool {
        self.has_rounds() && self.inner.rounds.is_short(self.now_ns)
    }

    /// Until when somebody of that round who is due is held back. Else that round begins.
    pub(super) fn hold(&mut self, round: u64) -> Option<u64> {
        let holds = self.may_hold();
        let Inner { rounds, list, sum, .. } = &mut *self.inner;
        if !holds || sum.gates > 0 {
            return rounds.begin(round);
        }
        // Once for those who are held back together.
        let soonest_ns = || {
            let mut soonest_ns = NEVER;
            if sum.deadlines > 0 {
                list.visit(|entry| {
                    soonest_ns = soonest_ns.min(entry.deadline_ns);
                    true
                });
            }
            soonest_ns
        };
        rounds.hold(round, self.now_ns, soonest_ns)
    }

    /// As `take`, for a waiter who has found the queue empty, and may have to let others come back first: if there is
    /// somebody to time that, such as itself if it is a thread.
    pub(super) fn take_in_turn(&mut self, cost: u64, deadline_ns: u64, thread: bool) -> Option<Grant> {
        if cost > 0 {
            let decision = decide(self.tat, self.now, self.floor, cost, self.frame.scale.limit);
            let due = matches!(decision, Decision::Admit(_));
            // Whoever was held back before has left.
            self.inner.rounds.let_go();
            if due && self.may_hold() && self.inner.rounds.hold_newcomer(self.now_ns, deadline_ns) {
                if thread || self.inner.keeper.is_some() || current_runtime().is_some() {
                    return None;
                }
                self.inner.rounds.let_go();
            }
        }
        let grant = self.take(cost, true).ok()?;
        if cost > 0 {
            self.inner.rounds.passed(self.now_ns);
        }
        Some(grant)
    }

    /// Until when whoever comes next may have to be held back.
    pub(super) fn may_hold_until(&self) -> Option<u64> {
        self.inner.rounds.may_hold_until(self.now_ns).filter(|_| self.has_rounds())
    }

    /// Whether those who come back, to `credit` or what else there is, have to ask under the lock.
    pub(super) fn awaits_others(&self, credit: bool) -> bool {
        self.has_rounds() && (credit || self.may_hold_until().is_some())
    }
}
