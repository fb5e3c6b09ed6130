//! A clock that seems to have stepped back.
//!
//! # Invariants
//! 1. An arrival time is never more than a full burst and the deepest debt ahead of the clock reading by
//!    which it was written. A reading that lies further behind is *behind*: the clock has stepped back, or
//!    the reading was made before the arrival time was written.
//! 2. A doubt arises only by a reading made after the very arrival time that it is behind was seen, by the scale and
//!    from the origin that it counts by: of a bucket that is empty whenever the quota changes, it is the same number
//!    each time. So a clock that goes forward is never doubted.
//! 3. A doubt stands while the word is what it was, or what those have made of it who knew of the doubt and held the
//!    lock: by a refund, a charge, another quota or another origin, and if it is behind even so. Nobody is admitted by a
//!    reading that is behind, so that this is all there can have been (but by one from before the origin, of what the word
//!    shows to be left: that drops it). Whoever does not know of it and makes the arrival time smaller drops it, so that
//!    an equal one means an unchanged one. A charge makes the deepest debt deeper by as much, and counts in that: had
//!    there been one as deep when the doubt arose, it would come to no less. With another quota, so much time counts as
//!    gone since as brings at its rate what has come.
//! 4. The word is left as it is until the clock has gone on, from where it was first seen behind, for as
//!    long as a bucket takes to fill, and is still behind. So readings that go back and forth gain nothing.
//!    Then the bucket is taken to have been empty, and deepest in debt, when the doubt arose.

use super::locked::Locked;
use crate::{gcra::MAX_TAT, meter::SKEW_NS, published::Edition};

/// A clock that seems to have stepped back: since when it has, and the word as it was then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    since_ns: u64,
    word: Seen,
}

/// An arrival time as it was seen, and the edition of the frame that it counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) tat: u64,
    pub(super) edition: Edition,
}

/// What a refusal comes to once the clock has been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// To be lifted at this clock reading.
    Until(u64),
    /// The clock had stepped back, and has now been followed: to be decided anew.
    Settled,
    /// The clock seems to have stepped back: to be called again with a reading made after this was seen.
    Unsure(Seen),
}

impl Locked<'_> {
    /// Whether this clock reading lies further behind the word than it can by rights.
    pub(super) fn is_behind(&self) -> bool {
        self.meter.is_behind(&self.frame, self.now_ns, self.tat)
    }

    /// Whether this clock reading is from before the word was written; one of a clock that differs from
    /// another thread's looks like that, too.
    pub(super) fn is_early(&self) -> bool {
        self.tat.saturating_sub(self.now) > self.depth()
    }

    /// The arrival time, as it is seen now.
    pub(super) fn seen(&self) -> Seen {
        Seen { tat: self.tat, edition: self.meter.published.edition() }
    }

    /// Until when a request that conforms from `tick` on is refused, given that the clock may have stepped
    /// back.
    ///
    /// `seen` is what the caller saw before it read the clock (invariant 2).
    pub(super) fn refuse(&mut self, tick: u64, seen: Option<Seen>) -> Refusal {
        self.refuse_at(self.frame.instant(tick), seen)
    }

    /// As [`refuse`](Self::refuse), for a request that conforms from this clock reading on.
    pub(super) fn refuse_at(&mut self, due_ns: u64, seen: Option<Seen>) -> Refusal {
        if !self.is_behind() {
            self.set_doubt(None);
            return Refusal::Until(due_ns);
        }
        if self.settle() {
            return Refusal::Settled;
        }
        let known = self.known_doubt();
        if known.is_none() && seen != Some(self.seen()) {
            return Refusal::Unsure(self.seen());
        }
        let fresh = Doubt { since_ns: self.now_ns, word: self.seen() };
        let doubt = known.unwrap_or(fresh);
        self.set_doubt(Some(doubt));
        // After a small step the word may be in its rights again by then.
        let trusted_ns = self.trusted_ns(doubt);
        let behind = self.meter.is_behind(&self.frame, trusted_ns, self.tat);
        Refusal::Until(if behind { due_ns.min(trusted_ns) } else { due_ns })
    }

    /// When there is no debt any more: the clock reading. It is none once a clock has been followed that is doubted.
    pub(super) fn paid_ns(&mut self) -> u64 {
        let paid_ns = self.frame.instant_of(self.tat.into());
        match self.refuse_at(paid_ns, None) {
            Refusal::Until(until_ns) => until_ns,
            // Full by then.
            Refusal::Settled => self.now_ns,
            Refusal::Unsure(_) => paid_ns,
        }
    }

    /// Follows a clock that has been behind for long enough. Whether it has.
    pub(super) fn settle(&mut self) -> bool {
        let ripe = self.known_doubt().filter(|&doubt| self.now_ns >= self.trusted_ns(doubt));
        let Some(doubt) = ripe.filter(|_| self.is_behind()) else { return false };
        // Empty then, and full now.
        let come = self.frame.scale.wide_tick(self.now_ns - doubt.since_ns);
        let more = come.saturating_sub(self.depth().into()).min(MAX_TAT.into()) as i64;
        self.restart(self.now_ns, -more);
        self.set_doubt(None);
        // Whatever debt there was is paid by then, and no word is left that shows it.
        self.meter.set_debt(0);
        // No earlier grant can be given back: the clock has set the arrival time.
        self.inner.slack.forget();
        true
    }

    /// Makes another word of it, by which nobody is admitted, or counts from another origin. A doubt that stands goes on
    /// (invariant 3).
    pub(super) fn keep_doubting(&mut self, change: impl FnOnce(&mut Self)) {
        let doubt = self.standing_doubt();
        change(self);
        self.doubt_on(doubt.map(|doubt| doubt.since_ns));
    }

    /// What has come since a doubt arose that stands, in ticks; no more than fills the bucket, though the doubt may not
    /// be ripe yet.
    pub(super) fn come_in_doubt(&self) -> Option<u64> {
        let come = |doubt: Doubt| self.frame.scale.wide_tick(self.now_ns - doubt.since_ns);
        self.standing_doubt().map(|doubt| come(doubt).min(self.depth().into()) as u64)
    }

    /// Goes on with a doubt by another scale, in which so many ticks have come since it arose.
    pub(super) fn doubt_since(&mut self, come: Option<u64>) {
        let since_ns = come.map(|come| {
            // Rather a nanosecond late.
            let gone_ns = self.frame.scale.instant(come).saturating_sub(1);
            self.now_ns.saturating_sub(gone_ns)
        });
        self.doubt_on(since_ns);
    }

    pub(super) fn standing_doubt(&self) -> Option<Doubt> {
        self.known_doubt().filter(|_| self.is_behind())
    }

    /// Doubts the word as it is now, if the clock is behind it, since then.
    fn doubt_on(&mut self, since_ns: Option<u64>) {
        let word = self.seen();
        self.set_doubt(since_ns.filter(|_| self.is_behind()).map(|since_ns| Doubt { since_ns, word }));
    }

    /// The doubt, if it still stands (invariant 3).
    fn known_doubt(&self) -> Option<Doubt> {
        self.inner.doubt.filter(|doubt| doubt.word == self.seen() && doubt.since_ns <= self.now_ns)
    }

    /// When a doubted clock is followed.
    fn trusted_ns(&self, doubt: Doubt) -> u64 {
        let fill_ns = self.frame.scale.instant(self.depth());
        doubt.since_ns.saturating_add(fill_ns).saturating_add(SKEW_NS)
    }

    /// From the deepest debt to a full burst: with all that was charged in doubt, this can be more than the word holds.
    fn depth(&self) -> u64 {
        self.frame.scale.limit.saturating_add(self.meter.debt())
    }

    pub(super) fn set_doubt(&mut self, doubt: Option<Doubt>) {
        self.inner.doubt = doubt;
        self.meter.set_doubted(doubt.is_some());
    }
}
