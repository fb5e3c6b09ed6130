//! Writes a quota as text.

use core::fmt;

use super::names::UNITS;
use crate::quota::{DEFAULT_CATCH_UP_NS, Kind, Quota, catch_up_of_window};

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
            Kind::Unlimited => return f.write_str("unlimited"),
            Kind::Blocked => return f.write_str("0/s"),
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
