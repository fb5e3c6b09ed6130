//! What a slot has seen.

use crate::{permits::Permits, shares::Account};

/// What a slot of a [`PerCore`](crate::PerCore) has seen so far.
///
/// The numbers are read one by one, and belong together only when nobody is at work.
///
/// # Examples
/// ```
/// use tidegate::{ManualClock, PerCore, Quota, RateLimiter};
///
/// let limiter = RateLimiter::with_clock(Quota::per_second(8000), ManualClock::new());
/// let per_core = PerCore::builder(&limiter).slots(1).share(100).build().unwrap();
/// for _ in 0..5 {
///     per_core.try_acquire().unwrap();
/// }
/// let slot = per_core.report()[0];
/// // One was drawn for itself, with a share of 100, and four were taken from that.
/// assert_eq!((slot.draws, slot.drawn, slot.taken), (1, 100.into(), 4.into()));
/// assert_eq!((slot.parked, slot.stolen), (96.into(), 0.into()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotReport {
    /// How often it was drawn for.
    pub draws: u64,
    /// The permits that were parked here in all.
    pub drawn: Permits,
    /// Those that were taken by the threads whose slot this is.
    pub taken: Permits,
    /// Those that were taken by others, or went to the queue.
    pub stolen: Permits,
    /// Those that are here now.
    pub parked: Permits,
    /// The share as it is now: the most that may be parked here.
    pub share: u64,
}

impl SlotReport {
    pub(super) const fn new(account: Account) -> Self {
        let Account { claim, parked, draws, brought, stolen } = account;
        let taken = brought.saturating_sub(stolen).saturating_sub(parked);
        Self {
            draws,
            drawn: Permits::of_millionths(brought),
            taken: Permits::of_millionths(taken),
            stolen: Permits::of_millionths(stolen),
            parked: Permits::of_millionths(parked),
            share: claim,
        }
    }
}
