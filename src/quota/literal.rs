//! Quotas that are written in the program, also as constants.

use crate::error::{FIXED, QuotaError, ZERO_BURST, ZERO_PERIOD, ZERO_PERMITS};

/// Unwraps the result of a `try_` form.
#[track_caller]
pub(super) const fn literal<T: Copy>(checked: Result<T, QuotaError>) -> T {
    match checked {
        Ok(valid) => {
            // A constant function cannot drop a type that may own a text. This result owns none.
            core::mem::forget(checked);
            valid
        }
        Err(ref error) => panic!("{}", reason(error)),
    }
}

/// What is wrong and what to write instead. A constant function cannot format, so the values are not named.
const fn reason(error: &QuotaError) -> &'static str {
    match error {
        QuotaError::PeriodTooLong { .. } => {
            "a period, window or catch-up is too long: write at most 2^64 - 2 ns (some 584 years)"
        }
        QuotaError::BurstAboveWindow { .. } => {
            "the burst is more than the permits of a window: write at most those permits"
        }
        QuotaError::InitialAboveBurst { .. } => {
            "the initial level is more than the burst: lower it or raise the burst"
        }
        QuotaError::ZeroPermits => ZERO_PERMITS,
        QuotaError::ZeroBurst => ZERO_BURST,
        QuotaError::ZeroPeriod => ZERO_PERIOD,
        QuotaError::Fixed => FIXED,
        _ => unreachable!(),
    }
}
