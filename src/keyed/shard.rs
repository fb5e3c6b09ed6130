//! A part of the table of keys, under a lock of its own.
//!
//! # Invariants
//! 1. A word is the TAT of its key in ticks of the shard's frame, or [`PROMOTED`]. A key that is not in the table has a
//!    full bucket: so a key whose TAT has passed may be removed at any time.
//! 2. Words are raised by exchanges under the read lock, and lowered by refunds. An exchange depends on the number that
//!    it expects, on the frame, and on a clock reading. The frame changes only under the write lock, when no exchange is
//!    under way. So a number that returns to what it was does no harm.
//! 3. A word is [`PROMOTED`] exactly if the key has a limiter of its own in `promoted`. It changes from and to that only
//!    under the write lock.
//! 4. Under the write lock, a clock reading that lies behind a word by more than a burst is a step back of the clock: each
//!    call that raised the word had read the clock before. (Words have no debts: a key in debt stays promoted.)

mod room;

use core::hash::Hash;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::{
    clock::Clock,
    error::{Denied, TooMany},
    frame::Frame,
    gcra::{Decision, Scale, decide},
    limiter::RateLimiter,
    meter::Snapshot,
    permits::Permits,
    queue::{Driver, LevelAt, Missing, not_yet},
    quota::Quota,
    sync::{AtomicU64, Ordering},
};

/// The word of a key that has a limiter of its own. No TAT is as large.
const PROMOTED: u64 = u64::MAX;

/// What becomes of a new key when the table is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// Evicts the key with the fullest bucket of a few: the new key is admitted, and an evicted key gets back what it
    /// had used. See [`Keyed::evicted_live`](super::Keyed::evicted_live).
    #[default]
    EvictFullest,
    /// Refuses calls of new keys with [`Denied::TooManyKeys`].
    RefuseNew,
    /// All new keys share one bucket of the same quota, until there is room. None of them has a limiter of its own.
    ShareOverflow,
}

/// What is known of a key under the read lock.
pub(super) enum Seen<C: Clock, R> {
    Admitted(R),
    Refused(Denied),
    /// It has a limiter of its own.
    Promoted(RateLimiter<C>),
    /// Under the write lock more is known.
    Unknown,
}

/// Why there is no room for a new key.
pub(super) enum NoRoom {
    Refused,
    Overflow,
}

struct Cell<K> {
    key: K,
    word: AtomicU64,
}

pub(super) struct Shard<K, C: Clock> {
    quota: Quota,
    frame: Frame,
    cells: HashTable<Cell<K>>,
    /// The limiters of keys with a waiter, a handle, a pause, a debt, or a quota of their own.
    promoted: HashTable<(K, RateLimiter<C>)>,
    /// Where the sweeps of both tables go on.
    swept: usize,
    swept_promoted: usize,
    evicted_live: u64,
}

/// A call under the write lock: the hash of its key, its clock reading, and the hasher.
pub(super) struct At<'a, K> {
    pub(super) hash: u64,
    pub(super) now_ns: u64,
    pub(super) hasher: &'a dyn Fn(&K) -> u64,
}

/// The state of a key under the write lock.
enum State {
    Absent,
    Plain(u64),
    Promoted,
}

impl<K: Hash + Eq, C: Clock + Clone> Shard<K, C> {
    pub(super) fn new(quota: Quota, scale: Scale, now_ns: u64) -> Self {
        Self {
            quota,
            frame: if quota.is_blocked() { blocked(scale).0 } else { Frame::first(scale, now_ns).0 },
            cells: HashTable::new(),
            promoted: HashTable::new(),
            swept: 0,
            swept_promoted: 0,
            evicted_live: 0,
        }
    }

    pub(super) const fn quota(&self) -> Quota {
        if self.is_blocked() { Quota::BLOCKED } else { self.quota }
    }

    const fn is_blocked(&self) -> bool {
        self.frame.resumes_ns() > 0
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len()
    }

    pub(super) const fn evicted_live(&self) -> u64 {
        self.evicted_live
    }

    fn find(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> Option<&AtomicU64> {
        self.cells.find(hash, |cell| is_key(&cell.key)).map(|cell| &cell.word)
    }

    pub(super) fn limiter(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> Option<&RateLimiter<C>> {
        self.promoted.find(hash, |(key, _)| is_key(key)).map(|(_, limiter)| limiter)
    }

    fn too_many(&self, permits: Permits) -> Denied {
        TooMany::new(permits, self.quota.burst(), self.quota.burst()).into()
    }

    // === under the read lock ===

    /// Takes permits of a key that is in the table and not promoted. `report` makes the answer of the level.
    pub(super) fn take<R>(
        &self,
        hash: u64,
        is_key: impl Fn(&K) -> bool,
        permits: Permits,
        now_ns: u64,
        report: impl Fn(LevelAt) -> R,
    ) -> Seen<C, R> {
        let scale = self.frame.scale();
        let Some(cost) = scale.cost(permits) else { return Seen::Refused(self.too_many(permits)) };
        let (Some(word), Some(now)) = (self.find(hash, &is_key), self.frame.tick(now_ns)) else {
            return Seen::Unknown;
        };
        // Relaxed, all of them: the word stands alone, and the lock orders it with the frame.
        let mut tat = word.load(Ordering::Relaxed);
        loop {
            if tat == PROMOTED {
                let limiter = self.limiter(hash, is_key).filter(|limiter| is_in_use(limiter));
                return limiter.map_or(Seen::Unknown, |limiter| Seen::Promoted(limiter.clone()));
            }
            match decide(tat, now, now, cost, scale.limit) {
                Decision::Admit(_) if self.is_blocked() && cost > 0 => {
                    return Seen::Refused(not_yet(self.frame.resumes_ns(), now_ns));
                }
                Decision::Admit(new) => {
                    match word.compare_exchange_weak(tat, new, Ordering::Relaxed, Ordering::Relaxed) {
                        Ok(_) => return Seen::Admitted(report(self.level_at(new, now, now_ns))),
                        Err(other) => tat = other,
                    }
                }
                Decision::NotBefore(_) if self.frame.is_beyond_limit(tat, now) => return Seen::Unknown,
                Decision::NotBefore(tick) => {
                    return Seen::Refused(not_yet(self.frame.reading_at(tick), now_ns));
                }
            }
        }
    }

    pub(super) fn has(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> bool {
        self.find(hash, is_key).is_some()
    }

    /// Whether the frame has a tick for a clock reading.
    pub(super) const fn is_current(&self, now_ns: u64) -> bool {
        self.frame.tick(now_ns).is_some()
    }

    /// The level of a key without a limiter of its own; `None` if it has one.
    pub(super) fn level(&self, hash: u64, is_key: impl Fn(&K) -> bool, now_ns: u64) -> Option<LevelAt> {
        let now = self.frame.tick(now_ns)?;
        // Relaxed: as in `take`.
        let tat = self.find(hash, is_key).map_or(now, |word| word.load(Ordering::Relaxed));
        // After a step back of the clock the bucket is empty at most.
        let tat_now = || tat.clamp(self.fresh(now), now + self.frame.scale().limit);
        (tat != PROMOTED).then(|| self.level_at(tat_now(), now, now_ns))
    }

    /// Lowers the TAT of a key. Whether that was possible: not for a promoted key.
    pub(super) fn refund(
        &self,
        hash: u64,
        is_key: impl Fn(&K) -> bool,
        permits: Permits,
        now_ns: u64,
    ) -> bool {
        let Some(word) = self.find(hash, is_key) else { return true };
        let ticks =
            u64::try_from(permits.ticks_given_back(self.frame.scale().per_permit)).unwrap_or(u64::MAX);
        let now = self.frame.tick(now_ns).unwrap_or(0);
        let lower = |tat: u64| (tat != PROMOTED).then(|| tat.min(tat.saturating_sub(ticks).max(now)));
        // Relaxed: as in `take`.
        word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lower).is_ok()
    }

    const fn level_at(&self, tat: u64, now: u64, now_ns: u64) -> LevelAt {
        LevelAt::of_word(Snapshot { frame: self.frame, tat, now }, now_ns)
    }

    /// The TAT of a key that is not in the table: its bucket is full, or empty if all keys are blocked.
    fn fresh(&self, now: u64) -> u64 {
        now + (self.quota.burst() - self.quota.initial()) * self.frame.scale().per_permit
    }

    // === under the write lock ===

    /// Takes permits of a key, which is added if there is room.
    pub(super) fn take_or_add<R>(
        &mut self,
        at: &At<'_, K>,
        is_key: impl Fn(&K) -> bool,
        permits: Permits,
        add: impl FnOnce(&mut Self) -> Result<K, NoRoom>,
        report: impl Fn(LevelAt) -> R,
    ) -> Result<Seen<C, R>, NoRoom> {
        let now = self.catch_up(at.now_ns);
        let Some(cost) = self.frame.scale().cost(permits) else {
            return Ok(Seen::Refused(self.too_many(permits)));
        };
        let start = match self.state(at, &is_key, now) {
            State::Absent => self.fresh(now),
            State::Plain(tat) => tat,
            State::Promoted => {
                let limiter = self.limiter(at.hash, is_key).cloned();
                return Ok(limiter.map_or(Seen::Unknown, Seen::Promoted));
            }
        };
        match decide(start, now, now, cost, self.frame.scale().limit) {
            Decision::NotBefore(tick) => Ok(Seen::Refused(not_yet(self.frame.reading_at(tick), at.now_ns))),
            Decision::Admit(_) if self.is_blocked() && cost > 0 => {
                Ok(Seen::Refused(not_yet(self.frame.resumes_ns(), at.now_ns)))
            }
            Decision::Admit(new) => {
                match self.cells.find_mut(at.hash, |cell| is_key(&cell.key)) {
                    Some(cell) => *cell.word.get_mut() = new,
                    None if cost > 0 => {
                        let key = add(self)?;
                        self.insert(at, key, new);
                    }
                    None => {}
                }
                Ok(Seen::Admitted(report(self.level_at(new, now, at.now_ns))))
            }
        }
    }

    /// The limiter of a key, which is promoted if it has none.
    pub(super) fn promote(
        &mut self,
        at: &At<'_, K>,
        is_key: impl Fn(&K) -> bool,
        clock: &C,
        max_waiters: usize,
        add: impl FnOnce(&mut Self) -> Result<K, NoRoom>,
    ) -> Result<RateLimiter<C>, NoRoom>
    where
        K: Clone,
    {
        let now = self.catch_up(at.now_ns);
        let tat = match self.state(at, &is_key, now) {
            State::Absent => self.fresh(now),
            State::Plain(tat) => tat,
            State::Promoted => match self.limiter(at.hash, is_key) {
                Some(limiter) => return Ok(limiter.clone()),
                None => unreachable!("a promoted key has a limiter"),
            },
        };
        // All that may panic comes before the word is marked.
        if self.find(at.hash, &is_key).is_none() {
            let key = add(self)?;
            self.insert(at, key, tat);
        }
        let Some(cell) = self.cells.find_bucket_index(at.hash, |cell| is_key(&cell.key)) else {
            unreachable!("it is in the table")
        };
        let missing = tat.saturating_sub(now);
        let driver = Driver::with_missing(self.quota, *self.frame.scale(), clock.clone(), at.now_ns, missing);
        let limiter = RateLimiter::of(driver);
        if self.is_blocked() {
            let blocked = limiter.set_quota(Quota::BLOCKED);
            debug_assert!(blocked.is_ok(), "a limiter can always be blocked");
        }
        if max_waiters < usize::MAX {
            limiter.set_max_waiters(max_waiters);
        }
        let hasher = at.hasher;
        if let Some(key) = self.cells.get_bucket(cell).map(|cell| cell.key.clone()) {
            self.promoted.insert_unique(at.hash, (key, limiter.clone()), |(key, _)| hasher(key));
        }
        if let Some(cell) = self.cells.get_bucket_mut(cell) {
            *cell.word.get_mut() = PROMOTED;
        }
        Ok(limiter)
    }

    fn insert(&mut self, at: &At<'_, K>, key: K, word: u64) {
        let hasher = at.hasher;
        self.cells.insert_unique(at.hash, Cell { key, word: AtomicU64::new(word) }, |cell| hasher(&cell.key));
    }

    /// The state of a key, after a limiter that is not in use has been demoted, and after a step back of the clock.
    fn state(&mut self, at: &At<'_, K>, is_key: &impl Fn(&K) -> bool, now: u64) -> State {
        let Some(word) = self.find(at.hash, is_key) else { return State::Absent };
        // Relaxed: under the write lock.
        let word = word.load(Ordering::Relaxed);
        if word == PROMOTED {
            return self.demote(at.hash, is_key).map_or(State::Promoted, State::Plain);
        }
        if !self.frame.is_beyond_limit(word, now) {
            return State::Plain(word);
        }
        // The clock has stepped back: the bucket counts as empty at the new time.
        let tat = now + self.frame.scale().limit;
        if let Some(cell) = self.cells.find_mut(at.hash, |cell| is_key(&cell.key)) {
            *cell.word.get_mut() = tat;
        }
        State::Plain(tat)
    }

    /// The TAT of a promoted key that no longer needs its limiter.
    fn demote(&mut self, hash: u64, is_key: &impl Fn(&K) -> bool) -> Option<u64> {
        let promoted = self.promoted.find_bucket_index(hash, |(key, _)| is_key(key))?;
        let cell = self.cells.find_bucket_index(hash, |cell| is_key(&cell.key))?;
        self.demote_at(promoted, Some(cell))
    }

    /// As [`demote`](Self::demote), by places in the tables. All that may panic comes before the first change.
    fn demote_at(&mut self, promoted: usize, cell: Option<usize>) -> Option<u64> {
        let limiter = &self.promoted.get_bucket(promoted)?.1;
        let tat = unused(limiter, self.quota(), &self.frame)?;
        if let Some(cell) = cell.and_then(|cell| self.cells.get_bucket_mut(cell)) {
            *cell.word.get_mut() = tat;
        }
        if let Ok(entry) = self.promoted.get_bucket_entry(promoted) {
            entry.remove();
        }
        Some(tat)
    }

    /// Begins a new frame if this one has no tick for the reading.
    pub(super) fn catch_up(&mut self, now_ns: u64) -> u64 {
        if let Some(now) = self.frame.tick(now_ns) {
            return now;
        }
        let old = self.frame;
        let (frame, now) = Frame::first(*old.scale(), now_ns);
        let old_now = old.wide_tick(now_ns);
        let before_origin = u128::from(old.before_origin(now_ns));
        let limit = frame.scale().limit;
        self.frame = frame;
        self.convert(|tat| {
            // A reading before the origin is a step back, by which a bucket counts as empty at most.
            let ahead = (u128::from(tat).saturating_sub(old_now) + before_origin).min(u128::from(limit));
            now + ahead as u64
        });
        now
    }

    /// Converts all words.
    fn convert(&mut self, tat_of: impl Fn(u64) -> u64) {
        for cell in &mut self.cells {
            let word = cell.word.get_mut();
            if *word != PROMOTED {
                *word = tat_of(*word);
            }
        }
    }

    /// Replaces the quota: keys keep their levels in permits, up to the new burst. A full bucket is full again. Returns the
    /// limiters of promoted keys that follow.
    pub(super) fn set_quota(&mut self, quota: Quota, scale: Scale, now_ns: u64) -> Vec<RateLimiter<C>> {
        let old_now = self.catch_up(now_ns);
        let (old, old_quota) = (*self.frame.scale(), self.quota());
        let (quota, scale, (frame, now)) = if quota.is_blocked() {
            // While all keys are blocked, the last quota stays with the frame.
            (self.quota, old, blocked(old))
        } else {
            (quota, scale, Frame::first(scale, now_ns))
        };
        (self.frame, self.quota) = (frame, quota);
        let fresh = self.fresh(now);
        self.convert(|tat| {
            if quota.is_unlimited() || tat <= old_now {
                return fresh;
            }
            let level = u128::from(old.limit - tat.saturating_sub(old_now).min(old.limit));
            let level = level * u128::from(scale.per_permit) / u128::from(old.per_permit);
            let missing = u128::from(scale.limit).saturating_sub(level);
            now + missing as u64
        });
        let follows = |limiter: &RateLimiter<C>| limiter.quota() == old_quota;
        self.promoted.iter().map(|(_, limiter)| limiter).filter(|limiter| follows(limiter)).cloned().collect()
    }
}

/// A frame in which time stands still, and its only tick.
fn blocked(scale: Scale) -> (Frame, u64) {
    let (frame, now) = Frame::first(scale, u64::MAX);
    (frame.with_pause(u64::MAX), now)
}

/// Whether the limiter of a key has a handle or a waiter outside the table.
fn is_in_use<C: Clock>(limiter: &RateLimiter<C>) -> bool {
    Arc::strong_count(limiter.driver()) > 1
}

/// The TAT of a key that no longer needs its limiter: without a handle or waiter, the credit of a late timer, a pause, a debt,
/// or a quota of its own.
fn unused<C: Clock>(limiter: &RateLimiter<C>, quota: Quota, frame: &Frame) -> Option<u64> {
    if is_in_use(limiter) {
        return None;
    }
    let (own, Missing { ticks, paused_ns, .. }, now_ns) = limiter.driver().save();
    let has_credit = limiter.driver().has_credit(now_ns);
    let is_plain = own == quota && paused_ns == 0 && ticks <= frame.scale().limit && !has_credit;
    Some(frame.tick(now_ns)? + ticks).filter(|_| is_plain)
}

impl<K, C: Clock> core::fmt::Debug for Shard<K, C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shard").field("keys", &self.cells.len()).finish_non_exhaustive()
    }
}
