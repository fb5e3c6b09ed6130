//! The packed state: the theoretical arrival time (TAT) and two flags in one atomic, and the only compare-and-swap loop
//! on it.
//!
//! ```text
//! bit 63 ............................... 2     1       0
//!     theoretical arrival time (TAT), ticks  CREDIT  OWNED
//! ```
//!
//! | flag   | meaning                                                                             |
//! |--------|-------------------------------------------------------------------------------------|
//! | OWNED  | only the holder of the queue's lock writes the word                                 |
//! | CREDIT | the queue drained late: for a while, grants to waiters may be dated before now      |
//!
//! # Invariants
//! 1. The flags change only under the queue's lock.
//! 2. While OWNED is set, only the lock holder writes the word, so a plain store is enough.
//! 3. Without the lock the TAT only rises. Only the lock holder lowers it.
//! 4. By invariant 3 and the bases of the frames (`frame.rs`), an exchange succeeds only if the decision that was made
//!    by the expected number still holds.
//!
//! # Orderings
//! All threads see the changes of one location in the same order, so an exchange that expects OWNED to be clear fails
//! once OWNED is set. The orderings at the accesses serve what is read beside the word.
//!
//! # Contention
//! An exchange fails because another thread's came first. To retry at once would take the cache line from that thread
//! before its next call. So the loser pauses, at first for about a quarter of a microsecond, and twice as long after
//! each further failure. Two threads that do nothing else both get more than twice as much done.
//!
//! A `fetch_add` that is undone if the request does not conform would be wrong. Until it is undone, a call that
//! conforms can be refused. While OWNED is set, a plain store loses the addition, but not the undoing. And undoing can
//! make a permit: with limit 1 and TAT 1 at 0, A adds 1 (2, too much); at 3, B is admitted (4); A takes 1 back (3); now
//! a second call is admitted at 3.

use core::{fmt, hint::spin_loop};

use crate::sync::{AtomicU64, Ordering};

const OWNED: u64 = 0b01;
const CREDIT: u64 = 0b10;
const FLAGS: u64 = OWNED | CREDIT;

/// The pauses after the first exchange that fails, and the most after one.
const FIRST_PAUSES: u32 = 16;
const MOST_PAUSES: u32 = 512;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(u64);

impl State {
    #[inline]
    pub(crate) const fn new(tat: u64, owned: bool, credit: bool) -> Self {
        Self((tat << 2) | (if owned { OWNED } else { 0 }) | (if credit { CREDIT } else { 0 }))
    }

    #[inline]
    pub(crate) const fn tat(self) -> u64 {
        self.0 >> 2
    }

    #[inline]
    pub(crate) const fn is_owned(self) -> bool {
        self.0 & OWNED != 0
    }

    #[inline]
    pub(crate) const fn has_credit(self) -> bool {
        self.0 & CREDIT != 0
    }

    #[inline]
    pub(crate) const fn with_tat(self, tat: u64) -> Self {
        Self((tat << 2) | (self.0 & FLAGS))
    }

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

/// What to do with the word, and the outcome for the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<T> {
    /// Replace the state, unless another thread has changed it.
    Set(State, T),
    Keep(T),
}

pub(crate) struct Word(AtomicU64);

impl Word {
    pub(crate) fn new(state: State) -> Self {
        Self(AtomicU64::new(state.0))
    }

    #[inline]
    pub(crate) fn load(&self) -> State {
        // Acquire: pairs with the Release of `thaw`, so that the frame read next is at least as new.
        State(self.0.load(Ordering::Acquire))
    }

    /// Applies `change` to the state, again if another thread's exchange came first. To keep the state writes nothing.
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

    /// Replaces the state if it is still `seen`. Returns whether it did. May fail spuriously.
    #[inline]
    pub(crate) fn exchange(&self, seen: State, new: State) -> bool {
        // Release: pairs with the Acquire of `freeze`, so that the lock holder reads its clock after this call read its
        // own. Relaxed on failure: the value is not used.
        self.0.compare_exchange_weak(seen.0, new.0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Sets OWNED, so that only the lock holder writes the word. Returns the state before.
    pub(crate) fn freeze(&self) -> State {
        // Acquire: pairs with the Release of `exchange`. Every exchange fails from here on, by the coherence of the
        // word.
        State(self.0.fetch_or(OWNED, Ordering::Acquire))
    }

    /// Writes the state after `freeze`. The caller holds the queue's lock.
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
