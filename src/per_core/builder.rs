use core::{error::Error, fmt};

use super::PerCore;
use crate::{
    Clock, QuantaClock, RateLimiter,
    shares::{MAX_SLOTS, Sizing, default_slots, largest_share},
};

/// Makes a [`PerCore`] with a given number of slots, or shares of a given size.
///
/// # Examples
/// ```
/// use tidegate::{PerCore, Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_second(1_000_000).with_burst(100_000));
/// let per_core = PerCore::builder(&limiter).slots(8).share(64).build().unwrap();
/// assert!(per_core.try_acquire().is_ok());
///
/// let error = PerCore::builder(&limiter).share(2000).build().unwrap_err();
/// assert_eq!(error.to_string(), "a share of 2000 permits is more than the limit of 1562 with 8 slots");
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct PerCoreBuilder<C: Clock = QuantaClock> {
    limiter: RateLimiter<C>,
    slots: Option<usize>,
    share: Option<u64>,
}

impl<C: Clock> PerCore<C> {
    /// Starts a [`PerCoreBuilder`].
    pub fn builder(limiter: &RateLimiter<C>) -> PerCoreBuilder<C> {
        PerCoreBuilder::new(limiter)
    }
}

impl<C: Clock> PerCoreBuilder<C> {
    pub(super) fn new(limiter: &RateLimiter<C>) -> Self {
        Self { limiter: limiter.clone(), slots: None, share: None }
    }

    /// Sets the number of slots, from 1 to 65,536, rounded up to a power of two. The default is the number of cores, or
    /// of the slots that the limiter has already.
    pub const fn slots(mut self, slots: usize) -> Self {
        self.slots = Some(slots);
        self
    }

    /// Sets how many permits are drawn beyond those asked for; zero parks nothing. The default follows the demand. A
    /// smaller quota makes shares smaller, too.
    pub const fn share(mut self, permits: u64) -> Self {
        self.share = Some(permits);
        self
    }

    /// Makes the [`PerCore`].
    ///
    /// # Errors
    /// [`PerCoreError`] if the limiter cannot have such slots or shares.
    pub fn build(self) -> Result<PerCore<C>, PerCoreError> {
        let there = super::slots_of(&self.limiter);
        let slots = match self.slots {
            None => there.unwrap_or_else(default_slots),
            Some(slots) if slots == 0 || slots > MAX_SLOTS => return Err(PerCoreError::Slots { slots }),
            Some(slots) => slots.next_power_of_two(),
        };
        if let Some(there) = there.filter(|&there| there != slots) {
            return Err(PerCoreError::OtherSlots { slots, there });
        }
        if let Some(share) = self.share {
            let max = largest_share(self.limiter.quota().burst(), slots);
            if share > max {
                return Err(PerCoreError::Share { share, max, slots });
            }
        }
        let sizing = self.share.map_or(Sizing::Adaptive, Sizing::Fixed);
        let per_core = PerCore::attach(&self.limiter, slots, sizing);
        // Another thread may have made slots first.
        let there = per_core.slots.len();
        if there == slots { Ok(per_core) } else { Err(PerCoreError::OtherSlots { slots, there }) }
    }
}

/// The error of [`PerCoreBuilder::build`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PerCoreError {
    /// No slots, or more than 65,536.
    Slots {
        /// The number asked for.
        slots: usize,
    },
    /// The limiter has another number of slots already.
    OtherSlots {
        /// The number asked for, rounded up to a power of two.
        slots: usize,
        /// The number that the limiter has.
        there: usize,
    },
    /// A share that is more than an eighth of the burst divided by the number of slots.
    Share {
        /// The share asked for.
        share: u64,
        /// The largest share; zero if the burst is too small to be split.
        max: u64,
        /// The number of slots.
        slots: usize,
    },
}

impl fmt::Display for PerCoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots { slots } => write!(f, "{slots} slots: it must be from 1 to {MAX_SLOTS}"),
            Self::OtherSlots { slots, there } => {
                write!(f, "{slots} slots: the limiter has {there} already")
            }
            Self::Share { share, max, slots } => {
                write!(f, "a share of {share} permits is more than the limit of {max} with {slots} slots")
            }
        }
    }
}

impl Error for PerCoreError {}
