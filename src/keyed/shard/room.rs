//! Keys that leave the table: full buckets, and evictions.

use core::hash::Hash;

use super::{At, NoRoom, PROMOTED, Shard, WhenFull, is_in_use};
use crate::{clock::Clock, meter::Snapshot, queue::LevelAt, sync::Ordering};

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
        at: &At<'_, K>,
        most: usize,
        when_full: WhenFull,
    ) -> Result<(), NoRoom> {
        self.sweep_promoted(at, SWEPT);
        let now = self.frame.tick(at.now_ns).unwrap_or(0);
        let full = self.fresh(now);
        for _ in 0..SWEPT.min(self.cells.num_buckets()) {
            self.swept = (self.swept + 1) % self.cells.num_buckets();
            if let Ok(mut entry) = self.cells.get_bucket_entry(self.swept) {
                if *entry.get_mut().word.get_mut() <= full {
                    entry.remove();
                }
            }
        }
        if self.cells.len() < most {
            return Ok(());
        }
        match when_full {
            WhenFull::EvictFullest => self.evict(now).or_else(|_| {
                // All keys that it saw are promoted. Some may no longer need their limiters.
                self.sweep_promoted(at, LOOKED_AT);
                self.evict(now)
            }),
            WhenFull::RefuseNew => Err(NoRoom::Refused),
            WhenFull::ShareOverflow => Err(NoRoom::Overflow),
        }
    }

    /// Evicts the key with the fullest bucket of a few.
    fn evict(&mut self, now: u64) -> Result<(), NoRoom> {
        let mut fullest: Option<(u64, usize)> = None;
        let (mut compared, buckets) = (0, self.cells.num_buckets());
        for i in 1..=LOOKED_AT.min(buckets) {
            let bucket = (self.swept + i) % buckets;
            let Some(cell) = self.cells.get_bucket(bucket) else { continue };
            // Relaxed: under the write lock.
            let word = cell.word.load(Ordering::Relaxed);
            if word == PROMOTED {
                continue;
            }
            compared += 1;
            if fullest.is_none_or(|(tat, _)| word < tat) {
                fullest = Some((word, bucket));
            }
            if compared == COMPARED {
                break;
            }
        }
        let Some((tat, bucket)) = fullest else { return Err(NoRoom::Refused) };
        if let Ok(entry) = self.cells.get_bucket_entry(bucket) {
            entry.remove();
        }
        self.swept = bucket;
        self.evicted_live += u64::from(tat > now);
        Ok(())
    }

    /// Demotes a few keys that no longer need their limiters.
    fn sweep_promoted(&mut self, at: &At<'_, K>, most: usize) {
        for _ in 0..most.min(self.promoted.num_buckets()) {
            self.swept_promoted = (self.swept_promoted + 1) % self.promoted.num_buckets();
            self.demote_bucket(at, self.swept_promoted);
        }
    }

    fn demote_bucket(&mut self, at: &At<'_, K>, bucket: usize) {
        let Some((key, limiter)) = self.promoted.get_bucket(bucket) else { return };
        if is_in_use(limiter) {
            return;
        }
        let hash = (at.hasher)(key);
        let cell = self.cells.find_bucket_index(hash, |cell| cell.key == *key);
        self.demote_at(bucket, cell);
    }

    /// Removes a key, whose bucket is full again. A promoted key stays.
    pub(in super::super) fn remove(&mut self, hash: u64, is_key: impl Fn(&K) -> bool) -> bool {
        self.demote(hash, &is_key);
        let Ok(mut entry) = self.cells.find_entry(hash, |cell| is_key(&cell.key)) else { return false };
        let plain = *entry.get_mut().word.get_mut() != PROMOTED;
        if plain {
            entry.remove();
        }
        plain
    }

    /// Removes the keys for which `keep` returns `false`. Promoted keys stay.
    pub(in super::super) fn retain(&mut self, at: &At<'_, K>, mut keep: impl FnMut(&K, LevelAt) -> bool) {
        let now_ns = at.now_ns;
        let now = self.catch_up(now_ns);
        self.sweep_promoted(at, usize::MAX);
        let frame = self.frame;
        self.cells.retain(|cell| {
            let tat = *cell.word.get_mut();
            let level = || LevelAt::of_word(Snapshot { frame, tat, now }, now_ns);
            tat == PROMOTED || keep(&cell.key, level())
        });
    }
}
