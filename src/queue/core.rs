//! The queue as a pure state machine on plain numbers: no lock, no clock, no tokio. Wakers are moved, never called.
//!
//! Only the driver (`driver.rs`) runs steps. A step begins with [`Core::open`] and ends with [`Core::close`]. In
//! between no other thread changes the word.
//!
//! # The busy period
//! It begins when a waiter joins an empty queue, and ends when the queue is empty and its credit is over. Within it a
//! grant to a waiter is dated at its due time, however late the alarm was, but not before the *floor*,
//! `now - catch_up`. So a stalled runtime cannot release more than `catch_up` allows. When a late alarm has emptied the
//! queue, the bucket counts as busy for at most `catch_up` more (CREDIT): waiters that were just granted, and come back
//! at once, get what the lateness withheld. Calls that do not wait are decided by textbook GCRA: their floor is *now*.
//!
//! # A clock that steps back
//! Each exchange without the lock read its clock before the freeze; this step reads its own after. The TAT may be ahead
//! of now by up to a full burst, or by the debt that the last thaw left, while the word has not changed since. Further
//! ahead than that, by more than the readings of two threads may differ, means that the clock has stepped back. The
//! bucket then goes on from empty, or from that debt, at the new time. A reading before the origin, or beyond the
//! horizon of the frame, begins a new frame.
//!
//! # A pause
//! During a pause `now` is the tick at which the pause ends (`frame.rs`). Decisions are as at that time, except that
//! nothing is admitted before it.
//!
//! # Lanes
//! The queue is in the order of the lanes, and of arrival within a lane. A newcomer waits only if a waiter of the same or a
//! higher lane is there, or the bucket has too little. If it takes permits, or joins, before waiters of lower lanes, these
//! are due later: the hand-off that follows refuses those that will miss their deadlines.
//!
//! # Invariants
//! 1. Between steps OWNED is set while there are waiters, and during a pause. The first step after the last waiter has
//!    gone, or after the end of the pause, clears it.
//! 2. `base <= floor <= now`, and an admission leaves no TAT below the floor. So at most `limit + catch_up` ticks can
//!    be admitted at one reading, and at most `burst + rate * (w + catch_up)` permits in a window of length w.
//! 3. A step that compares the TAT with a time to change it, or that lowers it, notes that in the ledger (`ledger.rs`),
//!    except [`reclaim`](Core::reclaim). A call without the lock notes nothing, but raises the TAT. So if the word has
//!    changed, the TAT of the last thaw counts as compared with now.
//! 4. `sums` are the sums over the list: for each lane, over its entries and those of higher lanes.
//! 5. In a step, `highest` is at least every number that the word has held since the numbers last began again.
//! 6. Final parts come before all other entries of their lane.

mod books;
mod final_parts;
mod grants;
mod order;
mod pause;
mod requota;

use core::{pin::Pin, time::Duration};

pub(super) use self::grants::Next;
use super::{
    entry::{Entry, NEVER, Outcome, Place, Sums},
    ledger::Ledger,
    list::{List, ListId},
};
use crate::{
    error::{Denied, NotYet},
    frame::Frame,
    gcra::{Decision, MAX_TAT, Scale, decide},
    lane::Lane,
    meter::Thaw,
    quota::Quota,
    word::State,
};

/// The most that can be parked, in millionths of a permit.
const MOST_PARKED: u64 = u64::MAX >> 2;

/// A newcomer: the rule by which it is decided, and its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// It does not wait: textbook GCRA.
    Try(Lane),
    /// It would wait otherwise: it may use the credit of the busy period.
    Waiter(Lane),
}

impl Caller {
    pub(super) const fn lane(self) -> Lane {
        match self {
            Self::Try(lane) | Self::Waiter(lane) => lane,
        }
    }
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "six facts that do not depend on each other")]
pub(crate) struct Core {
    quota: Quota,
    frame: Frame,
    list: List<Entry, Outcome>,
    sums: Sums,
    /// For each lane, the latest time at which a final part here is expected to be taken. With several final parts it only
    /// moves later.
    final_due_ns: [u64; Lane::COUNT],
    ledger: Ledger,
    highest: u64,
    /// Of the last thaw: the word, and how far it was ahead of now.
    thawed: State,
    thawed_ahead: u64,
    is_closed: bool,
    /// Whether the quota in force is [`Quota::BLOCKED`]. `quota` is the one that goes with the frame.
    is_blocked: bool,
    /// The end of a pause that somebody asked for, or zero.
    pause_ends_ns: u64,
    max_waiters: usize,
    handles: usize,
    /// The permits to set aside for the handles, once no waiter asks for more than would be left.
    deferred: u64,
    credit_until_ns: u64,
    /// Whether some waiters may no longer meet their deadlines.
    recheck: bool,
    /// The alarm cannot be relied on: the clock has stepped back, or the quota has changed. An alarm that is merely too
    /// late is found when the alarm is set.
    alarm_is_void: bool,
    /// Waiters are due at other times than the last hand-off saw: some may be due now, or too late.
    times_have_changed: bool,

    // Of this step:
    now_ns: u64,
    now: u64,
    tat: u64,
    /// The earliest tick at which a grant to a waiter may be dated.
    floor: u64,
    reframed: bool,
}

impl Core {
    pub(super) fn new(quota: Quota, frame: Frame, word: State, list: ListId) -> Self {
        Self {
            quota,
            frame,
            list: List::new(list),
            sums: Sums::default(),
            final_due_ns: [0; Lane::COUNT],
            ledger: Ledger::new(),
            highest: 0,
            thawed: word,
            thawed_ahead: 0,
            is_closed: false,
            is_blocked: false,
            pause_ends_ns: 0,
            max_waiters: usize::MAX,
            handles: 0,
            deferred: 0,
            credit_until_ns: 0,
            recheck: false,
            alarm_is_void: false,
            times_have_changed: false,
            now_ns: 0,
            now: 0,
            tat: 0,
            floor: 0,
            reframed: false,
        }
    }

    /// Begins a step with the frozen word, and a clock reading made after the freeze.
    pub(super) fn open(&mut self, word: State, now_ns: u64) {
        self.tat = word.tat();
        self.highest = self.highest.max(self.tat);
        if (1..=now_ns).contains(&self.frame.resumes_ns()) {
            // The pause is over.
            self.pause_ends_ns = 0;
            self.frame = self.frame.with_pause(0);
            self.reframed = true;
        }
        let changed = word.tat() != self.thawed.tat();
        let step_back_ns = core::mem::replace(&mut self.now_ns, now_ns).saturating_sub(now_ns);
        // The most by which the TAT can be ahead if the clock has not stepped back.
        let limit = self.frame.scale().limit;
        let most = if changed { limit } else { limit.max(self.thawed_ahead) };
        let ahead = self.frame.ahead(self.tat, now_ns);
        let compared = changed.then(|| self.frame.ahead(self.thawed.tat(), now_ns).max(0) as u64);
        // The skew costs a multiplication, and seldom matters.
        if ahead > i128::from(most) && ahead > i128::from(most) + i128::from(self.frame.skew()) {
            self.restart(most, step_back_ns);
        } else if let Some(now) = self.frame.tick(now_ns) {
            self.now = now;
        } else {
            // Before the origin, or beyond the horizon: the level stays as it is.
            self.reframe(*self.frame.scale(), ahead);
        }
        if let Some(ahead) = compared {
            self.ledger.note(ahead);
        }
        let busy = !self.list.is_empty() || now_ns < self.credit_until_ns;
        self.floor = if busy { self.frame.waiters_floor(self.now) } else { self.now };
    }

    pub(super) fn close(&mut self) -> Thaw {
        let credit = self.tat < self.now && self.now_ns < self.credit_until_ns;
        let state = State::new(self.tat, !self.list.is_empty() || self.is_paused() || self.is_closed, credit);
        self.highest = self.highest.max(self.tat);
        self.thawed = state;
        self.thawed_ahead = self.tat.saturating_sub(self.now);
        Thaw {
            frame: core::mem::take(&mut self.reframed).then_some(self.frame),
            state,
            now_ns: self.now_ns,
            in_debt: self.thawed_ahead > self.frame.scale().limit,
            credit_until_ns: self.credit_until_ns,
            queued: self.queued(),
        }
    }

    /// The clock has stepped back. Deadlines are clock readings, and move with the step.
    fn restart(&mut self, ahead: u64, step_back_ns: u64) {
        match self.frame.tick(self.now_ns) {
            // No overflow: `now + ahead` is below the TAT of the word.
            Some(now) => (self.now, self.tat) = (now, now + ahead),
            None => self.reframe(*self.frame.scale(), ahead.into()),
        }
        self.ledger.close();
        self.credit_until_ns = 0;
        if self.sums.all().deadlines > 0 {
            self.list.visit(|entry| {
                if entry.deadline_ns != NEVER {
                    entry.deadline_ns = entry.deadline_ns.saturating_sub(step_back_ns);
                }
                true
            });
        }
        self.final_due_ns = self.final_due_ns.map(|due_ns| due_ns.saturating_sub(step_back_ns));
        // The bucket counts as empty now, so all waiters are due later.
        self.recheck = true;
        self.alarm_is_void = true;
    }

    /// Goes on in another frame, with a TAT `ahead` ticks ahead of now. Converting `now` from another origin may round
    /// differently, by less than one tick.
    fn reframe(&mut self, scale: Scale, ahead: i128) {
        // The callers make sure that the word can hold it.
        let room = ahead.clamp(0, MAX_TAT.into()) as u64;
        let (frame, now) = self.next_frame(scale, self.highest, room);
        let tat = i128::from(now) + ahead;
        (self.frame, self.now) = (frame, now);
        self.tat = tat.clamp(frame.base().into(), MAX_TAT.into()) as u64;
        self.floor = now;
        if frame.base() <= self.highest {
            // The numbers begin again.
            self.highest = 0;
        }
        self.highest = self.highest.max(self.tat);
        self.ledger.move_origin();
        self.reframed = true;
    }

    /// As [`Frame::next`], in the same pause.
    fn next_frame(&self, scale: Scale, highest: u64, ahead: u64) -> (Frame, u64) {
        let (frame, now) = Frame::next(scale, self.frame.effective(self.now_ns), highest, ahead);
        (frame.with_pause(self.frame.resumes_ns()), now)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) const fn waiting(&self) -> usize {
        self.list.len()
    }

    /// Whether a waiter may be dated before now, at that reading.
    #[cfg(feature = "keyed")]
    pub(super) const fn has_credit(&self, now_ns: u64) -> bool {
        now_ns < self.credit_until_ns
    }

    pub(super) const fn max_waiters(&self) -> usize {
        self.max_waiters
    }

    pub(super) const fn set_max_waiters(&mut self, max_waiters: usize) {
        self.max_waiters = max_waiters;
    }

    /// Removes a waiter that has no outcome yet. This needs no step.
    pub(crate) fn leave(&mut self, place: Pin<&Place>) -> Option<Entry> {
        let entry = self.list.remove(place)?;
        self.sums.subtract(&entry);
        Some(entry)
    }

    pub(super) fn is_front(&self, place: Pin<&Place>) -> bool {
        self.list.is_front(place)
    }

    pub(super) fn entry_mut(&mut self, place: Pin<&Place>) -> Option<&mut Entry> {
        self.list.entry_mut(place)
    }

    /// Whether the hand-off has to run after this step.
    pub(crate) const fn needs_hand_off(&self) -> bool {
        self.alarm_is_void || self.times_have_changed
    }

    /// The hand-off runs. Returns whether the alarm cannot be relied on.
    pub(super) const fn take_alarm_void(&mut self) -> bool {
        self.times_have_changed = false;
        core::mem::replace(&mut self.alarm_is_void, false)
    }

    /// The quota that goes with the frame.
    pub(super) const fn quota(&self) -> Quota {
        self.quota
    }

    pub(super) const fn quota_in_force(&self) -> Quota {
        if self.is_blocked { Quota::BLOCKED } else { self.quota }
    }

    pub(crate) const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    pub(crate) const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The TAT, and the tick of now.
    pub(crate) const fn level(&self) -> (u64, u64) {
        (self.tat, self.now)
    }

    /// The ticks that a request for `cost` ticks lacks to conform.
    pub(super) const fn short_of(&self, cost: u64) -> u64 {
        (self.tat + cost).saturating_sub(self.now + self.frame.scale().limit)
    }

    /// As [`decide`], but nothing is admitted before the end of a pause.
    fn decide(&self, floor: u64, cost: u64) -> Decision {
        match decide(self.tat, self.now, floor, cost, self.frame.scale().limit) {
            Decision::Admit(_) if self.is_paused() => Decision::NotBefore(self.now),
            decision => decision,
        }
    }

    const fn floor_of(&self, caller: Caller) -> u64 {
        match caller {
            Caller::Try(_) => self.now,
            Caller::Waiter(_) => self.floor,
        }
    }
}

/// Refusal of a request that is due at `due_ns`, later than the latest acceptable reading (now, or its deadline). The
/// wait is the difference, at least 1 ns: a due waiter that is not yet granted comes first.
pub(crate) const fn not_yet(due_ns: u64, latest_ns: u64) -> Denied {
    Denied::NotYet(wait(due_ns, latest_ns))
}

/// The wait of [`not_yet`].
pub(super) const fn wait(due_ns: u64, latest_ns: u64) -> NotYet {
    NotYet::after_ns(due_ns.saturating_sub(latest_ns))
}

pub(crate) fn after(now_ns: u64, wait: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
