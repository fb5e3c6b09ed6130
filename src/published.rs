//! The scale and its origin, readable by everybody while the holder of the queue's lock replaces it.
//!
//! By a sequence lock (`seq_lock.rs`). The hot path reads the word, then the fields, decides, swaps the word, and then
//! asks whether the sequence number is still the one it began with.
//!
//! # Invariants
//! 1. Only the holder of the queue's lock publishes, and only while the word is frozen.
//! 2. The word says of which parity the scale is that it counts by, unless it is frozen or lingers. (The sequence number
//!    goes up by two with every publication.)
//! 3. What counts in ticks of the scale and is read without the lock while the word is frozen, that word among it, is
//!    changed to another scale while the sequence number is odd. So a reader that finds the same number before and after
//!    has read all of it by one scale.
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
//! word was read: then it went by one scale (invariant 3).
//!
//! The exchange has Release, and the freezing of the word Acquire, so that who swaps before it is frozen has read
//! no field that was written after.

mod seq_lock;

pub(crate) use seq_lock::SeqLock;

use crate::{gcra::Scale, word::Mode};

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
pub(crate) struct Published(SeqLock<FIELDS>);

impl Published {
    pub(crate) fn new(frame: Frame) -> Self {
        Self(SeqLock::new(pack(frame)))
    }

    /// The frame and its edition, read whole; `None` while it is being replaced.
    #[inline]
    pub(crate) fn read(&self) -> Option<(Edition, Frame)> {
        let edition = self.read_edition()?;
        let frame = self.frame();
        self.is_current(edition).then_some((edition, frame))
    }

    /// The edition; `None` while the frame is being replaced.
    #[inline]
    pub(crate) fn read_edition(&self) -> Option<Edition> {
        self.0.begin().map(Edition)
    }

    /// Whether the frame of that edition is still the current one: what was read since it was is by that.
    #[inline]
    pub(crate) fn is_current(&self, edition: Edition) -> bool {
        self.0.since(edition.0) == 0
    }

    /// Whether an exchange that replaced a state of that mode, by the frame of that edition, counts.
    #[inline]
    pub(crate) fn counts(&self, edition: Edition, mode: Mode) -> bool {
        // Up to the beginning of the second publication since.
        self.0.since(edition.0) <= if mode == Mode::Linger { 0 } else { 3 }
    }

    /// The edition, for the holder of the queue's lock, who alone could change it.
    pub(crate) fn edition(&self) -> Edition {
        Edition(self.0.number())
    }

    /// The frame: for the holder of the queue's lock, who alone could change it, or as far as its edition turns out to
    /// be current.
    #[inline]
    pub(crate) fn frame(&self) -> Frame {
        unpack(self.0.values())
    }

    /// Replaces the frame, and meanwhile, by `along`, all that is read with it (invariant 3). The caller holds the
    /// queue's lock and has frozen the word.
    pub(crate) fn publish(&self, frame: Frame, along: impl FnOnce()) {
        self.0.replace(pack(frame), along);
    }
}

#[inline]
const fn unpack(values: [u64; FIELDS]) -> Frame {
    let [origin_ns, per_permit, limit, rate_whole, rate_fraction, horizon_ns, catch_up] = values;
    let scale = Scale { per_permit, limit, rate_whole, rate_fraction, horizon_ns, catch_up };
    Frame { origin_ns, scale }
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
