//! The choices of a table of keys.

use core::{
    fmt,
    hash::{BuildHasher, Hash},
};
use std::hash::RandomState;

use super::{Keyed, Setup, WhenFull};
use crate::{
    clock::{Clock, QuantaClock},
    error::QuotaError,
    quota::Quota,
};

const DEFAULT_MAX_KEYS: usize = 1_000_000;

/// Builds a [`Keyed`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{Denied, Keyed, ManualClock, Quota, WhenFull};
///
/// let clock = ManualClock::new();
/// let users = Keyed::<u64>::builder(Quota::per_second(1))
///     .max_keys(2)
///     .when_full(WhenFull::RefuseNew)
///     .clock(clock.clone())
///     .build()
///     .unwrap();
/// assert!(users.try_acquire(&1).is_ok() && users.try_acquire(&2).is_ok());
/// assert_eq!(users.try_acquire(&3), Err(Denied::TooManyKeys));
/// // When the bucket of a key is full again, the key makes room.
/// clock.advance(Duration::from_secs(1));
/// assert!(users.try_acquire(&3).is_ok());
/// ```
#[must_use = "a builder does nothing before `build`"]
pub struct KeyedBuilder<K, S = RandomState, C = QuantaClock> {
    setup: Setup<K, S, C>,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    /// A limiter with this quota for each key, a million keys at most.
    ///
    /// # Panics
    /// If [`KeyedBuilder::build`] would fail.
    ///
    /// See the example of [`Keyed`].
    #[track_caller]
    pub fn new(quota: Quota) -> Self {
        match Self::builder(quota).build() {
            Ok(keyed) => keyed,
            Err(error) => panic!("{error}"),
        }
    }

    /// With a choice of the most keys and of the policy at that number, the hasher, the clock, and the most waiters of a key.
    ///
    /// See the example of [`KeyedBuilder`].
    pub fn builder(quota: Quota) -> KeyedBuilder<K> {
        KeyedBuilder::new(quota)
    }
}

impl<K> KeyedBuilder<K> {
    fn new(quota: Quota) -> Self {
        let setup = Setup {
            quota,
            others: Vec::new(),
            class_of: None,
            max_keys: DEFAULT_MAX_KEYS,
            when_full: WhenFull::default(),
            max_waiters: usize::MAX,
            hasher: RandomState::new(),
            clock: QuantaClock::new(),
        };
        Self { setup }
    }
}

impl<K, S, C> KeyedBuilder<K, S, C> {
    /// Classes of keys, such as plans, each with a quota: class 0 has that of the [builder](Keyed::builder), class 1 the first of
    /// `others`, and so on, seven at most. All classes share the table and its `max_keys`.
    ///
    /// `class_of` tells the class of a key, at each call for it. So it should be quick: read a field of the key, or a map in
    /// memory. It may take locks of its own, for the table holds none meanwhile. If a call is made with a borrowed form of a key,
    /// such as `&str`, a key is made for the function. See [Classes of keys](Keyed#classes-of-keys) for what becomes of the
    /// level when a key changes its class.
    ///
    /// # Panics
    /// Calls for a key panic if `class_of` panics, or returns a number that is no class.
    ///
    /// ```
    /// use std::{collections::HashSet, sync::{Arc, RwLock}};
    /// use tidegate::{Keyed, Quota};
    ///
    /// // Free users have 60 a minute, and paying users 600.
    /// let (free, pro) = (Quota::per_minute(60), Quota::per_minute(600));
    /// let paying: Arc<RwLock<HashSet<String>>> = Arc::default();
    /// let known = Arc::clone(&paying);
    /// let users = Keyed::<String>::builder(free)
    ///     .classes([pro], move |user| usize::from(known.read().unwrap().contains(user)))
    ///     .build()
    ///     .unwrap();
    ///
    /// users.try_acquire_n("ada", 20).unwrap();
    /// assert_eq!(users.level("ada").available(), 40);
    /// // She pays from now on: the level stays, and the rate and the burst are those of her plan.
    /// paying.write().unwrap().insert("ada".to_owned());
    /// assert_eq!((users.level("ada").available(), users.quota_of("ada")), (40, pro));
    ///
    /// users.set_class_quota(1, Quota::per_minute(900)).unwrap();
    /// assert_eq!(users.class_quota(1), Some(Quota::per_minute(900)));
    /// assert_eq!((users.quota_of("ada"), users.quota_of("grace")), (Quota::per_minute(900), free));
    /// ```
    pub fn classes(
        mut self,
        others: impl IntoIterator<Item = Quota>,
        class_of: impl Fn(&K) -> usize + Send + Sync + 'static,
    ) -> Self {
        self.setup.others = others.into_iter().collect();
        self.setup.class_of = Some(Box::new(class_of));
        self
    }

    /// The most keys at a time; a million unless set. The table grows as keys come. It may be full with a tenth
    /// less, for its parts do not fill evenly. See the example of [`KeyedBuilder`].
    pub const fn max_keys(mut self, most: usize) -> Self {
        self.setup.max_keys = most;
        self
    }

    /// What becomes of a new key when the table is full. See the example of [`KeyedBuilder`].
    pub const fn when_full(mut self, when_full: WhenFull) -> Self {
        self.setup.when_full = when_full;
        self
    }

    /// The most waiters of each key, as [`RateLimiter::set_max_waiters`](crate::RateLimiter::set_max_waiters).
    pub const fn max_waiters(mut self, most: usize) -> Self {
        self.setup.max_waiters = most;
        self
    }

    /// Another hasher than [`RandomState`]. Keys that an attacker may choose need a seeded one.
    pub fn hasher<T>(self, hasher: T) -> KeyedBuilder<K, T, C> {
        let Setup { quota, others, class_of, max_keys, when_full, max_waiters, clock, .. } = self.setup;
        let setup = Setup { quota, others, class_of, max_keys, when_full, max_waiters, hasher, clock };
        KeyedBuilder { setup }
    }

    /// Another clock. See the example of [`KeyedBuilder`].
    pub fn clock<T>(self, clock: T) -> KeyedBuilder<K, S, T> {
        let Setup { quota, others, class_of, max_keys, when_full, max_waiters, hasher, .. } = self.setup;
        let setup = Setup { quota, others, class_of, max_keys, when_full, max_waiters, hasher, clock };
        KeyedBuilder { setup }
    }
}

impl<K, S, C> KeyedBuilder<K, S, C>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
    C: Clock + Clone,
{
    /// The table.
    ///
    /// # Errors
    /// If no limiter can have the quota, as [`RateLimiter::try_new`](crate::RateLimiter::try_new); if its burst takes years to fill,
    /// for the word of a key has 61 bits for it, and not 62; or if it has an initial level: an unknown key is the same as one
    /// with a full bucket. [`QuotaError::TooManyClasses`] if there are more than seven classes.
    pub fn build(self) -> Result<Keyed<K, S, C>, QuotaError> {
        Keyed::build(self.setup)
    }
}

impl<K, S, C> fmt::Debug for KeyedBuilder<K, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBuilder")
            .field("quota", &format_args!("{}", self.setup.quota))
            .field("other_classes", &self.setup.others.len())
            .field("max_keys", &self.setup.max_keys)
            .field("when_full", &self.setup.when_full)
            .finish_non_exhaustive()
    }
}
