//! How keys get a limiter of their own, follow their class with it, and become words again.

use core::hash::Hash;

use super::{
    At, Cell, NoRoom, Shard, State,
    class::{PROMOTED, class_of, pack, tat_of},
    own::{Own, unused},
};
use crate::{
    clock::Clock,
    limiter::RateLimiter,
    queue::Driver,
    quota::Quota,
    sync::{AtomicU64, Ordering},
};

impl<K: Hash + Eq, C: Clock + Clone> Shard<K, C> {
    /// The limiter of a key, which is promoted if it has none.
    pub(in super::super) fn promote(
        &mut self,
        at: &At<'_, K, C>,
        is_key: impl Fn(&K) -> bool,
        clock: &C,
        max_waiters: usize,
        add: impl FnOnce(&mut Self) -> Result<K, NoRoom>,
    ) -> Result<RateLimiter<C>, NoRoom>
    where
        K: Clone,
    {
        self.catch_up(at.now_ns);
        let class = self.classes[at.class];
        let now = class.now(at.now_ns);
        let tat = match self.state(at, &is_key) {
            State::Absent => class.fresh(now),
            State::Plain(tat) => tat,
            State::Promoted(limiter) => return Ok(limiter),
        };
        // All that may panic comes before the word is marked.
        if self.find(at.hash, &is_key).is_none() {
            let key = add(self)?;
            self.insert(at, key, pack(at.class, tat));
        }
        let Some(cell) = self.cells.find_bucket_index(at.hash, |cell| is_key(&cell.key)) else {
            unreachable!("it is in the table")
        };
        let missing = tat.saturating_sub(now);
        let quota = class.quota_of_frame();
        let driver = Driver::with_missing(quota, *class.scale(), clock.clone(), at.now_ns, missing);
        let limiter = RateLimiter::of(driver);
        if class.is_blocked() {
            let blocked = limiter.set_quota(Quota::BLOCKED);
            debug_assert!(blocked.is_ok(), "a limiter can always be blocked");
        }
        if max_waiters < usize::MAX {
            limiter.set_max_waiters(max_waiters);
        }
        let hasher = at.hasher;
        if let Some(key) = self.cells.get_bucket(cell).map(|cell| cell.key.clone()) {
            let own = Own { key, class: at.class, limiter: limiter.clone() };
            self.promoted.insert_unique(at.hash, own, |own| hasher(&own.key));
        }
        if let Some(cell) = self.cells.get_bucket_mut(cell) {
            *cell.word.get_mut() = pack(PROMOTED, 0);
        }
        Ok(limiter)
    }

    pub(super) fn insert(&mut self, at: &At<'_, K, C>, key: K, word: u64) {
        let hasher = at.hasher;
        self.cells.insert_unique(at.hash, Cell { key, word: AtomicU64::new(word) }, |cell| hasher(&cell.key));
    }

    /// The state of a key in the class of the call: after a limiter that is not in use has been demoted, after a step back of
    /// the clock, and after a change of its class.
    pub(super) fn state(&mut self, at: &At<'_, K, C>, is_key: &impl Fn(&K) -> bool) -> State<C> {
        // Relaxed: under the write lock.
        let Some(word) = self.find(at.hash, is_key).map(|word| word.load(Ordering::Relaxed)) else {
            return State::Absent;
        };
        let old_word = if class_of(word) == PROMOTED {
            match self.demote(at.hash, is_key) {
                Some(word) => word,
                None => return self.follow(at, is_key).map_or(State::Absent, State::Promoted),
            }
        } else {
            word
        };
        let (old, new) = (self.classes[class_of(old_word)], self.classes[at.class]);
        let (mut tat, now) = (tat_of(old_word), old.now(at.now_ns));
        if old.frame().is_beyond_limit(tat, now) {
            // The clock has stepped back: the bucket counts as empty at the new time.
            tat = now + old.scale().limit;
        }
        if class_of(old_word) != at.class {
            tat = old.tat_in(&new, tat, at.now_ns);
        }
        let word = pack(at.class, tat);
        if word != old_word {
            if let Some(cell) = self.cells.find_mut(at.hash, |cell| is_key(&cell.key)) {
                *cell.word.get_mut() = word;
            }
        }
        State::Plain(tat)
    }

    /// The limiter of a promoted key, which has the quota of the call's class from now on unless it has a quota of its own.
    fn follow(&mut self, at: &At<'_, K, C>, is_key: impl Fn(&K) -> bool) -> Option<RateLimiter<C>> {
        let own = self.promoted.find_mut(at.hash, |own| is_key(&own.key))?;
        if own.class != at.class {
            let old = self.classes[own.class].quota();
            at.later.set(self.classes[at.class].give(&own.limiter, &old));
            own.class = at.class;
        }
        Some(own.limiter.clone())
    }

    /// The word of a promoted key that no longer needs its limiter.
    pub(super) fn demote(&mut self, hash: u64, is_key: &impl Fn(&K) -> bool) -> Option<u64> {
        let promoted = self.promoted.find_bucket_index(hash, |own| is_key(&own.key))?;
        let cell = self.cells.find_bucket_index(hash, |cell| is_key(&cell.key))?;
        self.demote_at(promoted, Some(cell))
    }

    /// As [`demote`](Self::demote), by places in the tables. All that may panic comes before the first change.
    pub(super) fn demote_at(&mut self, promoted: usize, cell: Option<usize>) -> Option<u64> {
        let own = self.promoted.get_bucket(promoted)?;
        let word = pack(own.class, unused(&own.limiter, &self.classes[own.class])?);
        if let Some(cell) = cell.and_then(|cell| self.cells.get_bucket_mut(cell)) {
            *cell.word.get_mut() = word;
        }
        if let Ok(entry) = self.promoted.get_bucket_entry(promoted) {
            entry.remove();
        }
        Some(word)
    }
}
