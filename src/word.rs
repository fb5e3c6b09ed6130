//! The packed state: the theoretical arrival time and two flags in one atomic, and the only
//! compare-and-swap loop on it.
//!
//! ```text
//! bit 63 ............................... 2     1       0
//!     theoretical arrival time (TAT), ticks  CREDIT  OWNED
//! ```
//!
//! | flag   | means                                                        | set and cleared by          |
//! |--------|--------------------------------------------------------------|-----------------------------|
//! | OWNED  | only the holder of the queue's lock writes the word          | the holder of the lock      |
//! | CREDIT | the queue drained late: grants to waiters may be dated before now, for a while | the holder of the lock |
//!
//! # Invariants
//! 1. The flags change only under the queue's lock.
//! 2. While OWNED is set, only the holder of the lock writes the word, so a plain store is enough.
//! 3. Without the lock the TAT only rises. Only the holder of the lock lowers it.
//! 4. By invariant 3 and the bases of the frames (`frame.rs`), an exchange that expects a number by which a call
//!    has decided succeeds only if that decision still holds.
//!
//! # Orderings
//! All changes to one location are seen in one order, so that an exchange that expects OWNED to be clear cannot succeed
//! once it is set. `Relaxed` would do for that. The orderings are for what goes with the word:
//! - *Thaw, Release; load, Acquire.* A call that decides by a word sees the frame that was published before the thaw.
//! - *Exchange, Release; freeze, Acquire.* What a call did before its exchange, such as reading its clock, comes before what
//!   the lock holder does after the freeze. So the lock holder's reading of the clock is not older.
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
//! - If the clock passes the TAT in between, another call starts from the present, and to take back then
//!   makes a permit: at 0, with a limit of 1, A adds 1 (2, too much), the clock goes to 3, B goes from there
//!   (4), and A takes 1 back (3): two are admitted at 3, B and the next.
//! - While OWNED is set the word is written by plain stores, which would lose what is added, and then taken
//!   back all the same.

use core::{fmt, hint::spin_loop};

use crate::sync::{AtomicU64, Ordering};

const OWNED: u64 = 0b01;
const CREDIT: u64 = 0b10;
const FLAGS: u64 = OWNED | CREDIT;

/// How many pauses there are after the first exchange that has failed, and at the most after one.
const FIRST_PAUSES: u32 = 16;
const MOST_PAUSES: u32 = 512;

/// The word, unpacked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(u64);

impl State {
    #[inline]
    pub(crate) const fn new(tat: u64, owned: bool, credit: bool) -> Self {
        Self((tat << 2) | (if owned { OWNED } else { 0 }) | (if credit { CREDIT } else { 0 }))
    }

    /// The theoretical arrival time.
    #[inline]
    pub(crate) const fn tat(self) -> u64 {
        self.0 >> 2
    }

    /// Whether only the holder of the queue's lock may write the word.
    #[inline]
    pub(crate) const fn is_owned(self) -> bool {
        self.0 & OWNED != 0
    }

    /// Whether the queue has left credit.
    #[inline]
    pub(crate) const fn has_credit(self) -> bool {
        self.0 & CREDIT != 0
    }

    /// The same flags with another TAT.
    #[inline]
    pub(crate) const fn with_tat(self, tat: u64) -> Self {
        Self((tat << 2) | (self.0 & FLAGS))
    }

    /// The word as a number.
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("tat", &self.tat())
            .field("owned", &self.is_owned())
            .field("credit", &self.has_credit())
            .finish()
    }
}

/// What to do with the word, and what to tell the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<T> {
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
        // Acquire: pairs with the Release of `thaw`, so that the frame that is read next is at least as new.
        State(self.0.load(Ordering::Acquire))
    }

    /// Applies `change` to the state until the state it saw is the one it replaced.
    ///
    /// A change that keeps the state writes nothing.
    pub(crate) fn transition<T>(&self, mut change: impl FnMut(State) -> Change<T>) -> T {
        let mut pauses = FIRST_PAUSES;
        loop {
            let seen = self.load();
            match change(seen) {
                Change::Keep(outcome) => return outcome,
                Change::Set(new, outcome) if self.exchange(seen, new) => return outcome,
                Change::Set(..) => {}
            }
            (0..pauses).for_each(|_| spin_loop());
            pauses = (pauses * 2).min(MOST_PAUSES);
        }
    }

    /// Replaces the state if it is still the one that was seen; whether it was. May fail by chance.
    #[inline]
    pub(crate) fn exchange(&self, seen: State, new: State) -> bool {
        // Release: pairs with the Acquire of `freeze`. Relaxed on failure: what it saw is not looked at.
        self.0.compare_exchange_weak(seen.0, new.0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Sets OWNED, so that the caller, who holds the queue's lock, is the only writer. Returns the state
    /// from before.
    pub(crate) fn freeze(&self) -> State {
        // Acquire: pairs with the Release of `transition`. And from here on every exchange fails, by the coherence of
        // this one location.
        State(self.0.fetch_or(OWNED, Ordering::Acquire))
    }

    /// Writes the state, for the caller, who holds the queue's lock, after `freeze`.
    pub(crate) fn thaw(&self, state: State) {
        // Release: pairs with the Acquire of `load`. A plain store is enough by invariant 2.
        self.0.store(state.0, Ordering::Release);
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
