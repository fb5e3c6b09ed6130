//! The scale and its origin, readable by everybody while the holder of the queue's lock replaces it.
//!
//! A sequence lock. The hot path reads the word, then the fields, decides, swaps the word, and then asks whether
//! the sequence number is still the one it began with.
//!
//! # Invariants
//! 1. `sequence` is odd while the fields are being written, and goes up by two with every publication.
//! 2. Only the holder of the queue's lock publishes, and only while the word is frozen.
//!
//! # Why a stale scale cannot pass
//! A caller that has read the word, with Acquire, finds fields that are at least as new. If they are newer, or it
//! read them before or during another publication, and then tries to swap the word:
//! - If the word was frozen meanwhile, its exchange fails, and the retry sees QUEUED.
//! - If the word has been thawed with another value, its exchange fails.
//! - If it has been thawed with the very value that the caller saw, the exchange succeeds (ABA). It then
//!   read, with Acquire, a value stored with Release after the publication. If its fields were older, the second
//!   look at the sequence number sees the change, and the caller takes its step back under the lock.
//!
//! # Orderings
//! Writer: odd `sequence`, Release fence, fields, even `sequence` with Release. Reader: `sequence` with
//! Acquire (pairs with the last store: the fields are at least as new), fields, Acquire fence (pairs with
//! the Release fence: a field from a later publication implies that its odd number is seen), `sequence`.

use crate::{
    gcra::Scale,
    sync::{AtomicU64, Ordering, fence},
};

/// A scale and the clock reading from which its ticks are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) origin_ns: u64,
    pub(crate) scale: Scale,
}

impl Frame {
    /// A frame for a present of `now_ns`, and the tick of that present. The origin lies some way back, so
    /// that earlier readings can be told apart: those that late grants are dated at, and those of a clock
    /// that steps back.
    pub(crate) fn at(scale: Scale, now_ns: u64) -> (Self, u64) {
        let room_ns = scale.instant(scale.limit.saturating_add(scale.catch_up));
        let room_ns = room_ns.min(scale.horizon_ns / 2).min(now_ns);
        (Self { origin_ns: now_ns - room_ns, scale }, scale.tick(room_ns).unwrap_or(0))
    }

    /// The tick of a clock reading; zero before the origin, `None` beyond the horizon.
    #[inline]
    pub(crate) const fn tick(&self, now_ns: u64) -> Option<u64> {
        self.scale.tick(now_ns.saturating_sub(self.origin_ns))
    }

    /// The first clock reading at which an admission that makes this the arrival time conforms.
    pub(crate) fn instant_of(&self, tat: u128) -> u64 {
        let tick = tat.saturating_sub(u128::from(self.scale.limit));
        u64::try_from(tick).map_or(u64::MAX, |tick| self.instant(tick))
    }

    /// The first clock reading at which the tick is reached.
    pub(crate) fn instant(&self, tick: u64) -> u64 {
        self.origin_ns.saturating_add(self.scale.instant(tick))
    }
}

/// Which publication a frame was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edition(u64);

const FIELDS: usize = 7;

#[derive(Debug)]
pub(crate) struct Published {
    sequence: AtomicU64,
    fields: [AtomicU64; FIELDS],
}

impl Published {
    pub(crate) fn new(frame: Frame) -> Self {
        Self { sequence: AtomicU64::new(0), fields: pack(frame).map(AtomicU64::new) }
    }

    /// The frame and its edition; `None` while it is being replaced.
    #[inline]
    pub(crate) fn read(&self) -> Option<(Edition, Frame)> {
        // Acquire: pairs with the last store of `publish`.
        let sequence = self.sequence.load(Ordering::Acquire);
        if sequence & 1 != 0 {
            return None;
        }
        Some((Edition(sequence), self.fields()))
    }

    /// Whether the frame of that edition is still the current one, and was read whole.
    #[inline]
    pub(crate) fn is_current(&self, edition: Edition) -> bool {
        // Acquire fence: pairs with the Release fence of `publish`, through any field read before.
        fence(Ordering::Acquire);
        // Relaxed: ordered after the reads of the fields by the fence above.
        self.sequence.load(Ordering::Relaxed) == edition.0
    }

    /// The frame, for the holder of the queue's lock, who alone could change it.
    #[inline]
    pub(crate) fn frame(&self) -> Frame {
        self.fields()
    }

    /// Replaces the frame. The caller holds the queue's lock and has frozen the word.
    pub(crate) fn publish(&self, frame: Frame) {
        // Relaxed: only the holder of the lock writes it.
        let sequence = self.sequence.load(Ordering::Relaxed);
        // Relaxed: made visible before the fields by the fence.
        self.sequence.store(sequence + 1, Ordering::Relaxed);
        // Release fence: pairs with the Acquire fence of `is_current`.
        fence(Ordering::Release);
        for (field, value) in self.fields.iter().zip(pack(frame)) {
            // Relaxed: between the fence above and the Release below.
            field.store(value, Ordering::Relaxed);
        }
        // Release: pairs with the Acquire of `read`.
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    #[inline]
    fn fields(&self) -> Frame {
        // Relaxed: ordered by the Acquire of `read` and the fence of `is_current`, or by the lock.
        let field = |i: usize| self.fields[i].load(Ordering::Relaxed);
        Frame {
            origin_ns: field(0),
            scale: Scale {
                per_permit: field(1),
                limit: field(2),
                rate_whole: field(3),
                rate_fraction: field(4),
                horizon_ns: field(5),
                catch_up: field(6),
            },
        }
    }
}

fn pack(Frame { origin_ns, scale }: Frame) -> [u64; FIELDS] {
    [
        origin_ns,
        scale.per_permit,
        scale.limit,
        scale.rate_whole,
        scale.rate_fraction,
        scale.horizon_ns,
        scale.catch_up,
    ]
}
