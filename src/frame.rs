//! The frame: scale and origin of the number in the word, published by a sequence lock (`seq_lock.rs`).
//!
//! # Numbers never repeat
//! A frame has a *base*: the tick of its origin. Only the lock holder publishes frames. It knows the highest number
//! that the word has held, because only the lock holder lowers the word. Each new base is above that number. So an
//! exchange that expects a number from before a publication fails after it.
//!
//! All ticks of a frame are at least its base: a clock reading before the origin takes the lock, which begins a new
//! frame, and the floor of a waiter is clamped. So a call without the lock meets one of these:
//! - *An old word with a newer frame.* The word is below the base, so the decision is to admit, and the exchange fails
//!   because the word has changed. A report makes no exchange, and takes the lock for a word below the base.
//! - *Never a new word with an older frame.* The word is loaded with Acquire, and the thaw that wrote it with Release
//!   came after the publication.
//!
//! # A pause
//! During a pause the bucket stands still, at the time at which the pause ends: each reading before the end counts as
//! the end. So nothing accrues, and whatever is due is due at the end or later.
//!
//! # When the numbers are used up
//! A frame has room for at least an hour. A publication uses up the time since the last one, the catch-up, and at most
//! a full burst. When less than an hour is left above the highest number, the base starts again at zero, and numbers
//! may repeat: with common quotas after thousands of publications, with a bucket that takes weeks to fill maybe after a
//! few. To take permits by an old frame, a call would have to be held up between its load and its exchange during all
//! of these publications, and then find the very number that it loaded.

use crate::{
    gcra::{MAX_TAT, MIN_HORIZON_NS, SKEW_NS, Scale},
    seq_lock::SeqLock,
    sync::{AtomicU64, Ordering},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    origin_ns: u64,
    base: u64,
    /// The longest time after the origin that can be converted, in nanoseconds.
    horizon_ns: u64,
    scale: Scale,
    /// The end of a pause, or zero. Until then all readings count as this one.
    resumes_ns: u64,
}

impl Frame {
    /// The first frame of a limiter, and the tick of `now_ns` in it.
    pub(crate) fn first(scale: Scale, now_ns: u64) -> (Self, u64) {
        Self::at(scale, now_ns, 0)
    }

    /// As [`first`](Self::first), with ticks up to `most` rather than [`MAX_TAT`].
    #[cfg(feature = "keyed")]
    pub(crate) fn within(scale: Scale, now_ns: u64, most: u64) -> (Self, u64) {
        Self::up_to(scale, now_ns, 0, most)
    }

    /// The frame after one without a number above `highest`, with room for a TAT `ahead` ticks after now if possible.
    pub(crate) fn next(scale: Scale, now_ns: u64, highest: u64, ahead: u64) -> (Self, u64) {
        let room = scale.span(MIN_HORIZON_NS.saturating_add(Self::room_ns(&scale)));
        let used =
            u128::from(highest) + 1 + u128::from(ahead) + u128::from(room) + 2 * u128::from(scale.limit);
        let base = if used <= u128::from(MAX_TAT) { highest + 1 } else { 0 };
        Self::at(scale, now_ns, base)
    }

    /// The origin lies before `now_ns`, so that late grants can be dated before now, and slightly older readings of
    /// other threads do not look like a step back.
    fn at(scale: Scale, now_ns: u64, base: u64) -> (Self, u64) {
        Self::up_to(scale, now_ns, base, MAX_TAT)
    }

    fn up_to(scale: Scale, now_ns: u64, base: u64, most: u64) -> (Self, u64) {
        let horizon_ns = scale.longest(most - 2 * scale.limit - base);
        let room_ns = Self::room_ns(&scale).min(horizon_ns / 2).min(now_ns);
        let frame = Self { origin_ns: now_ns - room_ns, base, horizon_ns, scale, resumes_ns: 0 };
        (frame, base + scale.tick(room_ns))
    }

    /// The same frame, with a pause until `resumes_ns`, or without one for zero.
    pub(crate) const fn with_pause(mut self, resumes_ns: u64) -> Self {
        self.resumes_ns = resumes_ns;
        self
    }

    pub(crate) const fn resumes_ns(&self) -> u64 {
        self.resumes_ns
    }

    /// What a clock reading counts as.
    #[inline]
    pub(crate) const fn effective(&self, now_ns: u64) -> u64 {
        if now_ns < self.resumes_ns { self.resumes_ns } else { now_ns }
    }

    fn room_ns(scale: &Scale) -> u64 {
        scale.reading_at(scale.catch_up).saturating_add(SKEW_NS)
    }

    #[inline]
    pub(crate) const fn scale(&self) -> &Scale {
        &self.scale
    }

    /// The tick of the origin: the least tick of this frame.
    #[inline]
    pub(crate) const fn base(&self) -> u64 {
        self.base
    }

    /// The tick of a clock reading; `None` before the origin or beyond the horizon.
    #[inline]
    pub(crate) const fn tick(&self, now_ns: u64) -> Option<u64> {
        let now_ns = self.effective(now_ns);
        if now_ns < self.origin_ns || now_ns - self.origin_ns > self.horizon_ns {
            return None;
        }
        Some(self.base + self.scale.tick(now_ns - self.origin_ns))
    }

    /// As [`tick`](Self::tick), without a limit; the base before the origin.
    pub(crate) fn wide_tick(&self, now_ns: u64) -> u128 {
        let elapsed_ns = self.effective(now_ns).saturating_sub(self.origin_ns);
        u128::from(self.base) + self.scale.wide_tick(elapsed_ns)
    }

    /// The floor of waiters at `now` in a busy period.
    #[inline]
    pub(crate) const fn waiters_floor(&self, now: u64) -> u64 {
        let floor = now.saturating_sub(self.scale.catch_up);
        if floor > self.base { floor } else { self.base }
    }

    /// By how many ticks a TAT is ahead of a clock reading, also of one before the origin or beyond the horizon.
    pub(crate) fn ahead(&self, tat: u64, now_ns: u64) -> i128 {
        let before_ns = self.origin_ns.saturating_sub(self.effective(now_ns));
        // No overflow: a wide tick has less than 127 bits, and a span at most 62.
        let before = if before_ns > 0 { i128::from(self.scale.span(before_ns)) } else { 0 };
        i128::from(tat) - self.wide_tick(now_ns) as i128 + before
    }

    /// Whether a TAT is further ahead of `now` than a full burst, by more than the [`skew`](Self::skew).
    #[inline]
    pub(crate) fn is_beyond_limit(&self, tat: u64, now: u64) -> bool {
        let ahead = tat.saturating_sub(now);
        ahead > self.scale.limit && ahead - self.scale.limit > self.skew()
    }

    /// By how many ticks the readings of two threads may differ. Where readings are floored to a tick, they may be a
    /// tick further apart than the time between them.
    #[inline]
    pub(crate) fn skew(&self) -> u64 {
        self.scale.span(SKEW_NS) + u64::from(!self.scale.is_exact())
    }

    /// The first clock reading at which an admission that raises the TAT to `tat` conforms.
    pub(crate) fn conforms_at(&self, tat: u128) -> u64 {
        let tick = tat.saturating_sub(u128::from(self.scale.limit));
        u64::try_from(tick).map_or(u64::MAX, |tick| self.reading_at(tick))
    }

    /// The first clock reading at which the tick is reached; not before the end of a pause.
    pub(crate) fn reading_at(&self, tick: u64) -> u64 {
        let elapsed_ns = self.scale.reading_at(tick.saturating_sub(self.base));
        self.effective(self.origin_ns.saturating_add(elapsed_ns))
    }
}

const FIELDS: usize = 8;

/// The frame in force. Only the lock holder publishes, and only while the word is frozen.
#[derive(Debug)]
pub(crate) struct Published {
    frame: SeqLock<FIELDS>,
    /// Apart from the values above: the fast path does not read it, because the word is owned during a pause.
    resumes_ns: AtomicU64,
}

impl Published {
    pub(crate) fn new(frame: &Frame) -> Self {
        Self { frame: SeqLock::new(pack(frame)), resumes_ns: AtomicU64::new(0) }
    }

    /// The frame for a word that is not owned: without a pause.
    #[inline]
    pub(crate) fn read(&self) -> Option<Frame> {
        let number = self.frame.begin()?;
        let values = self.frame.values();
        self.frame.is_current(number).then(|| unpack(values))
    }

    /// The frame and what `along` reads. `None` if a frame was published meanwhile: they may not belong together.
    pub(crate) fn read_with<T>(&self, along: impl FnOnce() -> T) -> Option<(Frame, T)> {
        let number = self.frame.begin()?;
        let values = self.frame.values();
        let read = along();
        // Relaxed: ordered like the values.
        let resumes_ns = self.resumes_ns.load(Ordering::Relaxed);
        self.frame.is_current(number).then(|| (unpack(values).with_pause(resumes_ns), read))
    }

    /// Replaces the frame, and by `along` all that [`read_with`](Self::read_with) reads beside it. The caller holds the
    /// queue's lock and has frozen the word.
    pub(crate) fn publish(&self, frame: &Frame, along: impl FnOnce()) {
        self.frame.replace(pack(frame), || {
            // Relaxed: ordered like the values.
            self.resumes_ns.store(frame.resumes_ns, Ordering::Relaxed);
            along();
        });
    }

    /// The end of the pause; zero if there was none at the last step.
    #[inline]
    pub(crate) fn resumes_ns(&self) -> u64 {
        // Relaxed: a single number. A caller that knows of a pause also sees what was written before it.
        self.resumes_ns.load(Ordering::Relaxed)
    }
}

#[inline]
const fn unpack(values: [u64; FIELDS]) -> Frame {
    let [origin_ns, base, horizon_ns, per_permit, limit, rate_whole, rate_fraction, catch_up] = values;
    let scale = Scale { per_permit, limit, rate_whole, rate_fraction, catch_up };
    Frame { origin_ns, base, horizon_ns, scale, resumes_ns: 0 }
}

const fn pack(frame: &Frame) -> [u64; FIELDS] {
    let Frame { origin_ns, base, horizon_ns, scale, resumes_ns: _ } = *frame;
    [
        origin_ns,
        base,
        horizon_ns,
        scale.per_permit,
        scale.limit,
        scale.rate_whole,
        scale.rate_fraction,
        scale.catch_up,
    ]
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
