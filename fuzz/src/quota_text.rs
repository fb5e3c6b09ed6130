//! Parsing any text gives a quota or an error, and never panics. A printed quota parses to an equal quota, also
//! through serde. A limiter with the quota admits exactly the permits that it reports.

use std::time::Duration;

use tidegate::{ManualClock, Quota, RateLimiter};

use super::decode;

/// Parses these bytes, as far as they are a text.
pub fn run(bytes: &[u8]) {
    let Some(text) = decode::<&str>(bytes) else { return };
    let parsed = text.parse::<Quota>();
    #[cfg(feature = "serde")]
    by_serde(text, parsed.as_ref().ok());
    let quota = match parsed {
        Ok(quota) => quota,
        Err(error) => {
            assert!(!error.to_string().is_empty());
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
