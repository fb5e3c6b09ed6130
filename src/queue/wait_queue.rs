//! The queue of one limiter: the lock, the order, and the hand-off.
//!
//! # Liveness
//! Permits come from time, not from a releaser. So the whole proof is one sentence: *while somebody waits,
//! an alarm is set at or before the time the head is due, or somebody is just setting it.* It is kept by
//! [`WaitQueue::drive`], which grants whoever is due and sets the alarm for the next; it is called
//! - by the alarm itself,
//! - by whoever comes to the head of an empty queue, unless an alarm that can be relied on is set already; or finds
//!   the head due, or is the last who was waited for (see `rounds.rs`),
//! - by whoever leaves from the head, gives permits back, or fills the bucket.
//!
//! The alarm belongs to the queue, not to a waiter: a waiter that was polled once and never again delays
//! nobody, as long as the runtime whose timer it is goes on, or somebody comes, or is polled.
//!
//! # No foreign code under the lock
//! Wakers are cloned before it is taken, and woken or dropped after it is released. The clock is read
//! before. The timer is taken out, armed, and put back by whoever runs the hand-off (see `hand_off.rs`).

use core::{pin::Pin, task::Waker, time::Duration};
use std::{
    sync::{Arc, Weak},
    task::Wake,
};

use super::{
    calls::cost,
    doubt::Refusal,
    hand_off::By,
    inner::{Grant, HandOff, Inner, NEVER, Outcome, Place, Request},
    list::{ListId, Node},
    locked::{Locked, not_yet},
    rounds::go_at_once,
    timer::current_runtime,
};
use crate::{
    clock::Clock, error::Denied, gcra::Scale, meter::Meter, permits::Permits, published::Frame, quota::Quota,
    sync::Mutex, word::Mode,
};

/// How late an alarm may be before arrivals do its work. A runtime's timer ticks in milliseconds; arrivals
/// that did not leave it to the timer would grant one by one what it grants in a batch.
pub(super) const LATE_NS: u64 = 2_000_000;

/// The clock reading so much later.
fn after(now_ns: u64, wait: Duration) -> u64 {
    now_ns.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
}

/// What a call without the lock leaves that did not take anything: the arrival times before and after, if it was by a
/// scale that has been replaced.
pub(super) type Stale = Option<(u64, u64)>;

/// How a waiter came in.
#[derive(Debug)]
pub(super) enum Entered {
    /// Admitted without waiting.
    Granted(Grant),
    /// The same, where others may be about to come back who want it as well.
    Shared(Grant),
    /// In the queue.
    Waiting,
    /// In the queue, and served no sooner than others.
    Behind,
}

/// A limiter's whole state.
#[derive(Debug)]
pub(crate) struct WaitQueue<C> {
    pub(crate) meter: Meter,
    pub(super) clock: C,
    pub(super) list: ListId,
    pub(super) inner: Mutex<Inner>,
    pub(super) alarm: Waker,
}

/// Takes a waiter out of the queue without looking at the clock: on the way out of a panic, which a clock may.
/// Whoever comes next looks after the others.
pub(super) struct Unlink<'a, C>(pub(super) &'a WaitQueue<C>, pub(super) Pin<&'a Place>);

impl<C> Drop for Unlink<'_, C> {
    fn drop(&mut self) {
        let removed = {
            let mut inner = self.0.inner.lock();
            let removed = inner.remove(self.1);
            if removed.is_some() {
                inner.armed = None;
                inner.report_queued(&self.0.meter);
            }
            removed
        };
        drop(removed);
    }
}

/// Lets go of QUEUED, which was to stay set, on the way out of a panic. Whoever comes next clears it.
pub(super) struct Unhold<'a, C>(pub(super) &'a WaitQueue<C>);

impl<C> Drop for Unhold<'_, C> {
    fn drop(&mut self) {
        self.0.inner.lock().holds -= 1;
    }
}

/// The waker that the timer wakes. Weak: it must not keep alive what keeps it.
struct Alarm<C>(Weak<WaitQueue<C>>);

impl<C: Clock> Wake for Alarm<C> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(queue) = self.0.upgrade() {
            queue.alarm_rang();
        }
    }
}

impl Inner {
    /// How a waiter comes in that joins.
    const fn entered(&self) -> Entered {
        // Who waits in other queues, too, may let it pass.
        if self.list.is_empty() || self.sum.gates > 0 { Entered::Waiting } else { Entered::Behind }
    }
}

impl<C: Clock> WaitQueue<C> {
    pub(crate) fn new(quota: Quota, scale: Scale, clock: C) -> Arc<Self> {
        let (frame, now) = Frame::at(scale, clock.now());
        let missing = quota.max_burst() - quota.initial_level();
        let tat = now + missing * scale.per_permit;
        let inner = Inner::new(quota, tat);
        Arc::new_cyclic(|weak| Self {
            meter: Meter::new(frame, tat),
            clock,
            list: inner.list.id(),
            inner: Mutex::new(inner),
            alarm: Waker::from(Arc::new(Alarm(weak.clone()))),
        })
    }

    pub(crate) const fn clock(&self) -> &C {
        &self.clock
    }

    pub(crate) fn quota(&self) -> Quota {
        self.inner.lock().quota
    }

    pub(super) fn place(&self) -> Place {
        Node::new(self.list)
    }

    /// Whether it would be in vain to try without the lock.
    pub(super) fn is_queued(&self) -> bool {
        self.meter.word.load().is(Mode::Queued)
    }

    /// Whether somebody waits, as far as can be told without the lock. Not if the caller has changed the word itself and
    /// nobody has come since.
    pub(super) fn somebody_waits(&self) -> bool {
        self.is_queued() && self.meter.queued() > 0
    }

    /// Takes permits at once if they are there and nobody waits, without the lock.
    #[inline]
    pub(super) fn take_at_once(&self, permits: Permits, now_ns: u64) -> bool {
        self.meter.take_as_waiter(permits, now_ns).map_err(|stale| self.undo(stale)).is_ok()
    }

    /// Undoes what a call without the lock has done by a scale that had been replaced.
    pub(super) fn undo(&self, stale: Stale) {
        if let Some((before, after)) = stale {
            self.locked(|locked| locked.undo(before, after));
        }
    }

    /// Joins the queue, or takes the permits if nobody is in it and they are there. The clock was read before,
    /// which is only ever conservative.
    pub(super) fn enter(
        &self,
        place: Pin<&Place>,
        request: Request,
        waker: &Waker,
        now_ns: u64,
    ) -> Result<Entered, Denied> {
        let deadline_ns = request.max_wait.map_or(NEVER, |wait| after(now_ns, wait));
        // A hint: what it misses is found under the lock. It spares a waker that would not be needed.
        if (!self.somebody_waits() || request.permits == Permits::ZERO)
            && let Some(entered) = self.take_as_waiter(&request, deadline_ns, now_ns)?
        {
            return Ok(entered);
        }
        if deadline_ns == NEVER {
            self.join(place, request, waker.clone(), now_ns)
        } else {
            self.join_in_time(place, request, waker.clone(), now_ns, deadline_ns)
        }
    }

    /// Takes the permits if they are there, credit of a drained queue included, and nobody waits.
    fn take_as_waiter(
        &self,
        request: &Request,
        deadline_ns: u64,
        now_ns: u64,
    ) -> Result<Option<Entered>, Denied> {
        self.locked_at(now_ns, |locked| {
            let cost = locked.cost(request.permits)?;
            if cost > 0 && !locked.inner.list.is_empty() {
                return Ok(None);
            }
            let shared = cost > 0 && locked.is_shared();
            let grant = locked.take_in_turn(cost, deadline_ns, request.thread);
            Ok(grant.map(if shared { Entered::Shared } else { Entered::Granted }))
        })
    }

    fn join(
        &self,
        place: Pin<&Place>,
        request: Request,
        waker: Waker,
        now_ns: u64,
    ) -> Result<Entered, Denied> {
        let mut inner = self.inner.lock();
        let entered = inner.entered();
        let look = if inner.list.is_empty() {
            let mut locked = Locked::open(&self.meter, &mut inner, now_ns);
            let cost = locked.cost(request.permits)?;
            if let Some(grant) = locked.take_in_turn(cost, NEVER, request.thread) {
                return Ok(Entered::Granted(grant));
            }
            let held_until = locked.inner.rounds.held_until();
            locked.inner.join(place, request, cost, NEVER, waker);
            // Held back only until an alarm that is set, and rings whoever is there: not by a runtime that may have
            // nobody to drive it, nor if it should have rung already.
            let steady = locked.inner.timer.is_steady();
            let alarm = |until_ns| {
                steady && locked.inner.armed.is_some_and(|armed| now_ns < armed && armed <= until_ns)
            };
            !held_until.is_some_and(alarm)
        } else {
            // QUEUED is set and stays set, and nothing is decided: the word is left alone.
            let frame = self.meter.published.frame();
            let back = inner.join(place, request, cost(&frame, request.permits)?, NEVER, waker);
            let tat = self.meter.word.load().tat();
            let go_on = back && go_at_once(&frame, tat, now_ns, inner.sum.ticks);
            if back && !go_on {
                inner.rounds.fall_short();
            }
            inner.report_queued(&self.meter);
            // The alarm may be late, or the clock have stepped back: an arrival that finds it so runs the
            // hand-off itself. Who waits in other queues, too, may let others pass.
            let late = inner.armed.is_none_or(|armed| armed.saturating_add(LATE_NS) <= now_ns)
                || self.meter.is_behind(&frame, now_ns, tat);
            go_on || inner.sum.gates > 0 || (late && inner.hand_off == HandOff::Idle)
        };
        drop(inner);
        if look {
            self.drive(By::entrant(request.thread));
        }
        Ok(entered)
    }

    /// As `join`, if its turn comes by the deadline.
    fn join_in_time(
        &self,
        place: Pin<&Place>,
        request: Request,
        waker: Waker,
        now_ns: u64,
        deadline_ns: u64,
    ) -> Result<Entered, Denied> {
        let mut waker = Some(waker);
        let mut seen = None;
        let mut latest_ns = now_ns;
        loop {
            let entered = self.locked_at(latest_ns, |locked| {
                let cost = locked.cost(request.permits).map_err(Err)?;
                if locked.inner.list.is_empty()
                    && let Some(grant) = locked.take_in_turn(cost, deadline_ns, request.thread)
                {
                    return Ok(Entered::Granted(grant));
                }
                let due_ns = locked.turn(cost);
                if due_ns > deadline_ns {
                    return Err(match locked.refuse_at(due_ns, seen) {
                        Refusal::Until(due_ns) => Err(not_yet(due_ns, deadline_ns)),
                        unsure => Ok(unsure),
                    });
                }
                let entered = locked.inner.entered();
                if let Some(waker) = waker.take() {
                    locked.inner.join(place, request, cost, deadline_ns, waker);
                }
                Ok(entered)
            });
            match entered {
                Ok(waiting @ (Entered::Waiting | Entered::Behind)) => {
                    self.drive(By::entrant(request.thread));
                    return Ok(waiting);
                }
                Ok(granted) => return Ok(granted),
                Err(Err(denied)) => return Err(denied),
                Err(Ok(unsure)) => {
                    if let Refusal::Unsure(saw) = unsure {
                        seen = Some(saw);
                    }
                    latest_ns = self.clock.now();
                }
            }
        }
    }

    /// Looks after a waiter that is polled again: another waker, another runtime, an alarm that was lost.
    pub(super) fn refresh(&self, place: Pin<&Place>, waker: &Waker) {
        let runtime = current_runtime();
        let mut spare: Option<Waker> = None;
        let mut replaced = None;
        let mut orphan = None;
        let look = loop {
            let mut inner = self.inner.lock();
            let Some(entry) = inner.list.entry_mut(place) else { return };
            if !entry.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                let Some(clone) = spare.take() else {
                    drop(inner);
                    spare = Some(waker.clone());
                    continue;
                };
                replaced = entry.waker.replace(clone);
            }
            entry.runtime = runtime;
            if let Some(gate) = &mut entry.gate {
                gate.asked = false;
            }
            if inner.list.is_front(place) && runtime.is_some() {
                let other = inner.timer.fickle();
                if inner.hand_off != HandOff::Idle {
                    // The timer may be in use: to be asked again.
                    inner.hand_off = HandOff::Called;
                } else if other.is_some() && other != runtime {
                    orphan = Some(core::mem::take(&mut inner.timer));
                    inner.armed = None;
                }
            }
            break inner.armed.is_none() && inner.hand_off == HandOff::Idle;
        };
        if look {
            self.drive(By::Task);
        }
        // Last: a waker may panic when it is dropped.
        drop((replaced, spare, orphan));
    }

    /// Leaves the queue, or gives back a grant that came first.
    pub(super) fn leave(&self, place: Pin<&Place>) {
        let unlink = Unlink(self, place);
        let now_ns = self.clock.now();
        core::mem::forget(unlink);
        let (removed, was_front) = self.locked_at(now_ns, |locked| {
            // Those behind a gate may pass it as soon as nobody is in the way.
            let was_front = locked.inner.list.is_front(place) || locked.inner.sum.gates > 0;
            (locked.inner.remove(place), was_front)
        });
        if removed.is_none() {
            if let Some(Outcome::Granted(grant)) = place.granted() {
                self.give_back(grant);
            }
        } else if was_front {
            self.drive(By::Other);
        }
    }

    /// Gives back a grant that its waiter did not live to use, and on to the next.
    pub(super) fn give_back(&self, grant: Grant) {
        if grant.cost == 0 {
            return;
        }
        let held = self.locked(|locked| locked.hold_for(grant));
        let unhold = held.then(|| Unhold(self));
        let now_ns = self.clock.now();
        core::mem::forget(unhold);
        if self.locked_at(now_ns, |locked| locked.give_back(grant, held)) {
            self.drive(By::Other);
        }
    }

    pub(super) fn locked<T>(&self, f: impl FnOnce(&mut Locked<'_>) -> T) -> T {
        self.locked_at(self.clock.now(), f)
    }

    pub(super) fn locked_at<T>(&self, now_ns: u64, f: impl FnOnce(&mut Locked<'_>) -> T) -> T {
        let mut inner = self.inner.lock();
        f(&mut Locked::open(&self.meter, &mut inner, now_ns))
    }
}
