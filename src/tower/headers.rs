//! The headers of an answer that tell the client about its limits.

#[cfg(all(test, not(tidegate_loom)))]
mod tests;

use core::{fmt::Write as _, time::Duration};

use http::{HeaderMap, HeaderValue};

/// The largest integer of a structured field: 15 digits.
const MOST: u64 = 999_999_999_999_999;

/// Which headers tell clients about their limits.
///
/// In every style a refusal has `Retry-After`, in seconds. Seconds are rounded up, so a client that waits as long as it
/// is told never comes too early. A header that the service has set itself is kept. If the service has set one header
/// of a style, the others of that style are not added, as the numbers may be those of another limit.
///
/// # Examples
/// ```
/// use tidegate::tower::HeaderStyle;
///
/// assert_eq!(HeaderStyle::default(), HeaderStyle::RetryAfter);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeaderStyle {
    /// `Retry-After` alone.
    #[default]
    RetryAfter,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, as many APIs have them.
    ///
    /// The reset is a number of seconds from now, not a time of day. Of several limits, the one with the fewest permits
    /// left is told.
    ///
    /// ```text
    /// X-RateLimit-Limit: 100
    /// X-RateLimit-Remaining: 50
    /// X-RateLimit-Reset: 30
    /// ```
    Legacy,
    /// `RateLimit-Policy` and `RateLimit` of version 10 of the
    /// [draft](https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10) of the IETF. They tell
    /// all limits, by their names.
    ///
    /// ```text
    /// RateLimit-Policy: "burst";q=100;w=60,"daily";q=1000;w=86400
    /// RateLimit: "burst";r=50;t=30,"daily";r=900;t=87
    /// ```
    ///
    /// The limit is `q` permits in `w` seconds. A client may take `r` permits in the next `t` seconds. Numbers above
    /// 999,999,999,999,999 are told as that, the largest that the format has. Of a name only printable ASCII is told.
    Draft10,
}

/// What is told of one limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) name: &'a str,
    /// The most permits at once.
    pub(super) burst: u64,
    /// The time in which the burst is refilled, more than zero.
    pub(super) window: Duration,
    /// The permits left.
    pub(super) remaining: u64,
    /// How long until there are more, or until the burst is full.
    pub(super) reset: Duration,
}

impl HeaderStyle {
    /// Whether it tells the levels of limits.
    pub(super) const fn tells_levels(self) -> bool {
        !matches!(self, Self::RetryAfter)
    }

    /// Adds the headers of this style, and `Retry-After` if there is a time. Without limits to tell, only the latter.
    pub(super) fn write(self, headers: &mut HeaderMap, told: &[Told<'_>], retry_after: Option<Duration>) {
        match self {
            Self::RetryAfter => {}
            Self::Legacy => write_legacy(headers, told),
            Self::Draft10 => write_draft_10(headers, told),
        }
        if let Some(wait) = retry_after {
            // Zero would say to retry at once.
            add(headers, [("retry-after", seconds(wait).max(1).into())]);
        }
    }
}

fn write_legacy(headers: &mut HeaderMap, told: &[Told<'_>]) {
    // Of limits with as few left, the one that the client waits for longest.
    let Some(tightest) = told.iter().min_by_key(|told| (told.remaining, core::cmp::Reverse(told.reset)))
    else {
        return;
    };
    add(
        headers,
        [
            ("x-ratelimit-limit", tightest.burst.min(MOST).into()),
            ("x-ratelimit-remaining", tightest.remaining.min(MOST).into()),
            ("x-ratelimit-reset", seconds(tightest.reset).into()),
        ],
    );
}

fn write_draft_10(headers: &mut HeaderMap, told: &[Told<'_>]) {
    let (mut policy, mut level) = (String::new(), String::new());
    for told in told {
        push_item(&mut policy, told.name, [("q", told.burst), ("w", seconds(told.window).max(1))]);
        // A client may take `r` permits, and no more before `t` seconds are over. Zero seconds would not bound it: a
        // full bucket has no time until there is more, and yet no more than `r` permits at once.
        push_item(&mut level, told.name, [("r", told.remaining), ("t", seconds(told.reset).max(1))]);
    }
    // A list without members is a field that is not sent. The lists are printable ASCII, so they are valid values.
    if let (false, Ok(policy), Ok(level)) =
        (told.is_empty(), HeaderValue::try_from(policy), HeaderValue::try_from(level))
    {
        add(headers, [("ratelimit-policy", policy), ("ratelimit", level)]);
    }
}

/// Appends a member to a list of RFC 9651: a string with two integers as its parameters.
fn push_item(list: &mut String, name: &str, parameters: [(&str, u64); 2]) {
    list.push_str(if list.is_empty() { "\"" } else { ",\"" });
    for printable in name.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(printable, '"' | '\\') {
            list.push('\\');
        }
        list.push(printable);
    }
    list.push('"');
    for (key, value) in parameters {
        // Writing to a `String` does not fail.
        let _ = write!(list, ";{key}={}", value.min(MOST));
    }
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)).min(MOST)
}

/// Adds headers that belong together, unless the service has set one of them.
fn add<const N: usize>(headers: &mut HeaderMap, added: [(&'static str, HeaderValue); N]) {
    if added.iter().any(|(name, _)| headers.contains_key(*name)) {
        return;
    }
    for (name, value) in added {
        // A map that is full, with 2^15 headers, stays as it is: the answer matters more than this header.
        let _ = headers.try_insert(name, value);
    }
}
