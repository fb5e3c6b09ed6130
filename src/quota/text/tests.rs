//! The text form, both ways, and the errors.

use core::time::Duration;

use proptest::prelude::*;

use crate::{Quota, QuotaError};

const SECOND: Duration = Duration::from_secs(1);

fn parse(text: &str) -> Quota {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn understands_what_people_write() {
    let (minute, hour) = (60 * SECOND, 3600 * SECOND);
    for (texts, quota) in [
        (
            "100/s|100/S|100 / second|100 per second|100PER SECOND|100 r/s|100r/s|100req/s|100rps|100 RPS|100 qps",
            Quota::per_second(100),
        ),
        (
            "100 requests per second|100 tokens/sec|100 / secs|100 every second|100.0/s|0.1k/s|100/1s",
            Quota::per_second(100),
        ),
        (
            "5 per 1 minute|5 PER MINUTE|5/m|5/min|5 / mins|5rpm|5 TPM|5 tokens per minute|5/60s",
            Quota::per_minute(5),
        ),
        ("1000/h|1_000/hr|1k/hrs|1K requests/hour|1000rph", Quota::per_hour(1000)),
        ("3/d|3/day|3/days|3 rpd|3/24h", Quota::per_day(3)),
        ("2/week|2 per 7 days", Quota::new(2, 168 * hour)),
        ("10/15m|10 / 15 min|10 requests every 15 minutes", Quota::new(10, 15 * minute)),
        (
            "1/1.5s|1 per 1.5 s|every 1.5s|1 every 1500ms|EVERY 1_500 ms",
            Quota::every(Duration::from_millis(1500)),
        ),
        ("every 10s|every 10 secs", Quota::every(10 * SECOND)),
        ("every second", Quota::every(SECOND)),
        ("3/us|3/\u{b5}s|3/\u{3bc}s|3/1000ns", Quota::new(3, Duration::from_micros(1))),
        ("10MB/s|10 MB per second|10M bytes/s|10 M/s", Quota::per_second(10_000_000)),
        ("10MiB/s|10 Mi/s", Quota::per_second(10 << 20)),
        ("10 GiB/s", Quota::per_second(10 << 30)),
        ("1.5G/s", Quota::per_second(1_500_000_000)),
        ("1TB/day", Quota::per_day(1_000_000_000_000)),
        (
            "100/s burst 20|100/s burst=20|100/s, burst 20|100/s,burst: 20| 100/s BURST 20 ",
            Quota::per_second(100).with_burst(20),
        ),
        ("10MB/s burst 20MB", Quota::per_second(10_000_000).with_burst(20_000_000)),
        ("7/min initial 0|7/min, initial = 0", Quota::per_minute(7).with_initial(0)),
        ("7/min initial 9 burst 9", Quota::per_minute(7).with_burst(9).with_initial(9)),
        (
            "10/s catch-up 5ms|10/s catch_up=5ms|10/s Catch-Up: 5 ms",
            Quota::per_second(10).with_catch_up(Duration::from_millis(5)),
        ),
        ("at most 10/s|At Most 10 per second|at most 10rps", Quota::at_most(10, SECOND)),
        ("unlimited|Unlimited| UNLIMITED ", Quota::UNLIMITED),
        ("0/s|0 per minute|0.0/s|0k/s|0rps|at most 0/s|blocked|Blocked", Quota::BLOCKED),
        ("at most 10 per 2min burst 3", Quota::at_most(10, 2 * minute).with_burst(3)),
    ] {
        for text in texts.split('|') {
            assert_eq!(text.parse(), Ok(quota), "{text}");
        }
    }
}

#[test]
fn fractions_are_exact_and_the_burst_is_what_one_period_holds() {
    for (text, permits, period, burst, written) in [
        ("0.5/s", 1, 2 * SECOND, 1, "1/2s"),
        ("1.5/s", 3, 2 * SECOND, 1, "3/2s burst 1"),
        ("2.5/min", 5, 120 * SECOND, 2, "5/2min burst 2"),
        ("2.5 per minute", 5, 120 * SECOND, 2, "5/2min burst 2"),
        ("2.50 per 30s", 5, 60 * SECOND, 2, "5/min burst 2"),
        ("99.9/s", 999, 10 * SECOND, 99, "999/10s burst 99"),
        ("0.000000001/s", 1, 1_000_000_000 * SECOND, 1, "1/1000000000s"),
        ("0.000000000000000001/ns", 1, 1_000_000_000 * SECOND, 1, "1/1000000000s"),
        ("2.5 every s burst 4", 5, 2 * SECOND, 4, "5/2s burst 4"),
        ("0.3333/s", 3333, 10_000 * SECOND, 1, "3333/10000s burst 1"),
    ] {
        let quota = parse(text);
        assert_eq!((quota.permits(), quota.period(), quota.burst()), (permits, period, burst), "{text}");
        assert_eq!(quota.to_string(), written);
        assert_eq!(parse(written), quota);
    }
}

#[test]
fn errors_point_at_the_fault_and_say_what_to_write() {
    for (text, found, expected) in [
        ("", "", "a number of permits, as in 100/s"),
        ("  ", "", "a number of permits"),
        ("fast", "\"fast\" at byte 0", "a number of permits"),
        ("boundless", "\"boundless\" at byte 0", "a number of permits"),
        ("100", "", "\"/\" or \"per\" and a period after the number, such as 100/s"),
        ("100 requests", "", "\"/\" or \"per\""),
        ("100/", "", "a period such as s"),
        ("100 per ", "", "a period such as s"),
        ("every", "", "a period such as s"),
        ("/s", "\"/s\" at byte 0", "a number of permits"),
        ("100//s", "\"/s\" at byte 4", "a period such as s"),
        ("-5/s", "\"-5/s\" at byte 0", "without a sign"),
        ("+5/s", "\"+5/s\" at byte 0", "without a sign"),
        ("5/-1s", "\"-1s\" at byte 2", "a period such as s"),
        ("100/fortnight", "\"fortnight\" at byte 4", "a period such as s"),
        ("5/month", "\"month\" at byte 2", "30days"),
        ("5 per 3 MONTHS", "\"MONTHS\" at byte 8", "30days"),
        ("5/2years", "\"years\" at byte 3", "365days"),
        ("10/15M", "\"M\" at byte 5", "min for minutes"),
        ("10/M", "\"M\" at byte 3", "min for minutes"),
        ("1perhour", "\"perhour\" at byte 1", "a space after \"per\""),
        ("1 per5s", "\"per5s\" at byte 2", "a space after \"per\""),
        ("5m/s", "\"m\" at byte 1", "M for a million"),
        ("5 million/s", "\"million\" at byte 2", "5M/s"),
        ("5 dozen/s", "\"dozen\" at byte 2", "\"/\" or \"per\""),
        ("10B/s", "\"B\" at byte 2", "10 bytes/s"),
        ("10Mb/s", "\"Mb\" at byte 2", "MB"),
        ("10 Mbps", "\"Mbps\" at byte 3", "10MB/s"),
        ("1g/s", "\"g\" at byte 1", "k, M, G or T"),
        ("1e6/s", "\"e6\" at byte 1", "without an exponent"),
        ("1k5/s", "\"5\" at byte 2", "\"/\" or \"per\""),
        ("1,000/s", "\",000/s\" at byte 1", "1_000/s"),
        ("100/s,", "", "after the comma"),
        ("100/s, 20", "\"20\" at byte 7", "after the comma"),
        ("100/s bust 20", "\"bust\" at byte 6", "burst, initial or catch-up, or the end"),
        ("100/s 20", "\"20\" at byte 6", "burst, initial or catch-up"),
        ("100/s burst", "", "a number of permits"),
        ("100/s burst=", "", "a number of permits"),
        ("100/s burst -1", "\"-1\" at byte 12", "without a sign"),
        ("100/s burst 2.5", "\"2.5\" at byte 12", "a whole number"),
        ("100/s burst 5m", "\"m\" at byte 13", "M for a million"),
        ("100/s burst20", "\"burst20\" at byte 6", "burst, initial or catch-up"),
        ("100/s burst 5 burst 6", "\"burst\" at byte 14", "each option once"),
        ("100/s initial 5, initial 5", "\"initial\" at byte 17", "each option once"),
        ("100/s catch-up 1ms catch_up 1ms", "\"catch_up\" at byte 19", "each option once"),
        ("100/s; 5/h", "\";\" at byte 5", "Quota::parse_list"),
        ("1/1h30m", "\"30m\" at byte 4", "one unit in each period"),
        ("1/0.3ns", "\"0.3ns\" at byte 2", "whole nanoseconds"),
        ("1/999999999day", "\"999999999day\" at byte 2", "whole nanoseconds"),
        ("at least 5/s", "\"least\" at byte 3", "\"most\" after \"at\""),
        ("at most 2.5/min", "\"2.5\" at byte 8", "at most 5/2min"),
        ("99999999999999999999/s", "\"99999999999999999999\" at byte 0", "below 2^64"),
        ("18446744073709551615k/s", "\"18446744073709551615k\" at byte 0", "below 2^64"),
        ("18446744073709551615.5/s", "\"18446744073709551615.5\" at byte 0", "below 2^64"),
        ("0.0000000000000000001/s", "\"0.0000000000000000001\" at byte 0", "at most 18 decimals"),
        ("0.000000000000001/day", "\"0.000000000000001\" at byte 0", "fewer decimals or a shorter period"),
        (".5/s", "\".5/s\" at byte 0", "0.5"),
        ("5./s", "\"5.\" at byte 0", "0.5"),
        ("1.2.3/s", "\"1.2.3\" at byte 0", "0.5"),
        ("_1/s", "\"_1/s\" at byte 0", "a number of permits"),
        ("1_/s", "\"1_\" at byte 0", "1_000"),
        ("\u{662}/s", "\"\u{662}\" at byte 0", "a number of permits"),
    ] {
        let error = text.parse::<Quota>().unwrap_err().to_string();
        let start = format!("invalid quota {text:?}: ");
        let place =
            if found.is_empty() { "expected ".to_owned() } else { format!("found {found}, expected ") };
        let rest = error.strip_prefix(&start).and_then(|rest| rest.strip_prefix(&place));
        assert!(rest.is_some_and(|rest| rest.contains(expected)), "{text}: {error}");
    }
}

#[test]
fn values_that_make_no_sense_are_errors() {
    for text in
        ["0/s burst 5", "unlimited, initial 0", "blocked catch-up 1ms", "unlimited burst 1 catch-up 0s"]
    {
        assert_eq!(text.parse::<Quota>(), Err(QuotaError::Fixed));
    }
    assert_eq!("5/0s".parse::<Quota>(), Err(QuotaError::ZeroPeriod));
    assert_eq!("0/0s".parse::<Quota>(), Err(QuotaError::ZeroPeriod));
    assert_eq!("5/s burst 0".parse::<Quota>(), Err(QuotaError::ZeroBurst));
    assert_eq!(
        "2.5/min initial 3".parse::<Quota>(),
        Err(QuotaError::InitialAboveBurst { initial: 3, burst: 2 })
    );
    assert_eq!(
        "at most 5/s burst 6".parse::<Quota>(),
        Err(QuotaError::BurstAboveWindow { burst: 6, permits: 5 })
    );
    let period = Duration::from_nanos(u64::MAX);
    assert_eq!("1/18446744073709551615ns".parse::<Quota>(), Err(QuotaError::PeriodTooLong { period }));
}

#[test]
fn lists_are_split_at_semicolons() {
    let both = [parse("100/s burst 20"), parse("1000/h")];
    for text in ["100/s burst 20; 1000/h", "100/s burst 20;1000/h", " 100/s, burst=20 ; 1k/h "] {
        assert_eq!(Quota::parse_list(text).as_deref(), Ok(&both[..]), "{text}");
    }
    assert_eq!(Quota::parse_list("5/s"), Ok(vec![parse("5/s")]));
    for (text, fault) in [
        ("", "invalid quota \"\": expected a number"),
        ("5/s;", "invalid quota \"5/s;\": expected a number"),
        (";5/s", "found \";5/s\" at byte 0, expected a number"),
        ("5/s; ;6/s", "found \";6/s\" at byte 5, expected a number"),
        ("5/; 6/s", "found \";\" at byte 2, expected a period"),
        ("5/s; 6/month", "found \"month\" at byte 7, expected a number of days"),
        ("5/s, 6/s", "found \"6\" at byte 5, expected burst, initial or catch-up after the comma"),
    ] {
        let error = Quota::parse_list(text).unwrap_err().to_string();
        assert!(error.contains(fault), "{text}: {error}");
    }
}

proptest! {
    /// With no rounding, however many decimals are written.
    #[test]
    fn a_fraction_is_the_rate_that_is_written(digits in 1_u64..1_000_000_000, decimals in 1_u32..7, secs in 1_u64..1000) {
        let scale = 10_u64.pow(decimals);
        let text = format!("{}.{:0width$}/{secs}s", digits / scale, digits % scale, width = decimals as usize);
        let quota = parse(&text);
        let (permits, ns) = quota.rate();
        prop_assert_eq!(u128::from(permits) * u128::from(scale) * u128::from(secs) * 1_000_000_000, u128::from(digits) * ns);
        prop_assert_eq!(quota.burst(), (digits / scale).max(1));
        prop_assert_eq!(quota.to_string().parse(), Ok(quota));
    }

    #[test]
    fn display_parses_back(
        at_most: bool,
        permits in 1..=u64::MAX,
        period in prop_oneof![1_u64..100, 1..u64::MAX, (1_u64..300).prop_map(|ms| ms * 1_000_000), (1_u64..1000).prop_map(|s| s * 1_000_000_000)],
        burst in proptest::option::of(1..=u64::MAX),
        initial in proptest::option::of(0..=u64::MAX),
        catch_up in proptest::option::of(prop_oneof![0..u64::MAX, 0..20_000_000_u64, Just(500_000), Just(2_000_000)]),
    ) {
        let period = Duration::from_nanos(period);
        let mut quota = if at_most { Quota::at_most(permits, period) } else { Quota::new(permits, period) };
        if let Some(burst) = burst {
            quota = quota.try_with_burst(burst).unwrap_or(quota);
        }
        if let Some(initial) = initial {
            quota = quota.try_with_initial(initial).unwrap_or(quota);
        }
        if let Some(catch_up) = catch_up {
            quota = quota.with_catch_up(Duration::from_nanos(catch_up));
        }
        prop_assert_eq!(quota.to_string().parse(), Ok(quota));
    }

    #[test]
    fn what_looks_like_a_quota_is_read_as_it_is_written(
        text in "(at most )?([0-9]{1,3}(\\.[0-9]{1,3})?|every)( ?(k|M|MiB|req|m|b))?(/| per | every |rps| )([0-9.]{0,3} ?(s|ms|min|M|h|weeks))?(,? (burst|initial|catch-up)[ :=][0-9]{1,3}(ms|k)?){0,3}"
    ) {
        if let Ok(quota) = text.parse::<Quota>() {
            prop_assert_eq!(quota.to_string().parse(), Ok(quota));
        }
    }

    #[test]
    fn no_text_panics(text in "[ 0-9a-zA-Z/._,;:=-]{0,24}|.{0,24}") {
        if let Ok(quota) = text.parse::<Quota>() {
            prop_assert_eq!(quota.to_string().parse(), Ok(quota));
        }
    }
}
