use core::time::Duration;

use crate::{error::Denied, permits::Permits, quota::Quota};

/// What has happened at a watched limiter, beside admissions, which are only [counted](crate::Stats).
///
/// # Examples
/// See [`Listener`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A call was refused at once.
    Refused(Denied),
    /// A caller has joined the queue.
    Joined,
    /// A waiter runs with its permits.
    Granted {
        /// How long it has waited.
        waited: Duration,
    },
    /// A waiter was refused: its longest wait cannot be kept any more, or the limiter was closed or has too small a burst now.
    TooLate {
        /// How long it has waited.
        waited: Duration,
        /// The refusal.
        denied: Denied,
    },
    /// A waiter has left the queue, because its future was dropped.
    Cancelled,
    /// Permits were given back: a refund, or a reservation that was not used up.
    GivenBack(Permits),
    /// Permits were [charged](crate::RateLimiter::charge).
    Charged(Permits),
    /// The limiter was paused.
    Paused {
        /// For how long from now on, if it has an end.
        pause: Option<Duration>,
    },
    /// A pause was ended by [`resume`](crate::RateLimiter::resume) or its like. Pauses that end by themselves are not told.
    Resumed,
    /// The quota was set.
    QuotaSet(Quota),
    /// The limiter was closed.
    Closed,
}

/// Is told what happens at a limiter that is [watched](crate::RateLimiter::watched_by) by it.
///
/// It runs on the thread of the call, with no lock held, so it may use the limiter. It should be quick: a refusal waits for
/// it. If it panics, so does the call. A grant, a refusal or a change that it was told about has taken place then.
///
/// # Examples
/// ```
/// use std::sync::{Arc, Mutex};
/// use tidegate::{Event, Listener, Quota, RateLimiter};
///
/// #[derive(Default)]
/// struct Log(Mutex<Vec<String>>);
///
/// impl Listener for Log {
///     fn on_event(&self, limiter: &str, event: &Event) {
///         if let Event::Refused(denied) = event {
///             self.0.lock().unwrap().push(format!("{limiter}: {denied}"));
///         }
///     }
/// }
///
/// let log = Arc::new(Log::default());
/// let limiter = RateLimiter::new(Quota::per_hour(1)).watched_by("api", log.clone());
/// limiter.try_acquire().unwrap();
/// limiter.try_acquire().unwrap_err();
/// assert!(log.0.lock().unwrap()[0].starts_with("api: rate limited: retry after "));
/// ```
pub trait Listener: Send + Sync + 'static {
    /// Something has happened at the limiter of that name.
    fn on_event(&self, limiter: &str, event: &Event);
}

impl<L: Listener + ?Sized> Listener for std::sync::Arc<L> {
    fn on_event(&self, limiter: &str, event: &Event) {
        (**self).on_event(limiter, event);
    }
}
