//! The queue of one limiter: the lock, the order, and the hand-off.
//!
//! # Liveness
//! Permits come from time, not from a releaser. So the whole proof is one sentence: *while somebody waits,
//! an alarm is set at or before the time the head is due, or somebody is just setting it.* It is kept by
//! [`WaitQueue::drive`], which grants whoever is due and sets the alarm for the next; it is called
//! - by the alarm itself,
//! - by whoever comes to the head of an empty queue, or finds the head due,
//! - by whoever leaves from the head, gives permits back, or fills the bucket.
//!
//! The alarm belongs to the queue, not to a waiter: a waiter that was polled once and never again delays
//! nobody.
//!
//! # No foreign code under the lock
//! Wakers are cloned before it is taken, and woken or dropped after it is released. The clock is read
//! before. The timer is taken out, armed, and put back; `arming` tells others to leave a note (`notified`)
//! rather than arm it too, and the one who arms it looks at the note before going.

use core::{pin::Pin, task::Waker};
use std::{
    sync::{Arc, Weak},
    task::Wake,
};

use super::{
    list::Node,
    locked::{Entry, Grant, Inner, Locked, Next, charged, is_behind},
    timer::{Armed, Timer, current_runtime},
    wake_batch::WakeBatch,
};
use crate::{
    clock::Clock,
    error::Denied,
    gcra::{Decision, Scale, decide, nanos},
    meter::{Fast, Meter, Taken, wait_until},
    permits::Permits,
    published::Frame,
    quota::Quota,
    sync::Mutex,
    word::Step,
};

/// A waiter's place in the queue.
pub(super) type Place = Node<Entry, Grant>;

/// How a waiter came in.
#[derive(Debug)]
pub(super) enum Entered {
    /// Admitted without waiting.
    Granted(Grant),
    /// In the queue.
    Waiting,
}

/// A limiter's whole state.
#[derive(Debug)]
pub(crate) struct WaitQueue<C> {
    meter: Meter,
    clock: C,
    quota: Quota,
    list: super::list::ListId,
    inner: Mutex<Inner>,
    alarm: Waker,
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

impl<C: Clock> WaitQueue<C> {
    pub(crate) fn new(quota: Quota, scale: Scale, clock: C) -> Arc<Self> {
        let frame = Frame { origin_ns: clock.now(), scale };
        let missing = quota.max_burst() - quota.initial_level();
        let inner = Inner::new();
        Arc::new_cyclic(|weak| Self {
            meter: Meter::new(frame, missing * scale.per_permit),
            clock,
            quota,
            list: inner.list.id(),
            inner: Mutex::new(inner),
            alarm: Waker::from(Arc::new(Alarm(weak.clone()))),
        })
    }

    pub(crate) const fn clock(&self) -> &C {
        &self.clock
    }

    pub(crate) const fn quota(&self) -> Quota {
        self.quota
    }

    pub(super) fn place(&self) -> Place {
        Node::new(self.list)
    }

    // === calls that do not wait ===

    /// Takes permits if they are there and nobody waits.
    #[inline]
    pub(crate) fn try_take(&self, permits: Permits) -> Result<(), Denied> {
        let now_ns = self.clock.now();
        let fast = self.meter.take(permits, now_ns);
        if let Fast::Done(Taken::Yes(_), _) = fast { Ok(()) } else { self.try_take_slow(permits, now_ns, &fast) }
    }

    #[cold]
    fn try_take_slow(&self, permits: Permits, now_ns: u64, fast: &Fast<Taken>) -> Result<(), Denied> {
        if permits == Permits::ZERO {
            return Ok(());
        }
        match fast {
            Fast::Done(Taken::Yes(_), _) => Ok(()),
            Fast::Done(Taken::Never, _) => Err(self.never(permits)),
            Fast::Done(Taken::NotBefore(tick, tat), frame) => {
                let now = frame.tick(now_ns).unwrap_or(0);
                if is_behind(frame, self.meter.debt(), now_ns, now, *tat) {
                    return self.try_take_locked(permits);
                }
                Err(not_before(frame, *tick, now_ns))
            }
            Fast::Slow if self.meter.queued() > 0 => self.refuse_behind_waiters(permits, now_ns),
            Fast::Slow => self.try_take_locked(permits),
            Fast::Stale { before, after } => {
                self.locked(|locked| locked.undo(*before, *after));
                self.try_take_locked(permits)
            }
        }
    }

    /// Somebody waits, so a newcomer is refused: an estimate of its turn, without the lock.
    fn refuse_behind_waiters(&self, permits: Permits, now_ns: u64) -> Result<(), Denied> {
        let Some((edition, frame)) = self.meter.published.read() else { return self.try_take_locked(permits) };
        let state = self.meter.word.load();
        let queued = self.meter.queued();
        let Some(cost) = frame.scale.cost(permits) else { return Err(self.never(permits)) };
        let behind = frame.tick(now_ns).is_none_or(|now| is_behind(&frame, self.meter.debt(), now_ns, now, state.tat()));
        if !state.queued() || queued == 0 || behind || !self.meter.published.is_current(edition) {
            return self.try_take_locked(permits);
        }
        let tick = state.tat().saturating_add(queued).saturating_add(cost) - frame.scale.limit;
        Err(not_before(&frame, tick, now_ns))
    }

    fn try_take_locked(&self, permits: Permits) -> Result<(), Denied> {
        let now_ns = self.clock.now();
        let outcome = self.locked_at(now_ns, |locked| {
            let Some(cost) = locked.frame.scale.cost(permits) else { return Err(None) };
            // Those who wait come first; a head that is due is granted before the newcomer is looked at,
            // by the alarm.
            let ahead = self.meter.queued();
            loop {
                let tick = if ahead == 0 {
                    match locked.take(cost, false) {
                        Ok(_) => return Ok(()),
                        Err(tick) => tick,
                    }
                } else {
                    let all = locked.tat().saturating_add(ahead).saturating_add(cost);
                    all.saturating_sub(locked.frame.scale.limit)
                };
                let due_ns = locked.frame.instant(tick);
                if !locked.is_behind() {
                    return Err(Some(due_ns));
                }
                if let Some(trusted_ns) = locked.doubt_clock() {
                    return Err(Some(due_ns.min(trusted_ns)));
                }
            }
        });
        match outcome {
            Ok(()) => Ok(()),
            Err(None) => Err(self.never(permits)),
            // At least a nanosecond: "now" has just been refused.
            Err(Some(due_ns)) => Err(Denied::NotYet { retry_after: nanos(due_ns.saturating_sub(now_ns).max(1)) }),
        }
    }

    /// Takes as many whole permits as are there, up to `most`.
    pub(crate) fn try_take_up_to(&self, most: u64) -> u64 {
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
            Fast::Stale { before, after } => self.locked(|locked| locked.undo(before, after)),
            Fast::Done(..) | Fast::Slow => {}
        }
        if self.meter.queued() > 0 {
            return 0;
        }
        self.locked(|locked| {
            if !locked.inner.list.is_empty() {
                return 0;
            }
            if locked.is_behind() {
                let _ = locked.doubt_clock();
            }
            let count = whole_permits(&locked.frame.scale, locked.tat(), locked.now()).min(most);
            let cost = count * locked.frame.scale.per_permit;
            locked.take(cost, false).map_or(0, |_| count)
        })
    }

    /// Takes permits whether they are there or not; how long until the debt is paid.
    pub(crate) fn charge(&self, permits: Permits) -> Result<core::time::Duration, Denied> {
        let now_ns = self.clock.now();
        let fast = self.meter.fast(now_ns, |state, now, scale| {
            let cost = u64::try_from(permits.ticks(scale.per_permit)).ok();
            match cost.and_then(|cost| charged(state.tat(), now, cost)) {
                Some(tat) if permits != Permits::ZERO => {
                    self.meter.note_debt(tat.saturating_sub(now + scale.limit));
                    Step::Set(state.with_tat(tat), Some(tat))
                }
                Some(_) => Step::Keep(Some(state.tat())),
                None => Step::Keep(None),
            }
        });
        let (tat, frame) = match fast {
            Fast::Done(Some(tat), frame) => (tat, frame),
            Fast::Stale { before, after } => {
                self.locked(|locked| locked.undo(before, after));
                self.charge_locked(permits)?
            }
            Fast::Done(None, _) | Fast::Slow => self.charge_locked(permits)?,
        };
        Ok(wait_until(&frame, tat.saturating_sub(frame.scale.limit), now_ns))
    }

    fn charge_locked(&self, permits: Permits) -> Result<(u64, Frame), Denied> {
        self.locked(|locked| {
            let cost = u64::try_from(permits.ticks(locked.frame.scale.per_permit)).ok();
            let cost = cost.ok_or(Denied::DebtTooDeep { requested: permits })?;
            let tat = if cost == 0 { Some(locked.tat()) } else { locked.charge(cost) };
            Ok((tat.ok_or(Denied::DebtTooDeep { requested: permits })?, locked.frame))
        })
    }

    /// Gives permits back, up to a full burst, and on to those who wait.
    pub(crate) fn refund(&self, permits: Permits) {
        self.locked(|locked| {
            let ticks = permits.ticks(locked.frame.scale.per_permit);
            locked.refund(u64::try_from(ticks).unwrap_or(u64::MAX));
        });
        self.drive(false);
    }

    /// Fills the bucket.
    pub(crate) fn reset(&self) {
        self.locked(|locked| locked.reset());
        self.drive(false);
    }

    // === reports ===

    /// The whole permits there are, rounded down; negative in debt.
    pub(crate) fn available(&self) -> i64 {
        let (frame, tat, now) = self.snapshot();
        frame.scale.level(tat, now).div_euclid(frame.scale.per_permit as i64)
    }

    /// How long until `permits` are there, taking nothing and counting those who wait.
    pub(crate) fn time_until(&self, permits: Permits) -> Result<core::time::Duration, Denied> {
        let now_ns = self.clock.now();
        let (frame, tat, now) = self.snapshot_at(now_ns);
        let Some(cost) = frame.scale.cost(permits) else { return Err(self.never(permits)) };
        if cost == 0 {
            return Ok(core::time::Duration::ZERO);
        }
        let queued = self.meter.queued();
        let floor = if queued > 0 { tat } else { now };
        let all = tat.max(floor).saturating_add(queued).saturating_add(cost);
        let tick = all.saturating_sub(frame.scale.limit);
        Ok(if tick <= now { nanos(0) } else { wait_until(&frame, tick, now_ns) })
    }

    /// How long until the burst is full.
    pub(crate) fn time_until_full(&self) -> core::time::Duration {
        let now_ns = self.clock.now();
        let (frame, tat, now) = self.snapshot_at(now_ns);
        if tat <= now { nanos(0) } else { wait_until(&frame, tat, now_ns) }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.inner.lock().list.len()
    }

    fn snapshot(&self) -> (Frame, u64, u64) {
        self.snapshot_at(self.clock.now())
    }

    /// Frame, arrival time and now, that belong together.
    fn snapshot_at(&self, now_ns: u64) -> (Frame, u64, u64) {
        if let Some((edition, frame)) = self.meter.published.read()
            && let Some(now) = frame.tick(now_ns)
        {
            let tat = self.meter.word.load().tat();
            if self.meter.published.is_current(edition) {
                return (frame, tat, now);
            }
        }
        self.locked_at(now_ns, |locked| (locked.frame, locked.tat(), locked.now()))
    }

    fn never(&self, requested: Permits) -> Denied {
        Denied::Never { requested, burst: Permits::from(self.quota.max_burst()) }
    }

    // === waiting ===

    /// Takes permits at once if they are there and nobody waits, without the lock.
    #[inline]
    pub(super) fn take_at_once(&self, permits: Permits) -> Option<Result<Grant, Denied>> {
        match self.meter.take(permits, self.clock.now()) {
            Fast::Done(Taken::Yes(tat), frame) => {
                let cost = frame.scale.cost(permits).unwrap_or(0);
                Some(Ok(Grant { cost, tat, epoch: None }))
            }
            Fast::Done(Taken::Never, _) => Some(Err(self.never(permits))),
            Fast::Done(Taken::NotBefore(..), _) | Fast::Slow => None,
            Fast::Stale { before, after } => {
                self.locked(|locked| locked.undo(before, after));
                None
            }
        }
    }

    /// Joins the queue, or takes the permits if nobody is in it and they are there.
    pub(super) fn enter(
        &self,
        place: Pin<&Place>,
        permits: Permits,
        waker: Waker,
    ) -> Result<Entered, Denied> {
        let now_ns = self.clock.now();
        let runtime = current_runtime();
        let mut waker = Some(waker);
        let mut look = false;
        let outcome = self.locked_at(now_ns, |locked| {
            let cost = locked.frame.scale.cost(permits).ok_or_else(|| self.never(permits))?;
            if cost == 0 {
                return Ok(Entered::Granted(Grant { cost, tat: locked.tat(), epoch: None }));
            }
            let first = locked.inner.list.is_empty();
            if first && let Ok(grant) = locked.take(cost, true) {
                return Ok(Entered::Granted(grant));
            }
            locked.inner.list.push_back(place, Entry { cost, waker: waker.take(), runtime });
            locked.count(|queued| queued + cost);
            // The alarm may be late: an arrival that finds it so runs the hand-off itself.
            look = first || locked.inner.armed.is_none_or(|armed| armed <= now_ns);
            Ok(Entered::Waiting)
        });
        if look {
            self.drive(true);
        }
        outcome
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
            if inner.list.is_front(place) && !inner.arming && runtime.is_some() {
                let other = inner.timer.runtime();
                if other.is_some() && other != runtime {
                    orphan = Some(core::mem::take(&mut inner.timer));
                    inner.armed = None;
                }
            }
            break inner.armed.is_none() && !inner.arming;
        };
        drop((replaced, spare, orphan));
        if look {
            self.drive(true);
        }
    }

    /// Leaves the queue, or gives back a grant that came first.
    pub(super) fn leave(&self, place: Pin<&Place>) {
        let now_ns = self.clock.now();
        let (removed, was_front) = self.locked_at(now_ns, |locked| {
            let was_front = locked.inner.list.is_front(place);
            let removed = locked.inner.list.remove(place);
            if let Some(entry) = &removed {
                let cost = entry.cost;
                locked.count(|queued| queued - cost);
            }
            (removed, was_front)
        });
        if removed.is_none() {
            if let Some(grant) = place.granted() {
                self.give_back(grant);
            }
        } else if was_front {
            self.drive(false);
        }
    }

    /// Gives back a grant that its waiter did not live to use, and on to the next.
    pub(super) fn give_back(&self, grant: Grant) {
        if grant.cost > 0 && self.locked(|locked| locked.give_back(grant)) {
            self.drive(false);
        }
    }

    fn locked<T>(&self, f: impl FnOnce(&mut Locked<'_>) -> T) -> T {
        self.locked_at(self.clock.now(), f)
    }

    fn locked_at<T>(&self, now_ns: u64, f: impl FnOnce(&mut Locked<'_>) -> T) -> T {
        let mut inner = self.inner.lock();
        let mut locked = Locked::open(&self.meter, &mut inner, now_ns);
        let outcome = f(&mut locked);
        locked.close();
        outcome
    }

    // === the hand-off ===

    /// The alarm rang.
    fn alarm_rang(&self) {
        let now_ns = self.clock.now();
        let orphan = {
            let mut inner = self.inner.lock();
            let armed = inner.armed.take();
            // Well before its time: the timer's runtime is going down. To poll it again would panic.
            let early = armed.is_some_and(|due_ns| now_ns.saturating_add(LATEST_EARLY_NS) < due_ns);
            (early && !inner.arming).then(|| core::mem::take(&mut inner.timer))
        };
        drop(orphan);
        self.drive(false);
    }

    /// Grants whoever is due and sets the alarm for the next. `polled` if the caller is a waiter that is
    /// being polled, whose runtime may then be asked for a timer.
    pub(crate) fn drive(&self, polled: bool) {
        loop {
            let now_ns = self.clock.now();
            let mut batch = WakeBatch::new();
            let mut inner = self.inner.lock();
            if inner.list.is_empty() {
                return;
            }
            let mut locked = Locked::open(&self.meter, &mut inner, now_ns);
            let next = locked.grant_due(&mut batch);
            locked.close();
            let due_ns = match next {
                Next::Empty => return release(inner, batch),
                Next::More => {
                    release(inner, batch);
                    continue;
                }
                Next::At(due_ns) => due_ns,
            };
            if inner.arming {
                inner.notified = true;
                return release(inner, batch);
            }
            // A head on another runtime is asked to bring its own timer; the one there is stays until then.
            let timed_by = inner.timer.runtime();
            if timed_by.is_some()
                && let Some(front) = inner.list.front_mut()
                && front.runtime.is_some()
                && front.runtime != timed_by
                && !batch.is_full()
            {
                batch.push(front.waker.take());
            }
            if inner.armed.is_some_and(|armed| armed <= due_ns) {
                return release(inner, batch);
            }
            inner.arming = true;
            inner.notified = false;
            inner.armed = Some(due_ns);
            let timer = core::mem::take(&mut inner.timer);
            release(inner, batch);
            if !self.arm(timer, due_ns, now_ns, polled) {
                return;
            }
        }
    }

    /// Sets the alarm with the lock released, and puts the timer back. Whether to look again.
    fn arm(&self, mut timer: Timer, due_ns: u64, now_ns: u64, polled: bool) -> bool {
        // Puts the flag back on the way out of a panic, too: tokio panics if its runtime has no timer.
        struct Disarm<'a>(&'a Mutex<Inner>);
        impl Drop for Disarm<'_> {
            fn drop(&mut self) {
                let mut inner = self.0.lock();
                inner.arming = false;
                inner.armed = None;
            }
        }
        let disarm = Disarm(&self.inner);
        let armed = if self.clock.wake_at(due_ns, &self.alarm) {
            Armed::Pending
        } else {
            timer.arm(nanos(due_ns.saturating_sub(now_ns)), &self.alarm, polled)
        };
        core::mem::forget(disarm);
        let mut inner = self.inner.lock();
        inner.arming = false;
        inner.timer = timer;
        let notified = core::mem::take(&mut inner.notified);
        if armed != Armed::Pending {
            inner.armed = None;
        }
        drop(inner);
        if armed == Armed::Missing {
            self.ask_for_a_timer(polled);
            return false;
        }
        notified || armed == Armed::Elapsed
    }

    /// Nobody times the queue. The next waiter that is polled can; so all are asked, once.
    #[cold]
    fn ask_for_a_timer(&self, polled: bool) {
        assert!(
            !polled || current_runtime().is_some(),
            "a waiter has to be polled inside a tokio runtime, unless the limiter's clock has alarms",
        );
        loop {
            let mut batch = WakeBatch::new();
            let mut inner = self.inner.lock();
            inner.list.visit(|entry| {
                if batch.is_full() {
                    return false;
                }
                batch.push(entry.waker.take());
                true
            });
            let more = batch.is_full();
            release(inner, batch);
            if !more {
                return;
            }
        }
    }
}

/// Releases the lock, then wakes.
fn release(inner: crate::sync::MutexGuard<'_, Inner>, mut batch: WakeBatch) {
    drop(inner);
    batch.wake();
}

/// How much earlier than due a runtime's timer may fire in the ordinary course of things.
const LATEST_EARLY_NS: u64 = 5_000_000;

fn not_before(frame: &Frame, tick: u64, now_ns: u64) -> Denied {
    Denied::NotYet { retry_after: wait_until(frame, tick, now_ns) }
}

/// The whole permits there are at `now`, zero in debt.
fn whole_permits(scale: &Scale, tat: u64, now: u64) -> u64 {
    scale.level(tat, now).max(0) as u64 / scale.per_permit
}
