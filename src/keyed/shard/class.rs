//! A class of keys in one shard: its quota and its frame; and the words of keys.
//!
//! ```text
//! bit 63 .. 61 60 ..................................... 0
//!     class     theoretical arrival time (TAT), in ticks of the frame of the class
//! ```
//!
//! # Why the class is a part of the word
//! A key may change its class at any time, and a TAT means nothing without the scale by which it was counted. So the class
//! must change in the same exchange as the TAT. In the word it does, it costs no memory, and a hit compares it where it
//! compared a mark of promoted keys anyhow. 61 bits are left for the TAT, which is enough for [`Quota::UNLIMITED`], and for
//! every bucket that fills within years; [`scale_of`] refuses others.
//!
//! A table for each class would have to move a key with its level from one to another, under two locks, and `max_keys` would no
//! longer be one number. A byte beside the word would make a cell of eight bytes and a word half as large again.

use core::ops::{Index, IndexMut};

use crate::{
    error::{Denied, QuotaError, TooMany},
    frame::Frame,
    gcra::Scale,
    meter::Snapshot,
    permits::Permits,
    queue::LevelAt,
    quota::Quota,
};

const TAT_BITS: u32 = 61;
const MAX_TAT: u64 = (1 << TAT_BITS) - 1;

/// The class of words whose key has a limiter of its own, and so the number of other classes.
pub(crate) const PROMOTED: usize = 7;

/// How long a frame lasts at least, in nanoseconds: a minute. At its end the shard converts its words.
const MIN_HORIZON_NS: u64 = 60_000_000_000;

#[inline]
pub(super) const fn pack(class: usize, tat: u64) -> u64 {
    ((class as u64) << TAT_BITS) | tat
}

#[inline]
pub(super) const fn class_of(word: u64) -> usize {
    (word >> TAT_BITS) as usize
}

#[inline]
pub(super) const fn tat_of(word: u64) -> u64 {
    word & MAX_TAT
}

/// The scale of a quota for keys.
pub(crate) fn scale_of(quota: &Quota) -> Result<Scale, QuotaError> {
    if quota.initial() != quota.burst() && !quota.is_blocked() {
        return Err(QuotaError::InitialOfKeys { initial: quota.initial() });
    }
    let scale = Scale::new(quota)?;
    let most = MAX_TAT.saturating_sub(scale.span(MIN_HORIZON_NS)) / 2;
    if scale.limit > most {
        return Err(QuotaError::BurstTooDeep { burst: quota.burst(), max: most / scale.per_permit });
    }
    Ok(scale)
}

#[derive(Clone, Copy)]
pub(super) struct Class {
    /// The last quota that was not blocked, if it is blocked now: then it stays with the frame.
    quota: Quota,
    frame: Frame,
}

impl Class {
    pub(super) fn new(quota: Quota, scale: Scale, now_ns: u64) -> Self {
        let frame = if quota.is_blocked() { blocked(scale) } else { Frame::within(scale, now_ns, MAX_TAT).0 };
        Self { quota, frame }
    }

    /// The class by another quota.
    pub(super) fn with_quota(&self, quota: Quota, scale: Scale, now_ns: u64) -> Self {
        if quota.is_blocked() {
            Self { quota: self.quota, frame: blocked(*self.frame.scale()) }
        } else {
            Self::new(quota, scale, now_ns)
        }
    }

    /// The same class with a new frame, if this one has no tick for the reading.
    pub(super) fn caught_up(&self, now_ns: u64) -> Option<Self> {
        let stale = self.frame.tick(now_ns).is_none();
        stale.then(|| Self { frame: Frame::within(*self.frame.scale(), now_ns, MAX_TAT).0, ..*self })
    }

    /// The quota in force.
    pub(super) const fn quota(&self) -> Quota {
        if self.is_blocked() { Quota::BLOCKED } else { self.quota }
    }

    /// The quota of the frame, also if the class is blocked.
    pub(super) const fn quota_of_frame(&self) -> Quota {
        self.quota
    }

    pub(super) const fn is_blocked(&self) -> bool {
        self.frame.resumes_ns() > 0
    }

    #[inline]
    pub(super) const fn frame(&self) -> &Frame {
        &self.frame
    }

    #[inline]
    pub(super) const fn scale(&self) -> &Scale {
        self.frame.scale()
    }

    /// The tick of a clock reading, for which there is one under the write lock: the shard has caught up.
    pub(super) fn now(&self, now_ns: u64) -> u64 {
        self.frame.tick(now_ns).unwrap_or_else(|| self.frame.base())
    }

    /// The TAT of a key that is not in the table: its bucket is full, or empty if the class is blocked.
    pub(super) fn fresh(&self, now: u64) -> u64 {
        now + (self.quota.burst() - self.quota.initial()) * self.scale().per_permit
    }

    pub(super) fn too_many(&self, permits: Permits) -> Denied {
        TooMany::new(permits, self.quota.burst(), self.quota.burst()).into()
    }

    pub(super) const fn level_at(&self, tat: u64, now: u64, now_ns: u64) -> LevelAt {
        LevelAt::of_word(Snapshot { frame: self.frame, tat, now }, now_ns)
    }

    /// What a TAT of this class is in the next frame of the class.
    pub(super) fn tat_in_next(&self, next: &Self, tat: u64, now_ns: u64) -> u64 {
        // A reading before the origin is a step back, by which a bucket counts as empty at most.
        let ahead = self.frame.ahead(tat, now_ns).clamp(0, next.scale().limit.into());
        next.now(now_ns) + ahead as u64
    }

    /// What a TAT of this class is by another quota: the level stays, up to the new burst. A full bucket is full again.
    pub(super) fn tat_in(&self, other: &Self, tat: u64, now_ns: u64) -> u64 {
        let (old_now, now) = (self.now(now_ns), other.now(now_ns));
        if other.quota.is_unlimited() || tat <= old_now {
            return other.fresh(now);
        }
        let (old, new) = (self.scale(), other.scale());
        let level = u128::from(old.limit - (tat - old_now).min(old.limit));
        let level = level * u128::from(new.per_permit) / u128::from(old.per_permit);
        now + u128::from(new.limit).saturating_sub(level) as u64
    }
}

/// The classes of a shard.
pub(super) struct Classes {
    /// Class 0, in place: most tables have no other.
    first: Class,
    others: Box<[Class]>,
}

impl Classes {
    /// At least one class, and at most [`PROMOTED`].
    pub(super) fn new(quotas: &[(Quota, Scale)], now_ns: u64) -> Self {
        let mut classes = quotas.iter().map(|(quota, scale)| Class::new(*quota, *scale, now_ns));
        let Some(first) = classes.next() else { unreachable!("a table has class 0") };
        Self { first, others: classes.collect() }
    }

    pub(super) const fn len(&self) -> usize {
        1 + self.others.len()
    }

    /// `None` for [`PROMOTED`], and other numbers that are no class.
    pub(super) fn get(&self, class: usize) -> Option<&Class> {
        if class == 0 { Some(&self.first) } else { self.others.get(class - 1) }
    }
}

impl Index<usize> for Classes {
    type Output = Class;

    #[inline]
    fn index(&self, class: usize) -> &Class {
        if class == 0 { &self.first } else { &self.others[class - 1] }
    }
}

impl IndexMut<usize> for Classes {
    fn index_mut(&mut self, class: usize) -> &mut Class {
        if class == 0 { &mut self.first } else { &mut self.others[class - 1] }
    }
}

/// A frame in which time stands still.
fn blocked(scale: Scale) -> Frame {
    Frame::within(scale, u64::MAX, MAX_TAT).0.with_pause(u64::MAX)
}
