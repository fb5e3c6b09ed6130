//! Tokens that are known only from the body of a response.

use core::fmt;
use std::sync::Arc;

use crate::{
    all_of::{AllOf, AllOfChargeError, ReservationAll},
    permits::Amount,
    sync::Mutex,
};

/// The reserved permits of a request that was sent. On drop they stay used.
pub(super) struct Estimate {
    /// Until it is settled.
    reservation: Option<ReservationAll>,
    call: AllOf,
    tokens: AllOf,
}

impl Estimate {
    pub(super) const fn new(reservation: ReservationAll, call: AllOf, tokens: AllOf) -> Self {
        Self { reservation: Some(reservation), call, tokens }
    }

    pub(super) fn settle(mut self, used: impl Amount) -> Result<(), AllOfChargeError> {
        match self.reservation.take() {
            Some(reservation) => reservation.settle(&self.call.clone().and(&self.tokens, used)),
            None => Ok(()),
        }
    }
}

impl Drop for Estimate {
    fn drop(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            reservation.spend();
        }
    }
}

/// Settles the tokens of a request when the body of its response has told them.
///
/// A [`ClientLayer`](super::ClientLayer) with [tokens](super::ClientLayer::tokens) puts it into the extensions of a response whose
/// headers do not tell how many tokens the call took. Take it out, and call [`settle`](Self::settle). If that never happens, the
/// estimate counts as used.
///
/// # Examples
/// ```
/// use http::{Request, Response};
/// use tidegate::{ManualClock, Quota, RateLimiter, client::{ClientLayer, Usage}};
/// use tower::{Layer, Service, service_fn};
///
/// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
/// # rt.block_on(async {
/// let requests = RateLimiter::with_clock(Quota::per_minute(60), ManualClock::new());
/// let tokens = RateLimiter::with_clock(Quota::per_minute(60_000), ManualClock::new());
/// let layer = ClientLayer::new(&requests).tokens(&tokens, |_request| 900);
/// let http = service_fn(|_: Request<&str>| async { Ok::<_, std::io::Error>(Response::new(r#"{"total_tokens": 700}"#)) });
///
/// let mut response = layer.layer(http).call(Request::new("prompt")).await.unwrap();
/// let usage = response.extensions_mut().remove::<Usage>().unwrap();
/// assert_eq!(tokens.available(), 59_100);
/// usage.settle(700).unwrap();
/// assert_eq!(tokens.available(), 59_300);
/// # });
/// ```
#[derive(Clone)]
pub struct Usage(Arc<Mutex<Option<Estimate>>>);

impl Usage {
    pub(super) fn new(estimate: Estimate) -> Self {
        Self(Arc::new(Mutex::new(Some(estimate))))
    }

    /// Tells how many tokens the call took. What was reserved beyond that goes back, as by
    /// [`ReservationAll::settle`](crate::ReservationAll::settle), and what was used beyond the estimate is charged. Of several
    /// calls, also on clones, the first counts. See the example of [`Usage`].
    ///
    /// # Errors
    /// As [`ReservationAll::settle`](crate::ReservationAll::settle).
    pub fn settle(&self, used: impl Amount) -> Result<(), AllOfChargeError> {
        // The lock is free before the limiters are asked.
        let estimate = self.0.lock().take();
        estimate.map_or(Ok(()), |estimate| estimate.settle(used))
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Usage").field("is_settled", &self.0.lock().is_none()).finish()
    }
}
