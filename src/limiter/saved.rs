//! The level of a limiter across a restart of its program.

use core::{error::Error, fmt, str::FromStr, time::Duration};
use std::time::{SystemTime, UNIX_EPOCH};

use super::RateLimiter;
use crate::{Clock, QuantaClock, Quota, QuotaError, queue::Missing};

/// The first word of the text form, with its version.
const VERSION: &str = "tidegate-1";

/// The state of a limiter, to be stored when a program ends and restored when it starts again.
///
/// It holds the quota, the exact level or debt, what is left of a [pause](RateLimiter::pause_for), and the time by the
/// system's clock. It does not hold waiters nor [how many may wait](RateLimiter::set_max_waiters), and not whether the limiter is
/// [closed](RateLimiter::close). A limiter that is [blocked](Quota::BLOCKED) is restored empty. Permits in the slots of a [`PerCore`](crate::PerCore) count as available.
///
/// It is stored as text: by [`Display`](fmt::Display) and [`FromStr`], or by the feature `serde`. The text begins with its
/// version, and ends with a checksum. Versions to come will read it. Write it to a file of another name first, and rename that.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{ManualClock, Quota, RateLimiter, SavedState};
///
/// let limiter = RateLimiter::new(Quota::per_day(1));
/// limiter.try_acquire().unwrap();
/// let text = limiter.save().to_string();
///
/// // Later, in another process:
/// let saved: SavedState = text.parse().unwrap();
/// let limiter = RateLimiter::restored(&saved).unwrap();
/// assert!(limiter.try_acquire().is_err());
///
/// // Time that has passed meanwhile counts.
/// let after = |hours: u64| {
///     let downtime = Duration::from_secs(hours * 3600);
///     RateLimiter::restored_with_clock(&saved, ManualClock::new(), downtime).unwrap()
/// };
/// assert_eq!(after(23).available(), 0);
/// assert_eq!(after(24).available(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SavedState {
    quota: Quota,
    missing: Missing,
    /// Nanoseconds since 1970 by the system's clock.
    at_unix_ns: u64,
}

impl SavedState {
    /// The quota when the state was saved.
    pub const fn quota(&self) -> Quota {
        self.quota
    }

    /// How long ago the state was saved, by the system's clock; zero if that clock has been set back meanwhile.
    pub fn age(&self) -> Duration {
        Duration::from_nanos(unix_ns().saturating_sub(self.at_unix_ns))
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Tells a text that was cut or altered by accident: FNV-1a with 64 bits.
fn checksum(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl<C: Clock> RateLimiter<C> {
    /// The state, to be stored. See the example of [`SavedState`].
    pub fn save(&self) -> SavedState {
        let (quota, missing, _) = self.driver().save();
        SavedState { quota, missing, at_unix_ns: unix_ns() }
    }

    /// As [`restored`](RateLimiter::restored), on another clock, and `downtime` after the state was saved. See the example
    /// of [`SavedState`].
    ///
    /// # Errors
    /// As [`restored`](RateLimiter::restored).
    pub fn restored_with_clock(saved: &SavedState, clock: C, downtime: Duration) -> Result<Self, QuotaError> {
        let elapsed_ns = u64::try_from(downtime.as_nanos()).unwrap_or(u64::MAX);
        let driver = crate::queue::Driver::restored(saved.quota, saved.missing, clock, elapsed_ns)?;
        Ok(Self::of(driver))
    }
}

impl RateLimiter {
    /// A limiter with a saved state. The time since then counts at its rate, by the system's clock. For another quota, call
    /// [`set_quota`](Self::set_quota) next. See the example of [`SavedState`].
    ///
    /// # Errors
    /// If no limiter can have this quota, or the debt is the deepest that a limiter can hold.
    pub fn restored(saved: &SavedState) -> Result<Self, QuotaError> {
        Self::restored_with_clock(saved, QuantaClock::new(), saved.age())
    }
}

impl fmt::Display for SavedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quota, missing: Missing { ticks, per_permit, paused_ns }, at_unix_ns } = self;
        let text =
            format!("{VERSION} at {at_unix_ns} missing {ticks}/{per_permit} paused {paused_ns} of {quota}");
        write!(f, "{text} #{:016x}", checksum(&text))
    }
}

impl FromStr for SavedState {
    type Err = InvalidSavedState;

    /// Parses the text that [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// [`InvalidSavedState`] if the text is of another version or is damaged.
    fn from_str(text: &str) -> Result<Self, InvalidSavedState> {
        let fault = |expected| InvalidSavedState { text: text.to_owned(), expected };
        let rest = text.trim_end().strip_prefix(VERSION).ok_or_else(|| fault("tidegate-1 at the start"))?;
        let (rest, sum) = rest.rsplit_once(" #").ok_or_else(|| fault("\"#\" and a checksum at the end"))?;
        if sum != format!("{:016x}", checksum(&format!("{VERSION}{rest}"))) {
            return Err(fault("the text that belongs to its checksum"));
        }
        let (head, quota) = rest.split_once(" of ").ok_or_else(|| fault("\"of\" before the quota"))?;
        let quota = quota.parse().map_err(|_| fault("a quota after \"of\""))?;
        let mut words = head.split_ascii_whitespace();
        let mut number_after = |word: &str, expected| match (words.next(), words.next()) {
            (Some(found), Some(value)) if found == word => Ok(value),
            _ => Err(fault(expected)),
        };
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| fault("whole numbers below 2^64"));
        let at = number_after("at", "\"at\" and the time")?;
        let missing = number_after("missing", "\"missing\" and a fraction")?;
        let paused = number_after("paused", "\"paused\" and nanoseconds")?;
        if words.next().is_some() {
            return Err(fault("\"of\" and the quota after the nanoseconds"));
        }
        let (ticks, per_permit) =
            missing.split_once('/').ok_or_else(|| fault("a fraction after \"missing\""))?;
        let missing =
            Missing { ticks: number(ticks)?, per_permit: number(per_permit)?, paused_ns: number(paused)? };
        if missing.per_permit == 0 {
            return Err(fault("a fraction with a denominator above zero"));
        }
        Ok(Self { quota, missing, at_unix_ns: number(at)? })
    }
}

/// A text that is no saved state. See the example of [`SavedState`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSavedState {
    text: String,
    expected: &'static str,
}

impl fmt::Display for InvalidSavedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, expected } = self;
        write!(f, "invalid saved state {text:?}: expected {expected}; start from a new limiter instead")
    }
}

impl Error for InvalidSavedState {}

#[cfg(feature = "serde")]
impl serde_core::Serialize for SavedState {
    fn serialize<S: serde_core::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde_core::Deserialize<'de> for SavedState {
    fn deserialize<D: serde_core::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl serde_core::de::Visitor<'_> for Text {
            type Value = SavedState;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the text of a saved state")
            }

            fn visit_str<E: serde_core::de::Error>(self, text: &str) -> Result<SavedState, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}
