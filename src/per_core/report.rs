use crate::{permits::Permits, shares::Account};

/// The counters of a slot of a [`PerCore`](crate::PerCore).
///
/// The numbers are read one by one, so they match each other only while no thread takes permits.
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
/// // One draw: the permit asked for, and a share of 100, of which four were taken.
/// assert_eq!((slot.draws, slot.drawn, slot.taken), (1, 100.into(), 4.into()));
/// assert_eq!((slot.parked, slot.stolen), (96.into(), 0.into()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotReport {
    /// How many draws were made for this slot.
    pub draws: u64,
    /// The permits ever parked here.
    pub drawn: Permits,
    /// The permits taken by the threads of this slot.
    pub taken: Permits,
    /// The permits taken by other threads, or moved to the queue.
    pub stolen: Permits,
    /// The permits parked now.
    pub parked: Permits,
    /// The current share: the most that may be parked here.
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
