//! The rule by itself, and against simulated servers.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use proptest::prelude::*;

use super::*;

const RANGE: Range = Range { floor: 1.0, ceiling: 10_000.0 };

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn it_doubles_each_second_until_the_first_refusal() {
    let mut adaptive = Adaptive::new(RANGE, 10.0);
    let mut now = 0.0;
    while now < 3.0 {
        adaptive.respond(adaptive.epoch(), false, secs(now));
        now += 0.01;
    }
    assert!((75.0..81.0).contains(&adaptive.rate()), "{}", adaptive.rate());
}

#[test]
fn a_refusal_counts_once_for_all_requests_that_were_sent_before() {
    let mut adaptive = Adaptive::new(RANGE, 100.0);
    let sent = adaptive.epoch();
    for _ in 0..5 {
        adaptive.respond(sent, true, secs(1.0));
    }
    assert!((89.9..90.1).contains(&adaptive.rate()), "{}", adaptive.rate());
    // A server whose window is full refuses the next ones, too.
    adaptive.respond(adaptive.epoch(), true, secs(1.05));
    assert!((89.9..90.1).contains(&adaptive.rate()), "{}", adaptive.rate());
    adaptive.respond(adaptive.epoch(), true, secs(1.1));
    assert!((80.9..81.1).contains(&adaptive.rate()), "{}", adaptive.rate());
}

#[test]
fn an_idle_client_learns_nothing() {
    let mut adaptive = Adaptive::new(RANGE, 10.0);
    for hour in 0..5 {
        adaptive.respond(adaptive.epoch(), false, secs(3_600.0 * f64::from(hour)));
    }
    // Four times four intervals at most.
    assert!(adaptive.rate() < 40.0, "{}", adaptive.rate());
    // A server that grants more again is found out about by traffic, not by time.
    adaptive.respond(adaptive.epoch(), true, secs(20_000.0));
    let rate = adaptive.rate();
    adaptive.respond(adaptive.epoch(), false, secs(30_000.0));
    assert!(adaptive.rate() < 1.1 * rate, "{} after {rate}", adaptive.rate());
}

/// A server that admits `limit` requests in any window, whose responses take a while. Returns which share of the limit was used
/// and which share of the requests refused, after ten seconds.
fn against_a_server(limit: usize, window: f64, start: f64, latency: f64) -> (f64, f64) {
    let mut adaptive = Adaptive::new(RANGE, start);
    let mut admitted: VecDeque<f64> = VecDeque::new();
    // By nanoseconds, since floats have no order.
    let mut responses = BinaryHeap::new();
    let (mut next, mut late, mut refused, end) = (0.0, 0_u32, 0_u32, 60.0);
    while next < end {
        if let Some(&Reverse((at, epoch, is_refusal))) = responses.peek() {
            if at as f64 <= next * 1e9 {
                responses.pop();
                adaptive.respond(Epoch(epoch), is_refusal, Duration::from_nanos(at));
                continue;
            }
        }
        let arrives = next + latency / 2.0;
        while admitted.front().is_some_and(|first| first + window <= arrives) {
            admitted.pop_front();
        }
        let is_refusal = admitted.len() >= limit;
        if !is_refusal {
            admitted.push_back(arrives);
        }
        if next > 10.0 {
            late += 1;
            refused += u32::from(is_refusal);
        }
        responses.push(Reverse((((next + latency) * 1e9) as u64, adaptive.epoch().0, is_refusal)));
        next += 1.0 / adaptive.rate();
    }
    let most = (end - 10.0) * limit as f64 / window;
    (f64::from(late - refused) / most, f64::from(refused) / f64::from(late))
}

#[test]
fn most_of_an_unknown_limit_is_used_and_few_requests_are_refused() {
    for (limit, window, start) in [
        (10, 1.0, 1.0),
        (50, 0.5, 500.0),
        (100, 1.0, 1.0),
        (100, 1.0, 100.0),
        (100, 1.0, 1_000.0),
        (300, 3.0, 10.0),
        (1_000, 1.0, 10.0),
    ] {
        for latency in [0.002, 0.02, 0.1] {
            let (used, refused) = against_a_server(limit, window, start, latency);
            println!(
                "{limit} in {window} s, from {start}/s, {latency} s: {used:.3} used, {refused:.4} refused"
            );
            assert!((0.9..1.001).contains(&used), "{limit} in {window} s from {start}: {used} used");
            assert!(refused < 0.02, "{limit} in {window} s from {start}: {refused} refused");
        }
    }
}

proptest! {
    #[test]
    fn the_rate_stays_in_its_range(
        (floor, ratio, start) in (0.001_f64..1e3, 1.0_f64..1e6, 1e-6_f64..1e9),
        responses in prop::collection::vec((any::<bool>(), any::<bool>(), 0.0_f64..1e4), 0..200),
    ) {
        let range = Range { floor, ceiling: floor * ratio };
        let mut adaptive = Adaptive::new(range, start);
        let (mut now, mut old) = (0.0, adaptive.epoch());
        for (is_refusal, is_old, later) in responses {
            now += later;
            let sent = if is_old { old } else { adaptive.epoch() };
            let before = adaptive.rate();
            adaptive.respond(sent, is_refusal, secs(now));
            prop_assert!((range.floor..=range.ceiling).contains(&adaptive.rate()));
            if is_refusal {
                prop_assert!(adaptive.rate() <= before);
                prop_assert!(sent == adaptive.epoch() || adaptive.rate() >= BACK * before * 0.999 || sent != old);
            } else {
                prop_assert!(adaptive.rate() >= before);
            }
            old = sent;
        }
    }
}
