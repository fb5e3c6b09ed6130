//! Who waits in several queues at once, seen from one of them: letting others pass without being late.
//!
//! A gate holds a place and no permits. It is *due* here if it would conform now, and *ready* once it is due
//! in all its queues; then all of them are taken in one step (see `group.rs`). Until then those behind it
//! may pass, as far as that does not put off its time.
//!
//! # Invariants
//! In ticks of one queue: `a` is the arrival time, or the floor if that is later; `S(g)` the sum of the costs
//! of all ahead of gate `g` and of itself; `T(g)` its promised time, or *now* if that has passed.
//! 1. `a + S(g) <= T(g) + limit`: also after all ahead of it, it conforms at the promised time. It holds when
//!    the promise is made, for that is the latest of its turns in all queues. A grant in order moves a cost
//!    from `S` to `a`.
//! 2. Whoever passes `g` keeps it: the cost is no more than `room`, the least of what is left in the
//!    inequality for the gates passed, where only those are counted that are still ahead.
//! 3. The gate with the earliest promise of all can always go by then: for any gate `h` ahead of it in any
//!    queue, `S(h) + its cost <= S(its own)`, and so `a + S(h) + cost <= T(its own) + limit <= T(h) + limit`.
//!    The same goes for those ahead of it who wait for one limit only. So nobody waits forever, two groups
//!    never for each other, and nobody's promise is put off by those who came later.
//! 4. A lower quota, a charge, or a stall beyond the catch-up can break a promise; and so can a gate ahead that
//!    goes late, by its own promise, from a bucket that has been full meanwhile. A gate that was not ready by then
//!    is looked at, and gets a new promise, which lies in the future. A promise that stands is never put off, or
//!    those who came later could use what a gate gains by looking.
//! 5. A gate is woken when a look that is not its own finds that it has come to be due here. After a look of
//!    its own that found it not ready there is a queue where it is not `due`; it wakes when it comes to be.
//!    Elsewhere `due` may be out of date, for a look need not reach it: its own look is what counts.
//! 6. A look that wakes a gate ends there, and those behind it are looked at once it has had its chance: it may
//!    be ready before its promised time. A look ends, too, with whoever passes. A gate's own look lets
//!    nobody past and wakes no other; the hand-off that follows does. So wakes do not nest: one runs the
//!    hand-off of a queue at a time.

use core::pin::Pin;

use super::{
    doubt::{Refusal, Seen},
    inner::{Grant, Inner, NEVER, Outcome, Place},
    list::Verdict,
    locked::{Locked, Next, not_yet},
    wake_batch::WakeBatch,
};
use crate::{
    gcra::{Decision, MAX_TAT, decide},
    published::Frame,
};

/// What is particular to the place of somebody who waits in other queues, too.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gate {
    /// The clock reading by which all queues will have it due; zero while it waits in this one alone.
    pub(super) promise_ns: u64,
    /// Whether it was due when it was last looked at.
    due: bool,
    /// Whether its task has been asked for a timer since it was polled.
    pub(super) asked: bool,
}

impl Locked<'_> {
    /// Grants who is due among those behind gates, wakes the gates that have come to be due, and says when
    /// that may change.
    pub(super) fn pass_gates(&mut self, batch: &mut WakeBatch, seen: Option<Seen>) -> Next {
        loop {
            let look = self.look_past_gates(batch);
            if look.granted {
                // Who was due before need not be any more.
                continue;
            }
            let mut next_ns = look.next_ns;
            if let Some(tick) = look.next_tick {
                match self.refuse(tick, seen) {
                    Refusal::Until(due_ns) => next_ns = next_ns.min(due_ns),
                    Refusal::Unsure(saw) => return Next::Unsure(saw),
                    Refusal::Settled => continue,
                }
            }
            return match next_ns {
                _ if look.full || !self.turn_away(batch) => Next::More,
                NEVER => Next::Empty,
                due_ns => Next::At(due_ns),
            };
        }
    }

    fn look_past_gates(&mut self, batch: &mut WakeBatch) -> Look {
        let behind = self.is_behind();
        let Self { ref mut inner, frame, now_ns, now, ref mut tat, floor, own_look, gathered, .. } = *self;
        let Inner { list, sum, slack, .. } = &mut **inner;
        let limit = frame.scale.limit;
        let mut look = Look { full: false, granted: false, next_tick: None, next_ns: NEVER };
        let mut passed = 0;
        let mut room = u128::MAX;
        let mut promise_ns = now_ns;
        list.sweep(|entry| {
            if look.granted {
                return Verdict::Stop;
            }
            if batch.is_full() {
                look.full = true;
                return Verdict::Stop;
            }
            let cost = u128::from(entry.cost);
            let fits = cost <= room;
            let decision = decide(*tat, now, floor, entry.cost, limit);
            if let Decision::NotBefore(tick) = decision {
                look.next_tick = Some(look.next_tick.map_or(tick, |next: u64| next.min(tick)));
            }
            let Some(gate) = &mut entry.gate else {
                if own_look {
                    return Verdict::Stop;
                }
                let due_ns = match decision {
                    Decision::Admit(later) if fits => {
                        slack.note_by(*tat + gathered, floor);
                        *tat = later;
                        look.granted = true;
                        batch.push(entry.waker.take());
                        sum.subtract(entry);
                        let moment = slack.moment();
                        let grant = Grant { cost: entry.cost, per_permit: frame.scale.per_permit, moment };
                        return Verdict::Go(Outcome::Granted(grant));
                    }
                    Decision::Admit(_) => promise_ns,
                    Decision::NotBefore(tick) => frame.instant(tick),
                };
                if due_ns > entry.deadline_ns && !behind {
                    batch.push(entry.waker.take());
                    sum.subtract(entry);
                    return Verdict::Go(Outcome::Denied(not_yet(due_ns, entry.deadline_ns)));
                }
                return Verdict::Stop;
            };
            let broken = 0 < gate.promise_ns && gate.promise_ns <= now_ns;
            let due = fits && matches!(decision, Decision::Admit(_));
            let wake = !own_look && (broken || (due && !gate.due));
            if !own_look {
                gate.due = due;
                if broken {
                    // Said once.
                    gate.promise_ns = 0;
                }
            }
            if wake {
                batch.push(entry.waker.clone());
                return Verdict::Stop;
            }
            if gate.promise_ns > now_ns {
                look.next_ns = look.next_ns.min(gate.promise_ns);
            }
            passed += cost;
            let conforming = promised(&frame, gate.promise_ns, now) + limit;
            let left = u128::from(conforming).saturating_sub(u128::from((*tat).max(floor)) + passed);
            if left < room {
                room = left;
                promise_ns = gate.promise_ns.max(now_ns);
            }
            if room == 0 { Verdict::Stop } else { Verdict::Stay }
        });
        look
    }

    /// Looks at the queue on behalf of a gate in it.
    pub(super) fn look_for(&mut self, place: Pin<&Place>, batch: &mut WakeBatch, seen: Option<Seen>) -> Next {
        let cost = self.inner.list.entry_mut(place).map_or(0, |entry| entry.cost);
        self.gather(cost);
        self.own_look = true;
        let next = self.grant_due(batch, seen);
        self.own_look = false;
        let now_ns = self.now_ns;
        let due = self.is_due(place);
        if let Some(gate) = self.inner.list.entry_mut(place).and_then(|entry| entry.gate.as_mut()) {
            gate.due = due;
            if gate.promise_ns <= now_ns {
                gate.promise_ns = 0;
            }
        }
        next
    }

    /// Whether a gate may go now, past those ahead of it.
    pub(super) fn is_due(&mut self, place: Pin<&Place>) -> bool {
        let Self { ref mut inner, frame, now, tat, floor, .. } = *self;
        let own = inner.list.entry_mut(place).map(core::ptr::from_mut);
        let mut passed = u128::from(tat.max(floor));
        let mut room = u128::MAX;
        let mut due = false;
        inner.list.visit(|entry| {
            let decision = decide(tat, now, floor, entry.cost, frame.scale.limit);
            if own == Some(core::ptr::from_mut(entry)) {
                due = u128::from(entry.cost) <= room && matches!(decision, Decision::Admit(_));
                return false;
            }
            passed += u128::from(entry.cost);
            // Nobody overtakes those who wait for this limit alone.
            let conforming =
                entry.gate.map_or(0, |gate| promised(&frame, gate.promise_ns, now) + frame.scale.limit);
            room = room.min(u128::from(conforming).saturating_sub(passed));
            room > 0
        });
        due
    }

    /// When it is the turn of a gate, after all ahead of it: the clock reading.
    pub(super) fn turn_of(&mut self, place: Pin<&Place>) -> u64 {
        let own = self.inner.list.entry_mut(place).map(core::ptr::from_mut);
        let mut then = u128::from(self.tat.max(self.floor));
        self.inner.list.visit(|entry| {
            then += u128::from(entry.cost);
            own != Some(core::ptr::from_mut(entry))
        });
        self.frame.instant_of(then)
    }

    /// Makes a promise to a gate. One that stands is not put off.
    pub(super) fn promise(&mut self, place: Pin<&Place>, promise_ns: u64) {
        let now_ns = self.now_ns;
        if let Some(gate) = self.inner.list.entry_mut(place).and_then(|entry| entry.gate.as_mut()) {
            let stands = now_ns < gate.promise_ns;
            gate.promise_ns = if stands { gate.promise_ns.min(promise_ns) } else { promise_ns };
            self.inner.promised_ns = self.inner.promised_ns.max(promise_ns);
            if gate.promise_ns <= now_ns {
                // At the end of time nothing lies in the future: it would be broken at once, again and again.
                gate.promise_ns = 0;
            }
        }
    }

    /// Takes what a gate that is due asks for, and the gate out of the queue.
    pub(super) fn take_gate(&mut self, place: Pin<&Place>) -> Option<Grant> {
        let cost = self.inner.list.entry_mut(place)?.cost;
        let grant = self.take(cost, true).ok()?;
        drop(self.inner.remove(place));
        if self.inner.list.is_empty() {
            self.drained();
        }
        Some(grant)
    }
}

/// The tick of a promise, or the present if that has passed.
fn promised(frame: &Frame, promise_ns: u64, now: u64) -> u64 {
    frame.tick(promise_ns).unwrap_or(MAX_TAT).max(now)
}

/// What a look past the gates has come to.
struct Look {
    /// The batch was full.
    full: bool,
    /// Somebody has been let past.
    granted: bool,
    /// When the next of them conforms.
    next_tick: Option<u64>,
    /// The next promise.
    next_ns: u64,
}
