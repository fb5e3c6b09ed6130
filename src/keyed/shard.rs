//! A part of the table of keys, under a lock of its own.
//!
//! # Invariants
//! 1. A word is a class and a TAT (`class`), in ticks of the frame of that class in this shard; or it is of the class
//!    [`PROMOTED`]. A key that is not in the table has a full bucket, in every class: so a key whose TAT has passed may be removed
//!    at any time.
//! 2. Words are raised by exchanges under the read lock, and lowered by refunds. An exchange depends on the number that
//!    it expects, on the frame, and on a clock reading. The frames change only under the write lock, when no exchange is
//!    under way. So a number that returns to what it was does no harm.
//! 3. A word is [`PROMOTED`] exactly if the key has a limiter of its own in `promoted`, beside its class. It changes from and to
//!    that only under the write lock.
//! 4. Under the write lock, a clock reading that lies behind a word by more than a burst is a step back of the clock: each
//!    call that raised the word had read the clock before. (Words have no debts: a key in debt stays promoted.)
//! 5. The class of a word changes only under the write lock, from the class that it had to that of a call.

mod class;
mod own;
mod promote;
mod room;

use core::{cell::Cell as Slot, hash::Hash};

use hashbrown::HashTable;

pub(super) use self::class::{PROMOTED, scale_of};
use self::{
    class::{Class, Classes, class_of, pack, tat_of},
    own::{Own, is_in_use},
};
use crate::{
    clock::Clock,
    error::Denied,
    gcra::{Decision, Scale, decide},
    limiter::RateLimiter,
    permits::Permits,
    queue::{Later, LevelAt, not_yet},
    quota::Quota,
    sync::{AtomicU64, Ordering},
};

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
    /// All new keys of a class share one bucket of its quota, until there is room. None of them has a limiter of its own.
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
    classes: Classes,
    cells: HashTable<Cell<K>>,
    /// The limiters of keys with a waiter, a handle, a pause, a debt, or a quota of their own.
    promoted: HashTable<Own<K, C>>,
    /// Where the sweeps of both tables go on.
    swept: usize,
    swept_promoted: usize,
    evicted_live: u64,
}

/// A call under the write lock: the hash of its key, the class, its clock reading, and the hasher.
pub(super) struct At<'a, K, C: Clock> {
    pub(super) hash: u64,
    pub(super) class: usize,
    pub(super) now_ns: u64,
    pub(super) hasher: &'a dyn Fn(&K) -> u64,
    /// What the call leaves for the time after the lock.
    pub(super) later: &'a Slot<Option<Later<C>>>,
}

/// The state of a key under the write lock.
enum State<C: Clock> {
    Absent,
    /// The TAT of a word.
    Plain(u64),
    Promoted(RateLimiter<C>),
}

impl<K: Hash + Eq, C: Clock + Clone> Shard<K, C> {
    pub(super) fn new(classes: &[(Quota, Scale)], now_ns: u64) -> Self {
        Self {
            classes: Classes::new(classes, now_ns),
            cells: HashTable::new(),
            promoted: HashTable::new(),
            swept: 0,
            swept_promoted: 0,
            evicted_live: 0,
        }
    }

    pub(super) fn quota(&self, class: usize) -> Option<Quota> {
        self.classes.get(class).map(Class::quota)
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

    fn own(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> Option<&Own<K, C>> {
        self.promoted.find(hash, |own| is_key(&own.key))
    }

    pub(super) fn limiter(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> Option<&RateLimiter<C>> {
        self.own(hash, is_key).map(|own| &own.limiter)
    }

    /// Whether a call by this class changes that of the key, which needs the write lock.
    pub(super) fn is_of_other_class(&self, hash: u64, is_key: impl Fn(&K) -> bool, class: usize) -> bool {
        if self.classes.len() == 1 {
            return false;
        }
        // Relaxed: as in `take`.
        let word = self.find(hash, &is_key).map(|word| class_of(word.load(Ordering::Relaxed)));
        match word {
            Some(PROMOTED) => self.own(hash, is_key).is_some_and(|own| own.class != class),
            word => word.is_some_and(|known| known != class),
        }
    }

    // === under the read lock ===

    /// Takes permits of a key that is in the table and of this class. `report` makes the answer of the level.
    pub(super) fn take<R>(
        &self,
        (hash, class): (u64, usize),
        is_key: impl Fn(&K) -> bool,
        permits: Permits,
        now_ns: u64,
        report: impl Fn(LevelAt) -> R,
    ) -> Seen<C, R> {
        let of = &self.classes[class];
        let (frame, scale) = (of.frame(), of.scale());
        let Some(cost) = scale.cost(permits) else {
            // More than the burst of the class, but maybe not of a quota of its own.
            return match self.own(hash, is_key) {
                Some(own) => Self::seen_own(own, class),
                None => Seen::Refused(of.too_many(permits)),
            };
        };
        let (Some(cell), Some(now)) = (self.find(hash, &is_key), frame.tick(now_ns)) else {
            return Seen::Unknown;
        };
        // Relaxed, all of them: the word stands alone, and the lock orders it with the frame.
        let mut word = cell.load(Ordering::Relaxed);
        loop {
            if class_of(word) != class {
                return self.own(hash, is_key).map_or(Seen::Unknown, |own| Self::seen_own(own, class));
            }
            let tat = tat_of(word);
            match decide(tat, now, now, cost, scale.limit) {
                Decision::Admit(_) if of.is_blocked() && cost > 0 => {
                    return Seen::Refused(not_yet(frame.resumes_ns(), now_ns));
                }
                Decision::Admit(new) => {
                    let raised = pack(class, new);
                    match cell.compare_exchange_weak(word, raised, Ordering::Relaxed, Ordering::Relaxed) {
                        Ok(_) => return Seen::Admitted(report(of.level_at(new, now, now_ns))),
                        Err(other) => word = other,
                    }
                }
                Decision::NotBefore(_) if frame.is_beyond_limit(tat, now) => return Seen::Unknown,
                Decision::NotBefore(tick) => {
                    return Seen::Refused(not_yet(frame.reading_at(tick), now_ns));
                }
            }
        }
    }

    /// A promoted key, as a call by this class sees it.
    fn seen_own<R>(own: &Own<K, C>, class: usize) -> Seen<C, R> {
        if own.class == class && is_in_use(&own.limiter) {
            Seen::Promoted(own.limiter.clone())
        } else {
            Seen::Unknown
        }
    }

    pub(super) fn has(&self, hash: u64, is_key: impl Fn(&K) -> bool) -> bool {
        self.find(hash, is_key).is_some()
    }

    /// Whether the frame of a class has a tick for a clock reading.
    pub(super) fn is_current(&self, class: usize, now_ns: u64) -> bool {
        self.classes[class].frame().tick(now_ns).is_some()
    }

    /// The level of a key of this class without a limiter of its own; `None` if it has one.
    pub(super) fn level(
        &self,
        (hash, class): (u64, usize),
        is_key: impl Fn(&K) -> bool,
        now_ns: u64,
    ) -> Option<LevelAt> {
        let of = &self.classes[class];
        let now = of.frame().tick(now_ns)?;
        // Relaxed: as in `take`.
        let word = self.find(hash, is_key).map_or(pack(class, now), |word| word.load(Ordering::Relaxed));
        // After a step back of the clock the bucket is empty at most.
        let tat_now = || tat_of(word).clamp(of.fresh(now), now + of.scale().limit);
        (class_of(word) == class).then(|| of.level_at(tat_now(), now, now_ns))
    }

    /// Lowers the TAT of a key of this class. Whether that was possible: not for a promoted key.
    pub(super) fn refund(
        &self,
        (hash, class): (u64, usize),
        is_key: impl Fn(&K) -> bool,
        permits: Permits,
        now_ns: u64,
    ) -> bool {
        let Some(word) = self.find(hash, is_key) else { return true };
        let of = &self.classes[class];
        let ticks = u64::try_from(permits.ticks_given_back(of.scale().per_permit)).unwrap_or(u64::MAX);
        let now = of.frame().tick(now_ns).unwrap_or(0);
        let lowered = |tat: u64| tat.min(tat.saturating_sub(ticks).max(now));
        let lower = |word| (class_of(word) == class).then(|| pack(class, lowered(tat_of(word))));
        // Relaxed: as in `take`.
        word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lower).is_ok()
    }

    // === under the write lock ===

    /// Takes permits of a key, which is added if there is room.
    pub(super) fn take_or_add<R>(
        &mut self,
        at: &At<'_, K, C>,
        is_key: impl Fn(&K) -> bool,
        permits: Permits,
        add: impl FnOnce(&mut Self) -> Result<K, NoRoom>,
        report: impl Fn(LevelAt) -> R,
    ) -> Result<Seen<C, R>, NoRoom> {
        self.catch_up(at.now_ns);
        let of = self.classes[at.class];
        let now = of.now(at.now_ns);
        let start = match self.state(at, &is_key) {
            State::Absent => of.fresh(now),
            State::Plain(tat) => tat,
            State::Promoted(limiter) => return Ok(Seen::Promoted(limiter)),
        };
        let Some(cost) = of.scale().cost(permits) else {
            return Ok(Seen::Refused(of.too_many(permits)));
        };
        match decide(start, now, now, cost, of.scale().limit) {
            Decision::NotBefore(tick) => Ok(Seen::Refused(not_yet(of.frame().reading_at(tick), at.now_ns))),
            Decision::Admit(_) if of.is_blocked() && cost > 0 => {
                Ok(Seen::Refused(not_yet(of.frame().resumes_ns(), at.now_ns)))
            }
            Decision::Admit(new) => {
                let word = pack(at.class, new);
                match self.cells.find_mut(at.hash, |cell| is_key(&cell.key)) {
                    Some(cell) => *cell.word.get_mut() = word,
                    None if cost > 0 => {
                        let key = add(self)?;
                        self.insert(at, key, word);
                    }
                    None => {}
                }
                Ok(Seen::Admitted(report(of.level_at(new, now, at.now_ns))))
            }
        }
    }

    /// Changes the class of a key to that of the call.
    pub(super) fn settle(&mut self, at: &At<'_, K, C>, is_key: impl Fn(&K) -> bool) {
        self.catch_up(at.now_ns);
        self.state(at, &is_key);
    }

    /// Begins a new frame for each class whose frame has no tick for the reading.
    pub(super) fn catch_up(&mut self, now_ns: u64) {
        for class in 0..self.classes.len() {
            let old = self.classes[class];
            if let Some(next) = old.caught_up(now_ns) {
                self.classes[class] = next;
                self.convert(class, |tat| old.tat_in_next(&next, tat, now_ns));
            }
        }
    }

    /// Converts all words of a class.
    fn convert(&mut self, class: usize, tat_of_next: impl Fn(u64) -> u64) {
        for cell in &mut self.cells {
            let word = cell.word.get_mut();
            if class_of(*word) == class {
                *word = pack(class, tat_of_next(tat_of(*word)));
            }
        }
    }

    /// Replaces the quota of a class: keys keep their levels in permits, up to the new burst. A full bucket is full again. Returns
    /// what is left to be done without the lock.
    pub(super) fn set_quota(
        &mut self,
        class: usize,
        quota: Quota,
        scale: Scale,
        now_ns: u64,
    ) -> Vec<Later<C>> {
        self.catch_up(now_ns);
        let old = self.classes[class];
        let next = old.with_quota(quota, scale, now_ns);
        self.classes[class] = next;
        self.convert(class, |tat| old.tat_in(&next, tat, now_ns));
        let members = self.promoted.iter().filter(|own| own.class == class);
        members.filter_map(|own| next.give(&own.limiter, &old.quota())).collect()
    }
}

impl<K, C: Clock> core::fmt::Debug for Shard<K, C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shard").field("keys", &self.cells.len()).finish_non_exhaustive()
    }
}
