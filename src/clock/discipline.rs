//! Keeps a fast counter to the system's monotonic clock.
//!
//! A processor's counter is fast to read, but may differ between virtual processors by seconds, restart at zero after a
//! suspend, and drift. The system's monotonic clock is reliable, but slower to read. So [`Discipline`] returns a
//! reading of the counter only if it lies less than [`WINDOW`] after the last reading of the system's clock. Otherwise
//! it reads the system's clock again, in a busy process about once per window.
//!
//! # Invariants
//! `last` is a reading of the system's clock, and only grows. Every returned reading lies in `last .. last + WINDOW`,
//! for a value of `last` that the call has seen. So, whatever the counter does and in whatever order threads run:
//!
//! - A reading lies less than a window ahead of the system's clock.
//! - A reading lies less than a window behind any reading that was returned before the call began: the earlier call saw
//!   the same `last` or a smaller one.
//!
//! A reading lies further behind the system's clock only if the counter has lost time and by chance shows a time in an
//! old window. The counter leaves that window within a millisecond.
//!
//! There is no lock, so that a fork in the middle of a call leaves nothing locked in the child. (Where the processor has no
//! 64-bit atomics, there is one for the time of a single access.)

use core::sync::atomic::Ordering;

use crate::sync::plain::AtomicU64;

/// How far a reading may lie ahead of the last reading of the system's clock, in nanoseconds.
pub(super) const WINDOW: u64 = 1_000_000;

/// The longest bracket, in nanoseconds: the time between the two readings of the counter around a reading of the
/// system's clock. A thread that was preempted in between takes longer.
const MAX_BRACKET: u64 = 20_000;

/// How many samples are taken if brackets are too wide. Then the narrowest is used.
const TRIES: usize = 4;

/// The two clocks, in nanoseconds.
pub(super) trait Sources {
    /// The fast counter. It may wrap around, jump and drift, and its origin does not matter.
    fn counter(&self) -> u64;

    /// The system's monotonic clock.
    fn system(&self) -> u64;
}

/// A word that threads share. A trait, so that a test can run code between any two accesses.
pub(super) trait Word {
    fn load(&self) -> u64;
    fn store(&self, value: u64);
    /// Sets the word to `value` if that is larger. Returns the previous value.
    fn fetch_max(&self, value: u64) -> u64;
}

/// Relaxed is enough for all accesses, because no access publishes other memory:
///
/// - `last` only grows, and a call that happens after another call sees the same `last` or a larger one. Coherence of a
///   single atomic gives that, together with whatever orders the two calls.
/// - `offset` may be any value ever stored, also one that does not belong to `last`: a reading outside the window is
///   discarded, and every reading within the window is good.
impl Word for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn store(&self, value: u64) {
        self.store(value, Ordering::Relaxed);
    }

    #[inline]
    fn fetch_max(&self, value: u64) -> u64 {
        self.fetch_max(value, Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(super) struct Discipline<W = AtomicU64> {
    /// The system's clock less the counter, modulo 2^64.
    pub(super) offset: W,
    /// The latest reading of the system's clock.
    pub(super) last: W,
}

impl Discipline {
    pub(super) fn new(sources: &impl Sources) -> Self {
        let sample = Sample::take(sources);
        Self { offset: sample.offset.into(), last: sample.system.into() }
    }
}

impl<W: Word> Discipline<W> {
    /// The time of the system's clock, by the counter if possible.
    #[inline]
    pub(super) fn now(&self, sources: &impl Sources) -> u64 {
        let reading = sources.counter().wrapping_add(self.offset.load());
        // A reading before `last` wraps around, and so is not below `WINDOW` either.
        if reading.wrapping_sub(self.last.load()) < WINDOW { reading } else { self.resynchronize(sources) }
    }

    /// Reads the system's clock, and sets the offset of the counter to it.
    #[cold]
    #[inline(never)]
    fn resynchronize(&self, sources: &impl Sources) -> u64 {
        let sample = Sample::take(sources);
        self.offset.store(sample.offset);
        // Another thread may have stored a later reading already.
        self.last.fetch_max(sample.system).max(sample.system)
    }
}

/// A reading of both clocks at the same time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    system: u64,
    offset: u64,
}

impl Sample {
    fn take(sources: &impl Sources) -> Self {
        let (mut system, mut offset, mut narrowest) = (0, 0, u64::MAX);
        for _ in 0..TRIES {
            let before = sources.counter();
            system = sources.system();
            let after = sources.counter();
            // If the counter went back, the difference wraps around and looks wide.
            let bracket = after.wrapping_sub(before);
            if bracket <= narrowest {
                // By the later reading: the offset then errs only towards the past.
                (offset, narrowest) = (system.wrapping_sub(after), bracket);
            }
            if bracket <= MAX_BRACKET {
                break;
            }
        }
        // The latest reading of the system's clock is good with any bracket.
        Self { system, offset }
    }
}
