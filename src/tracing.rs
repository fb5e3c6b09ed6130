//! Events of watched limiters through tracing (feature `tracing`).

use tracing::{debug, info, trace};

use crate::{Event, Listener};

/// Writes the events of a limiter to the current subscriber of tracing, with the target `tidegate`.
///
/// | event | level |
/// |---|---|
/// | paused, resumed, another quota, closed | info |
/// | refused, too late, cancelled | debug |
/// | joined, granted, given back, charged | trace |
///
/// The field `limiter` is the name of the limiter. Times are fields in seconds.
///
/// # Examples
/// ```
/// use tidegate::{Quota, RateLimiter, TracingListener};
/// let limiter = RateLimiter::new(Quota::per_second(10)).watched_by("api", TracingListener);
/// limiter.set_quota(Quota::per_second(20)).unwrap(); // INFO tidegate: quota set limiter="api" quota=20/s
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingListener;

impl Listener for TracingListener {
    fn on_event(&self, limiter: &str, event: &Event) {
        match event {
            Event::Refused(denied) => debug!(target: "tidegate", limiter, %denied, "refused"),
            Event::Joined => trace!(target: "tidegate", limiter, "joined the queue"),
            Event::Granted { waited } => {
                trace!(target: "tidegate", limiter, waited = waited.as_secs_f64(), "granted");
            }
            Event::TooLate { waited, denied } => {
                debug!(target: "tidegate", limiter, waited = waited.as_secs_f64(), %denied, "too late");
            }
            Event::Cancelled => debug!(target: "tidegate", limiter, "cancelled"),
            Event::GivenBack(permits) => trace!(target: "tidegate", limiter, %permits, "given back"),
            Event::Charged(permits) => trace!(target: "tidegate", limiter, %permits, "charged"),
            Event::Paused { pause: Some(pause) } => {
                info!(target: "tidegate", limiter, pause = pause.as_secs_f64(), "paused");
            }
            Event::Paused { pause: None } => info!(target: "tidegate", limiter, "blocked"),
            Event::Resumed => info!(target: "tidegate", limiter, "resumed"),
            Event::QuotaSet(quota) => info!(target: "tidegate", limiter, %quota, "quota set"),
            Event::Closed => info!(target: "tidegate", limiter, "closed"),
        }
    }
}
