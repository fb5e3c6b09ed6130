//! What becomes of the level when the quota of a live limiter changes.

/// What becomes of the permits available when the quota of a live limiter changes. The names are those of bucket4j.
///
/// In every case, the time up to the change counts at the old rate, and the new burst caps the level.
/// [`Quota::UNLIMITED`](crate::Quota::UNLIMITED) always starts full, and what follows it keeps that level unless it is
/// [`Reset`](Self::Reset). [`Quota::BLOCKED`](crate::Quota::BLOCKED) keeps the level.
///
/// # How much can be admitted
/// If every change is [`AsIs`](Self::AsIs), or every change is [`Additively`](Self::Additively), no window sees more
/// than the largest burst and the highest rate allow. [`Proportionally`](Self::Proportionally) keeps that bound for one
/// change in a window. [`Reset`](Self::Reset) can admit up to a whole burst more with each change.
///
/// # Examples
/// ```
/// use tidegate::{Inherit, ManualClock, Quota, RateLimiter};
///
/// let after = |inherit| {
///     let limiter = RateLimiter::with_clock(Quota::per_second(10), ManualClock::new());
///     limiter.try_acquire_n(6).unwrap();
///     limiter.set_quota_with(Quota::per_second(20), inherit).unwrap();
///     limiter.available()
/// };
/// assert_eq!(after(Inherit::AsIs), 4);
/// assert_eq!(after(Inherit::Additively), 14);
/// assert_eq!(after(Inherit::Proportionally), 8);
/// assert_eq!(after(Inherit::Reset), 20);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Inherit {
    /// Keeps the permits available: 4 of 10 become 4 of 20.
    #[default]
    AsIs,
    /// Keeps the number of permits missing from the burst: 4 of 10 become 14 of 20. A smaller burst may end in debt.
    /// Permits set aside for a [`PerCore`](crate::PerCore) and not parked count as missing.
    Additively,
    /// Keeps the fraction of the burst: 4 of 10 become 8 of 20.
    Proportionally,
    /// Starts at the initial level of the new quota.
    Reset,
}
