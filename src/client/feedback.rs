//! What a response says about the limits of its server.

use core::time::Duration;
use std::time::SystemTime;

use http::{
    HeaderMap, StatusCode,
    header::{DATE, RETRY_AFTER},
};

use super::times::wait;

/// Pairs of headers: what is left, and when there is more.
const PAIRS: [(&str, &str); 8] = [
    // GitHub (a time of day) and many others (seconds).
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    // Drafts of the IETF up to version 6.
    ("ratelimit-remaining", "ratelimit-reset"),
    // OpenAI.
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    // Anthropic.
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
];

/// What a response says about the limits of its server: whether it refused the request, and how long to wait.
///
/// [`ClientLayer`](super::ClientLayer) reads it from every response. Programs with an HTTP client of another kind can read it
/// themselves, and pause their limiter.
///
/// # What is read
/// - `Retry-After` of an error, in seconds or as a date, and `retry-after-ms`. It counts before all other headers.
/// - Otherwise the reset of a limit of which nothing remains. Of several, the latest counts:
///   - `RateLimit` of the IETF drafts 7 and 10, and `RateLimit-Remaining` with `RateLimit-Reset` of the drafts before;
///   - `X-RateLimit-Remaining` with `X-RateLimit-Reset`, as GitHub and many others have it;
///   - those of `OpenAI` (`x-ratelimit-remaining-requests` and so on) and of Anthropic
///     (`anthropic-ratelimit-requests-remaining` and so on).
///
/// A reset is read as seconds from now, as a time of day (seconds or milliseconds since 1970, RFC 3339, or the date of HTTP), or
/// as a duration such as `6m0s`. A time of day counts from the `Date` of the response if it has one, so a local clock that is wrong
/// does no harm. What cannot be read is ignored, and makes [`is_malformed`](Self::is_malformed) true.
///
/// # Examples
/// ```
/// use std::time::{Duration, SystemTime};
/// use http::{HeaderMap, StatusCode};
/// use tidegate::client::Feedback;
///
/// let mut headers = HeaderMap::new();
/// headers.insert("x-ratelimit-remaining-requests", "0".parse().unwrap());
/// headers.insert("x-ratelimit-reset-requests", "1m30s".parse().unwrap());
/// let feedback = Feedback::of(StatusCode::OK, &headers, SystemTime::now());
/// assert!(!feedback.is_refusal());
/// assert_eq!(feedback.pause(), Some(Duration::from_secs(90)));
///
/// headers.insert("retry-after", "5".parse().unwrap());
/// let feedback = Feedback::of(StatusCode::TOO_MANY_REQUESTS, &headers, SystemTime::now());
/// assert!(feedback.is_refusal());
/// assert_eq!(feedback.pause(), Some(Duration::from_secs(5)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    is_refusal: bool,
    pause: Option<Duration>,
    is_malformed: bool,
}

impl Feedback {
    /// Reads a response. `now` is the time of day at which it came. See the example of [`Feedback`].
    #[must_use]
    pub fn of(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Self {
        let mut read = Reader { headers, now, is_malformed: false };
        if let Some(date) = read.text(DATE.as_str()) {
            match httpdate::parse_http_date(date) {
                Ok(date) => read.now = date,
                Err(_) => read.is_malformed = true,
            }
        }
        let is_error = status.is_client_error() || status.is_server_error();
        let asked = if is_error { read.retry_after() } else { None };
        let pause = asked.or_else(|| read.pairs().max(read.draft()));
        let is_refusal = status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::SERVICE_UNAVAILABLE
            // As GitHub answers.
            || (status == StatusCode::FORBIDDEN && pause.is_some());
        Self { is_refusal, pause: pause.filter(|pause| !pause.is_zero()), is_malformed: read.is_malformed }
    }

    /// Whether the server refused the request because of a limit: by 429, by 503, or by 403 with a time to wait.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        self.is_refusal
    }

    /// How long no request should be sent, more than zero. It is as the server says: bound it before you trust it.
    #[must_use]
    pub const fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// Whether a header was ignored because it cannot be read.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        self.is_malformed
    }
}

struct Reader<'a> {
    headers: &'a HeaderMap,
    /// By the clock of the server, if the response has its date.
    now: SystemTime,
    is_malformed: bool,
}

impl<'a> Reader<'a> {
    fn text(&mut self, name: &str) -> Option<&'a str> {
        let text = self.headers.get(name)?.to_str().ok();
        self.is_malformed |= text.is_none();
        text
    }

    fn note<T>(&mut self, read: Option<T>) -> Option<T> {
        self.is_malformed |= read.is_none();
        read
    }

    fn retry_after(&mut self) -> Option<Duration> {
        if let Some(ms) = self.text("retry-after-ms") {
            let ms =
                ms.trim().parse().ok().and_then(|ms: f64| Duration::try_from_secs_f64(ms / 1_000.0).ok());
            if let Some(wait) = self.note(ms) {
                return Some(wait);
            }
        }
        let text = self.text(RETRY_AFTER.as_str())?;
        self.note(wait(text, self.now))
    }

    /// The latest reset of a pair of headers by which nothing remains.
    fn pairs(&mut self) -> Option<Duration> {
        let mut latest = None;
        for (remaining, reset) in PAIRS {
            let Some(remaining) = self.text(remaining) else { continue };
            // A fraction may remain.
            if self.note(remaining.trim().parse::<f64>().ok()).is_none_or(|remaining| remaining > 0.0) {
                continue;
            }
            if let Some(reset) = self.text(reset) {
                latest = latest.max(self.note(wait(reset, self.now)));
            }
        }
        latest
    }

    /// The latest reset in `RateLimit`, in the form of draft 10 (`"name";r=0;t=30, …`) or 7 (`limit=100, remaining=0, reset=30`).
    fn draft(&mut self) -> Option<Duration> {
        let headers = self.headers;
        let mut latest = None;
        for line in headers.get_all("ratelimit") {
            let Some(line) = self.note(line.to_str().ok()) else { continue };
            if line.contains('"') {
                for item in line.split(',') {
                    latest = latest.max(self.exhausted(item.split(';').skip(1), "r", "t"));
                }
            } else {
                latest = latest.max(self.exhausted(line.split([',', ';']), "remaining", "reset"));
            }
        }
        latest
    }

    /// The reset of parameters by which nothing remains.
    fn exhausted<'b>(
        &mut self,
        parameters: impl Iterator<Item = &'b str>,
        remaining: &str,
        reset: &str,
    ) -> Option<Duration> {
        let (mut left, mut resets) = (None, None);
        for parameter in parameters {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            let value = value.trim();
            if name.trim() == remaining {
                left = self.note(value.parse::<u64>().ok());
            } else if name.trim() == reset {
                resets = self.note(value.parse().ok().map(Duration::from_secs));
            }
        }
        resets.filter(|_| left == Some(0))
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
