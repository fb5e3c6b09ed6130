//! The headers, read back by a strict parser.

use proptest::{collection::vec, prelude::*};

use super::*;

const STYLES: [HeaderStyle; 3] = [HeaderStyle::RetryAfter, HeaderStyle::Legacy, HeaderStyle::Draft10];

const fn told(name: &str, burst: u64, window: Duration, remaining: u64, reset: Duration) -> Told<'_> {
    Told { name, burst, window, remaining, reset }
}

const BURST: Told<'_> = told("burst", 100, Duration::from_secs(60), 50, Duration::from_millis(29_001));
const DAILY: Told<'_> = told("daily", 1000, Duration::from_secs(86_400), 900, Duration::from_secs(87));

fn written(style: HeaderStyle, told: &[Told<'_>], retry_after: Option<Duration>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    style.write(&mut headers, told, retry_after);
    headers
}

/// The headers, sorted, as `name: value`.
fn texts(headers: &HeaderMap) -> Vec<String> {
    let text = |(name, value): (_, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    let mut texts: Vec<_> = headers.iter().map(text).collect();
    texts.sort();
    texts
}

/// A member of a list: a string with integers as its parameters.
type Item = (String, Vec<(String, u64)>);

/// The list of RFC 9651, of only what the draft has in it. Refuses what is not in the shortest form.
fn parse(text: &str) -> Option<Vec<Item>> {
    let mut chars = text.chars().peekable();
    let mut items = Vec::new();
    loop {
        let (mut name, mut parameters) = (String::new(), Vec::new());
        chars.next_if_eq(&'"')?;
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => name.push(chars.next_if(|c| matches!(c, '"' | '\\'))?),
                c => name.push(Some(c).filter(|c| matches!(c, '\x20'..='\x7e'))?),
            }
        }
        while chars.next_if_eq(&';').is_some() {
            let key: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_lowercase)).collect();
            chars.next_if_eq(&'=')?;
            let digits: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
            let shortest = digits == "0" || !digits.starts_with('0');
            if key.is_empty() || !(1..=15).contains(&digits.len()) || !shortest {
                return None;
            }
            parameters.push((key, digits.parse().ok()?));
        }
        items.push((name, parameters));
        match chars.next() {
            None => return Some(items),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

#[test]
fn the_parser_is_strict() {
    let item = |name: &str, parameters: &[(&str, u64)]| {
        (
            name.to_owned(),
            parameters.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect::<Vec<_>>(),
        )
    };
    let list = vec![item("a\"\\", &[("q", 1), ("w", 0)]), item("", &[])];
    assert_eq!(parse(r#""a\"\\";q=1;w=0,"""#), Some(list));
    for malformed in [
        "",
        "a",
        "\"",
        "\"a",
        "\"a\",",
        ",\"a\"",
        "\"a\" ",
        "\"a\\b\"",
        "\"\u{e9}\"",
        "\"\t\"",
        "\"a\";q",
        "\"a\";q=",
        "\"a\";=1",
        "\"a\";q=01",
        "\"a\";q=-1",
        "\"a\";q=1.5",
        "\"a\";q=1234567890123456",
        "\"a\"q=1",
    ] {
        assert_eq!(parse(malformed), None, "{malformed}");
    }
}

#[test]
fn each_style_has_its_headers() {
    let retry = Some(Duration::from_millis(2_001));
    for (style, told, retry_after, expected) in [
        (HeaderStyle::RetryAfter, &[BURST, DAILY][..], None, &[][..]),
        (HeaderStyle::RetryAfter, &[BURST], retry, &["retry-after: 3"]),
        (
            HeaderStyle::Legacy,
            &[BURST],
            None,
            &["x-ratelimit-limit: 100", "x-ratelimit-remaining: 50", "x-ratelimit-reset: 30"],
        ),
        (
            HeaderStyle::Legacy,
            &[DAILY, BURST],
            retry,
            &[
                "retry-after: 3",
                "x-ratelimit-limit: 100",
                "x-ratelimit-remaining: 50",
                "x-ratelimit-reset: 30",
            ],
        ),
        (
            HeaderStyle::Draft10,
            &[BURST, DAILY],
            retry,
            &[
                "ratelimit-policy: \"burst\";q=100;w=60,\"daily\";q=1000;w=86400",
                "ratelimit: \"burst\";r=50;t=30,\"daily\";r=900;t=87",
                "retry-after: 3",
            ],
        ),
        // Nothing to tell.
        (HeaderStyle::Legacy, &[], retry, &["retry-after: 3"]),
        (HeaderStyle::Draft10, &[], retry, &["retry-after: 3"]),
    ] {
        assert_eq!(texts(&written(style, told, retry_after)), expected, "{style:?}");
    }
}

#[test]
fn legacy_tells_the_longest_wait_of_limits_with_as_few_left() {
    let limit = |burst, remaining, seconds| {
        told("", burst, Duration::from_secs(1), remaining, Duration::from_secs(seconds))
    };
    let headers =
        written(HeaderStyle::Legacy, &[limit(1, 5, 1), limit(2, 0, 7), limit(3, 0, 9), limit(4, 0, 8)], None);
    assert_eq!(headers["x-ratelimit-limit"], "3");
    // A full bucket resets at once.
    assert_eq!(written(HeaderStyle::Legacy, &[limit(5, 5, 0)], None)["x-ratelimit-reset"], "0");
}

#[test]
fn seconds_are_rounded_up() {
    let (ns, second) = (Duration::from_nanos(1), Duration::from_secs(1));
    for (time, rounded) in [
        (Duration::ZERO, "1"),
        (ns, "1"),
        (Duration::new(0, 999_999_999), "1"),
        (second, "1"),
        (second + ns, "2"),
        (second * 60, "60"),
        (Duration::new(MOST - 1, 999_999_999), "999999999999999"),
        (Duration::MAX, "999999999999999"),
    ] {
        let headers = written(HeaderStyle::Draft10, &[told("a", 1, time, 1, time)], Some(time));
        assert_eq!(headers["ratelimit-policy"], *format!("\"a\";q=1;w={rounded}"));
        assert_eq!(headers["ratelimit"], *format!("\"a\";r=1;t={rounded}"));
        assert_eq!(headers["retry-after"], *rounded);
    }
    let most = told("a", u64::MAX, Duration::MAX, u64::MAX, Duration::MAX);
    for (name, value) in &written(HeaderStyle::Legacy, &[most], None) {
        assert_eq!(value, "999999999999999", "{name}");
    }
}

#[test]
fn names_are_escaped() {
    for (name, escaped) in [
        ("", r#""""#),
        ("per user, a;b", r#""per user, a;b""#),
        (r#"a"b\c"#, r#""a\"b\\c""#),
        ("t\u{e9}\r\nset-cookie: x\0\u{7f}~", r#""tset-cookie: x~""#),
    ] {
        let headers = written(HeaderStyle::Draft10, &[Told { name, ..BURST }], None);
        assert_eq!(headers["ratelimit-policy"], *format!("{escaped};q=100;w=60"));
        assert_eq!(headers["ratelimit"], *format!("{escaped};r=50;t=30"));
    }
}

#[test]
fn headers_of_the_service_are_kept() {
    for (style, name, alone) in [
        (HeaderStyle::Legacy, "x-ratelimit-limit", 1),
        (HeaderStyle::Legacy, "x-ratelimit-remaining", 1),
        (HeaderStyle::Legacy, "x-ratelimit-reset", 1),
        (HeaderStyle::Draft10, "ratelimit-policy", 1),
        (HeaderStyle::Draft10, "ratelimit", 1),
        // Those of another style do not matter.
        (HeaderStyle::Legacy, "ratelimit", 4),
        (HeaderStyle::Draft10, "x-ratelimit-limit", 3),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static("theirs"));
        style.write(&mut headers, &[BURST], None);
        assert_eq!((headers.get_all(name).iter().count(), headers.len()), (1, alone), "{style:?} {name}");
        assert_eq!(headers[name], "theirs");
    }
    for style in STYLES {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static("7"));
        style.write(&mut headers, &[BURST], Some(Duration::from_secs(3)));
        assert_eq!(headers.get_all("retry-after").iter().collect::<Vec<_>>(), ["7"]);
        assert_eq!(headers.len(), written(style, &[BURST], Some(Duration::ZERO)).len());
    }
}

/// Small numbers, and those of any size.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..1_000_u64, any::<u64>(), MOST - 1..=MOST + 1]
}

fn time() -> impl Strategy<Value = Duration> {
    (number(), prop_oneof![Just(0), 0..1_000_000_000_u32])
        .prop_map(|(secs, nanos)| Duration::new(secs, nanos))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn lists_follow_the_grammar_and_tell_the_limits(
        limits in vec((any::<String>(), number(), time(), number(), time()), 1..6),
    ) {
        let limits: Vec<_> = limits.iter().map(|(name, b, w, r, t)| told(name, *b, *w, *r, *t)).collect();
        let headers = written(HeaderStyle::Draft10, &limits, None);
        let read = |name| headers.get(name).and_then(|value: &HeaderValue| parse(value.to_str().unwrap()));
        let (policies, levels) = (read("ratelimit-policy").unwrap(), read("ratelimit").unwrap());
        prop_assert_eq!((policies.len(), levels.len()), (limits.len(), limits.len()));
        // The least whole seconds that are not shorter.
        let covers = |secs: u64, time: Duration| {
            secs == MOST && time > Duration::from_secs(MOST - 1)
                || secs >= 1 && Duration::from_secs(secs) >= time && (secs == 1 || Duration::from_secs(secs - 1) < time)
        };
        for ((limit, policy), level) in limits.iter().zip(policies).zip(levels) {
            let printable: String = limit.name.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
            prop_assert_eq!((&policy.0, &level.0), (&printable, &printable));
            let [(q, burst), (w, window)] = &policy.1[..] else { panic!("{policy:?}") };
            let [(r, remaining), (t, reset)] = &level.1[..] else { panic!("{level:?}") };
            prop_assert_eq!([q, w, r, t], ["q", "w", "r", "t"]);
            prop_assert_eq!((*burst, *remaining), (limit.burst.min(MOST), limit.remaining.min(MOST)));
            prop_assert!(covers(*window, limit.window) && covers(*reset, limit.reset), "{:?}", limit);
        }
    }
}
