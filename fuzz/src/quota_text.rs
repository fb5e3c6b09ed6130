//! Parsing any text ends in a quota or an error, never in a panic; what a quota is written as parses to an
//! equal quota; and a limiter can be asked for it.

use std::time::Duration;

use tidegate::{ManualClock, Quota, RateLimiter};

use super::decode;

/// Parses these bytes, as far as they are a text.
pub fn run(bytes: &[u8]) {
    let Some(text) = decode::<&str>(bytes) else { return };
    let quota = match text.parse::<Quota>() {
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
        assert!(there as u64 <= quota.max_burst(), "{written}");
        // The time that it names is enough, unless it is the longest that a clock can show.
        let full = limiter.time_until_full();
        if full < Duration::from_nanos(u64::MAX) {
            clock.advance(full);
            assert_eq!(limiter.available() as u64, quota.max_burst(), "{written}, {full:?}");
        }
    }
}
