//! The lock-free half of a limiter: the word, its frame, and the fast path, which makes one transition of the word. The
//! lock holder decides if the word is owned, the frame is being replaced or has no tick for the clock reading, or the
//! clock seems to have stepped back.

use core::hint::spin_loop;

use crossbeam_utils::CachePadded;

use crate::{
    error::NotYet,
    frame::{Frame, Published},
    gcra::{Decision, MAX_TAT, SKEW_NS, Scale, decide},
    lane::Lane,
    permits::Permits,
    sync::{AtomicU64, Ordering},
    word::{Change, State, Word},
};

/// The value of [`queued_ticks`](Meter::queued_ticks) when only the lock holder can tell.
pub(crate) const UNTOLD: u64 = u64::MAX;

/// The value of [`queued_ticks`](Meter::queued_ticks) of a closed limiter.
pub(crate) const CLOSED: u64 = u64::MAX - 1;

/// For how many pauses a call that would wait hopes that a step ends.
const STEP_PAUSES: u32 = if cfg!(tidegate_loom) { 1 } else { 64 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Taken, and this many whole permits more.
    Yes(u64),
    NotYet(NotYet),
    /// Only the lock holder can decide.
    Slow,
}

#[derive(Debug)]
pub(crate) struct Meter {
    word: CachePadded<Word>,
    published: Published,
    /// For each lane, the ticks that the waiters of this lane and of higher lanes ask for, or `UNTOLD`, or `CLOSED`. Those of
    /// the last lane are zero exactly if there are no waiters and the limiter is not closed. Written only under the queue's
    /// lock.
    queued: [AtomicU64; Lane::COUNT],
    /// When the credit of a drained queue ends. Written only under the queue's lock.
    credit_until_ns: AtomicU64,
    /// The word if the last thaw left a debt, otherwise zero, and the clock reading of that thaw. Written only under
    /// the queue's lock.
    debt_word: AtomicU64,
    debt_ns: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) frame: Frame,
    pub(crate) tat: u64,
    pub(crate) now: u64,
}

impl Meter {
    pub(crate) fn new(frame: &Frame, tat: u64) -> Self {
        Self {
            word: CachePadded::new(Word::new(State::new(tat, false, false))),
            published: Published::new(frame),
            queued: Lane::ALL.map(|_| AtomicU64::new(0)),
            credit_until_ns: AtomicU64::new(0),
            debt_word: AtomicU64::new(0),
            debt_ns: AtomicU64::new(0),
        }
    }

    // === without the lock ===

    #[inline]
    pub(crate) fn is_owned(&self) -> bool {
        self.word().is_owned()
    }

    /// Whether the word is owned, and not merely for a step of the lock holder that leaves no waiters. Threads that go
    /// to the lock because of a step make steps of their own, by which they send each other to the lock for good.
    #[inline]
    pub(crate) fn is_owned_beyond_a_step(&self) -> bool {
        self.is_owned() && !self.step_ends_soon()
    }

    #[cold]
    #[inline(never)]
    fn step_ends_soon(&self) -> bool {
        for _ in 0..STEP_PAUSES {
            if self.has_waiters() {
                return false;
            }
            if !self.is_owned() {
                return true;
            }
            spin_loop();
        }
        false
    }

    #[inline]
    pub(crate) fn word(&self) -> State {
        self.word.load()
    }

    /// The word as a number, to tell whether it has changed.
    #[inline]
    pub(crate) fn bits(&self) -> u64 {
        self.word().to_bits()
    }

    /// Takes `permits` if they conform at `now_ns`, and up to `most` more whole permits that conform.
    #[inline]
    pub(crate) fn draw(&self, permits: Permits, most: u64, now_ns: u64) -> Taken {
        self.take(permits, most, now_ns, false)
    }

    /// Takes permits for a caller that would wait otherwise: it may use the credit of a drained queue.
    #[inline]
    pub(crate) fn take_as_waiter(&self, permits: Permits, now_ns: u64) -> bool {
        self.take(permits, 0, now_ns, true) == Taken::Yes(0)
    }

    /// Whether a drained queue has left credit to callers that would wait otherwise.
    #[inline]
    pub(crate) fn has_credit(&self, state: State, now_ns: u64) -> bool {
        state.has_credit() && now_ns < self.credit_until_ns()
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "so that the fast path keeps all of it in registers")]
    fn take(&self, permits: Permits, most: u64, now_ns: u64, waits: bool) -> Taken {
        let state = self.word.load();
        match self.change(state, permits, most, now_ns, waits) {
            Change::Keep(taken) => taken,
            Change::Set(new, taken) if self.word.exchange(state, new) => taken,
            Change::Set(..) => self.take_again(permits, most, now_ns, waits),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_again(&self, permits: Permits, most: u64, now_ns: u64, waits: bool) -> Taken {
        self.word.transition(|state| self.change(state, permits, most, now_ns, waits))
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "so that the fast path keeps all of it in registers")]
    fn change(&self, state: State, permits: Permits, most: u64, now_ns: u64, waits: bool) -> Change<Taken> {
        if permits == Permits::ZERO {
            return Change::Keep(Taken::Yes(0));
        }
        if state.is_owned() {
            return Change::Keep(Taken::Slow);
        }
        // After the state, so that the frame is at least as new.
        let Some(frame) = self.published.read() else { return Change::Keep(Taken::Slow) };
        let scale = frame.scale();
        let (Some(now), Some(cost)) = (frame.tick(now_ns), scale.cost(permits)) else {
            return Change::Keep(Taken::Slow);
        };
        let floor = if waits && self.has_credit(state, now_ns) { frame.waiters_floor(now) } else { now };
        match decide(state.tat(), now, floor, cost, scale.limit) {
            Decision::Admit(tat) => {
                let more = scale.whole_permits(now + scale.limit - tat, most);
                Change::Set(state.with_tat(tat + more * scale.per_permit), Taken::Yes(more))
            }
            Decision::NotBefore(tick) => match scale.exact_wait(tick - now) {
                Some(not_yet) if state.tat() <= now + scale.limit => Change::Keep(Taken::NotYet(not_yet)),
                _ => Change::Keep(self.refuse_slow(permits, now_ns)),
            },
        }
    }

    #[cold]
    #[inline(never)]
    fn refuse_slow(&self, permits: Permits, now_ns: u64) -> Taken {
        let Some(Snapshot { frame, tat, now }) = self.snapshot(now_ns) else { return Taken::Slow };
        let Some(cost) = frame.scale().cost(permits) else { return Taken::Slow };
        match decide(tat, now, now, cost, frame.scale().limit) {
            // The word has changed.
            Decision::Admit(_) => Taken::Slow,
            Decision::NotBefore(tick) => {
                Taken::NotYet(NotYet::after_ns(frame.reading_at(tick).saturating_sub(now_ns)))
            }
        }
    }

    /// Takes as many whole permits as conform, up to `most`; `None` if only the lock holder can decide.
    pub(crate) fn take_up_to(&self, most: u64, now_ns: u64) -> Option<u64> {
        self.word.transition(|state| {
            if state.is_owned() {
                return Change::Keep(None);
            }
            // After the state, as in `change`.
            let Some(frame) = self.published.read() else { return Change::Keep(None) };
            let Some(now) = frame.tick(now_ns) else { return Change::Keep(None) };
            let scale = frame.scale();
            let count = scale.whole_level(state.tat(), now).min(most);
            if count == 0 {
                return Change::Keep((!self.is_suspect(&frame, state, now, now_ns)).then_some(0));
            }
            Change::Set(state.with_tat(state.tat().max(now) + count * scale.per_permit), Some(count))
        })
    }

    /// Takes permits if they conform, and returns the level that is left. `None`: nothing was taken.
    pub(crate) fn draw_reporting(&self, permits: Permits, now_ns: u64) -> Option<Snapshot> {
        self.word.transition(|state| {
            if state.is_owned() {
                return Change::Keep(None);
            }
            // After the state, as in `change`.
            let Some(frame) = self.published.read() else { return Change::Keep(None) };
            let scale = frame.scale();
            let (Some(now), Some(cost)) = (frame.tick(now_ns), scale.cost(permits)) else {
                return Change::Keep(None);
            };
            match decide(state.tat(), now, now, cost, scale.limit) {
                Decision::Admit(tat) if cost > 0 => {
                    Change::Set(state.with_tat(tat), Some(Snapshot { frame, tat, now }))
                }
                _ => Change::Keep(None),
            }
        })
    }

    /// The level of the word; `None` if only the lock holder can tell.
    pub(crate) fn snapshot(&self, now_ns: u64) -> Option<Snapshot> {
        let state = self.word.load();
        if state.is_owned() {
            return None;
        }
        let frame = self.published.read()?;
        let (now, tat) = (frame.tick(now_ns)?, state.tat());
        // A word below the base is from before the publication.
        let current = tat >= frame.base() && !self.is_suspect(&frame, state, now, now_ns);
        current.then_some(Snapshot { frame, tat, now })
    }

    /// The level behind the waiters of a lane and of higher lanes, or during a pause: what these waiters ask for is added to the
    /// TAT. `None` if only the lock holder can tell, also if the first waiter may be due. During grants the TAT may be too high
    /// by their cost. It is never too low.
    pub(crate) fn behind_waiters(&self, lane: Lane, now_ns: u64) -> Option<Snapshot> {
        let waits = self.has_waiters();
        let (frame, (queued, state)) = self.published.read_with(|| {
            // The sum is read before the word, and written after it, so each grant is in at least one of them.
            let queued = self.queued_ticks(lane);
            (queued, self.word.load())
        })?;
        let (now, tat) = (frame.tick(now_ns)?, state.tat());
        let is_paused = now_ns < frame.resumes_ns();
        let told = state.is_owned() && (waits || is_paused) && queued < CLOSED;
        let known = told && tat >= frame.waiters_floor(now) && !self.is_suspect(&frame, state, now, now_ns);
        known.then_some(Snapshot { frame, tat: tat.saturating_add(queued), now })
    }

    /// Whether the clock seems to have stepped back: the TAT is further ahead of the reading than a full burst, and the
    /// last thaw left no debt that explains it.
    fn is_suspect(&self, frame: &Frame, state: State, now: u64, now_ns: u64) -> bool {
        // Relaxed, both of them: written before the Release of the thaw that wrote the word. A value from a later thaw
        // only leads to the lock, under which it is decided again.
        let in_debt = || {
            self.debt_word.load(Ordering::Relaxed) == state.to_bits()
                && self.debt_ns.load(Ordering::Relaxed) <= now_ns.saturating_add(SKEW_NS)
        };
        frame.is_beyond_limit(state.tat(), now) && !in_debt()
    }

    /// The reading until which the limiter is paused; zero, or one that has passed, if it is not.
    #[inline]
    pub(crate) fn resumes_ns(&self) -> u64 {
        self.published.resumes_ns()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queued_ticks(Lane::LAST) == CLOSED
    }

    /// The ticks that the waiters of a lane and of higher lanes ask for, or [`UNTOLD`], or [`CLOSED`]; zero if there are none.
    pub(crate) fn queued_ticks(&self, lane: Lane) -> u64 {
        // Acquire: pairs with the Release of `set_queued`, so that the word loaded next has the grants that this sum lacks.
        self.queued[lane.index()].load(Ordering::Acquire)
    }

    /// Whether there are waiters in any lane, or the limiter is closed.
    pub(crate) fn has_waiters(&self) -> bool {
        self.queued_ticks(Lane::LAST) > 0
    }

    fn credit_until_ns(&self) -> u64 {
        // Relaxed: whether old or new, it gives a caller no more than the catch-up allows.
        self.credit_until_ns.load(Ordering::Relaxed)
    }

    // === with the lock ===

    /// The frame, for the lock holder, which alone replaces it.
    pub(crate) fn frame(&self) -> Frame {
        let Some(frame) = self.published.read() else { unreachable!("the lock holder is not replacing it") };
        frame
    }

    /// Freezes the word, and returns its state. The caller holds the queue's lock, and thaws.
    pub(crate) fn freeze(&self) -> State {
        self.word.freeze()
    }

    pub(crate) fn thaw_unchanged(&self, state: State) {
        self.word.thaw(state);
    }

    /// Ends a freeze: publishes the word, what is read beside the word, and the frame if it has changed.
    pub(crate) fn thaw(&self, thaw: &Thaw) {
        // Relaxed, all three: before the Release of the thaw below.
        self.debt_ns.store(thaw.now_ns, Ordering::Relaxed);
        let debt_word = if thaw.in_debt { thaw.state.to_bits() } else { 0 };
        self.debt_word.store(debt_word, Ordering::Relaxed);
        self.credit_until_ns.store(thaw.credit_until_ns, Ordering::Relaxed);
        let write = || {
            self.word.thaw(thaw.state);
            self.set_queued(thaw.queued);
        };
        match &thaw.frame {
            Some(frame) => self.published.publish(frame, write),
            None => write(),
        }
    }

    /// Writes what the waiters ask for. The caller holds the queue's lock, and has written the word before.
    pub(crate) fn set_queued(&self, ticks: [u64; Lane::COUNT]) {
        for (queued, ticks) in self.queued.iter().zip(ticks) {
            // Release: pairs with the Acquire of `queued_ticks`.
            queued.store(ticks, Ordering::Release);
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Thaw {
    pub(crate) frame: Option<Frame>,
    pub(crate) state: State,
    pub(crate) now_ns: u64,
    pub(crate) in_debt: bool,
    pub(crate) credit_until_ns: u64,
    pub(crate) queued: [u64; Lane::COUNT],
}

impl Scale {
    /// The whole permits available at `now`; zero in debt.
    pub(crate) const fn whole_level(&self, tat: u64, now: u64) -> u64 {
        let level = self.level(tat, now);
        if level <= 0 { 0 } else { level as u64 / self.per_permit }
    }
}

/// The TAT after a charge; `None` if the word cannot hold it.
pub(crate) fn charged(tat: u64, now: u64, cost: u64) -> Option<u64> {
    tat.max(now).checked_add(cost).filter(|&tat| tat <= MAX_TAT)
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
