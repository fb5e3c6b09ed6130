//! Parses and writes the text form of a quota.
//!
//! ```text
//! quotas  = quota { ";" quota }                                   for `Quota::parse_list`
//! quota   = "unlimited" | "blocked" | ["at most"] rate { [","] option }
//! rate    = amount ("/" | "per") period | [amount] "every" period | amount abbreviated
//! amount  = number [multiple] [what]                              such as 100, 2.5, 1k, 10 MiB, 100 requests
//! period  = [number] unit                                         such as s, 10s, 1.5 hours
//! option  = "burst" [":" | "="] amount | "initial" [":" | "="] amount | "catch-up" [":" | "="] period
//! number  = digits ["." digits]                                   with "_" between digits
//! ```
//!
//! The words are in [`names`]. Upper and lower case mean the same, but not in `multiple`, and not in the unit `M`.
//! The text is refused where two readers could take it differently, such as `5m/s` or `10/15M`.

mod cursor;
mod display;
mod names;

#[cfg(all(test, not(tidegate_loom)))]
mod tests;

use core::{str::FromStr, time::Duration};

use self::cursor::{Cursor, Number};
use super::Quota;
use crate::error::QuotaError;

const NUMBER: &str = "a number of permits, as in 100/s";
const TOO_MANY: &str = "a number of permits below 2^64";
const WHOLE: &str = "a whole number of permits";
const SEPARATOR: &str = "\"/\" or \"per\" and a period after the number, such as 100/s";
const PERIOD: &str = "a period such as s, min, 10s or 1.5s";
const WHOLE_NS: &str = "a period of whole nanoseconds, at most 2^64 - 2 ns (some 584 years)";
const TOO_SLOW: &str =
    "fewer decimals or a shorter period: the whole permits of this rate take more than 2^64 - 2 ns";
const ONE_UNIT: &str = "a space after a unit, and one unit in each period: 90min, not 1h30m";
const OPTION: &str = "burst, initial or catch-up, or the end";
const LIST: &str = "one quota: Quota::parse_list reads several";

/// A number of permits: `permits` in each `periods`, in lowest terms.
struct Amount {
    permits: u64,
    periods: u64,
}

impl Amount {
    const ONE: Self = Self { permits: 1, periods: 1 };

    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, QuotaError> {
        cursor.skip_space();
        let start = cursor.at();
        let Number { digits, scale } = cursor.number(NUMBER)?;
        let mut amount = Some(digits);
        if let Some(multiple) = cursor.word_in(names::multiple) {
            amount = digits.checked_mul(multiple.into());
        }
        cursor.word_in(|word| names::is_what(word).then_some(()));
        cursor.skip_space();
        if let Some(meant) = names::instead_of_amount(cursor.word()) {
            return Err(cursor.fault(meant));
        }
        let Some(amount) = amount else { return Err(cursor.fault_at(start, TOO_MANY)) };
        let common = gcd(amount, scale.into());
        let permits = u64::try_from(amount / common).map_err(|_| cursor.fault_at(start, TOO_MANY))?;
        Ok(Self { permits, periods: (u128::from(scale) / common) as u64 })
    }

    fn parse_whole(cursor: &mut Cursor<'_>) -> Result<u64, QuotaError> {
        cursor.skip_space();
        let start = cursor.at();
        match Self::parse(cursor)? {
            Self { permits, periods: 1 } => Ok(permits),
            _ => Err(cursor.fault_at(start, WHOLE)),
        }
    }
}

/// The greatest common divisor; `b` is not zero.
fn gcd(a: u128, b: u128) -> u128 {
    match a % b {
        0 => b,
        rest => gcd(b, rest),
    }
}

/// A period in nanoseconds: an optional count, which may have decimals, and a unit.
fn period(cursor: &mut Cursor<'_>) -> Result<u64, QuotaError> {
    cursor.skip_space();
    let start = cursor.at();
    let count = if cursor.starts_with_digit() { Some(cursor.number(PERIOD)?) } else { None };
    cursor.skip_space();
    let word = cursor.word();
    let Some(unit) = names::unit(word) else {
        return Err(cursor.fault(names::instead_of_unit(word).unwrap_or(PERIOD)));
    };
    cursor.skip(word);
    if cursor.starts_with_digit() {
        return Err(cursor.fault(ONE_UNIT));
    }
    let Some(Number { digits, scale }) = count else { return Ok(unit) };
    digits
        .checked_mul(unit.into())
        .filter(|product| product % u128::from(scale) == 0)
        .and_then(|product| u64::try_from(product / u128::from(scale)).ok())
        .ok_or_else(|| cursor.fault_at(start, WHOLE_NS))
}

/// The rate, with the default burst: the permits of one period as it is written, at least one.
fn rate(cursor: &mut Cursor<'_>) -> Result<Quota, QuotaError> {
    if cursor.keyword(&["unlimited"]) {
        return Ok(Quota::UNLIMITED);
    }
    if cursor.keyword(&["blocked"]) {
        return Ok(Quota::BLOCKED);
    }
    let at_most = cursor.keyword(&["at"]);
    if at_most && !cursor.keyword(&["most"]) {
        return Err(cursor.fault("\"most\" after \"at\""));
    }
    cursor.skip_space();
    let start = cursor.at();
    let every = cursor.keyword(&["every"]);
    let amount = if every { Amount::ONE } else { Amount::parse(cursor)? };
    let period_ns = if every || cursor.eat(&['/']) || cursor.keyword(&["per", "every"]) {
        period(cursor)?
    } else if let Some(unit) = cursor.word_in(names::abbreviated) {
        unit
    } else {
        return Err(cursor.fault(names::instead_of_separator(cursor.rest()).unwrap_or(SEPARATOR)));
    };
    let Amount { permits, periods } = amount;
    if permits == 0 {
        return if period_ns == 0 { Err(QuotaError::ZeroPeriod) } else { Ok(Quota::BLOCKED) };
    }
    if at_most {
        if periods > 1 {
            // At most 5 in any two minutes allows 5 in one of them, so it is not at most 2.5 in any minute.
            return Err(
                cursor.fault_at(start, "a whole number of permits in a window, such as at most 5/2min")
            );
        }
        return Quota::try_at_most(permits, Duration::from_nanos(period_ns));
    }
    let Some(whole_ns) = period_ns.checked_mul(periods) else {
        return Err(cursor.fault_at(start, TOO_SLOW));
    };
    Quota::try_new(permits, Duration::from_nanos(whole_ns))?.try_with_burst((permits / periods).max(1))
}

/// What is set beside the rate.
#[derive(Default)]
pub(super) struct Options {
    pub(super) burst: Option<u64>,
    pub(super) initial: Option<u64>,
    pub(super) catch_up_ns: Option<u64>,
}

impl Options {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, QuotaError> {
        let mut options = Self::default();
        while !cursor.at_end() {
            let comma = cursor.eat(&[',']);
            cursor.skip_space();
            let start = cursor.at();
            let twice = if cursor.keyword(&["burst"]) {
                cursor.eat(&[':', '=']);
                options.burst.replace(Amount::parse_whole(cursor)?).is_some()
            } else if cursor.keyword(&["initial"]) {
                cursor.eat(&[':', '=']);
                options.initial.replace(Amount::parse_whole(cursor)?).is_some()
            } else if cursor.keyword(&["catch-up", "catch_up"]) {
                cursor.eat(&[':', '=']);
                options.catch_up_ns.replace(period(cursor)?).is_some()
            } else if comma {
                return Err(cursor.fault("burst, initial or catch-up after the comma"));
            } else {
                return Err(cursor.fault(if cursor.rest().starts_with(';') { LIST } else { OPTION }));
            };
            if twice {
                return Err(cursor.fault_at(start, "each option once"));
            }
        }
        Ok(options)
    }

    /// The quota with these options. The burst comes first, since it bounds the initial level.
    pub(super) fn apply(self, mut quota: Quota) -> Result<Quota, QuotaError> {
        if let Some(burst) = self.burst {
            quota = quota.try_with_burst(burst)?;
        }
        if let Some(initial) = self.initial {
            quota = quota.try_with_initial(initial)?;
        }
        if let Some(catch_up_ns) = self.catch_up_ns {
            quota = quota.try_with_catch_up(Duration::from_nanos(catch_up_ns))?;
        }
        Ok(quota)
    }
}

fn quota(mut cursor: Cursor<'_>) -> Result<Quota, QuotaError> {
    let quota = rate(&mut cursor)?;
    Options::parse(&mut cursor)?.apply(quota)
}

/// The whole text as a period in nanoseconds.
#[cfg(feature = "serde")]
pub(super) fn parse_period(text: &str) -> Result<u64, QuotaError> {
    let mut cursor = Cursor::new(text);
    let ns = period(&mut cursor)?;
    if cursor.at_end() { Ok(ns) } else { Err(cursor.fault("the end of the period")) }
}

impl FromStr for Quota {
    type Err = QuotaError;

    /// Parses the [text form](Quota#text-form).
    ///
    /// # Errors
    /// A [`QuotaError`] that names the word that was not understood, or the value that is out of range.
    fn from_str(text: &str) -> Result<Self, QuotaError> {
        quota(Cursor::new(text))
    }
}

impl Quota {
    /// Parses quotas with `;` between them.
    ///
    /// # Errors
    /// As of a single quota. Positions are those in the whole text.
    ///
    /// ```
    /// # use tidegate::Quota;
    /// let quotas = Quota::parse_list("100/s; 1000/h burst 50").unwrap();
    /// assert_eq!(quotas, [Quota::per_second(100), Quota::per_hour(1000).with_burst(50)]);
    ///
    /// let error = Quota::parse_list("100/s; 1000/fortnight").unwrap_err().to_string();
    /// assert!(error.contains("found \"fortnight\" at byte 12"), "{error}");
    /// ```
    pub fn parse_list(text: &str) -> Result<Vec<Self>, QuotaError> {
        Cursor::split(text, ';').map(quota).collect()
    }
}
