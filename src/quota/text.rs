//! Parses and writes the text form of a quota.
//!
//! ```text
//! quota   = ["at most"] permits ("/" | "per") period { option }
//! period  = [count] unit            unit = ns | us | ms | s | min | h | day, and their long forms
//! option  = "burst" permits | "initial" permits | "catch-up" period
//! ```

use core::{fmt, str::FromStr, time::Duration};

use super::{DEFAULT_CATCH_UP_NS, Kind, Quota, catch_up_of_window};
use crate::error::QuotaError;

/// The units of time, shortest first. The first name of each is the one that is written.
const UNITS: [(u64, &[&str]); 7] = [
    (1, &["ns"]),
    (1_000, &["us", "µs"]),
    (1_000_000, &["ms"]),
    (1_000_000_000, &["s", "sec", "second", "seconds"]),
    (60_000_000_000, &["min", "m", "minute", "minutes"]),
    (3_600_000_000_000, &["h", "hour", "hours"]),
    (86_400_000_000_000, &["day", "d", "days"]),
];

const NUMBER: &str = "a whole number of permits below 2^64";
const PERIOD: &str = "a period such as s, min, 10s or 1.5s";

fn syntax(found: &str, expected: &'static str) -> QuotaError {
    QuotaError::Syntax { found: found.to_owned(), expected }
}

/// The rest of the text.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn skip_space(&mut self) {
        self.0 = self.0.trim_start();
    }

    /// Skips white space, then takes the longest prefix whose characters all pass.
    fn take(&mut self, pass: impl Fn(char) -> bool) -> &'a str {
        self.skip_space();
        let end = self.0.find(|c| !pass(c)).unwrap_or(self.0.len());
        let (head, tail) = self.0.split_at(end);
        self.0 = tail;
        head
    }

    /// The next word, to name in an error.
    fn here(&self) -> &'a str {
        self.0.split_whitespace().next().unwrap_or("the end")
    }

    fn keyword(&mut self, word: &str) -> bool {
        self.skip_space();
        let Some(rest) = self.0.strip_prefix(word) else { return false };
        if rest.starts_with(|c: char| c.is_alphanumeric() || c == '-') {
            return false;
        }
        self.0 = rest;
        true
    }

    fn permits(&mut self) -> Result<u64, QuotaError> {
        self.skip_space();
        let here = self.here();
        let digits: String = self.take(|c| c.is_ascii_digit() || c == '_').replace('_', "");
        digits.parse().map_err(|_| syntax(here, NUMBER))
    }

    /// A period in nanoseconds: an optional count, which may have decimals, and a unit.
    fn period(&mut self) -> Result<u64, QuotaError> {
        self.skip_space();
        let here = self.here();
        let count = self.take(|c| c.is_ascii_digit() || c == '_' || c == '.').replace('_', "");
        let name = self.take(char::is_alphabetic);
        let unit = UNITS.iter().find(|(_, names)| names.contains(&name));
        let &(unit, _) = unit.ok_or_else(|| syntax(here, PERIOD))?;
        if count.is_empty() {
            return Ok(unit);
        }
        decimal(&count, unit).ok_or_else(|| syntax(here, "a period of whole nanoseconds below 2^64"))
    }
}

/// `count * unit` if it is a whole number below 2^64; no rounding.
fn decimal(count: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = count.split_once('.').unwrap_or((count, ""));
    if whole.is_empty() || fraction.contains('.') || fraction.len() > 18 {
        return None;
    }
    let scale = 10_u128.pow(fraction.len() as u32);
    let digits = u128::from(whole.parse::<u64>().ok()?) * scale
        + if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    let product = digits.checked_mul(u128::from(unit))?;
    if product % scale != 0 {
        return None;
    }
    u64::try_from(product / scale).ok()
}

impl FromStr for Quota {
    type Err = QuotaError;

    /// Parses the text form. See the example of [`Quota`].
    ///
    /// # Errors
    /// A [`QuotaError`] that names the word that was not understood, or the value that is out of range.
    fn from_str(text: &str) -> Result<Self, QuotaError> {
        let mut cursor = Cursor(text);
        let at_most = if cursor.keyword("at") {
            if !cursor.keyword("most") {
                return Err(syntax(cursor.here(), "\"most\" after \"at\""));
            }
            true
        } else {
            false
        };
        let permits = cursor.permits()?;
        cursor.skip_space();
        if let Some(rest) = cursor.0.strip_prefix('/') {
            cursor.0 = rest;
        } else if !cursor.keyword("per") {
            return Err(syntax(cursor.here(), "\"/\" or \"per\""));
        }
        let period = Duration::from_nanos(cursor.period()?);
        let mut quota =
            if at_most { Self::try_at_most(permits, period)? } else { Self::try_new(permits, period)? };
        let (mut burst, mut initial, mut catch_up) = (None, None, None);
        loop {
            cursor.skip_space();
            if cursor.0.is_empty() {
                break;
            }
            let here = cursor.here();
            let twice = if cursor.keyword("burst") {
                burst.replace(cursor.permits()?).is_some()
            } else if cursor.keyword("initial") {
                initial.replace(cursor.permits()?).is_some()
            } else if cursor.keyword("catch-up") {
                catch_up.replace(cursor.period()?).is_some()
            } else {
                return Err(syntax(here, "burst, initial or catch-up"));
            };
            if twice {
                return Err(syntax(here, "each option once"));
            }
        }
        if let Some(burst) = burst {
            quota = quota.try_with_burst(burst)?;
        }
        if let Some(initial) = initial {
            quota = quota.try_with_initial(initial)?;
        }
        if let Some(catch_up) = catch_up {
            quota = quota.try_with_catch_up(Duration::from_nanos(catch_up))?;
        }
        Ok(quota)
    }
}

/// Writes `ns` in the largest unit in which it is a whole number. After a slash the count 1 is left out.
fn write_period(f: &mut fmt::Formatter<'_>, ns: u64, after_slash: bool) -> fmt::Result {
    let fits = |unit: u64| ns != 0 && ns % unit == 0;
    let &(unit, names) = UNITS.iter().rev().find(|(unit, _)| fits(*unit)).unwrap_or(&UNITS[0]);
    match ns / unit {
        1 if after_slash => f.write_str(names[0]),
        count => write!(f, "{count}{}", names[0]),
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (default_burst, default_catch_up) = match self.kind {
            Kind::Rate => (self.permits, DEFAULT_CATCH_UP_NS),
            Kind::AtMost => {
                f.write_str("at most ")?;
                (1, catch_up_of_window(self.period_ns))
            }
        };
        write!(f, "{}/", self.permits)?;
        write_period(f, self.period_ns, true)?;
        if self.burst != default_burst {
            write!(f, " burst {}", self.burst)?;
        }
        if let Some(initial) = self.initial {
            write!(f, " initial {initial}")?;
        }
        if self.catch_up_ns != default_catch_up {
            f.write_str(" catch-up ")?;
            write_period(f, self.catch_up_ns, false)?;
        }
        Ok(())
    }
}
