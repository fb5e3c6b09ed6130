//! A quota in a file, by the feature `serde`: as text, or as a map of its parts.

#![cfg(feature = "serde")]

use std::collections::HashMap;

use tidegate::Quota;

#[test]
fn quotas_are_read_from_what_people_write() {
    let text =
        r#"{ "free": "5 per 10s", "paid": "100/s burst 20 catch-up 0s", "\u0061ll": "at most 1_000/min" }"#;
    let read: HashMap<String, Quota> = serde_json::from_str(text).unwrap();
    let quota = |text: &str| text.parse::<Quota>().unwrap();
    assert_eq!(read["free"], quota("5/10s"));
    assert_eq!(read["paid"], quota("100/s burst 20 catch-up 0s"));
    assert_eq!(read["all"], quota("at most 1000/min"));
}

#[test]
fn a_quota_is_written_as_a_text_that_reads_as_that_quota() {
    for text in ["1/day", "7/1500ms initial 3", "at most 3/s burst 2", "unlimited", "0/s"] {
        let quota: Quota = text.parse().unwrap();
        let written = serde_json::to_string(&quota).unwrap();
        assert_eq!(written, format!("\"{quota}\""));
        assert_eq!(serde_json::from_str::<Quota>(&written).unwrap(), quota);
    }
    // Also where the text is not borrowed from the input.
    let value = serde_json::Value::from("1/day");
    assert_eq!(serde_json::from_value::<Quota>(value).unwrap(), Quota::per_day(1));
}

#[test]
fn errors_say_what_is_wrong() {
    let error = |json: &str| serde_json::from_str::<Quota>(json).unwrap_err().to_string();
    for text in ["100/fortnight", "5/0s", "0/s burst 5"] {
        let parsed = text.parse::<Quota>().unwrap_err().to_string();
        let told = error(&format!("\"{text}\""));
        assert!(told.starts_with(&parsed), "{text}: {told}");
    }
    for json in ["100", "null", "[\"100/s\"]"] {
        assert!(error(json).contains("expected the text of a quota, such as \"100/s burst 20\""), "{json}");
    }
}

#[test]
fn quotas_are_read_from_a_map_of_their_parts() {
    for (json, text) in [
        (r#"{"permits": 100, "period": "s"}"#, "100/s"),
        (r#"{"period": "15 min", "permits": 10, "burst": 3}"#, "10/15min burst 3"),
        (
            r#"{"initial": 7, "burst": 9, "permits": 5, "period": "1.5s", "catch_up": "0s"}"#,
            "5/1.5s burst 9 initial 7 catch-up 0s",
        ),
        (r#"{"at_most": 100, "period": "s"}"#, "at most 100/s"),
        (r#"{"period": "2min", "burst": 3, "at_most": 10}"#, "at most 10/2min burst 3"),
        (r#"{"permits": 0, "period": "s"}"#, "0/s"),
        (r#"{"at_most": 0, "period": "s"}"#, "0/s"),
        (r#"{"permits": 100, "period": "1h", "burst": null, "initial": null, "catch_up": null}"#, "100/h"),
    ] {
        let quota = text.parse::<Quota>().unwrap();
        assert_eq!(serde_json::from_str::<Quota>(json).unwrap(), quota, "{json}");
        let value = serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(serde_json::from_value::<Quota>(value).unwrap(), quota, "{json}");
    }
}

#[test]
fn errors_of_a_map_name_the_part() {
    for (json, told) in [
        (r#"{"period": "s"}"#, "missing field `permits`"),
        (r#"{"permits": 5}"#, "missing field `period`"),
        (
            r#"{"permits": 5, "period": "s", "bust": 5}"#,
            "unknown field `bust`, expected one of `permits`, `at_most`, `period`, `burst`",
        ),
        (r#"{"permits": 5, "period": "s", "burst": 5, "burst": 6}"#, "duplicate field `burst`"),
        (r#"{"permits": 5, "permits": 5, "period": "s"}"#, "duplicate field `permits`"),
        (r#"{"permits": 2.5, "period": "s"}"#, "floating point `2.5`, expected a whole number of permits"),
        (r#"{"permits": -5, "period": "s"}"#, "integer `-5`, expected a whole number of permits"),
        (r#"{"permits": "5", "period": "s"}"#, "string \"5\", expected a whole number of permits"),
        (r#"{"permits": 5, "period": 10}"#, "integer `10`, expected the text of a period, such as \"10s\""),
        (
            r#"{"permits": 5, "period": "2 months"}"#,
            "invalid period \"2 months\": found \"months\" at byte 2, expected a number of days",
        ),
        (
            r#"{"permits": 5, "period": "s burst 5"}"#,
            "invalid period \"s burst 5\": found \"burst\" at byte 2, expected the end",
        ),
        (r#"{"permits": 0, "period": "s", "burst": 5}"#, "an unlimited or blocked quota has no burst"),
        (r#"{"at_most": 5, "permits": 5, "period": "s"}"#, "write one of them"),
        (
            r#"{"at_most": 5, "period": "s", "burst": 6}"#,
            "a burst of 6 permits is more than the 5 of a window",
        ),
        (
            r#"{"permits": 5, "period": "s", "initial": 6}"#,
            "an initial level of 6 permits is more than the burst of 5",
        ),
    ] {
        let error = serde_json::from_str::<Quota>(json).unwrap_err().to_string();
        assert!(error.contains(told), "{json}: {error}");
    }
}
