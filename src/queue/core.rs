//! The queue as a pure state machine on plain numbers: no lock, no clock, no tokio. Wakers are moved, never called.
//!
//! The driver (`driver.rs`) is the only way to it. A step begins with [`Core::open`], which is given the word as it was
//! frozen and a clock reading made after that, and ends with [`Core::close`], which says what to thaw the word with. In
//! between nobody else changes the word.
//!
//! # The busy period
//! It begins when a waiter joins an empty queue, and ends when the queue is empty and has left no credit. Within it a
//! grant to a waiter is dated at its due time, however late the timer was: the bucket was busy, and the TAT is not moved up
//! to *now*, but only to the *floor*, `now - catch_up`. So a stalled runtime cannot release more than that.
//!
//! When the queue drains at a late timer, the TAT may still lie before *now*. For at most `catch_up` the bucket then
//! still counts as busy (CREDIT), so that the waiters just released, coming back at once, find the credit that the timer's
//! lateness owes them. Calls that do not wait are decided by textbook GCRA: their floor is *now*.
//!
//! # A clock that steps back
//! Every exchange without the lock read its clock before the freeze, and the reading of this step was made after it. So a
//! reading that lies behind the word is a step back, and not merely an old reading. The TAT is never further ahead
//! of *now* than a full burst, or than the debt that the last thaw left if the word is still as it left it. If it is
//! further ahead, and by more than the readings of two threads may be apart, the bucket goes on from an empty one at the
//! new time. A reading before the origin, or beyond the horizon of the frame, begins a new frame.
//!
//! # Invariants
//! 1. OWNED stays set exactly while there are waiters.
//! 2. `base <= floor <= now`, and no TAT below the floor survives an admission. So at any instant at most
//!    `limit + catch_up` ticks can be admitted, and in a window of length w at most
//!    `burst + rate * (w + catch_up)` permits.
//! 3. Whatever compares the TAT with a time, or lowers it, is in the ledger (see `ledger.rs`). Calls without the lock
//!    make no entry. But each raises the TAT, so that a word that has changed counts as compared with *now*.
//! 4. `sum` is the sum over the list.
//! 5. `highest` is at least every number that the word has held (see `frame.rs`).
//! 6. Final parts stand before all other entries.

mod books;
mod grants;
mod requota;

use core::{pin::Pin, task::Waker, time::Duration};

pub(super) use self::grants::Next;
use super::{
    entry::{Entry, Kind, NEVER, Outcome, Place, Sum},
    ledger::Ledger,
    list::{List, ListId},
};
use crate::{
    error::{Denied, NotYet},
    frame::Frame,
    gcra::{Decision, MAX_TAT, SKEW_NS, Scale, decide},
    meter::{Thaw, UNTOLD},
    permits::Permits,
    quota::Quota,
    word::State,
};

/// The most that can be parked, in millionths of a permit.
const MOST_PARKED: u64 = u64::MAX >> 2;

/// By which rule a call is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// It does not wait: by textbook GCRA.
    Try,
    /// It would wait otherwise: it may use the credit of the busy period.
    Waiter,
}

#[derive(Debug)]
pub(crate) struct Core {
    quota: Quota,
    frame: Frame,
    list: List<Entry, Outcome>,
    /// Over the entries in the list.
    sum: Sum,
    /// No final part in here goes later than this, as far as is known.
    final_due_ns: u64,
    ledger: Ledger,
    highest: u64,
    /// The word as the last thaw left it, and by how much it was ahead then.
    left: State,
    left_ahead: u64,
    /// How many handles may park permits at cores, and how many permits are to be set aside for that as soon as no
    /// waiter needs them.
    handles: usize,
    deferred: u64,
    /// The latest clock reading.
    latest_ns: u64,
    /// When the credit of a drained queue ends.
    credit_until_ns: u64,
    /// Whether some deadlines may have become impossible to meet.
    recheck: bool,
    /// Whether the alarm has to be set anew.
    alarm_is_void: bool,

    // Of the present step:
    now_ns: u64,
    now: u64,
    tat: u64,
    /// The earliest time at which a grant to a waiter may be dated.
    floor: u64,
    /// Whether the frame has changed.
    reframed: bool,
}

impl Core {
    /// The core of a limiter that has never been locked, with the word as it is now.
    pub(super) fn new(quota: Quota, frame: Frame, word: State, list: ListId) -> Self {
        Self {
            quota,
            frame,
            list: List::new(list),
            sum: Sum::default(),
            final_due_ns: 0,
            ledger: Ledger::new(),
            highest: 0,
            left: word,
            left_ahead: 0,
            handles: 0,
            deferred: 0,
            latest_ns: 0,
            credit_until_ns: 0,
            recheck: false,
            alarm_is_void: false,
            now_ns: 0,
            now: 0,
            tat: 0,
            floor: 0,
            reframed: false,
        }
    }

    // === a step ===

    /// Begins a step with the word as it was when it was frozen, and a clock reading made after that.
    pub(super) fn open(&mut self, word: State, now_ns: u64) {
        self.tat = word.tat();
        self.highest = self.highest.max(self.tat);
        let changed = word.tat() != self.left.tat();
        self.now_ns = now_ns;
        // How far ahead the TAT can be by rights.
        let limit = self.frame.scale().limit;
        let most = if changed { limit } else { limit.max(self.left_ahead) };
        let now = self.frame.wide_tick(now_ns);
        // How far ahead it is, also of a reading before the origin.
        let before_origin = u128::from(self.frame.before_origin(now_ns));
        let ahead = u128::from(self.tat).saturating_sub(now) + before_origin;
        // Likewise what the last thaw left, by the frame of that thaw.
        let left_ahead = u128::from(self.left.tat()).saturating_sub(now) + before_origin;
        if ahead > u128::from(most) + u128::from(self.frame.scale().span(SKEW_NS)) {
            self.restart(most);
        } else if let Some(now) = self.frame.tick(now_ns) {
            self.now = now;
        } else {
            // Before the origin, or beyond the horizon: the level stays as it is.
            self.reframe(
                *self.frame.scale(),
                if ahead > 0 { ahead as i128 } else { self.tat as i128 - now as i128 },
            );
        }
        if changed {
            // No overflow: it is below 2^63.
            self.ledger.note(left_ahead as u64);
        }
        self.latest_ns = now_ns;
        let busy = !self.list.is_empty() || now_ns < self.credit_until_ns;
        self.floor = if busy { self.frame.waiters_floor(self.now) } else { self.now };
    }

    /// Ends a step: what to thaw the word with.
    pub(super) fn close(&mut self) -> Thaw {
        let credit = self.tat < self.now && self.now_ns < self.credit_until_ns;
        let state = State::new(self.tat, !self.list.is_empty(), credit);
        self.highest = self.highest.max(self.tat);
        self.left = state;
        self.left_ahead = self.tat.saturating_sub(self.now);
        if self.sum.final_parts == 0 {
            self.final_due_ns = 0;
        }
        Thaw {
            frame: core::mem::take(&mut self.reframed).then_some(self.frame),
            state,
            now_ns: self.now_ns,
            in_debt: self.left_ahead > self.frame.scale().limit,
            credit_until_ns: self.credit_until_ns,
            queued: self.queued(),
        }
    }

    /// The clock has stepped back: goes on from an empty bucket, or from the debt there was. Deadlines are clock readings
    /// and move with the step.
    fn restart(&mut self, ahead: u64) {
        match self.frame.tick(self.now_ns) {
            // No overflow: the word was further ahead than that.
            Some(now) => (self.now, self.tat) = (now, now + ahead),
            None => self.reframe(*self.frame.scale(), ahead.into()),
        }
        self.ledger.close();
        self.credit_until_ns = 0;
        let step_ns = self.latest_ns.saturating_sub(self.now_ns);
        if self.sum.deadlines > 0 {
            self.list.visit(|entry| {
                if entry.deadline_ns != NEVER {
                    entry.deadline_ns = entry.deadline_ns.saturating_sub(step_ns);
                }
                true
            });
        }
        self.final_due_ns = self.final_due_ns.saturating_sub(step_ns);
        // The bucket counts as empty, so that all come later for it.
        self.recheck = true;
        self.alarm_is_void = true;
    }

    /// Counts by another frame from here on, with a TAT so many ticks ahead of the present. Where the scale is not exact,
    /// what either origin cuts off of the present differs by less than a tick.
    fn reframe(&mut self, scale: Scale, ahead: i128) {
        // Not more than the word holds: the caller has made sure.
        let room = ahead.clamp(0, MAX_TAT.into()) as u64;
        let (frame, now) = Frame::next(scale, self.now_ns, self.highest, room);
        let tat = i128::from(now) + ahead;
        (self.frame, self.now) = (frame, now);
        self.tat = tat.clamp(frame.base().into(), MAX_TAT.into()) as u64;
        self.floor = now;
        if frame.base() <= self.highest {
            // The numbers have started anew.
            self.highest = 0;
        }
        self.highest = self.highest.max(self.tat);
        self.ledger.move_origin();
        self.reframed = true;
    }

    // === waiting ===

    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) const fn waiting(&self) -> usize {
        self.list.len()
    }

    /// Puts a waiter at the back.
    pub(super) fn join(
        &mut self,
        place: Pin<&Place>,
        permits: Permits,
        cost: u64,
        deadline_ns: u64,
        waker: Waker,
    ) {
        let entry = Entry { permits, cost, deadline_ns, waker: Some(waker), kind: Kind::Single };
        self.sum.add(&entry);
        self.list.push_back(place, entry);
    }

    /// Puts the part of a call for several limits at the front, behind those that stand there already.
    pub(crate) fn join_front(&mut self, place: Pin<&Place>, permits: Permits, cost: u64, waker: Waker) {
        let kind = Kind::FinalPart { woken: true };
        let entry = Entry { permits, cost, deadline_ns: NEVER, waker: Some(waker), kind };
        self.sum.add(&entry);
        self.list.push_after_leading(place, entry, |entry| entry.kind.is_final());
        // It delays all that stood there.
        self.recheck = true;
    }

    /// Takes a waiter out that was not settled yet. This needs no step.
    pub(crate) fn leave(&mut self, place: Pin<&Place>) -> Option<Entry> {
        let entry = self.list.remove(place)?;
        self.sum.subtract(&entry);
        Some(entry)
    }

    pub(super) fn is_front(&self, place: Pin<&Place>) -> bool {
        self.list.is_front(place)
    }

    pub(super) fn entry_mut(&mut self, place: Pin<&Place>) -> Option<&mut Entry> {
        self.list.entry_mut(place)
    }

    /// What the waiters ask for, for the calls without the lock. With final parts among them, or while something is to be set
    /// aside, that is not all that newcomers have to know.
    pub(super) fn queued(&self) -> u64 {
        let more = self.sum.final_parts > 0 || (self.deferred > 0 && !self.list.is_empty());
        let told = if more { None } else { u64::try_from(self.sum.ticks).ok() };
        told.unwrap_or(UNTOLD)
    }

    /// Whether the alarm has to be set anew.
    pub(crate) const fn is_alarm_void(&self) -> bool {
        self.alarm_is_void
    }

    /// As [`is_alarm_void`](Self::is_alarm_void); asked once.
    pub(super) const fn take_alarm_void(&mut self) -> bool {
        core::mem::replace(&mut self.alarm_is_void, false)
    }

    // === reports ===

    pub(super) const fn quota(&self) -> Quota {
        self.quota
    }

    pub(crate) const fn now_ns(&self) -> u64 {
        self.now_ns
    }

    pub(crate) const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// The TAT, and the tick of the present.
    pub(crate) const fn level(&self) -> (u64, u64) {
        (self.tat, self.now)
    }

    /// By how many ticks a request for `cost` falls short of conforming.
    pub(super) const fn short_of(&self, cost: u64) -> u64 {
        (self.tat + cost).saturating_sub(self.now + self.frame.scale().limit)
    }

    /// Whether a newcomer's request for `cost` ticks conforms; else from which tick on it does.
    pub(crate) fn look(&self, cost: u64, caller: Caller) -> Result<(), u64> {
        if cost == 0 {
            return Ok(());
        }
        if !self.list.is_empty() {
            return Err(self.turn(cost));
        }
        match decide(self.tat, self.now, self.floor_of(caller), cost, self.frame.scale().limit) {
            Decision::Admit(_) => Ok(()),
            Decision::NotBefore(tick) => Err(tick),
        }
    }

    const fn floor_of(&self, caller: Caller) -> u64 {
        match caller {
            Caller::Try => self.now,
            Caller::Waiter => self.floor,
        }
    }

    /// From which tick on the waiters are dated, one after the other.
    fn first_base(&self) -> u128 {
        let base = self.tat.max(self.floor).into();
        if self.sum.final_parts == 0 {
            return base;
        }
        // When the last final part goes, the bucket may have been full for a while.
        self.frame.wide_tick(self.final_due_ns).clamp(base, base.max(MAX_TAT.into()))
    }

    /// When a request for `cost` ticks that comes after all waiters conforms, as a tick.
    pub(super) fn turn(&self, cost: u64) -> u64 {
        let after_all = if self.list.is_empty() {
            u128::from(self.tat.max(self.now))
        } else {
            self.first_base() + self.sum.ticks
        };
        let tick = (after_all + u128::from(cost)).saturating_sub(self.frame.scale().limit.into());
        tick.try_into().unwrap_or(u64::MAX)
    }
}

/// Due only then, which is after the latest time that would do: now, or a deadline. The same call made so much
/// later would just be in time. At least a nanosecond: a waiter that is due, and late, still comes first.
pub(crate) const fn not_yet(due_ns: u64, latest_ns: u64) -> Denied {
    Denied::NotYet(NotYet::after_ns(due_ns.saturating_sub(latest_ns)))
}

/// The clock reading so much later.
pub(super) fn after(now_ns: u64, wait: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
