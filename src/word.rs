//! The packed state: the theoretical arrival time and two flags in one atomic, and the only
//! compare-and-swap loop on it.
//!
//! ```text
//! bit 63 ............................... 2   1 0
//!     theoretical arrival time (TAT), ticks  mode
//! ```
//!
//! | mode      | means                                                   | who may change the word            |
//! |-----------|---------------------------------------------------------|------------------------------------|
//! | 00 EVEN   | nobody waits; the scale is one of even number           | anybody, by compare-and-swap       |
//! | 10 ODD    | nobody waits; the scale is one of odd number            | anybody, by compare-and-swap       |
//! | 01 LINGER | the queue drained late and left credit                  | those who would wait, by compare-and-swap |
//! | 11 QUEUED | somebody waits, or is waited for, or has the lock       | the holder of the queue's lock     |
//!
//! # Invariants
//! 1. The mode changes only under the queue's lock.
//! 2. While it is QUEUED, only the holder of the lock writes the word, so a plain store is enough.
//! 3. EVEN or ODD is that of the scale by which the arrival time counts (see `published.rs`).
//!
//! # Orderings
//! What a call decides depends on the word alone, and all changes to one location are seen in one order: a
//! compare-and-swap that expects another mode cannot succeed once it is QUEUED. `Relaxed` would do for
//! that. Load and exchange are `Acquire`, and the store that ends a frozen state `Release`, for another reason:
//! the scale by which the number is read may have been changed in between, and whoever decides by the
//! changed word, or builds on it, must see the changed scale. For the converse the exchange is `Release` and the
//! freezing `Acquire` (see `published.rs`).
//!
//! # Threads that meet
//! An exchange that fails has met another thread's, and to try again at once is to take the cache line from it before
//! its next call. So the loser pauses first, some quarter of a microsecond, twice as long each time: meanwhile
//! the other goes on alone, at the speed of one. With two threads that do nothing else, both get more than twice
//! as much done.
//!
//! Adding without having looked, and taking back what does not conform, would never fail. But it is not right
//! here:
//! - What is added shows until it is taken back, so that a call that conforms can be refused.
//! - If the clock passes the arrival time in between, somebody starts from the present, and to take back then
//!   makes a permit: at 0, with a limit of 1, A adds 1 (2, too much), the clock goes to 3, B goes from there
//!   (4), and A takes 1 back (3): two are admitted at 3, B and the next.
//! - While QUEUED is set the word is written by plain stores, which would lose what is added, and then taken
//!   back all the same.

use core::{fmt, hint::spin_loop};

use crate::sync::{AtomicU64, Ordering};

/// What the word says besides the arrival time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Even = 0b00,
    Linger = 0b01,
    Odd = 0b10,
    /// Both bits, so that to set them both makes this of any other.
    Queued = 0b11,
}

impl Mode {
    /// What it is while nobody waits.
    #[inline]
    pub(crate) const fn clear(odd: bool) -> Self {
        if odd { Self::Odd } else { Self::Even }
    }
}

const MODE: u64 = Mode::Queued as u64;

/// How many pauses there are after the first exchange that has failed, and at the most after one.
const FIRST_PAUSES: u32 = 16;
const MOST_PAUSES: u32 = 512;

/// The word, unpacked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(u64);

impl State {
    #[inline]
    pub(crate) const fn new(tat: u64, mode: Mode) -> Self {
        Self((tat << 2) | mode as u64)
    }

    /// The theoretical arrival time.
    #[inline]
    pub(crate) const fn tat(self) -> u64 {
        self.0 >> 2
    }

    /// Whether it is in that mode.
    #[inline]
    pub(crate) const fn is(self, mode: Mode) -> bool {
        self.0 & MODE == mode as u64
    }

    /// The mode.
    #[inline]
    pub(crate) const fn mode(self) -> Mode {
        match self.0 & MODE {
            0b00 => Mode::Even,
            0b01 => Mode::Linger,
            0b10 => Mode::Odd,
            _ => Mode::Queued,
        }
    }

    /// The same mode with another arrival time.
    #[inline]
    pub(crate) const fn with_tat(self, tat: u64) -> Self {
        Self((tat << 2) | (self.0 & MODE))
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("tat", &self.tat()).field("mode", &self.mode()).finish()
    }
}

/// What to do with the word, and what to tell the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<T> {
    /// Replace the state, if it is still the one that was seen.
    Set(State, T),
    /// Leave the word untouched.
    Keep(T),
}

/// The word itself.
pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn new(state: State) -> Self {
        Self(AtomicU64::new(state.0))
    }

    #[inline]
    pub(crate) fn load(&self) -> State {
        // Relaxed: a snapshot on which nothing but a compare-and-swap or a report is built.
        State(self.0.load(Ordering::Relaxed))
    }

    /// Applies `step` to the state until the state it saw is the one it replaced.
    ///
    /// A step that keeps the state writes nothing.
    #[inline]
    pub(crate) fn transition<T>(&self, mut step: impl FnMut(State) -> Step<T>) -> T {
        // Acquire: pairs with the Release of `thaw`, so that `step` finds a scale that is at least as new.
        let mut seen = self.0.load(Ordering::Acquire);
        let mut pauses = FIRST_PAUSES;
        loop {
            match step(State(seen)) {
                Step::Keep(outcome) => return outcome,
                Step::Set(new, outcome) => {
                    // Acquire on success: as above; and Release: pairs with the Acquire of `freeze`. Relaxed on
                    // failure: what it saw is not looked at.
                    let set = self.0.compare_exchange_weak(seen, new.0, Ordering::AcqRel, Ordering::Relaxed);
                    if set.is_ok() {
                        return outcome;
                    }
                    (0..pauses).for_each(|_| spin_loop());
                    pauses = (pauses * 2).min(MOST_PAUSES);
                    // Acquire: as above.
                    seen = self.0.load(Ordering::Acquire);
                }
            }
        }
    }

    /// Sets QUEUED, so that the caller, who holds the queue's lock, is the only writer. Returns the state
    /// from before.
    pub(crate) fn freeze(&self) -> State {
        // Acquire: pairs with the Release of `transition`: what is published from here on is not what those
        // before decided by. And from here on every compare-and-swap fails, by the coherence of this one location.
        State(self.0.fetch_or(Mode::Queued as u64, Ordering::Acquire))
    }

    /// Writes the state, for the caller, who holds the queue's lock, after `freeze`. It ends there unless that is QUEUED.
    pub(crate) fn thaw(&self, state: State) {
        // Release: pairs with the Acquire of `transition`: who replaces this state sees the scale that
        // was published before it. A plain store is enough by invariant 2.
        self.0.store(state.0, Ordering::Release);
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}

#[cfg(test)]
mod tests;
