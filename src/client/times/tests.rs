//! Times as real servers write them.

use super::*;

/// Sun, 29 Nov 2026 13:31:01 GMT.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_959_061)
}

fn millis(text: &str) -> Option<u128> {
    wait(text, now()).map(|wait| wait.as_millis())
}

#[test]
fn seconds_from_now_and_times_of_day_in_numbers() {
    for (text, expected) in [
        ("0", 0),
        ("30", 30_000),
        (" 0.25 ", 250),
        // GitHub's epoch seconds, and milliseconds.
        ("1795959121", 60_000),
        ("1795959121500", 60_500),
        // It has passed.
        ("1795959000", 0),
    ] {
        assert_eq!(millis(text), Some(expected), "{text}");
    }
}

#[test]
fn durations_as_go_writes_them() {
    for (text, expected) in [
        ("6m0s", 360_000),
        ("12ms", 12),
        ("1.5s", 1_500),
        ("1h2m3s", 3_723_000),
        ("900µs", 0),
        ("2ms500us", 2),
    ] {
        assert_eq!(millis(text), Some(expected), "{text}");
    }
}

#[test]
fn dates() {
    for text in [
        "Sun, 29 Nov 2026 13:32:01 GMT",
        "Sunday, 29-Nov-26 13:32:01 GMT",
        "Sun Nov 29 13:32:01 2026",
        "2026-11-29T13:32:01Z",
        "2026-11-29t14:32:01.000+01:00",
        "2026-11-29 11:02:01-02:30",
    ] {
        assert_eq!(millis(text), Some(60_000), "{text}");
    }
    assert_eq!(millis("2026-11-29T13:31:01.750Z"), Some(750));
    assert_eq!(millis("2020-02-29T00:00:00Z"), Some(0));
    assert_eq!(millis("2028-02-29T13:31:01Z"), Some(457 * 86_400_000));
}

#[test]
fn what_is_no_time_is_not_taken_for_one() {
    for text in [
        "",
        " ",
        "soon",
        "-5",
        "+5",
        "1e9",
        "inf",
        "NaN",
        "5 s",
        "5x",
        "s",
        "1.2.3",
        "m5",
        "5m-1s",
        "2026-13-01T00:00:00Z",
        "2026-11-32T00:00:00Z",
        "2026-11-29T25:00:00Z",
        "2026-11-29T13:32:01",
        "2026-11-29",
        "99999-01-01T00:00:00Z",
        "Sun, 32 Nov 2026 13:32:01 GMT",
        "☃",
    ] {
        assert_eq!(millis(text), None, "{text}");
    }
    assert_eq!(wait("9999999999999999999999999999", now()), Some(Duration::MAX));
    assert_eq!(wait("9999-12-31T23:59:59Z", now()).map(|wait| wait.as_secs() / 31_557_600), Some(7_972));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*", digits in "[0-9.:TZ+ -]{0,30}") {
        let _ = (wait(&text, now()), wait(&digits, now()), wait(&digits, UNIX_EPOCH));
    }

    /// By the other direction.
    #[test]
    fn every_day_is_found(day in 0_u64..30_000, second in 0_u64..86_400) {
        let at = UNIX_EPOCH + Duration::from_secs(day * 86_400 + second);
        let http = httpdate::fmt_http_date(at);
        let months = ["Jan","Feb","Mar","Apr","May","Jun","Jul","Aug","Sep","Oct","Nov","Dec"];
        let words: Vec<_> = http.split(' ').collect();
        let month = months.iter().position(|name| *name == words[2]).unwrap() + 1;
        let rfc = format!("{}-{month:02}-{}T{}Z", words[3], words[1], words[4]);
        let expected = at.duration_since(now()).unwrap_or_default().as_secs();
        proptest::prop_assert_eq!(wait(&rfc, now()).map(|wait| wait.as_secs()), Some(expected));
        proptest::prop_assert_eq!(wait(&http, now()).map(|wait| wait.as_secs()), Some(expected));
    }
}
