//! Timelines taken from the test suites and issues of other limiters, run on this one.
//!
//! `conformance/timelines.json` says what an exact token bucket answers, step by step. Every timeline of
//! the profiles that the crate offers is run through the public API under [`ManualClock`], and through an
//! independent model in exact arithmetic, which guards the file itself against a slip of the pen.
//!
//! `TIDEGATE_TIMELINES=path` runs another file of the same format.
//!
//! [`ManualClock`]: tidegate::ManualClock

mod conformance {
    pub(crate) mod limiter;
    pub(crate) mod model;
    pub(crate) mod timeline;
}

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use conformance::{
    limiter::Limiter,
    model::Model,
    timeline::{Outcome, Subject, play},
};

/// What the crate offers.
const OFFERED: [&str; 8] =
    ["core", "async", "extreme", "zero_n", "refund", "debt", "backwards_clock", "zero_rate"];

/// What it does not offer yet, and why.
const NOT_OFFERED: [(&str, &str); 3] = [
    ("reserve", "there are no reservations: a waiter takes its permits when it is granted"),
    ("reserve_cancel", "as for reserve"),
    ("reconfigure", "a limiter keeps the quota it was made with"),
];

fn file() -> Value {
    let text = match std::env::var("TIDEGATE_TIMELINES") {
        Ok(path) => fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")),
        Err(_) => include_str!("conformance/timelines.json").to_owned(),
    };
    serde_json::from_str(&text).expect("the timelines are not JSON")
}

/// What came of a whole file.
#[derive(Debug, Default)]
struct Report {
    /// By profile: the timelines that were run, those whose configuration was rejected, the steps.
    ran: BTreeMap<String, (usize, usize, usize)>,
    skipped: BTreeMap<String, usize>,
    failures: Vec<String>,
}

fn play_all<S: Subject>(file: &Value) -> Report {
    let mut report = Report::default();
    if file["format"] != 1 {
        report.failures.push(format!("unknown format {}", file["format"]));
    }
    let Some(timelines) = file["timelines"].as_array() else {
        report.failures.push("no timelines".to_owned());
        return report;
    };
    for timeline in timelines {
        let (id, profile) = (&timeline["id"], timeline["profile"].as_str().unwrap_or_default());
        if NOT_OFFERED.iter().any(|(name, _)| *name == profile) {
            *report.skipped.entry(profile.to_owned()).or_default() += 1;
            continue;
        }
        if !OFFERED.contains(&profile) {
            report.failures.push(format!("{id}: unknown profile {}", timeline["profile"]));
            continue;
        }
        let ran = report.ran.entry(profile.to_owned()).or_default();
        match play::<S>(timeline) {
            Ok(Outcome::Played(steps)) => {
                ran.0 += 1;
                ran.2 += steps;
            }
            Ok(Outcome::Rejected) => {
                ran.0 += 1;
                ran.1 += 1;
            }
            Err(failure) => report.failures.push(format!("{id} ({profile}): {failure}")),
        }
    }
    report
}

fn check<S: Subject>(name: &str) {
    let file = file();
    let report = play_all::<S>(&file);
    for (profile, (timelines, rejected, steps)) in &report.ran {
        println!("{name}: {profile}: {timelines} timelines, {steps} steps, {rejected} rejected as quotas");
    }
    for (profile, reason) in NOT_OFFERED {
        let count = report.skipped.get(profile).copied().unwrap_or(0);
        println!("{name}: {profile}: not offered, {count} timelines left out: {reason}");
    }
    assert!(report.failures.is_empty(), "\n{}", report.failures.join("\n"));
    let known = file["profiles"].as_object().expect("no list of profiles");
    for (profile, _) in NOT_OFFERED {
        assert!(known.contains_key(profile), "{profile} is no profile of the file");
    }
    for profile in known.keys() {
        let skipped = NOT_OFFERED.iter().any(|(name, _)| name == profile);
        let ran = report.ran.get(profile).is_some_and(|(timelines, ..)| *timelines > 0);
        assert!(skipped || ran, "no timeline of profile {profile} was run");
    }
    for profile in OFFERED {
        assert!(known.contains_key(profile), "{profile} is no profile of the file");
    }
}

/// Each step of each timeline is answered as the exact model answers it.
#[test]
fn the_limiter_agrees_with_every_timeline() {
    check::<Limiter>("limiter");
}

/// The file says what exact arithmetic says.
#[test]
fn the_exact_model_agrees_with_every_timeline() {
    check::<Model>("model");
}

fn one_step(profile: &str, step: &Value) -> Value {
    json!({
        "format": 1, "profiles": {}, "timelines": [{
            "id": "x", "profile": profile, "n": 10, "period_ns": 1_000_000_000, "burst": 3,
            "created_ns": 0, "steps": [step],
        }]
    })
}

/// A file that says something this suite does not understand fails, rather than pass unread.
#[test]
fn what_is_not_understood_fails() {
    let good = json!({"t_ns": 0, "op": "try_acquire", "n": 1, "expect": true});
    assert!(play_all::<Limiter>(&one_step("core", &good)).failures.is_empty());
    let bad = [
        ("unheard_of", good.clone(), "unknown profile"),
        ("core", json!({"t_ns": 0, "op": "try_everything", "n": 1, "expect": true}), "unknown operation"),
        ("core", json!({"t_ns": 0, "op": "try_acquire", "n": 1, "expect": 1}), "unknown expectation"),
        ("core", json!({"t_ns": 0, "op": "try_acquire", "n": 1}), "unknown expectation"),
        ("core", json!({"t_ns": 0, "op": "wait_needed", "n": 1, "expect": "soon"}), "unknown expectation"),
        ("core", json!({"t_ns": 0, "op": "available", "expect": 2.5}), "unknown expectation"),
        ("core", json!({"t_ns": 0, "op": "available", "expect": 3, "exact": "many"}), "exact"),
        ("core", json!({"t_ns": 0, "op": "available", "expect": 3, "exact": "9/2"}), "exact"),
        ("refund", json!({"t_ns": 0, "op": "refund", "n": 1, "expect": true}), "unknown expectation"),
        (
            "async",
            json!({"t_ns": 0, "op": "acquire", "id": "a", "n": 1, "expect": "late"}),
            "unknown expectation",
        ),
        ("async", json!({"t_ns": 0, "op": "advance", "expect": "a"}), "unknown expectation"),
        ("async", json!({"t_ns": 0, "op": "advance", "expect": [1]}), "unknown expectation"),
        ("async", json!({"t_ns": 0, "op": "cancel_waiter", "id": "nobody", "expect": []}), "unknown waiter"),
        ("core", json!({"op": "available", "expect": 3}), "t_ns"),
        ("core", json!({"t_ns": 0, "op": "try_acquire", "n": "one", "expect": true}), "`n`"),
    ];
    for (profile, step, complaint) in bad {
        let failures = play_all::<Limiter>(&one_step(profile, &step)).failures;
        assert!(failures.iter().any(|failure| failure.contains(complaint)), "{step}: {failures:?}");
    }
    let mut rejected = one_step("zero_rate", &good);
    rejected["timelines"][0]["n"] = json!(0);
    assert_eq!(play_all::<Limiter>(&rejected).failures.len(), 1);
    rejected["timelines"][0]["may_reject_config"] = json!(true);
    assert_eq!(play_all::<Limiter>(&rejected).failures.len(), 0);
}

/// Every expectation is looked at: a file in which any one of them is wrong fails.
#[test]
fn every_expectation_is_checked() {
    let file = file();
    let mut tried = 0;
    for timeline in file["timelines"].as_array().expect("no timelines") {
        let offered = timeline["profile"].as_str().is_some_and(|profile| OFFERED.contains(&profile));
        if !offered || matches!(play::<Model>(timeline), Ok(Outcome::Rejected)) {
            continue;
        }
        let steps = timeline["steps"].as_array().expect("no steps").len();
        for step in 0..steps {
            let mut wrong = timeline.clone();
            let expect = &mut wrong["steps"][step]["expect"];
            *expect = match &*expect {
                Value::Bool(yes) => json!(!*yes),
                Value::Number(number) => json!(number.as_i64().map_or(0, |number| number ^ 1)),
                Value::String(word) if word == "never" => json!(0),
                Value::String(word) if word == "ready" => json!("pending"),
                Value::String(_) => json!("ready"),
                Value::Array(ids) if ids.is_empty() => json!(["nobody"]),
                Value::Array(_) => json!([]),
                _ => continue,
            };
            tried += 1;
            assert!(play::<Model>(&wrong).is_err(), "{}: step {step} may say anything", timeline["id"]);
        }
        for id in timeline["grants_ns"].as_object().into_iter().flat_map(|grants| grants.keys()) {
            let mut wrong = timeline.clone();
            let time = &mut wrong["grants_ns"][id];
            *time = json!(time.as_u64().expect("a time") + 1);
            tried += 1;
            assert!(play::<Model>(&wrong).is_err(), "{}: {id} may come at any time", timeline["id"]);
        }
    }
    assert!(tried > 300, "only {tried} expectations");
}
