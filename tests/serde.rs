//! A quota in a file, by the feature `serde`: the text form and nothing else.

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
    for text in ["1/day", "7/1500ms initial 3", "at most 3/s burst 2"] {
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
    for text in ["100/fortnight", "0/s"] {
        let parsed = text.parse::<Quota>().unwrap_err().to_string();
        let told = error(&format!("\"{text}\""));
        assert!(told.starts_with(&parsed), "{text}: {told}");
    }
    for json in ["100", "null", "[\"100/s\"]", "{\"rate\": 100}"] {
        assert!(error(json).contains("expected the text of a quota, such as \"100/s burst 20\""), "{json}");
    }
}
