//! The lanes of a queue.

/// A lane of a limiter's queue: which waiters go first.
///
/// [`RateLimiter::lane`](crate::RateLimiter::lane) makes a handle whose calls are in a lane. All waiters of a lane are granted
/// before the first of the next lane, and in order of arrival within a lane. A call that does not wait is refused while a
/// caller waits in the same or a higher lane; callers that wait in lower lanes do not matter to it.
///
/// # Starvation
/// If the higher lanes ask for the whole rate, the lower lanes get nothing for as long as that lasts. So give the higher lanes a
/// limit of their own as well, below the shared rate, if they could ask for that much: see the example.
///
/// A lower lane takes whatever is available. If callers always wait there for few permits, the bucket is always nearly empty. A
/// call of a higher lane should then wait, with [`acquire_within`](crate::RateLimiter::acquire_within), rather than only try: it
/// gets the next permits.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{AllOf, Lane, ManualClock, Quota, RateLimiter};
///
/// let clock = ManualClock::new();
/// let limiter = RateLimiter::with_clock(Quota::per_second(10), clock.clone());
/// let batch = limiter.lane(Lane::Background);
/// // A waiter that needs all permits at once, such as a large job.
/// limiter.try_acquire_n(5).unwrap();
/// let mut job = Box::pin(batch.acquire_n(10));
/// # use std::{future::Future, task::{Context, Waker}};
/// # assert!(job.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
///
/// // Calls of its own lane go behind it. Others do not.
/// assert!(batch.try_acquire().is_err());
/// assert!(limiter.try_acquire().is_ok());
///
/// // At most 8 of 10 permits a second go to the normal lane, so that the background lane gets 2.
/// let normal = RateLimiter::with_clock(Quota::per_second(8), clock);
/// assert!(AllOf::new().and(&limiter, 1).and(&normal, 1).try_acquire().is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Before all others.
    Urgent,
    /// That of a limiter, unless another is chosen.
    #[default]
    Normal,
    /// After all others: jobs that take what is left.
    Background,
}

impl Lane {
    pub(crate) const COUNT: usize = 3;
    pub(crate) const ALL: [Self; Self::COUNT] = [Self::Urgent, Self::Normal, Self::Background];
    /// The last to be served.
    pub(crate) const LAST: Self = Self::Background;

    #[inline]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}
