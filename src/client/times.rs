//! The times that servers write in headers, as how long from now: seconds, times of day in several forms, and durations.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

/// A number from this on is a time of day, in seconds since 1970, and a thousand times as large in milliseconds. As a number of
/// seconds from now it would be 31 years.
const FIRST_EPOCH: f64 = 1e9;

/// How long until a time that a server wrote; zero if it has passed. `None` if the text is no time.
///
/// `now` is the time of day by the clock of the server.
pub(super) fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let from_now = |at: f64| {
        let now = now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        seconds(at - now)
    };
    if let Some(number) = number(text) {
        return if number < FIRST_EPOCH {
            seconds(number)
        } else {
            from_now(if number < FIRST_EPOCH * 1_000.0 { number } else { number / 1_000.0 })
        };
    }
    if let Some(duration) = duration(text) {
        return seconds(duration);
    }
    if let Ok(date) = httpdate::parse_http_date(text) {
        return Some(date.duration_since(now).unwrap_or(Duration::ZERO));
    }
    from_now(rfc_3339(text)?)
}

/// Zero for less than none; a number that is too large for a `Duration` is the longest one.
fn seconds(seconds: f64) -> Option<Duration> {
    match Duration::try_from_secs_f64(seconds.max(0.0)) {
        Ok(duration) => Some(duration),
        Err(_) => (seconds > 0.0).then_some(Duration::MAX),
    }
}

/// Digits with or without a fraction.
fn number(text: &str) -> Option<f64> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_number)
}

/// A duration as Go writes it, such as `6m0s`, `1.5s` or `12ms`, in seconds.
fn duration(text: &str) -> Option<f64> {
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.')?;
        let (amount, after) = rest.split_at(digits);
        let unit = after.find(|sign: char| sign.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let in_seconds = match unit {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number(amount)? * in_seconds;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// A time such as `2026-11-29T13:31:01.5Z` or `2026-11-29 13:31:01+01:00`, in seconds since 1970.
fn rfc_3339(text: &str) -> Option<f64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(digits);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let offset_at = time.find(['Z', 'z', '+', '-'])?;
    let (time, offset) = time.split_at(offset_at);
    let offset = match offset.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign, ..] => {
            let (hours, minutes) = offset[1..].split_once(':')?;
            let minutes = digits(hours)? * 60 + digits(minutes)?;
            if *sign == b'-' { -minutes } else { minutes }
        }
        [] => return None,
    };
    Some(days(year, month, day)? as f64 * 86_400.0 + time_of_day(time)? - offset as f64 * 60.0)
}

/// Of a time of day such as `13:31:01.5`, in seconds.
fn time_of_day(text: &str) -> Option<f64> {
    let mut parts = text.splitn(3, ':');
    let (hours, minutes, seconds) = (digits(parts.next()?)?, digits(parts.next()?)?, number(parts.next()?)?);
    // A minute may have a leap second.
    (hours < 24 && minutes < 60 && seconds < 61.0).then_some((hours * 60 + minutes) as f64 * 60.0 + seconds)
}

/// Up to four digits.
fn digits(text: &str) -> Option<i64> {
    let is_number = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// The days from 1970 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // The year begins in March here, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days from the first of March of the year 0 to 1970.
    Some(year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
