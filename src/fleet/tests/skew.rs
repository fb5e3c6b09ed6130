//! The quota is used also where one process has nearly all the demand, with few calls to the server.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use tokio::time::sleep;

use super::{
    random::Random,
    server::{Admitted, Server},
};
use crate::{Clock, Fleet, Quota, TokioClock};

/// Waits for permits one by one, for good.
async fn hungry(fleet: Fleet<TokioClock>, admitted: Admitted) {
    loop {
        fleet.acquire().await;
        admitted.note(1);
    }
}

/// Waits for a permit some `per_second` times a second.
async fn modest(fleet: Fleet<TokioClock>, admitted: Admitted, per_second: u64, seed: u64) {
    let mut random = Random(seed);
    loop {
        sleep(Duration::from_micros(random.below(2_000_000 / per_second))).await;
        fleet.acquire().await;
        admitted.note(1);
    }
}

struct Use {
    /// Of what the rate allows.
    share: f64,
    calls_per_second: f64,
    burst_needed: u64,
}

/// `hot` hungry members of 16, the others with five calls a second each.
async fn run(quota: Quota, hot: u64, waiters: usize) -> Use {
    let clock = TokioClock::new();
    let server = Server::new(hot, &clock);
    let admitted = Admitted::new(quota, &clock);
    let mut tasks = tokio::task::JoinSet::new();
    let members = server.join_many(quota, 16).await;
    for (i, fleet) in members.into_iter().enumerate() {
        if (i as u64) < hot {
            for _ in 0..waiters {
                tasks.spawn(hungry(fleet.clone(), admitted.clone()));
            }
        } else {
            tasks.spawn(modest(fleet, admitted.clone(), 5, i as u64));
        }
    }
    sleep(Duration::from_secs(3)).await;
    let (start_ns, before, calls) = (clock.now(), admitted.count(), server.with(|state| state.calls));
    sleep(Duration::from_secs(10)).await;
    let seconds = (clock.now() - start_ns) as f64 / 1e9;
    let (permits, period_ns) = quota.rate();
    let possible = permits as f64 * seconds * 1e9 / period_ns as f64;
    Use {
        share: (admitted.count() - before) as f64 / possible,
        calls_per_second: (server.with(|state| state.calls) - calls) as f64 / seconds,
        burst_needed: admitted.burst_needed(),
    }
}

#[tokio::test(start_paused = true)]
async fn one_hot_process_of_sixteen_gets_the_rate() {
    for (quota, calls) in [
        (Quota::per_second(1000), 300.0),
        (Quota::per_second(1000).with_burst(200), 900.0),
        (Quota::per_second(100), 500.0),
        (Quota::per_second(10_000).with_burst(5_000), 300.0),
    ] {
        let used = run(quota, 1, 50).await;
        println!("{quota}: used {:.4}, {:.0} calls a second", used.share, used.calls_per_second);
        assert!(used.share >= 0.995, "{quota}: {}", used.share);
        assert!(used.calls_per_second <= calls, "{quota}: {}", used.calls_per_second);
        assert!(used.burst_needed <= quota.burst(), "{quota}: {}", used.burst_needed);
    }
}

#[tokio::test(start_paused = true)]
async fn sixteen_hot_processes_share_the_rate() {
    for quota in [Quota::per_second(1000), Quota::per_second(1000).with_burst(200), Quota::per_second(100)] {
        let used = run(quota, 16, 5).await;
        println!("{quota}: used {:.4}, {:.0} calls a second", used.share, used.calls_per_second);
        assert!(used.share >= 0.985, "{quota}: {}", used.share);
        assert!(used.burst_needed <= quota.burst(), "{quota}: {}", used.burst_needed);
    }
}

/// Members whose demand began at different times, and which can use far more than an equal share.
#[tokio::test(start_paused = true)]
async fn hungry_processes_get_the_same_whatever_they_used_before() {
    for (quota, waiters) in [(Quota::per_second(10_000).with_burst(5_000), 8), (Quota::per_second(1000), 8)] {
        let clock = TokioClock::new();
        let server = Server::new(4, &clock);
        let mut tasks = tokio::task::JoinSet::new();
        let mut each = Vec::new();
        for fleet in server.join_many(quota, 8).await {
            let admitted = Admitted::new(quota, &clock);
            for _ in 0..waiters {
                tasks.spawn(hungry(fleet.clone(), admitted.clone()));
            }
            each.push(admitted);
            sleep(Duration::from_millis(100)).await;
        }
        sleep(Duration::from_secs(2)).await;
        let before: Vec<u64> = each.iter().map(Admitted::count).collect();
        sleep(Duration::from_secs(5)).await;
        let got: Vec<u64> = each.iter().zip(before).map(|(each, before)| each.count() - before).collect();
        let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
        assert!(*least as f64 >= 0.8 * *most as f64, "{quota}: {got:?}");
    }
}

/// Members that are always hungry: some for the largest requests, the others for single permits.
async fn large_beside_hungry(quota: Quota, members: u64, larges: u64) -> (f64, Duration, Vec<u64>) {
    let clock = TokioClock::new();
    let server = Server::new(members, &clock);
    let all = Admitted::new(quota, &clock);
    let longest = Arc::new(Mutex::new(Duration::ZERO));
    let mut tasks = tokio::task::JoinSet::new();
    let mut counts = Vec::new();
    for (i, fleet) in server.join_many(quota, members).await.into_iter().enumerate() {
        let own = Admitted::new(quota, &clock);
        counts.push(own.clone());
        let (all, longest, clock) = (all.clone(), longest.clone(), clock.clone());
        tasks.spawn(async move {
            let n = if (i as u64) < larges { fleet.limiter().largest_request() } else { 1 };
            loop {
                let start_ns = clock.now();
                fleet.acquire_n(n).await.unwrap();
                all.note(n);
                own.note(n);
                let waited = Duration::from_nanos(clock.now() - start_ns);
                let mut longest = longest.lock().unwrap();
                *longest = waited.max(*longest);
            }
        });
    }
    sleep(Duration::from_secs(30)).await;
    assert!(all.burst_needed() <= quota.burst(), "{quota}: {}", all.burst_needed());
    let (permits, period_ns) = quota.rate();
    let share = all.count() as f64 / (permits as f64 * 30e9 / period_ns as f64);
    let longest = *longest.lock().unwrap();
    (share, longest, counts.iter().map(Admitted::count).collect())
}

/// Nobody waits longer than all others take together, once each.
#[tokio::test(start_paused = true)]
async fn a_large_request_takes_its_turn_and_no_more() {
    for (quota, members, larges, most_ms) in [
        (Quota::per_second(1000), 8, 1, 600),
        (Quota::per_second(1000), 16, 2, 1_150),
        (Quota::per_second(1000), 8, 8, 4_100),
        (Quota::per_second(100).with_burst(30), 8, 1, 350),
        (Quota::per_second(10), 12, 3, 2_700),
    ] {
        let (share, longest, each) = large_beside_hungry(quota, members, larges).await;
        println!("{quota}, {larges} large of {members}: used {share:.4}, at most {longest:?}, {each:?}");
        assert!(share >= 0.995, "{quota}: {share}");
        assert!(longest <= Duration::from_millis(most_ms), "{quota}: {longest:?}");
        let (large, single) = each.split_at(larges as usize);
        // A turn more or less.
        for (alike, turn) in [(large, quota.burst()), (single, 1)] {
            let (least, most) = (alike.iter().min(), alike.iter().max());
            let differ = least.zip(most).is_some_and(|(least, most)| *most > least + least / 10 + turn);
            assert!(!differ, "{quota}: {each:?}");
        }
    }
}

/// A member that comes after a rest asks for what is there, and waits no longer than for the call.
#[tokio::test(start_paused = true)]
async fn the_first_calls_after_a_rest_are_admitted_if_they_may_wait_for_a_moment() {
    let clock = TokioClock::new();
    let server = Server::new(3, &clock);
    let fleet = &server.join_many(Quota::per_second(1000), 1).await[0];
    for _ in 0..20 {
        sleep(Duration::from_secs(7)).await;
        assert!(fleet.try_acquire().is_err());
        sleep(Duration::from_millis(7)).await;
        fleet.try_acquire().unwrap();
        sleep(Duration::from_secs(7)).await;
        let all = (0..10).map(|_| fleet.acquire_within(1, Duration::from_millis(20)));
        let waited = tokio::time::Instant::now();
        for admitted in futures_util::future::join_all(all).await {
            admitted.unwrap();
        }
        assert!(waited.elapsed() <= Duration::from_millis(10), "{:?}", waited.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_wait_get_the_rate_too() {
    let quota = Quota::per_second(1000);
    let clock = TokioClock::new();
    let server = Server::new(9, &clock);
    let members = server.join_many(quota, 4).await;
    let mut taken = 0;
    for round in 0..13_000 {
        sleep(Duration::from_millis(1)).await;
        for _ in 0..3 {
            taken += u64::from(members[0].try_acquire().is_ok() && round >= 3_000);
        }
    }
    assert!(taken >= 9_800, "{taken} of 10,000");
}
