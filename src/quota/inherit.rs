//! What becomes of the level when the quota of a live limiter changes.

/// What becomes of the permits that are there when the quota of a live limiter changes.
///
/// Whatever is chosen, the time up to the change counts at the old rate, and the level is capped by the new
/// burst. The names are those of bucket4j.
///
/// # How much can be admitted
/// With [`AsIs`](Self::AsIs) each time, or [`Additively`](Self::Additively) each time, however often the quota
/// changes, no window sees more than the larger burst and the larger rate allow.
/// [`Proportionally`](Self::Proportionally) keeps that bound for one change in a window, and
/// [`Reset`](Self::Reset) is a new start, of up to a whole burst each time.
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
    /// The permits that are there stay: 4 of 10 become 4 of 20.
    #[default]
    AsIs,
    /// The permits that are missing stay missing: 4 of 10 become 14 of 20. If the new burst is smaller, this
    /// may end in debt. Those that are set aside for a [`PerCore`](crate::PerCore) and not parked count as missing.
    Additively,
    /// The bucket stays as full as it is: 4 of 10 become 8 of 20.
    Proportionally,
    /// The limiter starts anew, at the new quota's initial level.
    Reset,
}
