//! What all limits have in common: they can be tried, waited for, and joined with others.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use std::sync::Arc;

use pin_project_lite::pin_project;

use super::{acquire::AcquireAll, denied::Which, members::Members};
use crate::{
    clock::Clock,
    error::Denied,
    limiter::RateLimiter,
    permits::{InvalidPermits, Permits},
    queue::{AnyDriver, Ask, Driver, Waiter, block_on},
};

/// A limit that calls have to pass: a [`RateLimiter`] on any clock, a [`PerCore`](crate::PerCore), or an [`AllOf`](crate::AllOf).
///
/// [`throttle`](crate::throttle()) and [`AllOf::and`](crate::AllOf::and) take any of them. The trait can be made an object, so that a
/// program can choose a limit by its configuration: `Box<dyn Limit>`. That is why its methods take [`Permits`] (`1.into()`, or
/// `n.permits()?` of any [`Amount`](crate::Amount)) and return one type of future. The methods of the types themselves have
/// the same names, take any amount, and are a little faster.
///
/// The trait is sealed: a limit joins others by its queue, which is private.
///
/// What else a limit can do, it does in an [`AllOf`](crate::AllOf): `AllOf::new().and(&limit, n)` reserves, charges, refunds and
/// pauses a limit of any kind.
///
/// # Examples
/// ```
/// use tidegate::{AllOf, Limit, PerCore, Quota, RateLimiter};
///
/// fn limit_of(plan: &str, all_users: &RateLimiter) -> Box<dyn Limit> {
///     match plan {
///         "internal" => Box::new(PerCore::new(all_users)),
///         _ => Box::new(AllOf::new().and(all_users, 1).and(&RateLimiter::new(Quota::per_minute(60)), 1)),
///     }
/// }
///
/// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # rt.block_on(async {
/// let all_users = RateLimiter::new(Quota::per_second(1000));
/// let limit = limit_of("free", &all_users);
/// limit.try_acquire_n(1.into()).unwrap();
/// limit.acquire_n(1.into()).await.unwrap();
/// # });
/// ```
pub trait Limit: Whole + fmt::Debug + Send + Sync {
    /// Takes `n` permits if all are available and no caller waits; otherwise none. An [`AllOf`](crate::AllOf) takes each of its
    /// amounts `n` times.
    ///
    /// # Errors
    /// As [`RateLimiter::try_acquire_n`]. See the example of [`Limit`].
    fn try_acquire_n(&self, n: Permits) -> Result<(), Denied>;

    /// Waits for `n` permits. Fairness, cancel safety and panics as [`RateLimiter::acquire_n`] and
    /// [`AllOf::acquire`](crate::AllOf::acquire).
    ///
    /// # Errors
    /// As [`RateLimiter::acquire_n`], never [`Denied::NotYet`]. See the example of [`Limit`].
    fn acquire_n(&self, n: Permits) -> AcquireAny {
        self.wait(n, None)
    }

    /// Waits for `n` permits if they are due within `max_wait`; otherwise fails at once.
    ///
    /// # Errors
    /// As [`RateLimiter::acquire_within`].
    ///
    /// ```
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// use std::time::Duration;
    /// use tidegate::{Limit, Quota, RateLimiter};
    /// let limit: Box<dyn Limit> = Box::new(RateLimiter::new(Quota::per_hour(1)));
    /// assert!(limit.acquire_within(1.into(), Duration::ZERO).await.is_ok());
    /// assert!(limit.acquire_within(1.into(), Duration::from_secs(1)).await.is_err());
    /// # });
    /// ```
    fn acquire_within(&self, n: Permits, max_wait: Duration) -> AcquireAny {
        self.wait(n, Some(max_wait))
    }

    /// Blocks the thread until it has `n` permits, as [`acquire_n`](Self::acquire_n).
    ///
    /// # Errors
    /// As [`acquire_n`](Self::acquire_n).
    ///
    /// # Panics
    /// If it is called inside a task, also if the permits are available.
    #[track_caller]
    fn blocking_acquire_n(&self, n: Permits) -> Result<(), Denied> {
        block_on(self.acquire_n(n))
    }

    /// Blocks the thread until it has `n` permits if they are due within `max_wait`; otherwise fails at once.
    ///
    /// # Errors
    /// As [`acquire_within`](Self::acquire_within).
    ///
    /// # Panics
    /// If it is called inside a task, also if the permits are available.
    #[track_caller]
    fn blocking_acquire_within(&self, n: Permits, max_wait: Duration) -> Result<(), Denied> {
        block_on(self.acquire_within(n, max_wait))
    }
}

/// The queues of a limit. It has a public name only to seal [`Limit`].
pub trait Whole {
    /// Adds `n` permits of each queue to `parts`.
    #[doc(hidden)]
    fn add_to(&self, parts: &mut Parts<'_>, n: Permits) -> Result<(), InvalidPermits>;

    #[doc(hidden)]
    fn wait(&self, n: Permits, max_wait: Option<Duration>) -> AcquireAny;
}

/// The queues of an `AllOf`, and the limit whose queues are being added.
#[derive(Debug)]
pub struct Parts<'a> {
    pub(super) members: &'a mut Members,
    pub(super) which: Which,
}

impl<C: Clock> Limit for RateLimiter<C> {
    fn try_acquire_n(&self, n: Permits) -> Result<(), Denied> {
        self.driver().try_take(n, self.lane_of_calls())
    }
}

impl<C: Clock> Whole for RateLimiter<C> {
    fn add_to(&self, parts: &mut Parts<'_>, n: Permits) -> Result<(), InvalidPermits> {
        let driver = Arc::<Driver<C>>::clone(self.driver());
        parts.members.add(driver, n, self.lane_of_calls(), parts.which)
    }

    fn wait(&self, n: Permits, max_wait: Option<Duration>) -> AcquireAny {
        let ask = Ask { permits: n, lane: self.lane_of_calls(), max_wait };
        AcquireAny::one(Arc::<Driver<C>>::clone(self.driver()), ask)
    }
}

/// Not for an `Arc` or a `Box` of a type that is known: there, the methods of the trait would hide those of the type.
macro_rules! pointers {
    ($([$($parameters:tt)*] $pointer:ty),*) => {$(
        impl<$($parameters)*> Limit for $pointer {
            fn try_acquire_n(&self, n: Permits) -> Result<(), Denied> {
                (**self).try_acquire_n(n)
            }
        }

        impl<$($parameters)*> Whole for $pointer {
            fn add_to(&self, parts: &mut Parts<'_>, n: Permits) -> Result<(), InvalidPermits> {
                (**self).add_to(parts, n)
            }

            fn wait(&self, n: Permits, max_wait: Option<Duration>) -> AcquireAny {
                (**self).wait(n, max_wait)
            }
        }
    )*};
}
pointers!([L: Limit + ?Sized] &L, [] Arc<dyn Limit>, [] Box<dyn Limit>);

pin_project! {
    /// The future of [`Limit::acquire_n`] and [`Limit::acquire_within`], with the output `Result<(), Denied>`.
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct AcquireAny {
        #[pin]
        queues: Queues,
    }
}

pin_project! {
    #[project = QueuesPinned]
    enum Queues {
        One {
            #[pin]
            waiter: Waiter<Arc<AnyDriver>, dyn Clock>,
        },
        All {
            #[pin]
            all: AcquireAll,
        },
    }
}

impl AcquireAny {
    pub(super) fn one(driver: Arc<AnyDriver>, ask: Ask) -> Self {
        Self { queues: Queues::One { waiter: Waiter::new(driver, Ok(ask)) } }
    }

    pub(super) const fn all(all: AcquireAll) -> Self {
        Self { queues: Queues::All { all } }
    }
}

impl Future for AcquireAny {
    type Output = Result<(), Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().queues.project() {
            QueuesPinned::One { waiter } => {
                let granted = ready!(waiter.poll_grant(cx, false));
                Poll::Ready(granted.map(drop))
            }
            QueuesPinned::All { all } => {
                let granted = ready!(all.poll(cx));
                Poll::Ready(granted.map_err(Denied::from))
            }
        }
    }
}

impl fmt::Debug for AcquireAny {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireAny").finish_non_exhaustive()
    }
}
