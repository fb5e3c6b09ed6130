//! Parsing any text gives a quota or an error, and never panics. An error points into the text. A printed quota parses
//! to an equal quota, also in a list and through serde. A limiter with the quota admits exactly the permits that it reports.

use std::time::Duration;

use tidegate::{ManualClock, Quota, QuotaError, RateLimiter};

use super::decode;

/// Parses these bytes, as far as they are a text.
pub fn run(bytes: &[u8]) {
    let Some(text) = decode::<&str>(bytes) else { return };
    let parsed = text.parse::<Quota>();
    as_list(text, parsed.as_ref().ok());
    #[cfg(feature = "serde")]
    by_serde(text, parsed.as_ref().ok());
    let quota = match parsed {
        Ok(quota) => quota,
        Err(error) => {
            check_error(text, &error);
            return;
        }
    };
    let written = quota.to_string();
    assert_eq!(written.parse(), Ok(quota), "{text:?} is written as {written:?}");

    let clock = ManualClock::new();
    if let Ok(limiter) = RateLimiter::try_with_clock(quota, clock.clone()) {
        let there = limiter.available();
        assert_eq!(limiter.try_acquire_up_to(u64::MAX), there as u64, "{written}");
        assert!(there as u64 <= quota.burst(), "{written}");
        // The time that it names is enough, unless it is the longest that a clock can show.
        let full = limiter.time_until_full();
        if full < Duration::from_nanos(u64::MAX) {
            clock.advance(full);
            assert_eq!(limiter.available() as u64, quota.burst(), "{written}, {full:?}");
        }
    }
}

/// The error points at a character of the text or at its end.
fn check_error(text: &str, error: &QuotaError) {
    assert!(!error.to_string().is_empty());
    if let QuotaError::Syntax { text: whole, at, .. } = error {
        assert_eq!(whole, text);
        assert!(text.is_char_boundary(*at), "{error}");
    }
}

/// Reads it as a list, of which a single quota is one.
fn as_list(text: &str, parsed: Option<&Quota>) {
    match Quota::parse_list(text) {
        Ok(quotas) => {
            let alone = quotas.first().filter(|_| quotas.len() == 1);
            assert_eq!(alone, parsed, "{text:?}");
            let written = quotas.iter().map(Quota::to_string).collect::<Vec<_>>().join("; ");
            assert_eq!(Quota::parse_list(&written), Ok(quotas), "{text:?} is written as {written:?}");
        }
        Err(error) => {
            assert_eq!(parsed, None, "{text:?}: {error}");
            check_error(text, &error);
        }
    }
}

/// Reads it as a text, and as JSON, which it may be.
#[cfg(feature = "serde")]
fn by_serde(text: &str, parsed: Option<&Quota>) {
    let json = serde_json::to_string(text).expect("a text");
    let read = serde_json::from_str::<Quota>(&json);
    assert_eq!(read.as_ref().ok(), parsed, "{text:?}");
    if let Ok(quota) = serde_json::from_str::<Quota>(text) {
        let written = serde_json::to_string(&quota).expect("a text");
        assert_eq!(serde_json::from_str::<Quota>(&written).ok(), Some(quota), "{text:?}");
    }
}
