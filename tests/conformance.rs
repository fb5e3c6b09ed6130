//! Timelines taken from the test suites and issues of other limiters, run on this one.
//!
//! `conformance/timelines.json` says what an exact token bucket answers, step by step. Every timeline is run
//! through the public API under [`ManualClock`], and through an independent model in exact arithmetic, which
//! guards the file itself against a slip of the pen.
//!
//! A timeline may reserve permits that are not there yet. The crate knows two ways: to charge them at once, into
//! debt, and to wait for them in the queue. The first answers every timeline; the second answers all timelines
//! except the ones in [`UNLIKE`].
//!
//! `TIDEGATE_TIMELINES=path` runs another file of the same format.
//!
//! [`ManualClock`]: tidegate::ManualClock

mod conformance {
    pub(crate) mod expected;
    pub(crate) mod fields;
    pub(crate) mod limiter;
    pub(crate) mod model;
    mod random;
    pub(crate) mod timeline;
}

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use conformance::{
    fields,
    limiter::Limiter,
    model::Model,
    timeline::{Outcome, Reserve, Subject, play},
};

/// What the crate offers.
const OFFERED: [&str; 11] = [
    "core",
    "async",
    "extreme",
    "zero_n",
    "refund",
    "debt",
    "backwards_clock",
    "zero_rate",
    "reserve",
    "reserve_cancel",
    "reconfigure",
];

/// The timelines in which a waiter is not like a reservation: how each ends with a waiter, and why.
const UNLIKE: [(&str, &str, &str); 2] = [
    (
        "folly-available-balance",
        "right is -50, found 0",
        "a reservation takes its permits before they are there; a waiter leaves the level as it is",
    ),
    (
        "go-reserve-jump-back-cancel",
        "right is Some(400000000), found Some(300000000)",
        "a reservation keeps its time when one ahead of it is cancelled; a waiter moves up",
    ),
];

/// Names another file to run.
const OTHER_FILE: &str = "TIDEGATE_TIMELINES";

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("the timelines are not JSON")
}

fn shipped() -> Value {
    parse(include_str!("conformance/timelines.json"))
}

fn file() -> Value {
    match std::env::var(OTHER_FILE) {
        Ok(path) => parse(&fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))),
        Err(_) => shipped(),
    }
}

/// What came of a whole file.
#[derive(Debug, Default)]
struct Report {
    /// By profile: the timelines that were run, the timelines whose configuration was rejected, and the steps.
    ran: BTreeMap<String, (usize, usize, usize)>,
    failures: Vec<String>,
}

/// Plays a timeline. If it gives times that are older than one before, the limiter may be given the latest instead.
fn play_either<S: Subject>(timeline: &Value, reserve: Reserve) -> Result<Outcome, String> {
    let outcome = play::<S>(timeline, reserve);
    if outcome.is_err() && goes_back(timeline) { play::<Limiter<true>>(timeline, reserve) } else { outcome }
}

/// Whether a timeline gives a time that is older than one before.
fn goes_back(timeline: &Value) -> bool {
    let steps = timeline["steps"].as_array().map_or(&[][..], Vec::as_slice);
    let times = |step: &Value| {
        ["t_ns", "t2_ns"].map(|name| step[name].as_u64()).into_iter().flatten().collect::<Vec<_>>()
    };
    !steps.iter().flat_map(times).is_sorted()
}

fn play_all<S: Subject>(file: &Value) -> Report {
    let mut report = Report::default();
    if let Err(failure) = fields::check_file(file) {
        report.failures.push(failure);
    }
    if file["format"] != 1 {
        report.failures.push(format!("unknown format {}", file["format"]));
    }
    for profile in file["profiles"].as_object().into_iter().flat_map(|profiles| profiles.keys()) {
        if !OFFERED.contains(&profile.as_str()) {
            report.failures.push(format!("unknown profile {profile}"));
        }
    }
    let timelines = file["timelines"].as_array().map_or(&[][..], Vec::as_slice);
    if timelines.is_empty() {
        report.failures.push("no timelines".to_owned());
    }
    for timeline in timelines {
        let (id, profile) = (&timeline["id"], timeline["profile"].as_str().unwrap_or_default());
        if !OFFERED.contains(&profile) {
            report.failures.push(format!("{id}: unknown profile {}", timeline["profile"]));
            continue;
        }
        let ran = report.ran.entry(profile.to_owned()).or_default();
        match play_either::<S>(timeline, Reserve::AsCharge) {
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
    let report = play_all::<S>(&file());
    for (profile, (timelines, rejected, steps)) in &report.ran {
        println!("{name}: {profile}: {timelines} timelines, {steps} steps, {rejected} rejected as quotas");
    }
    assert!(report.failures.is_empty(), "\n{}", report.failures.join("\n"));
}

/// Each step of each timeline is answered as the exact model answers it.
#[test]
fn the_limiter_agrees_with_every_timeline() {
    check::<Limiter<false>>("limiter");
}

/// The file says what exact arithmetic says.
#[test]
fn the_exact_model_agrees_with_every_timeline() {
    check::<Model>("model");
}

/// The shipped file has timelines of every profile that is offered.
#[test]
fn every_profile_is_run() {
    let report = play_all::<Model>(&shipped());
    for profile in OFFERED {
        let ran = report.ran.get(profile).is_some_and(|(timelines, ..)| *timelines > 0);
        assert!(ran, "no timeline of profile {profile} was run");
    }
}

fn check_waiters<S: Subject>() {
    let file = shipped();
    let mut unlike = 0;
    for timeline in file["timelines"].as_array().expect("no timelines") {
        let Some((id, end, reason)) = UNLIKE.iter().find(|(id, ..)| timeline["id"] == *id) else {
            let outcome = play_either::<S>(timeline, Reserve::AsWaiter);
            assert!(outcome.is_ok(), "{}: {outcome:?}", timeline["id"]);
            continue;
        };
        unlike += 1;
        let outcome = play_either::<S>(timeline, Reserve::AsWaiter);
        let as_ever = outcome.as_ref().is_err_and(|failure| failure.ends_with(end));
        assert!(as_ever, "{id} should end with {end:?}, since {reason}: {outcome:?}");
    }
    assert_eq!(unlike, UNLIKE.len());
}

/// A waiter with a longest wait does for a reservation, but for the timelines of [`UNLIKE`].
#[test]
fn a_waiter_does_for_a_reservation() {
    check_waiters::<Limiter<false>>();
    check_waiters::<Model>();
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
    assert!(play_all::<Limiter<false>>(&one_step("core", &good)).failures.is_empty());
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
        ("reserve", json!({"t_ns": 0, "op": "reserve", "n": 1, "expect": true}), "unknown expectation"),
        (
            "reserve",
            json!({"t_ns": 0, "op": "reserve", "n": 1, "max_wait_ns": "long", "expect": 0}),
            "max_wait_ns",
        ),
        (
            "reserve_cancel",
            json!({"t_ns": 0, "op": "cancel", "id": "nobody", "expect": false}),
            "unknown reservation",
        ),
        ("reconfigure", json!({"t_ns": 0, "op": "set_period", "period_ns": 1}), "unknown operation"),
        ("reconfigure", json!({"t_ns": 0, "op": "set_rate", "n": 1}), "period_ns"),
        ("reconfigure", json!({"t_ns": 0, "op": "set_rate", "n": 0, "period_ns": 1}), "step 0"),
        (
            "reconfigure",
            json!({"t_ns": 0, "op": "set_rate", "n": 1, "period_ns": 1, "expect": true}),
            "unknown expectation",
        ),
        ("reconfigure", json!({"t_ns": 0, "op": "set_burst"}), "burst"),
        (
            "reconfigure",
            json!({"t_ns": 0, "op": "set_burst", "burst": 1, "expect": 1}),
            "unknown expectation",
        ),
        ("core", json!({"t_ns": 0, "op": "try_acquire", "n": "one", "expect": true}), "`n`"),
        (
            "core",
            json!({"t_ns": 0, "op": "try_acquire", "n": 1, "weight": 2, "expect": true}),
            "unknown field",
        ),
        ("core", json!({"t_ns": 0, "op": "available", "n": 1, "expect": 3}), "unknown field"),
        (
            "async",
            json!({"t_ns": 0, "op": "acquire", "id": "a", "n": 1, "max_wait_ns": 5, "expect": "ready"}),
            "unknown field",
        ),
    ];
    for (profile, step, complaint) in bad {
        let failures = play_all::<Limiter<false>>(&one_step(profile, &step)).failures;
        assert!(failures.iter().any(|failure| failure.contains(complaint)), "{step}: {failures:?}");
    }
    for at in ["/unheard_of", "/timelines/0/unheard_of", "/profiles/unheard_of"] {
        let mut file = one_step("core", &good);
        let (table, field) = at.rsplit_once('/').expect("a path");
        file.pointer_mut(table).expect("a table")[field] = json!("of");
        let failures = play_all::<Limiter<false>>(&file).failures;
        assert!(failures.iter().any(|failure| failure.contains("unheard_of")), "{at}: {failures:?}");
    }
    let mut rejected = one_step("zero_rate", &good);
    rejected["timelines"][0]["n"] = json!(0);
    assert_eq!(play_all::<Limiter<false>>(&rejected).failures.len(), 1);
    rejected["timelines"][0]["may_reject_config"] = json!(true);
    assert_eq!(play_all::<Limiter<false>>(&rejected).failures.len(), 0);
}

/// Every expectation is looked at: a file in which any one of them is wrong fails.
#[test]
fn every_expectation_is_checked() {
    let file = shipped();
    let mut tried = 0;
    for timeline in file["timelines"].as_array().expect("no timelines") {
        if matches!(play::<Model>(timeline, Reserve::AsCharge), Ok(Outcome::Rejected)) {
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
            assert!(
                play::<Model>(&wrong, Reserve::AsCharge).is_err(),
                "{}: step {step} may say anything",
                timeline["id"]
            );
        }
        for id in timeline["grants_ns"].as_object().into_iter().flat_map(|grants| grants.keys()) {
            let mut wrong = timeline.clone();
            let time = &mut wrong["grants_ns"][id];
            *time = json!(time.as_u64().expect("a time") + 1);
            tried += 1;
            assert!(
                play::<Model>(&wrong, Reserve::AsCharge).is_err(),
                "{}: {id} may come at any time",
                timeline["id"]
            );
        }
    }
    assert!(tried > 300, "only {tried} expectations");
}
