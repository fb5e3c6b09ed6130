//! Headers as real servers send them.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

fn of(status: u16, headers: &[(&'static str, &str)]) -> Feedback {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    // Sun, 29 Nov 2026 13:31:01 GMT.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_959_061);
    Feedback::of(StatusCode::from_u16(status).unwrap(), &map, now)
}

fn pause(status: u16, headers: &[(&'static str, &str)]) -> Option<u128> {
    let feedback = of(status, headers);
    assert!(!feedback.is_malformed(), "{headers:?}");
    feedback.pause().map(|pause| pause.as_millis())
}

#[test]
fn retry_after_in_both_forms() {
    assert_eq!(pause(429, &[("retry-after", "120")]), Some(120_000));
    assert_eq!(pause(503, &[("retry-after", "Sun, 29 Nov 2026 13:31:31 GMT")]), Some(30_000));
    assert_eq!(pause(429, &[("retry-after-ms", "250"), ("retry-after", "1")]), Some(250));
    // By the clock of the server, which is an hour ahead of ours.
    let date = ("date", "Sun, 29 Nov 2026 14:31:01 GMT");
    assert_eq!(pause(429, &[date, ("retry-after", "Sun, 29 Nov 2026 14:31:31 GMT")]), Some(30_000));
    assert_eq!(pause(429, &[("retry-after", "0")]), None);
    // Of a redirection it is no limit.
    assert_eq!(pause(301, &[("retry-after", "120")]), None);
}

#[test]
fn it_counts_before_all_others() {
    let exhausted = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "60")];
    assert_eq!(pause(429, &exhausted), Some(60_000));
    assert_eq!(pause(429, &[exhausted[0], exhausted[1], ("retry-after", "5")]), Some(5_000));
}

#[test]
fn github() {
    let limit = ("x-ratelimit-limit", "5000");
    let reset = ("x-ratelimit-reset", "1795959661");
    assert_eq!(pause(200, &[limit, ("x-ratelimit-remaining", "4999"), reset]), None);
    let exhausted = [limit, ("x-ratelimit-remaining", "0"), reset];
    assert_eq!(pause(403, &exhausted), Some(600_000));
    assert!(of(403, &exhausted).is_refusal() && !of(403, &[]).is_refusal());
}

#[test]
fn openai() {
    let headers = [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "1s"),
        ("x-ratelimit-limit-tokens", "150000"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ];
    assert_eq!(pause(200, &headers), Some(360_000));
    assert_eq!(pause(200, &headers[..3]), None);
}

#[test]
fn anthropic() {
    let headers = [
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-11-29T13:31:03Z"),
        ("anthropic-ratelimit-tokens-remaining", "0"),
        ("anthropic-ratelimit-tokens-reset", "2026-11-29T13:31:21Z"),
        ("anthropic-ratelimit-output-tokens-remaining", "8000"),
        ("anthropic-ratelimit-output-tokens-reset", "2026-11-29T13:40:00Z"),
    ];
    assert_eq!(pause(200, &headers), Some(20_000));
}

#[test]
fn drafts_of_the_ietf() {
    assert_eq!(pause(200, &[("ratelimit", r#""default";r=50;t=30"#)]), None);
    assert_eq!(pause(200, &[("ratelimit", r#""burst";r=0;t=3,"daily";r=900;t=87"#)]), Some(3_000));
    assert_eq!(
        pause(200, &[("ratelimit", r#""a";r=0;t=3"#), ("ratelimit", r#""b"; t=9; r=0"#)]),
        Some(9_000)
    );
    assert_eq!(pause(200, &[("ratelimit", "limit=100, remaining=0, reset=30")]), Some(30_000));
    assert_eq!(pause(200, &[("ratelimit", "limit=100, remaining=7, reset=30")]), None);
    assert_eq!(pause(200, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "4")]), Some(4_000));
}

#[test]
fn what_is_malformed_is_ignored_and_told() {
    for headers in [
        &[("retry-after", "soon")][..],
        &[("retry-after-ms", "soon")],
        &[("retry-after", "é")],
        &[("date", "today")],
        &[("x-ratelimit-remaining", "few")],
        &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "later")],
        &[("ratelimit", r#""a";r=none;t=3"#)],
        &[("ratelimit", r#""a";r=0;t=3.5"#)],
    ] {
        let feedback = of(429, headers);
        assert!(
            feedback.is_malformed() && feedback.is_refusal() && feedback.pause().is_none(),
            "{headers:?}"
        );
    }
    // The other headers count.
    let feedback = of(429, &[("retry-after-ms", "soon"), ("retry-after", "3")]);
    assert_eq!((feedback.pause(), feedback.is_malformed()), (Some(Duration::from_secs(3)), true));
}

proptest! {
    #[test]
    fn no_header_panics(
        status in 100_u16..600,
        headers in prop::collection::vec((0_usize..9, prop::collection::vec(32_u8..=255, 0..30)), 0..6),
    ) {
        let mut map = HeaderMap::new();
        for (which, value) in headers {
            let names = PAIRS.iter().flat_map(|&(remaining, reset)| [remaining, reset]);
            let name = ["ratelimit", "retry-after", "retry-after-ms", "date"].into_iter().chain(names).nth(which);
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(HeaderName::from_static(name.unwrap()), value);
            }
        }
        let status = StatusCode::from_u16(status).unwrap();
        let feedback = Feedback::of(status, &map, SystemTime::now());
        prop_assert!(feedback.pause() != Some(Duration::ZERO));
    }
}
