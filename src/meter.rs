//! The lock-free half of a limiter: the word, the scale by which it is read, and the fast path over both.
//!
//! A fast call takes the clock reading it is given, and makes one transition of the word by the scale that it
//! finds published then. Whatever it cannot do alone it reports as [`Fast::Slow`]: somebody waits, the scale is being
//! replaced, or the clock is beyond the horizon of the scale. The queue then does it under its lock.

use core::time::Duration;
use std::sync::OnceLock;

use crossbeam_utils::CachePadded;

use crate::{
    gcra::{Decision, Scale, decide, nanos},
    permits::Permits,
    published::{Edition, Frame, Published},
    shares::Slots,
    sync::{AtomicU8, AtomicU64, Ordering},
    word::{Mode, State, Step, Word},
};

/// How far a clock reading may lie behind another thread's before the clock is taken to have stepped back.
pub(crate) const SKEW_NS: u64 = 1_000_000;

/// More than can be [`queued`](Meter::queued): it takes the lock to tell.
pub(crate) const UNTOLD: u64 = u64::MAX;

/// What came of a fast call.
#[derive(Debug)]
pub(crate) enum Fast<T> {
    /// Done, or refused; the frame it was decided by.
    Done(T, Frame),
    /// It has to be done under the queue's lock.
    Slow,
    /// It was done by a scale that had been replaced meanwhile: to be undone and done again under the lock.
    Stale {
        /// The arrival time before.
        before: u64,
        /// The arrival time that was written.
        after: u64,
    },
}

/// What came of an attempt to take permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// They were taken.
    Yes,
    /// They conform from this tick on; the arrival time that was seen.
    NotBefore(u64, u64),
    /// They are more than a burst.
    Never,
}

#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) word: CachePadded<Word>,
    pub(crate) published: Published,
    /// What is parked at cores, once anybody has asked for that.
    pub(crate) slots: OnceLock<Slots>,
    /// The ticks that those in the queue ask for, or `UNTOLD`; more than zero exactly if somebody waits. Written only
    /// under the queue's lock.
    queued: AtomicU64,
    /// The deepest debt that charges have made since a clock was last followed, in ticks: how far beyond a full burst
    /// the arrival time can rightly be.
    debt: AtomicU64,
    /// When the credit of a drained queue ends at the latest. Written only under the queue's lock.
    linger_until_ns: AtomicU64,
    /// Whether the clock is doubted (see `queue/locked.rs`). Written only under the queue's lock.
    doubted: AtomicU8,
}

impl Meter {
    pub(crate) fn new(frame: Frame, tat: u64) -> Self {
        Self {
            word: CachePadded::new(Word::new(State::new(tat, Mode::Even))),
            published: Published::new(frame),
            slots: OnceLock::new(),
            queued: AtomicU64::new(0),
            debt: AtomicU64::new(0),
            linger_until_ns: AtomicU64::new(0),
            doubted: AtomicU8::new(0),
        }
    }

    /// One transition of the word by a pure step that is given state, now, and scale.
    #[inline]
    pub(crate) fn fast<T>(
        &self,
        now_ns: u64,
        mut step: impl FnMut(State, u64, &Scale) -> Step<T>,
    ) -> Fast<T> {
        let mut swapped = None;
        // Before the state, for a call that changes nothing.
        let first = self.published.read_edition();
        let decided = self.word.transition(|state| {
            // After the state, so that it is no scale from before it.
            let Some((edition, frame)) = self.published.read() else { return Step::Keep(None) };
            let Some(now) = frame.tick(now_ns).filter(|_| state.is(edition.clear())) else {
                return Step::Keep(None);
            };
            match step(state, now, &frame.scale) {
                Step::Keep(outcome) => {
                    swapped = None;
                    Step::Keep(Some((outcome, edition, frame)))
                }
                Step::Set(new, outcome) => {
                    swapped = Some((state.tat(), new.tat()));
                    Step::Set(new, Some((outcome, edition, frame)))
                }
            }
        });
        let Some((outcome, edition, frame)) = decided else { return Fast::Slow };
        match swapped {
            Some(_) if self.published.counts(edition, edition.clear()) => Fast::Done(outcome, frame),
            Some((before, after)) => Fast::Stale { before, after },
            None if first.is_some_and(|first| self.published.is_current(first)) => Fast::Done(outcome, frame),
            None => Fast::Slow,
        }
    }

    /// The hot path: takes permits if they conform at `now_ns` and nothing stands in the way. What did, for
    /// those who were not so lucky, is for [`take`](Self::take) to find out. If a scale was replaced
    /// meanwhile, the error holds the arrival times before and after, to be undone.
    #[inline]
    pub(crate) fn take_at_once(&self, permits: Permits, now_ns: u64) -> Result<(), Option<(u64, u64)>> {
        self.swap(permits, 0, now_ns, |state, edition, now, _| state.is(edition.clear()).then_some(now))
            .map(drop)
    }

    /// As [`take_at_once`](Self::take_at_once), with up to `most` whole permits more, as many as conform; how
    /// many.
    pub(crate) fn draw(&self, permits: Permits, most: u64, now_ns: u64) -> Result<u64, Option<(u64, u64)>> {
        self.swap(permits, most, now_ns, |state, edition, now, _| state.is(edition.clear()).then_some(now))
    }

    /// As [`take_at_once`](Self::take_at_once), for those who would wait otherwise: credit that a drained queue
    /// has left is theirs.
    #[inline]
    pub(crate) fn take_as_waiter(&self, permits: Permits, now_ns: u64) -> Result<(), Option<(u64, u64)>> {
        let taken = self.swap(permits, 0, now_ns, |state, edition, now, scale| {
            if state.is(edition.clear()) {
                return Some(now);
            }
            let lingers = state.is(Mode::Linger) && now_ns < self.linger_until_ns();
            lingers.then(|| now.saturating_sub(scale.catch_up))
        });
        taken.map(drop)
    }

    /// Takes permits if they conform at `now_ns` and the bucket cannot have been idle since before what `floor`
    /// makes of the state; not at all if it makes nothing of it. And up to `most` whole permits more, as many as
    /// conform; how many.
    #[inline]
    fn swap(
        &self,
        permits: Permits,
        most: u64,
        now_ns: u64,
        floor: impl Fn(State, Edition, u64, &Scale) -> Option<u64>,
    ) -> Result<u64, Option<(u64, u64)>> {
        let swapped = self.word.transition(|state| {
            // After the state, so that it is no scale from before it.
            let Some((edition, frame)) = self.published.read() else { return Step::Keep(None) };
            let (Some(now), Some(cost)) = (frame.tick(now_ns), frame.scale.cost(permits)) else {
                return Step::Keep(None);
            };
            let Some(floor) = floor(state, edition, now, &frame.scale).filter(|_| cost > 0) else {
                return Step::Keep(None);
            };
            match decide(state.tat(), now, floor, cost, frame.scale.limit) {
                Decision::Admit(tat) => {
                    let more = frame.scale.whole_permits(now + frame.scale.limit - tat, most);
                    let tat = tat + more * frame.scale.per_permit;
                    Step::Set(state.with_tat(tat), Some((edition, more, state.mode(), (state.tat(), tat))))
                }
                Decision::NotBefore(_) => Step::Keep(None),
            }
        });
        match swapped {
            Some((edition, more, mode, _)) if self.published.counts(edition, mode) => Ok(more),
            stale => Err(stale.map(|(.., changed)| changed)),
        }
    }

    /// Takes permits if they conform at `now_ns` by textbook GCRA.
    pub(crate) fn take(&self, permits: Permits, now_ns: u64) -> Fast<Taken> {
        self.fast(now_ns, |state, now, scale| {
            let Some(cost) = scale.cost(permits) else { return Step::Keep(Taken::Never) };
            if cost == 0 {
                return Step::Keep(Taken::Yes);
            }
            match decide(state.tat(), now, now, cost, scale.limit) {
                Decision::Admit(tat) => Step::Set(state.with_tat(tat), Taken::Yes),
                Decision::NotBefore(tick) => Step::Keep(Taken::NotBefore(tick, state.tat())),
            }
        })
    }

    /// The ticks that those in the queue ask for, or [`UNTOLD`]. Who looks at the word after this finds in it what any of them was
    /// granted that is not counted here: it may be counted twice, but not left out.
    pub(crate) fn queued(&self) -> u64 {
        // Acquire: pairs with the Release of `set_queued`. Whoever acts on it does so under the lock, where it is
        // written.
        self.queued.load(Ordering::Acquire)
    }

    /// Writes what those in the queue ask for, after the word; the caller holds the queue's lock.
    pub(crate) fn set_queued(&self, ticks: u64) {
        // Release: pairs with the Acquire of `queued`.
        self.queued.store(ticks, Ordering::Release);
    }

    /// When the credit of a drained queue ends at the latest.
    pub(crate) fn linger_until_ns(&self) -> u64 {
        // Relaxed: read late or early, what is taken by it is within what catch-up allows in any case.
        self.linger_until_ns.load(Ordering::Relaxed)
    }

    /// Sets when the credit of a drained queue ends; the caller holds the queue's lock.
    pub(crate) fn set_linger_until_ns(&self, until_ns: u64) {
        // Relaxed: see `linger_until_ns`.
        self.linger_until_ns.store(until_ns, Ordering::Relaxed);
    }

    /// The deepest debt so far.
    pub(crate) fn debt(&self) -> u64 {
        // Relaxed: it only grows, but for a change of scale or a clock that is followed, both under the lock, and a
        // clock is doubted under the lock or not at all.
        self.debt.load(Ordering::Relaxed)
    }

    /// Sets the deepest debt; the caller holds the queue's lock.
    pub(crate) fn set_debt(&self, ticks: u64) {
        // Relaxed: see `debt`.
        self.debt.store(ticks, Ordering::Relaxed);
    }

    /// Notes a debt of `ticks` before the word shows it; the caller holds the queue's lock. A charge of `cost` adds no
    /// more than that to the deepest debt before, whatever a clock that is behind makes it look like.
    pub(crate) fn note_debt(&self, ticks: u64, cost: u64) {
        self.set_debt(self.debt().max(ticks.min(self.debt().saturating_add(cost))));
    }

    /// Whether a clock reading lies further behind an arrival time than it can by rights: the latter is never
    /// more than a burst and the deepest debt ahead of the reading by which it was written.
    pub(crate) fn is_behind(&self, frame: &Frame, now_ns: u64, tat: u64) -> bool {
        let limit = frame.scale.limit;
        let skewed = || limit.saturating_add(self.debt()).saturating_add(frame.scale.span(SKEW_NS));
        // A reading from before the origin is that much further behind; one beyond the horizon may be behind, too.
        let ahead = match frame.tick(now_ns) {
            Some(0) => tat.saturating_add(frame.scale.span(frame.origin_ns.saturating_sub(now_ns))),
            Some(now) => tat.saturating_sub(now),
            None => tat.saturating_sub(frame.scale.span(now_ns - frame.origin_ns)),
        };
        now_ns.saturating_add(SKEW_NS) < frame.origin_ns || (ahead > limit && ahead > skewed())
    }

    /// Whether the clock is doubted.
    pub(crate) fn doubted(&self) -> bool {
        // Relaxed: a hint to ask under the lock, where it is written.
        self.doubted.load(Ordering::Relaxed) != 0
    }

    /// Notes whether the clock is doubted; the caller holds the queue's lock.
    pub(crate) fn set_doubted(&self, doubted: bool) {
        if doubted != self.doubted() {
            // Relaxed: see `doubted`.
            self.doubted.store(u8::from(doubted), Ordering::Relaxed);
        }
    }
}

/// How long from `now_ns` until the clock shows `tick`, rounded up.
#[inline]
pub(crate) fn wait_until(frame: &Frame, tick: u64, now_ns: u64) -> Duration {
    nanos(frame.instant(tick).saturating_sub(now_ns))
}

#[cfg(test)]
mod tests;
