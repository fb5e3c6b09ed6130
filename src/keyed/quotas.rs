//! The quotas of a table: of all keys, of a class, of one key.

use core::hash::{BuildHasher, Hash};

use super::{Keyed, Lookup, shard::scale_of};
use crate::{clock::Clock, error::QuotaError, quota::Quota};

impl<K, S, C> Keyed<K, S, C>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
    C: Clock + Clone,
{
    /// Replaces the quota of all keys but those with a quota of their own; of class 0 if there are
    /// [classes](crate::KeyedBuilder::classes). Each key keeps its permits, up to the new burst, as by
    /// [`RateLimiter::set_quota`](crate::RateLimiter::set_quota). A key with a full bucket, known or not, has a full bucket by the
    /// new quota.
    ///
    /// The table is converted part by part. Each takes less than a millisecond, and longer if callers wait for many of its keys.
    /// Meanwhile a key is decided by the old quota or by the new one, each time exactly: its word and the quota of its part change
    /// under one lock. A new key is decided by the quota of its part. When the call returns, all keys have the new quota.
    ///
    /// # Errors
    /// If no key can have this quota, or it has an initial level. Nothing changes then. A key in so deep a debt that its
    /// limiter cannot follow keeps the old quota as its own.
    ///
    /// ```
    /// use tidegate::{Keyed, Quota};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_hour(10));
    /// users.try_acquire_n(&7, 4).unwrap();
    /// users.set_quota(Quota::per_hour(100)).unwrap();
    /// assert_eq!(users.level(&7).available(), 6);
    /// assert_eq!(users.level(&8).available(), 100);
    /// ```
    pub fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.set_class_quota(0, quota)
    }

    /// As [`set_quota`](Self::set_quota), for the keys of a class.
    ///
    /// # Errors
    /// As [`set_quota`](Self::set_quota), and [`QuotaError::NoSuchClass`]. See the example of
    /// [`KeyedBuilder::classes`](crate::KeyedBuilder::classes).
    pub fn set_class_quota(&self, class: usize, quota: Quota) -> Result<(), QuotaError> {
        let table = &*self.table;
        let Some(overflow) = table.overflow.get(class) else {
            return Err(QuotaError::NoSuchClass { class, classes: table.overflow.len() });
        };
        let scale = scale_of(&quota)?;
        // Without the locks: it may wake waiters.
        let mut later = Vec::new();
        {
            let _change = table.change.lock();
            // It cannot fail: nobody can charge a shared bucket, so it has no debt.
            later.extend(overflow.driver().follow_quota(&overflow.quota(), quota, quota.is_blocked()));
            for shard in &table.shards {
                let mut shard = shard.write();
                later.extend(shard.set_quota(class, quota, scale, table.clock.now()));
            }
        }
        drop(later);
        Ok(())
    }

    /// The quota of all keys but those with a quota of their own; of class 0 if there are classes. See the example of
    /// [`set_quota`](Self::set_quota).
    pub fn quota(&self) -> Quota {
        self.class_quota(0).unwrap_or(Quota::BLOCKED)
    }

    /// The quota of a class; `None` if there is no such class. See the example of
    /// [`KeyedBuilder::classes`](crate::KeyedBuilder::classes).
    pub fn class_quota(&self, class: usize) -> Option<Quota> {
        self.table.shards.first()?.read().quota(class)
    }

    /// The quota of a key: its own, or that of its class.
    ///
    /// ```
    /// use tidegate::{Keyed, Quota};
    /// let users: Keyed<u64> = Keyed::new(Quota::per_hour(10));
    /// users.limiter(&7).unwrap().set_quota(Quota::per_hour(1_000)).unwrap();
    /// assert_eq!((users.quota_of(&7), users.quota_of(&8)), (Quota::per_hour(1_000), Quota::per_hour(10)));
    /// ```
    pub fn quota_of<Q: Lookup<K> + ?Sized>(&self, key: &Q) -> Quota {
        let class = self.class(key);
        let hash = self.table.hasher.hash_one(key);
        let is_key = |known: &K| key.is(known);
        let shard = self.of_class((hash, class), is_key);
        match shard.limiter(hash, is_key) {
            Some(limiter) => limiter.quota(),
            None => shard.quota(class).unwrap_or(Quota::BLOCKED),
        }
    }
}
