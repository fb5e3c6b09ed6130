//! Permits that time does not bring: those that a fleet leases.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// A source of permits beside time. It has a public name only because `Clock` has one.
#[doc(hidden)]
pub trait Supplier: Send + Sync {
    /// Asks for permits, rounded up, for a call that waits for at most `max_wait`, and of which the limiter will have them after
    /// `due`. `None` if that is not worth while.
    fn fetch(&self, permits: u64, due: Duration, max_wait: Duration) -> Option<Fetch>;

    /// A call for so many permits that does not wait was refused.
    fn refused(&self, permits: u64);

    /// Pauses the limiter, and all that share its quota.
    fn pause(&self, pause: Duration);
}

/// A call to a [`Supplier`]. Its output is how much longer the caller may wait. The caller then asks the limiter, but other
/// callers may be faster. Dropping it has no effect.
#[doc(hidden)]
pub struct Fetch(Pin<Box<dyn Future<Output = Duration> + Send + Sync>>);

impl Fetch {
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "for fleets"))]
    pub(crate) fn new(call: impl Future<Output = Duration> + Send + Sync + 'static) -> Self {
        Self(Box::pin(call))
    }
}

impl Future for Fetch {
    type Output = Duration;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Duration> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").finish_non_exhaustive()
    }
}
