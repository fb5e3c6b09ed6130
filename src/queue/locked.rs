//! What the holder of the queue's lock may do to the word: the whole slow path as steps on plain numbers.
//!
//! Opening freezes the word (sets QUEUED); closing, by dropping, writes the arrival time back and says whether QUEUED
//! stays. In between nobody else changes it.
//!
//! # The busy period
//! It begins when a waiter joins an empty queue, and ends when the queue is empty and owes nothing.
//! A waiter has been waiting since before its time, so that within a busy period a grant is dated at its
//! due time, however late the timer was: the bucket was busy, and the arrival time is not moved up to
//! *now*. It is moved up to `now - catch_up`, so that a stalled runtime cannot release more than that.
//!
//! When the queue drains at a late timer, the arrival time may still lie before *now*. For at most `catch_up` the
//! bucket then still counts as busy, so that the tasks just released, coming back at once, find the credit that the
//! timer's lateness owes them. Where permits come fast they take it without the lock: LINGER is set. Else QUEUED
//! stays set, and they take their turns under the lock (see `rounds.rs`). `try_acquire` has no
//! part in that credit: it is decided under the lock by textbook GCRA, and what it is granted dates from
//! *now*.
//!
//! # Invariants
//! 1. QUEUED is set if the list is not empty.
//! 2. `floor <= now`, and no arrival time below `floor` survives an admission. So at any instant at most
//!    `limit + catch_up` ticks can be admitted, and in a window of length w at most
//!    `burst + rate * (w + catch_up)` permits.
//! 3. Whenever the arrival time is compared with the clock, by how much it is ahead of the floor is noted
//!    in `slack`, before it changes. A grant is given back only if its cost is no more than the least of
//!    these since it was made: then all would have come out the same without it (see `slack.rs`).
//!    To gather what is parked is no comparison. Without the grant, less would have been gathered by what it took, and
//!    would be parked still; so what is noted is the arrival time without what was gathered since the word was frozen.
//!    Calls that do without the lock make no notes. But each raises the arrival time, so if it is still what
//!    it was when QUEUED was cleared (`closed`), there were none. Else the least they can have compared was `closed`
//!    with the clock (or with `catch_up` before it if LINGER let them in, which is all that do without the lock
//!    then). For a grant to be given back the clock is read while `holds` keeps QUEUED set, so that no such call can
//!    have had a later reading; unless the clock has stepped back, which is noticed as far as later readings are known.
//! 4. `sum` is the sum over the list.

use super::{
    calls::cost,
    doubt::{Refusal, Seen},
    inner::{Grant, Inner, NEVER, Outcome},
    timer::TICK,
    wake_batch::WakeBatch,
};
use crate::{
    error::Denied,
    gcra::{Decision, MAX_TAT, decide, nanos},
    meter::Meter,
    permits::Permits,
    published::Frame,
    word::{Mode, State},
};

/// A timer that is no later than this is in time.
const IN_TIME_NS: u64 = 1_000;

/// When the head is due, or can go on if it is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nobody waits, or none of them for a time to come.
    Empty,
    /// The batch is full; there may be more to grant.
    More,
    /// The clock seems to have stepped back: to be called again with a reading made after this was seen.
    Unsure(Seen),
    /// The head is due at this clock reading.
    At(u64),
}

/// The queue with the word frozen.
pub(super) struct Locked<'a> {
    pub(super) meter: &'a Meter,
    pub(super) inner: &'a mut Inner,
    pub(super) frame: Frame,
    pub(super) now_ns: u64,
    pub(super) now: u64,
    pub(super) tat: u64,
    /// The earliest time at which a waiter's grant may be dated.
    pub(super) floor: u64,
    /// How much was gathered from the slots.
    pub(super) gathered: u64,
    /// By how much that has made the bucket overflow.
    pub(super) spill: u64,
    /// Whether a gate looks for itself, and no other gate is to be woken.
    pub(super) own_look: bool,
}

/// Writes the word back, also on the way out of a panic. QUEUED stays if somebody waits, or is waited for.
impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.inner.sum.gates == 0 {
            self.inner.promised_ns = 0;
        }
        let lingers = self.tat < self.now && self.now_ns < self.meter.linger_until_ns();
        let queued = !self.inner.list.is_empty() || self.inner.holds > 0 || self.awaits_others(lingers);
        self.inner.closed = self.tat;
        self.inner.lingers = lingers;
        let mode = match (queued, lingers) {
            (true, _) => Mode::Queued,
            (false, true) => Mode::Linger,
            (false, false) => self.meter.published.edition().clear(),
        };
        self.meter.word.thaw(State::new(self.tat, mode));
        // After the word (see `Meter::queued`).
        self.inner.report_queued(self.meter);
    }
}

impl<'a> Locked<'a> {
    /// Freezes the word. `now_ns` was read before the lock was taken, which is only ever conservative.
    pub(super) fn open(meter: &'a Meter, inner: &'a mut Inner, now_ns: u64) -> Self {
        let was = meter.word.freeze();
        let frame = meter.published.frame();
        let tat = was.tat();
        let mut this = Self {
            meter,
            inner,
            frame,
            now_ns,
            now: 0,
            tat,
            floor: 0,
            gathered: 0,
            spill: 0,
            own_look: false,
        };
        let lingered = this.inner.lingers;
        let closed = this.inner.closed;
        let now = frame.tick(now_ns);
        if !was.is(Mode::Queued) && was.tat() != closed {
            // Those who are let in by LINGER compare with a time before the present.
            let credit = if lingered { frame.scale.catch_up } else { 0 };
            // What led to this arrival time was let in, at a burst before it at the earliest, or was a charge.
            let earliest = was.tat().saturating_sub(frame.scale.limit).saturating_sub(meter.debt());
            this.inner.slack.note_unlocked(closed.saturating_add(credit), now.unwrap_or(0).max(earliest));
        }
        match now {
            Some(now) => this.now = now,
            None => this.move_origin(),
        }
        let busy = !this.inner.list.is_empty() || (lingered && now_ns < meter.linger_until_ns());
        this.floor = if busy { this.now.saturating_sub(this.frame.scale.catch_up) } else { this.now };
        this
    }

    /// Notes by how much the arrival time is ahead of `floor`.
    pub(super) fn note(&mut self, floor: u64) {
        self.inner.slack.note_by(self.tat + self.gathered, floor);
    }

    /// Sets the arrival time to what an admission makes it, compared with `floor`.
    pub(super) fn admit(&mut self, tat: u64, floor: u64) {
        self.note(floor);
        self.tat = tat;
    }

    /// What the latest admission leaves.
    pub(super) fn grant(&self, cost: u64) -> Grant {
        Grant { cost, per_permit: self.frame.scale.per_permit, moment: self.inner.slack.moment() }
    }

    /// What so many permits cost.
    pub(super) fn cost(&self, permits: Permits) -> Result<u64, Denied> {
        cost(&self.frame, permits)
    }

    /// Takes `cost` ticks now, as a newcomer that has found the queue empty. Waiters may use the credit
    /// of a drained queue; try calls are decided by textbook GCRA.
    pub(super) fn take(&mut self, cost: u64, waiter: bool) -> Result<Grant, u64> {
        // Nothing can be had at any time, and dates nothing.
        if cost > 0 {
            self.gather(cost);
            let floor = if waiter { self.floor } else { self.now - self.spill };
            match decide(self.tat, self.now, floor, cost, self.frame.scale.limit) {
                Decision::Admit(tat) => self.admit(tat, floor),
                Decision::NotBefore(tick) => return Err(tick),
            }
        }
        Ok(self.grant(cost))
    }

    /// Adds `cost` ticks without asking, if the word can hold it.
    pub(super) fn charge(&mut self, cost: u64) -> Option<u64> {
        if charged(self.tat, self.now, cost).is_none() {
            // Late in the life of the scale there may be less room than it offers afresh.
            if cost > self.chargeable() {
                return None;
            }
            self.move_origin();
        }
        let tat = charged(self.tat, self.now, cost)?;
        // While the clock is doubted, as much more than there ever was (see `doubt.rs`).
        let debt = tat.saturating_sub(self.now + self.frame.scale.limit);
        let debt = if self.standing_doubt().is_some() { u64::MAX } else { debt };
        self.keep_doubting(|this| {
            this.meter.note_debt(debt, cost);
            this.admit(tat, this.now);
        });
        self.inner.recheck = true;
        Some(tat)
    }

    /// Gives `cost` ticks back, up to a full burst.
    pub(super) fn refund(&mut self, cost: u64) {
        if cost == 0 {
            return;
        }
        self.settle();
        let tat = self.tat.saturating_sub(cost).max(self.now.min(self.tat));
        self.keep_doubting(|this| this.tat = tat);
        // Not one that may be left out: the arrival time has not risen.
        self.inner.slack.note(tat.saturating_sub(self.now));
    }

    /// Makes the burst full again.
    pub(super) fn reset(&mut self) {
        self.set_doubt(None);
        self.tat = self.tat.min(self.now);
        self.inner.slack.note(0);
    }

    /// Whether all since would have come out the same without it, as far as is known (invariant 3).
    fn would_be_the_same_without(&self, grant: Grant) -> bool {
        self.inner.slack.least_since(grant.moment, self.now) >= grant.cost_by(&self.frame.scale)
    }

    /// Keeps QUEUED set beyond `close`, if that may help to give this grant back.
    pub(super) fn hold_for(&mut self, grant: Grant) -> bool {
        let helps = self.would_be_the_same_without(grant);
        self.inner.holds += usize::from(helps);
        helps
    }

    /// Gives back a grant that nobody used, if that is exact (invariant 3) and QUEUED has been `held` since
    /// before the clock was read.
    pub(super) fn give_back(&mut self, grant: Grant, held: bool) -> bool {
        self.inner.holds -= usize::from(held);
        if !held || !self.would_be_the_same_without(grant) {
            return false;
        }
        let cost = grant.cost_by(&self.frame.scale);
        self.inner.slack.shrink(grant.moment, cost);
        self.keep_doubting(|this| this.tat = this.tat.saturating_sub(cost));
        true
    }

    /// Undoes a change of the word by a stale scale, unless somebody has built on it.
    pub(super) fn undo(&mut self, before: u64, after: u64) {
        if self.tat == after {
            self.tat = before;
        }
    }

    /// Grants every waiter that is due, in order, as far as the batch has room, and turns those away who can no
    /// longer be served in time. This is the hand-off.
    pub(super) fn grant_due(&mut self, batch: &mut WakeBatch, seen: Option<Seen>) -> Next {
        let next = self.grant_all(batch, seen);
        if matches!(next, Next::Empty | Next::At(_)) {
            self.inner.rounds.settled();
        }
        next
    }

    fn grant_all(&mut self, batch: &mut WakeBatch, seen: Option<Seen>) -> Next {
        let limit = self.frame.scale.limit;
        if self.tat < self.floor {
            // What has not been made up for in time is lost, and all come later for it.
            self.inner.recheck = true;
        }
        while let Some(front) = self.inner.list.front_mut() {
            if front.gate.is_some() {
                return self.pass_gates(batch, seen);
            }
            let (cost, deadline_ns, round) = (front.cost, front.deadline_ns, front.round);
            let outcome = match decide(self.tat, self.now, self.floor, cost, limit) {
                _ if batch.is_full() => return Next::More,
                Decision::Admit(tat) => {
                    if let Some(until_ns) = self.hold(round) {
                        let all = self.turn_away(batch);
                        return if all { Next::At(until_ns) } else { Next::More };
                    }
                    self.admit(tat, self.floor);
                    self.inner.rounds.released(self.now_ns);
                    Outcome::Granted(self.grant(cost))
                }
                Decision::NotBefore(tick) => match self.refuse(tick, seen) {
                    Refusal::Until(due_ns) if due_ns <= deadline_ns => {
                        self.inner.rounds.fall_short();
                        let all = self.turn_away(batch);
                        return if all { Next::At(due_ns) } else { Next::More };
                    }
                    Refusal::Until(due_ns) => Outcome::Denied(not_yet(due_ns, deadline_ns)),
                    Refusal::Unsure(saw) => return Next::Unsure(saw),
                    Refusal::Settled => continue,
                },
            };
            batch.push(self.inner.settle_front(outcome));
            if self.inner.list.is_empty() {
                self.drained();
            }
        }
        Next::Empty
    }

    /// Turns those away who can no longer be served in time, if something has happened that makes them late.
    /// Whether the batch had room for all.
    pub(super) fn turn_away(&mut self, batch: &mut WakeBatch) -> bool {
        // A clock that has stepped back makes everybody look late.
        if !self.inner.recheck || self.inner.sum.deadlines == 0 || self.is_behind() {
            return true;
        }
        let frame = self.frame;
        let mut all = true;
        let mut ahead = u128::from(self.tat.max(self.floor));
        self.inner.sweep(|entry| {
            let then = ahead + u128::from(entry.cost);
            if entry.deadline_ns != NEVER {
                let due_ns = frame.instant_of(then);
                if due_ns > entry.deadline_ns {
                    if !batch.is_full() {
                        batch.push(entry.waker.take());
                        return Some(Outcome::Denied(not_yet(due_ns, entry.deadline_ns)));
                    }
                    all = false;
                }
            }
            ahead = then;
            None
        });
        self.inner.recheck = !all;
        all
    }

    /// When the alarm after the next is likely to be wanted: if somebody waits for longer than the next can be late,
    /// it is when the second of them is due.
    pub(super) fn after_next(&mut self, next: Next) -> Option<u64> {
        let Next::At(due_ns) = next else { return None };
        let ahead = u128::from(self.tat.max(self.floor));
        let last_ns = self.frame.instant_of(ahead + self.inner.sum.ticks);
        if self.inner.rings || last_ns <= due_ns.saturating_add(TICK.as_nanos() as u64) {
            return None;
        }
        let (mut then, mut left) = (ahead, 2);
        self.inner.list.visit(|entry| {
            then += u128::from(entry.cost);
            left -= 1;
            left > 0
        });
        Some(self.frame.instant_of(then))
    }

    /// The arrival time when all have been served who wait.
    pub(super) fn after_all(&self) -> u64 {
        if self.inner.list.is_empty() {
            return self.tat.max(self.now);
        }
        let tat = self.tat.max(self.floor);
        u64::try_from(u128::from(tat) + self.inner.ahead(&self.frame, tat)).unwrap_or(u64::MAX)
    }

    /// When `cost` ticks can be had by a newcomer, after all who wait: the clock reading. That is no sooner than a gate
    /// goes that it does not fit before: then what it asks for, with all ahead, is more than there is by that time.
    pub(super) fn turn(&self, cost: u64) -> u64 {
        let ahead = u128::from(self.tat.max(self.floor)) + self.inner.sum.ticks;
        self.frame.instant_of(ahead + u128::from(cost))
    }

    /// The queue has run empty: a late timer leaves credit for a while, a timer in time leaves none.
    pub(super) fn drained(&mut self) {
        let scale = self.frame.scale;
        let late = self.now.saturating_sub(self.tat) > scale.span(IN_TIME_NS);
        let catch_up_ns = if late { scale.instant(scale.catch_up) } else { 0 };
        self.meter.set_linger_until_ns(self.now_ns.saturating_add(catch_up_ns));
    }
}

/// Due only then, which is after the latest time that would do: now, or a deadline. The same call made so much
/// later would just be in time. At least a nanosecond: a head that is due, and late, still comes first.
pub(super) fn not_yet(due_ns: u64, latest_ns: u64) -> Denied {
    Denied::NotYet { retry_after: nanos(due_ns.saturating_sub(latest_ns).max(1)) }
}

/// The arrival time after a charge; `None` if the word cannot hold it.
pub(crate) fn charged(tat: u64, now: u64, cost: u64) -> Option<u64> {
    tat.max(now).checked_add(cost).filter(|&tat| tat <= MAX_TAT)
}
