//! Keys that leave the table: full buckets, and evictions.

use core::hash::Hash;

use hashbrown::HashTable;

use super::{
    At, NoRoom, Shard, WhenFull,
    class::{PROMOTED, class_of, tat_of},
    own::is_in_use,
};
use crate::{clock::Clock, queue::LevelAt, sync::Ordering};

/// How many buckets of the table a new key looks at, to remove keys with full buckets. More than two buckets to a key
/// keep up with the largest table that hashbrown makes for the keys.
const SWEPT: usize = 4;

/// How many keys are compared to evict the fullest. For want of keys without waiters it looks at more buckets.
const COMPARED: usize = 8;
const LOOKED_AT: usize = 256;

impl<K: Hash + Eq, C: Clock + Clone> Shard<K, C> {
    /// Removes a few keys whose buckets are full, and makes room for one more if there are `most` keys.
    pub(in super::super) fn make_room(
        &mut self,
        at: &At<'_, K, C>,
        most: usize,
        when_full: WhenFull,
    ) -> Result<(), NoRoom> {
        self.sweep_promoted(at, SWEPT);
        for _ in 0..SWEPT.min(self.cells.num_buckets()) {
            self.swept = (self.swept + 1) % self.cells.num_buckets();
            if let Ok(mut entry) = self.cells.get_bucket_entry(self.swept) {
                let word = *entry.get_mut().word.get_mut();
                let class = self.classes.get(class_of(word));
                if class.is_some_and(|class| tat_of(word) <= class.fresh(class.now(at.now_ns))) {
                    entry.remove();
                }
            }
        }
        let room = if self.cells.len() < most { Ok(()) } else { self.replace_one(at, when_full) };
        self.tidy(at);
        room
    }

    /// Replaces a table whose free buckets are used up by traces of removed keys. It would double, though the number of keys stays
    /// the same: hashbrown clears the traces in place only if less than half of the table is in use.
    fn tidy(&mut self, at: &At<'_, K, C>) {
        let len = self.cells.len();
        let fits = self.cells.num_buckets() / 8 * 7;
        // With a sixteenth to spare, so that this is seldom.
        if self.cells.capacity() > len || len + len / 16 >= fits {
            return;
        }
        // All that may panic comes first.
        let hashes: Vec<u64> = self.cells.iter().map(|cell| (at.hasher)(&cell.key)).collect();
        let cells = core::mem::replace(&mut self.cells, HashTable::with_capacity(fits));
        for (hash, cell) in hashes.into_iter().zip(cells) {
            self.cells.insert_unique(hash, cell, |cell| (at.hasher)(&cell.key));
        }
    }

    fn replace_one(&mut self, at: &At<'_, K, C>, when_full: WhenFull) -> Result<(), NoRoom> {
        match when_full {
            WhenFull::EvictFullest => self.evict(at.now_ns).or_else(|_| {
                // All keys that it saw are promoted. Some may no longer need their limiters.
                self.sweep_promoted(at, LOOKED_AT);
                self.evict(at.now_ns)
            }),
            WhenFull::RefuseNew => Err(NoRoom::Refused),
            WhenFull::ShareOverflow => Err(NoRoom::Overflow),
        }
    }

    /// Evicts the key with the fullest bucket of a few: the one that would be full first.
    fn evict(&mut self, now_ns: u64) -> Result<(), NoRoom> {
        let mut fullest: Option<(u64, bool, usize)> = None;
        let (mut compared, buckets) = (0, self.cells.num_buckets());
        for i in 1..=LOOKED_AT.min(buckets) {
            let bucket = (self.swept + i) % buckets;
            let Some(cell) = self.cells.get_bucket(bucket) else { continue };
            // Relaxed: under the write lock.
            let word = cell.word.load(Ordering::Relaxed);
            let Some(class) = self.classes.get(class_of(word)) else { continue };
            compared += 1;
            // Ticks of one class compare as times do, without a division.
            let tat = tat_of(word);
            let full_at = if self.classes.len() == 1 { tat } else { class.frame().reading_at(tat) };
            if fullest.is_none_or(|(least, ..)| full_at < least) {
                fullest = Some((full_at, tat > class.now(now_ns), bucket));
            }
            if compared == COMPARED {
                break;
            }
        }
        let Some((_, is_live, bucket)) = fullest else { return Err(NoRoom::Refused) };
        if let Ok(entry) = self.cells.get_bucket_entry(bucket) {
            entry.remove();
        }
        self.swept = bucket;
        self.evicted_live += u64::from(is_live);
        Ok(())
    }

    /// Demotes a few keys that no longer need their limiters.
    fn sweep_promoted(&mut self, at: &At<'_, K, C>, most: usize) {
        for _ in 0..most.min(self.promoted.num_buckets()) {
            self.swept_promoted = (self.swept_promoted + 1) % self.promoted.num_buckets();
            self.demote_bucket(at, self.swept_promoted);
        }
    }

    fn demote_bucket(&mut self, at: &At<'_, K, C>, bucket: usize) {
        let Some(own) = self.promoted.get_bucket(bucket) else { return };
        if is_in_use(&own.limiter) {
            return;
        }
        let hash = (at.hasher)(&own.key);
        let cell = self.cells.find_bucket_index(hash, |cell| cell.key == own.key);
        self.demote_at(bucket, cell);
    }

    /// Removes a key, whose bucket is full again. A promoted key stays.
    pub(in super::super) fn remove(&mut self, hash: u64, is_key: impl Fn(&K) -> bool) -> bool {
        self.demote(hash, &is_key);
        let Ok(mut entry) = self.cells.find_entry(hash, |cell| is_key(&cell.key)) else { return false };
        let plain = class_of(*entry.get_mut().word.get_mut()) != PROMOTED;
        if plain {
            entry.remove();
        }
        plain
    }

    /// Removes the keys for which `keep` returns `false`. Promoted keys stay.
    pub(in super::super) fn retain(&mut self, at: &At<'_, K, C>, mut keep: impl FnMut(&K, LevelAt) -> bool) {
        let now_ns = at.now_ns;
        self.catch_up(now_ns);
        self.sweep_promoted(at, usize::MAX);
        let classes = &self.classes;
        self.cells.retain(|cell| {
            let word = *cell.word.get_mut();
            classes
                .get(class_of(word))
                .is_none_or(|class| keep(&cell.key, class.level_at(tat_of(word), class.now(now_ns), now_ns)))
        });
    }
}
