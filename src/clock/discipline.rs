//! Keeps a fast counter to the system's monotonic clock.
//!
//! A processor's counter is fast to read, but cannot be trusted. It may differ between virtual processors by
//! seconds, start again at zero after a suspend, and drift from the system's clock. The system's monotonic
//! clock can be trusted, but takes longer to read. So [`Discipline`] returns a reading of the counter only where
//! it lies less than [`WINDOW`] after the last reading of the system's clock. Everything else is corrected by a
//! new reading of the system's clock, which a busy process then takes about once in a window.
//!
//! # What holds
//! `last` is a reading of the system's clock, and only grows. Every returned reading lies in
//! `last .. last + WINDOW`, for a value of `last` that the call has seen itself. It follows, whatever the
//! counter does and in whatever order threads run:
//!
//! - A reading lies less than a window ahead of the system's clock.
//! - A reading lies less than a window behind any reading that had been returned before the call began: the
//!   earlier call has seen the same `last` or a smaller one.
//!
//! A reading may lie far *behind the system's clock* only where the counter has lost time and, by chance, shows
//! a time of the window that is long over. The counter leaves that window within a millisecond.
//!
//! There is no lock, so that a process that forks in the middle of a call leaves nothing locked in its child.

use core::sync::atomic::{AtomicU64, Ordering};

/// How far a reading may lie ahead of the last reading of the system's clock, in nanoseconds.
pub(super) const WINDOW: u64 = 1_000_000;

/// The longest time, in nanoseconds, from one reading of the counter to the next, between which a reading of the
/// system's clock counts as taken at the same time. A thread that was preempted in between takes longer.
const MAX_BRACKET: u64 = 20_000;

/// How often a sample with too wide a bracket is taken again. Then the narrowest is used.
const TRIES: usize = 4;

/// The two clocks, in nanoseconds.
pub(super) trait Sources {
    /// The fast counter. Its origin does not matter. It may wrap around, jump and drift.
    fn counter(&self) -> u64;

    /// The system's monotonic clock.
    fn system(&self) -> u64;
}

/// A word that threads share. A trait, so that a test can come between any two accesses.
pub(super) trait Word {
    fn load(&self) -> u64;
    fn store(&self, value: u64);
    /// Sets the word to `value` if that is larger. Returns what the word was before.
    fn fetch_max(&self, value: u64) -> u64;
}

/// Relaxed suffices for all accesses. No access publishes other memory. All that is asked of the words is:
///
/// - `last` only grows, and a call that happens after another call sees the same `last` or a larger one. That is
///   coherence, which each single atomic has by itself. (It pairs with whatever orders the two calls.)
/// - `offset` may be any value ever stored, also one that does not belong to `last`: a reading outside the window
///   is thrown away, and a reading within the window is good, however it came about.
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

/// What all threads know of the two clocks.
#[derive(Debug)]
pub(super) struct Discipline<W = AtomicU64> {
    /// From the counter to the system's clock, modulo 2^64.
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
    /// The time by the system's clock, as far as the counter can tell it.
    #[inline]
    pub(super) fn now(&self, sources: &impl Sources) -> u64 {
        let reading = sources.counter().wrapping_add(self.offset.load());
        // A reading before `last` wraps around, and is not below the window either.
        if reading.wrapping_sub(self.last.load()) < WINDOW { reading } else { self.resynchronize(sources) }
    }

    /// Reads the system's clock, and lets the counter go on from there.
    #[cold]
    #[inline(never)]
    fn resynchronize(&self, sources: &impl Sources) -> u64 {
        let sample = Sample::take(sources);
        self.offset.store(sample.offset);
        // Another thread may have read the system's clock later, and come here first.
        self.last.fetch_max(sample.system).max(sample.system)
    }
}

/// Both clocks at one time.
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
            // If the counter went back, the bracket looks wider than any other.
            let bracket = after.wrapping_sub(before);
            if bracket <= narrowest {
                // By the later end: the offset then errs towards the past only.
                (offset, narrowest) = (system.wrapping_sub(after), bracket);
            }
            if bracket <= MAX_BRACKET {
                break;
            }
        }
        // The latest reading of the system's clock is good, however wide its bracket.
        Self { system, offset }
    }
}
