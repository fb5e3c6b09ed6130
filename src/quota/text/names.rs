//! The words of the text form, and what to write instead of those that could be misread.

/// The units of time, shortest first. The first name of each is the one that is written.
pub(super) const UNITS: [(u64, &[&str]); 8] = [
    (1, &["ns", "nsec", "nsecs", "nanos", "nanosecond", "nanoseconds"]),
    // U+00B5 and U+03BC look the same.
    (1_000, &["us", "\u{b5}s", "\u{3bc}s", "usec", "usecs", "micros", "microsecond", "microseconds"]),
    (1_000_000, &["ms", "msec", "msecs", "millis", "millisecond", "milliseconds"]),
    (1_000_000_000, &["s", "sec", "secs", "second", "seconds"]),
    (MINUTE, &["min", "m", "mins", "minute", "minutes"]),
    (HOUR, &["h", "hr", "hrs", "hour", "hours"]),
    (DAY, &["day", "d", "days"]),
    (7 * DAY, &["week", "weeks"]),
];

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A rate in one word is one of the first letters (requests, queries, tokens or transactions), `p`, and a unit.
const ABBREVIATED: [(&str, u64); 4] = [("ps", SECOND), ("pm", MINUTE), ("ph", HOUR), ("pd", DAY)];
const ABBREVIATED_FIRST: [&str; 3] = ["r", "q", "t"];

/// Upper and lower case differ. `B` stands for bytes, and a permit is a byte there.
const MULTIPLES: [(u64, &[&str]); 8] = [
    (1_000, &["k", "K", "kB", "KB"]),
    (1_000_000, &["M", "MB"]),
    (1_000_000_000, &["G", "GB"]),
    (1_000_000_000_000, &["T", "TB"]),
    (1 << 10, &["Ki", "KiB"]),
    (1 << 20, &["Mi", "MiB"]),
    (1 << 30, &["Gi", "GiB"]),
    (1 << 40, &["Ti", "TiB"]),
];

/// What a permit may stand for. Other words are refused, since `million` or `dozen` would change the amount.
const WHATS: [&str; 30] = [
    "r",
    "req",
    "reqs",
    "request",
    "requests",
    "permit",
    "permits",
    "token",
    "tokens",
    "call",
    "calls",
    "query",
    "queries",
    "byte",
    "bytes",
    "op",
    "ops",
    "operation",
    "operations",
    "event",
    "events",
    "msg",
    "msgs",
    "message",
    "messages",
    "item",
    "items",
    "job",
    "jobs",
    "hits",
];

fn is_one_of(word: &str, names: &[&str]) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(word))
}

/// The nanoseconds of a unit of time.
pub(super) fn unit(word: &str) -> Option<u64> {
    if word == "M" {
        return None;
    }
    UNITS.iter().find(|(_, names)| is_one_of(word, names)).map(|&(ns, _)| ns)
}

/// The period of a rate such as `rps`, in nanoseconds.
pub(super) fn abbreviated(word: &str) -> Option<u64> {
    let (first, rest) = word.split_at_checked(1)?;
    let (_, ns) = ABBREVIATED.iter().find(|(name, _)| name.eq_ignore_ascii_case(rest))?;
    is_one_of(first, &ABBREVIATED_FIRST).then_some(*ns)
}

/// What an amount is to be multiplied by.
pub(super) fn multiple(word: &str) -> Option<u64> {
    MULTIPLES.iter().find(|(_, names)| names.contains(&word)).map(|&(multiple, _)| multiple)
}

/// Whether a permit may stand for this.
pub(super) fn is_what(word: &str) -> bool {
    is_one_of(word, &WHATS)
}

/// What to write instead of a unit of time that has no certain length.
pub(super) fn instead_of_unit(word: &str) -> Option<&'static str> {
    if word == "M" {
        Some("min for minutes, since M could mean months, too")
    } else if is_one_of(word, &["mo", "mon", "mos", "mth", "month", "months"]) {
        Some("a number of days, such as 30days, since months differ in length")
    } else if is_one_of(word, &["y", "yr", "yrs", "year", "years"]) {
        Some("a number of days, such as 365days, since years differ in length")
    } else {
        None
    }
}

/// What to write instead of a word after a number that could be misread.
pub(super) fn instead_of_amount(word: &str) -> Option<&'static str> {
    if word == "m" {
        Some("M for a million, such as 5M/s, since m could mean a thousandth, too")
    } else if is_one_of(word, &["b"]) {
        Some("bytes or G (a thousand million), such as 10 bytes/s or 10G/s, since B could mean either")
    } else if is_one_of(word, &["kb", "mb", "gb", "tb"]) {
        Some("kB, MB, GB or TB for bytes, since a small b could mean bits")
    } else if word.len() > 3 && word.to_ascii_lowercase().ends_with("bps") {
        Some("bytes per second, such as 10MB/s")
    } else if is_one_of(word, &["g", "t", "kib", "mib", "gib", "tib", "ki", "mi", "gi", "ti"]) {
        Some("k, M, G or T for powers of 1000, or Ki, Mi, Gi or Ti for powers of 1024")
    } else if is_one_of(word, &["thousand", "million", "billion", "trillion"]) {
        Some("k, M, G or T, such as 5M/s for five million per second")
    } else if is_one_of(word, &["e"]) {
        Some("a number without an exponent, such as 1000000/s or 1M/s")
    } else {
        None
    }
}

/// What to write instead of this between an amount and its period.
pub(super) fn instead_of_separator(rest: &str) -> Option<&'static str> {
    let starts_with =
        |word: &str| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if starts_with("per") || starts_with("every") {
        Some("a space after \"per\" or \"every\", such as 1 per hour")
    } else if rest.starts_with(',') {
        Some("a number without commas, such as 1_000/s")
    } else {
        None
    }
}
