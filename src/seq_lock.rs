//! A sequence lock: a few numbers that any thread reads whole without a lock, while one writer at a time replaces them.
//!
//! # Invariants
//! 1. The sequence number is odd while the values are being written, and goes up by two with every replacement.
//! 2. A reader that finds the same even number before and after has read the values of that one replacement.
//!
//! # Orderings
//! Writer: odd number, Release fence, values, even number with Release. Reader: number with Acquire (pairs with the last
//! store: the values are at least as new), values, Acquire fence (pairs with the Release fence: a value from a later
//! replacement implies that its odd number is seen), number. (Boehm, "Can seqlocks get along with programming language
//! memory models?", 2012.)

use crate::sync::{AtomicU64, Ordering, fence};

#[derive(Debug)]
pub(crate) struct SeqLock<const N: usize> {
    sequence: AtomicU64,
    values: [AtomicU64; N],
}

impl<const N: usize> SeqLock<N> {
    pub(crate) fn new(values: [u64; N]) -> Self {
        Self { sequence: AtomicU64::new(0), values: values.map(AtomicU64::new) }
    }

    /// The sequence number; `None` while the values are being replaced.
    #[inline]
    pub(crate) fn begin(&self) -> Option<u64> {
        // Acquire: pairs with the last store of `replace`.
        let sequence = self.sequence.load(Ordering::Acquire);
        (sequence & 1 == 0).then_some(sequence)
    }

    /// The values. They belong together if the number that `begin` gave [is current](Self::is_current) afterwards.
    #[inline]
    pub(crate) fn values(&self) -> [u64; N] {
        // Relaxed: ordered by the Acquire of `begin` and the fence of `is_current`.
        core::array::from_fn(|i| self.values[i].load(Ordering::Relaxed))
    }

    /// Whether nothing has been replaced since the sequence number was that.
    #[inline]
    pub(crate) fn is_current(&self, number: u64) -> bool {
        // Acquire fence: pairs with the Release fence of `replace`, through any value read before.
        fence(Ordering::Acquire);
        // Relaxed: ordered after the reads of the values by the fence above.
        self.sequence.load(Ordering::Relaxed) == number
    }

    /// Replaces the values, and does `along` meanwhile. One writer at a time.
    pub(crate) fn replace(&self, values: [u64; N], along: impl FnOnce()) {
        // Relaxed: made visible before the values by the fence.
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        // Release fence: pairs with the Acquire fence of `is_current`.
        fence(Ordering::Release);
        for (held, value) in self.values.iter().zip(values) {
            // Relaxed: between the fence above and the Release below.
            held.store(value, Ordering::Relaxed);
        }
        along();
        // Release: pairs with the Acquire of `begin`.
        self.sequence.store(sequence + 2, Ordering::Release);
    }
}
