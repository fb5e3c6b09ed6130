//! The scale and its origin, readable by everybody while the holder of the queue's lock replaces it.
//!
//! A sequence lock. The hot path reads the word, then the fields, decides, swaps the word, and then asks whether
//! the sequence number is still the one it began with.
//!
//! # Invariants
//! 1. `sequence` is odd while the fields are being written, and goes up by two with every publication.
//! 2. Only the holder of the queue's lock publishes, and only while the word is frozen.
//! 3. The word says of which parity the scale is that it counts by, unless it is frozen or lingers.
//! 4. What counts in ticks of the scale and is read without the lock while the word is frozen, that word among it, is
//!    changed to another scale while `sequence` is odd. So a reader that finds the same number before and after has read
//!    all of it by one scale.
//!
//! # Why a stale scale cannot pass
//! A caller that has read the word, with Acquire, finds fields that are at least as new. If they are of the other
//! parity, it leaves the word alone. Else, if there is a publication after it has read the sequence number:
//! - If it swaps the word before that is frozen, nothing is wrong: it went by the scale of that time, and what it
//!   took is in the word that is converted.
//! - If the word is frozen, its exchange fails, and the retry sees QUEUED.
//! - If the word has been thawed, it is of the other parity, and its exchange fails.
//! - If there has been yet another publication, and the word has been thawed with the very value that the caller saw,
//!   the exchange succeeds (ABA). It then read, with Acquire, a value stored with Release after two publications;
//!   so the second look at the sequence number sees both, and the caller takes its step back under the lock.
//!
//! What is left is a caller that swaps the word in time, and then is held up until there have been two publications
//! before it takes its second look: it cannot tell this from the last case. It gives back if nobody has built on its
//! word, and takes once more under the lock; else a permit of its is lost. None is ever made by that.
//!
//! So an exchange that has succeeded counts if the second look sees no more than one publication. (Where the word
//! lingers, it has no parity, and the second look has to see none.)
//!
//! A call that is refused makes no exchange that could fail. It counts if there has been no publication since before the
//! word was read: then it went by one scale (invariant 4).
//!
//! # Orderings
//! Writer: odd `sequence`, Release fence, fields, even `sequence` with Release. Reader: `sequence` with
//! Acquire (pairs with the last store: the fields are at least as new), fields, Acquire fence (pairs with
//! the Release fence: a field from a later publication implies that its odd number is seen), `sequence`.
//! The exchange has Release, and the freezing of the word Acquire, so that who swaps before it is frozen has read
//! no field that was written after.

use crate::{
    gcra::Scale,
    sync::{AtomicU64, Ordering, fence},
    word::Mode,
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

/// Which publication a frame was read from: its even sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edition(u64);

impl Edition {
    /// The mode of a word that nobody waits for and that counts by this scale.
    #[inline]
    pub(crate) const fn clear(self) -> Mode {
        Mode::clear(self.0 & 2 != 0)
    }
}

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

    /// The frame and its edition, read whole; `None` while it is being replaced.
    #[inline]
    pub(crate) fn read(&self) -> Option<(Edition, Frame)> {
        let edition = self.read_edition()?;
        let frame = self.fields();
        self.is_current(edition).then_some((edition, frame))
    }

    /// The edition; `None` while the frame is being replaced.
    #[inline]
    pub(crate) fn read_edition(&self) -> Option<Edition> {
        // Acquire: pairs with the last store of `publish`.
        let sequence = self.sequence.load(Ordering::Acquire);
        (sequence & 1 == 0).then_some(Edition(sequence))
    }

    /// Whether the frame of that edition is still the current one: what was read since it was is by that.
    #[inline]
    pub(crate) fn is_current(&self, edition: Edition) -> bool {
        self.since(edition) == 0
    }

    /// Whether an exchange that replaced a state of that mode, by the frame of that edition, counts.
    #[inline]
    pub(crate) fn counts(&self, edition: Edition, mode: Mode) -> bool {
        // Up to the beginning of the second publication since.
        self.since(edition) <= if mode == Mode::Linger { 0 } else { 3 }
    }

    /// By how much the sequence number has grown.
    #[inline]
    fn since(&self, edition: Edition) -> u64 {
        // Acquire fence: pairs with the Release fence of `publish`, through any field read before.
        fence(Ordering::Acquire);
        // Relaxed: ordered after the reads of the fields by the fence above.
        self.sequence.load(Ordering::Relaxed) - edition.0
    }

    /// The edition, for the holder of the queue's lock, who alone could change it.
    pub(crate) fn edition(&self) -> Edition {
        // Relaxed: ordered by the lock.
        Edition(self.sequence.load(Ordering::Relaxed))
    }

    /// The frame, for the holder of the queue's lock, who alone could change it.
    #[inline]
    pub(crate) fn frame(&self) -> Frame {
        self.fields()
    }

    /// Replaces the frame, and meanwhile, by `along`, all that is read with it (invariant 4). The caller holds the
    /// queue's lock and has frozen the word.
    pub(crate) fn publish(&self, frame: Frame, along: impl FnOnce()) {
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
        along();
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

#[cfg(test)]
mod tests;
