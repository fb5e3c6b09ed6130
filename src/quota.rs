//! What a limiter enforces: a rate, a burst, and a catch-up for late timers.

mod inherit;
mod literal;
mod parts;
#[cfg(feature = "serde")]
mod serde;
mod text;

#[cfg(all(test, not(tidegate_loom)))]
mod tests;

use core::time::Duration;

pub use self::inherit::Inherit;

use self::literal::literal;
use crate::error::QuotaError;

/// The least default catch-up: two ticks of a runtime's timer, which may be late by that much.
const TICKS_NS: u64 = 2_000_000;

/// The catch-up of a quota, unless set.
const DEFAULT_CATCH_UP_NS: u64 = 10_000_000;

const NS_PER_SECOND: u128 = 1_000_000_000;

/// How many permits a limiter admits: a rate and a burst.
///
/// # Mind the burst
/// A quota of `n` permits per period lets `n` through at once, and then the rate. So up to `2 * n` permits can pass
/// within one period: `per_second(100)` admits 100 at once and 100 more in the first second. Against a server that
/// counts requests in windows use [`Quota::at_most`], which no window exceeds. [`with_burst`](Self::with_burst) sets a
/// smaller burst.
///
/// # Parts
/// - The **rate** is a whole number of permits per period. It is kept as that fraction and never rounded. For half a
///   permit per second, write one per two seconds: `Quota::new(1, 2 s)`, or `0.5/s` as text. A limiter takes any rate up
///   to 2^62 permits in 10 years, which is 14.6 thousand million a second (13.6 GiB/s).
/// - The **burst** is the most permits admitted at one instant. Default: the permits of one period. In any window of
///   length `w`, calls that do not wait are granted at most `burst + rate * w` permits.
/// - The **catch-up** is how late a timer may wake waiters without lowering the rate. Default: 10 ms. With waiters, any
///   window sees at most `burst + rate * (w + catch_up)` permits. Zero gives textbook GCRA, where a late timer lowers
///   the rate.
/// - The **initial level** is the number of permits available at the start. Default: the burst.
///
/// The bounds are those of grants under one quota. Charges, refunds, resets and quota changes can go beyond them.
///
/// # Panics
/// Constructors and `with_` methods are meant for literals, and panic on values such as a rate of zero: in a `const`,
/// at compile time. For values from outside the program, each has a `try_` form that returns a [`QuotaError`], which
/// names the values. Periods, windows and catch-ups can be up to 2^64 - 2 ns, some 584 years.
///
/// ```
/// # use tidegate::Quota;
/// const API: Quota = Quota::per_second(100).with_burst(20);
/// ```
///
/// ```compile_fail
/// # use tidegate::Quota;
/// const NOTHING: Quota = Quota::per_second(0); // a quota of 0 permits: write at least 1
/// ```
///
/// # Text form
/// A quota is parsed from what people write, and displayed as a text that parses to an equal quota. With the feature
/// `serde`, it is also serialized as text, and read from text or from a map of its parts such as
/// `{"permits": 10, "period": "15min", "burst": 3, "initial": 0, "catch_up": "5ms"}`, whose last three can be left out.
/// With `"at_most"` in place of `"permits"` it is an [`at_most`](Self::at_most) quota.
///
/// - **Rate:** `100/s`, `5 per minute`, `10/15min`, `100 rps`, `100 requests per second`, `every 10s`, `at most 100/s`.
/// - **Amounts:** with decimals (`0.5/s`), with underscores (`1_000/h`), with `k`, `M`, `G` or `T` for powers of 1000
///   (`10M/s`) and `Ki` to `Ti` for powers of 1024, and in bytes (`10MB/s`, `10MiB/s`). The rate is exact: `2.5/min` is
///   5 per two minutes, with a burst of 2, the whole permits of the period that is written (at least 1).
/// - **All or nothing:** `unlimited`, and `0/s` for [`BLOCKED`](Self::BLOCKED).
/// - **Periods:** one number and one unit, of `ns`, `us`, `ms`, `s`, `min`, `h`, `day` and `week`, or their long forms:
///   `1.5s`, `15 minutes`. `m` is a minute.
/// - **Options:** `burst 20`, `initial 0` and `catch-up 5ms`, each also after a comma and with `:` or `=`.
///
/// Upper and lower case mean the same in words. They differ in `k`, `M` and the like. What two readers could take
/// differently is refused: `5m/s` (write `5M/s` for five million), `10/15M` (write `min`), `10B/s` (write `10 bytes/s`
/// or `10G/s`), `10Mb/s` (bits), `1,000/s`, months and years. [`Quota::parse_list`] reads several quotas.
///
/// ```
/// # use tidegate::Quota;
/// # use std::time::Duration;
/// let quota: Quota = "2.5 requests per minute".parse().unwrap();
/// assert_eq!(quota, Quota::new(5, Duration::from_secs(120)).with_burst(2));
/// assert_eq!(quota.to_string(), "5/2min burst 2");
///
/// let error = "100/s bust 20".parse::<Quota>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "invalid quota \"100/s bust 20\": found \"bust\" at byte 6, expected burst, initial or catch-up, or the end"
/// );
/// ```
///
/// # Examples
/// ```
/// use tidegate::Quota;
/// use std::time::Duration;
///
/// let quota = Quota::per_second(100).with_burst(20);
/// assert_eq!(quota, "100/s burst 20".parse().unwrap());
/// assert_eq!(quota.to_string(), "100/s burst 20");
/// assert_eq!((quota.permits(), quota.period()), (100, Duration::from_secs(1)));
/// assert_eq!((quota.burst(), quota.initial()), (20, 20));
/// assert_eq!(quota.catch_up(), Duration::from_millis(10));
/// assert_eq!(quota.with_catch_up(Duration::ZERO).to_string(), "100/s burst 20 catch-up 0ns");
///
/// // Five per ten seconds, five at once.
/// assert_eq!(Quota::new(5, Duration::from_secs(10)).burst(), 5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    kind: Kind,
    permits: u64,
    period_ns: u64,
    burst: u64,
    initial: Option<u64>,
    catch_up_ns: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// `permits` per `period_ns`.
    Rate,
    /// Never more than `permits` in any window of `period_ns`.
    AtMost,
    Unlimited,
    Blocked,
}

/// The burst of `Quota::UNLIMITED` and `Quota::BLOCKED`: no program asks for more at once.
const WHATEVER: u64 = 1_000_000_000_000_000;

/// The catch-up of an `at_most` quota with this window, unless it is set: a hundredth, at least some ticks of a timer.
const fn catch_up_of_window(period_ns: u64) -> u64 {
    let hundredth = period_ns / 100;
    if period_ns < TICKS_NS {
        period_ns
    } else if hundredth < TICKS_NS {
        TICKS_NS
    } else if hundredth > DEFAULT_CATCH_UP_NS {
        DEFAULT_CATCH_UP_NS
    } else {
        hundredth
    }
}

/// A period, window or catch-up in nanoseconds, unless it is too long.
const fn nanos(period: Duration) -> Option<u64> {
    let ns = period.as_nanos();
    if ns < u64::MAX as u128 { Some(ns as u64) } else { None }
}

impl Quota {
    /// Admits every call, for a limit that is configured away. The numbers behind it are beyond what programs reach:
    /// 10^10 permits a second, and 10^15 at once.
    ///
    /// If it is [set](crate::RateLimiter::set_quota) live, all waiters are granted at once, unless the limiter is
    /// [paused](crate::RateLimiter::pause_for): the pause holds. The bucket is full when another quota follows. Its text is
    /// `unlimited`.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new(Quota::per_hour(1));
    /// limiter.set_quota(Quota::UNLIMITED).unwrap();
    /// limiter.try_acquire_n(1_000_000).unwrap();
    /// assert_eq!(Quota::UNLIMITED, "unlimited".parse().unwrap());
    /// ```
    pub const UNLIMITED: Self = Self {
        kind: Kind::Unlimited,
        permits: 10_000_000_000,
        period_ns: 1_000_000_000,
        burst: WHATEVER,
        initial: None,
        catch_up_ns: 0,
    };

    /// Admits no call, until another quota is [set](crate::RateLimiter::set_quota). Its text is `0/s`.
    ///
    /// If it is set live, it is a [pause](crate::RateLimiter::pause_until) that [`resume`](crate::RateLimiter::resume) does not
    /// end: the level stays what it is, nothing accrues, and the next quota goes on from there. Waiters wait on for it, except
    /// those that cannot be granted in time any more, which are refused. A limiter that is made with this quota is empty.
    ///
    /// A refusal says to retry after centuries. Compare [`RateLimiter::quota`](crate::RateLimiter::quota) with this constant to
    /// tell it from others.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let limiter = RateLimiter::new("0/s".parse().unwrap());
    /// assert_eq!(limiter.quota(), Quota::BLOCKED);
    /// assert!(limiter.try_acquire().is_err());
    /// ```
    pub const BLOCKED: Self = Self {
        kind: Kind::Blocked,
        permits: 0,
        period_ns: 1_000_000_000,
        burst: WHATEVER,
        initial: Some(0),
        catch_up_ns: 0,
    };

    /// A rate of `permits` per `period`, with a burst of `permits`: [mind the burst](Self#mind-the-burst). See the
    /// example of [`Quota`].
    ///
    /// # Panics
    /// If [`try_new`](Self::try_new) would fail.
    #[track_caller]
    pub const fn new(permits: u64, period: Duration) -> Self {
        literal(Self::try_new(permits, period))
    }

    /// As [`new`](Self::new), for values from outside the program. See the example of [`QuotaError`].
    ///
    /// # Errors
    /// If either is zero, or `period` is too long.
    pub const fn try_new(permits: u64, period: Duration) -> Result<Self, QuotaError> {
        Self::try_of_kind(Kind::Rate, permits, period)
    }

    const fn try_of_kind(kind: Kind, permits: u64, period: Duration) -> Result<Self, QuotaError> {
        let Some(period_ns) = nanos(period) else {
            return Err(QuotaError::PeriodTooLong { period });
        };
        if permits == 0 {
            return Err(QuotaError::ZeroPermits);
        }
        if period_ns == 0 {
            return Err(QuotaError::ZeroPeriod);
        }
        let (burst, catch_up_ns) = match kind {
            Kind::AtMost => (1, catch_up_of_window(period_ns)),
            _ => (permits, DEFAULT_CATCH_UP_NS),
        };
        Ok(Self { kind, permits, period_ns, burst, initial: None, catch_up_ns })
    }

    /// One permit per `interval`, one at once.
    ///
    /// # Panics
    /// If `interval` is zero or too long.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// # use std::time::Duration;
    /// const POLL: Quota = Quota::every(Duration::from_millis(250));
    /// assert_eq!((POLL.permits(), POLL.period(), POLL.burst()), (1, Duration::from_millis(250), 1));
    /// ```
    #[track_caller]
    pub const fn every(interval: Duration) -> Self {
        literal(Self::try_every(interval))
    }

    /// As [`every`](Self::every), for values from outside the program. See the example of [`QuotaError`].
    ///
    /// # Errors
    /// If `interval` is zero or too long.
    pub const fn try_every(interval: Duration) -> Result<Self, QuotaError> {
        Self::try_new(1, interval)
    }

    /// A rate of `permits` per second, with a burst of `permits`: [mind the burst](Self#mind-the-burst).
    ///
    /// # Panics
    /// If `permits` is zero.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// assert_eq!(Quota::per_second(100).to_string(), "100/s");
    /// assert_eq!(Quota::per_minute(7).to_string(), "7/min");
    /// assert_eq!(Quota::per_hour(1000).to_string(), "1000/h");
    /// assert_eq!(Quota::per_day(3).to_string(), "3/day");
    /// ```
    #[track_caller]
    pub const fn per_second(permits: u64) -> Self {
        Self::new(permits, Duration::from_secs(1))
    }

    /// As [`per_second`](Self::per_second), per minute.
    ///
    /// # Panics
    /// If `permits` is zero.
    #[track_caller]
    pub const fn per_minute(permits: u64) -> Self {
        Self::new(permits, Duration::from_secs(60))
    }

    /// As [`per_second`](Self::per_second), per hour.
    ///
    /// # Panics
    /// If `permits` is zero.
    #[track_caller]
    pub const fn per_hour(permits: u64) -> Self {
        Self::new(permits, Duration::from_secs(3_600))
    }

    /// As [`per_second`](Self::per_second), per day of 24 hours.
    ///
    /// # Panics
    /// If `permits` is zero.
    #[track_caller]
    pub const fn per_day(permits: u64) -> Self {
        Self::new(permits, Duration::from_secs(86_400))
    }

    /// Never more than `permits` in *any* window of length `window`, wherever it starts, with both ends, waiters and
    /// late timers counted, and refunds not counted. Use this quota against a server that counts requests in windows.
    /// The network may bunch up requests, so add its jitter: against 50 a second, `at_most(50, 1 s + jitter)`.
    ///
    /// The burst is one, which admits no request for two permits. For tokens or bytes set the burst to the largest
    /// request: `at_most(60_000, minute).with_burst(4_000)`.
    ///
    /// The price is the burst and a part of the rate. With the burst `b` and the catch-up `c`, permits come at
    /// `(permits - b + 1) / (window + c + 1 ns)`. By default `b` is 1, and `c` is a hundredth of the window, at least 2
    /// ms, at most 10 ms and at most the window. The steady rate is then about `window / (window + c)` of the limit:
    ///
    /// | window      | 1 s and more | 200 ms | 50 ms | 10 ms | 2 ms |
    /// |-------------|--------------|--------|-------|-------|------|
    /// | catch-up    | 10 ms        | 2 ms   | 2 ms  | 2 ms  | 2 ms |
    /// | steady rate | 99 %         | 99 %   | 96 %  | 83 %  | 50 % |
    ///
    /// # Panics
    /// If [`try_at_most`](Self::try_at_most) would fail.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// # use std::time::Duration;
    /// let quota = Quota::at_most(100, Duration::from_secs(1));
    /// assert_eq!(quota.to_string(), "at most 100/s");
    /// assert_eq!(quota.burst(), 1);
    /// ```
    #[track_caller]
    pub const fn at_most(permits: u64, window: Duration) -> Self {
        literal(Self::try_at_most(permits, window))
    }

    /// As [`at_most`](Self::at_most), for values from outside the program. See the example of [`QuotaError`].
    ///
    /// # Errors
    /// If either is zero, or `window` is too long.
    pub const fn try_at_most(permits: u64, window: Duration) -> Result<Self, QuotaError> {
        Self::try_of_kind(Kind::AtMost, permits, window)
    }

    /// The permits of one period (or window). See the example of [`Quota`].
    pub const fn permits(&self) -> u64 {
        self.permits
    }

    /// The period (or window). See the example of [`Quota`].
    pub const fn period(&self) -> Duration {
        Duration::from_nanos(self.period_ns)
    }

    /// The time from one permit to the next in steady use, rounded up to a nanosecond.
    ///
    /// That of an [`at_most`](Self::at_most) quota is longer than the window divided by its permits: see there.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// # use std::time::Duration;
    /// assert_eq!(Quota::per_second(100).interval(), Duration::from_millis(10));
    /// assert_eq!(Quota::per_second(3).interval(), Duration::from_nanos(333_333_334));
    /// // A hundredth of the window and of its catch-up of 10 ms.
    /// let window = Duration::from_secs(1);
    /// assert_eq!(Quota::at_most(100, window).interval(), Duration::from_nanos(10_100_001));
    /// ```
    pub const fn interval(&self) -> Duration {
        let (permits, period_ns) = self.rate();
        let ns = period_ns.div_ceil(permits as u128);
        Duration::new((ns / NS_PER_SECOND) as u64, (ns % NS_PER_SECOND) as u32)
    }

    /// The permits a second, rounded to a float.
    #[cfg(any(feature = "client", feature = "metrics"))]
    pub(crate) fn rate_a_second(&self) -> f64 {
        self.permits as f64 / self.period().as_secs_f64()
    }

    /// The rate to enforce, as permits per nanoseconds; not in lowest terms.
    pub(crate) const fn rate(&self) -> (u64, u128) {
        match self.kind {
            Kind::Rate | Kind::Unlimited => (self.permits, self.period_ns as u128),
            // Any rate does: time stands still.
            Kind::Blocked => Self::UNLIMITED.rate(),
            // A closed window of this length admits `burst + floor(rate * (window + catch_up))`, which is exactly
            // `permits`: the added nanosecond keeps the product below the next whole number.
            Kind::AtMost => {
                (self.permits - self.burst + 1, self.period_ns as u128 + self.catch_up_ns as u128 + 1)
            }
        }
    }

    pub(crate) const fn is_blocked(&self) -> bool {
        matches!(self.kind, Kind::Blocked)
    }

    pub(crate) const fn is_unlimited(&self) -> bool {
        matches!(self.kind, Kind::Unlimited)
    }

    /// Whether it is [`UNLIMITED`](Self::UNLIMITED) or [`BLOCKED`](Self::BLOCKED).
    pub(crate) const fn is_fixed(&self) -> bool {
        matches!(self.kind, Kind::Unlimited | Kind::Blocked)
    }

    pub(crate) const fn catch_up_ns(&self) -> u64 {
        self.catch_up_ns
    }
}
