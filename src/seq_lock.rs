//! A sequence lock: any thread reads a few numbers as a consistent set without a lock, while one writer at a time
//! replaces them. (Boehm, "Can seqlocks get along with programming language memory models?", 2012.)
//!
//! # Invariants
//! 1. The sequence number is odd while the values are being written, and goes up by two with every replacement.
//! 2. A reader that finds the same even number before and after has read the values of one replacement.

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
        // Acquire: pairs with the last store of `replace`, so that the values are at least as new.
        let sequence = self.sequence.load(Ordering::Acquire);
        (sequence & 1 == 0).then_some(sequence)
    }

    /// The values. They are consistent if [`is_current`](Self::is_current) holds afterwards.
    #[inline]
    pub(crate) fn values(&self) -> [u64; N] {
        // Relaxed: ordered by the Acquire of `begin` and the fence of `is_current`.
        core::array::from_fn(|i| self.values[i].load(Ordering::Relaxed))
    }

    /// Whether no replacement has begun since `begin` returned `number`.
    #[inline]
    pub(crate) fn is_current(&self, number: u64) -> bool {
        // Acquire fence: pairs with the Release fence of `replace`. If a value read before is from a later replacement,
        // its odd number is seen below.
        fence(Ordering::Acquire);
        // Relaxed: ordered after the reads of the values by the fence above.
        self.sequence.load(Ordering::Relaxed) == number
    }

    /// Replaces the values, and runs `along` while no reader can succeed. One writer at a time.
    pub(crate) fn replace(&self, values: [u64; N], along: impl FnOnce()) {
        // Relaxed: visible before the values, by the fence below.
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
