//! Whatever members do, and however calls fail: all processes together admit no more than the quota allows.

use core::time::Duration;

use tokio::{task::JoinSet, time::sleep};

use super::{
    random::Random,
    server::{Admitted, Server},
};
use crate::{Fleet, OnOutage, Quota, TokioClock};

/// Calls of all kinds, with rests, bursts, cancelled waits and reservations.
async fn erratic(fleet: Fleet<TokioClock>, admitted: Admitted, seed: u64, largest: u64) {
    let mut random = Random(seed);
    loop {
        if random.below(30) == 0 {
            sleep(Duration::from_millis(random.below(3_000))).await;
        }
        let n = 1 + random.below(largest);
        match random.below(5) {
            0 => {
                for _ in 0..random.below(200) {
                    if fleet.try_acquire().is_ok() {
                        admitted.note(1);
                    }
                }
                sleep(Duration::from_millis(1)).await;
            }
            1 => {
                if fleet.acquire_within(n, Duration::from_millis(random.below(200))).await.is_ok() {
                    admitted.note(n);
                }
            }
            2 => {
                let limit = Duration::from_millis(random.below(100));
                if tokio::time::timeout(limit, fleet.acquire_n(n)).await.is_ok() {
                    admitted.note(n);
                }
            }
            3 => {
                let used = random.below(n + 1);
                if let Ok(reservation) = fleet.limiter().try_reserve(n) {
                    sleep(Duration::from_millis(random.below(20))).await;
                    admitted.note(used);
                    reservation.settle(used).unwrap();
                }
            }
            _ => {
                fleet.acquire_n(n).await.unwrap();
                admitted.note(n);
            }
        }
    }
}

async fn history(quota: Quota, members: u64, fails: (u64, u64), seed: u64) -> (u64, u64) {
    let clock = TokioClock::new();
    let server = Server::new(seed, &clock);
    server.with(|state| state.fails = fails);
    let admitted = Admitted::new(quota, &clock);
    let mut tasks = JoinSet::new();
    let mut random = Random(seed);
    for id in 0..members {
        let builder = Fleet::builder("test", quota).on_outage(OnOutage::Closed);
        let fleet = server.join(id, builder).await;
        let largest = fleet.limiter().largest_request();
        let largest = largest.min([10, largest][random.below(2) as usize]);
        for _ in 0..=random.below(3) {
            tasks.spawn(erratic(fleet.clone(), admitted.clone(), random.below(1 << 40), largest));
        }
    }
    for _ in 0..5 {
        sleep(Duration::from_secs(2)).await;
        // A process that crashes, or leaves.
        if random.below(2) == 0 {
            tasks.abort_all();
            while tasks.join_next().await.is_some() {}
            for id in 0..members {
                let builder = Fleet::builder("test", quota).on_outage(OnOutage::Closed);
                let fleet = server.join(id + members * (1 + random.below(1 << 30)), builder).await;
                let largest = fleet.limiter().largest_request().min(10);
                tasks.spawn(erratic(fleet, admitted.clone(), random.below(1 << 40), largest));
            }
        }
    }
    (admitted.burst_needed(), admitted.count())
}

#[tokio::test(start_paused = true)]
async fn no_window_sees_more_than_burst_and_rate() {
    let mut admitted = 0;
    for seed in 0..24 {
        let quota = [
            Quota::per_second(1000),
            Quota::per_second(500).with_burst(100),
            Quota::per_second(20),
            Quota::per_minute(100),
            Quota::at_most(300, Duration::from_secs(1)).with_burst(60),
        ][seed as usize % 5];
        let fails = [(0, 0), (100, 100), (20, 300)][seed as usize % 3];
        let (needed, count) = history(quota, 2 + seed % 7, fails, seed).await;
        assert!(needed <= quota.burst(), "seed {seed}: {quota} needed a burst of {needed}");
        admitted += count;
    }
    assert!(admitted > 10_000, "{admitted}");
}

/// Each member in turn has all the demand, and then rests with what it has leased. At last all use what they have at once.
#[tokio::test(start_paused = true)]
async fn leases_that_are_not_used_do_not_pile_up() {
    let quota = Quota::per_second(1000);
    let clock = TokioClock::new();
    let server = Server::new(7, &clock);
    let admitted = Admitted::new(quota, &clock);
    let members = server.join_many(quota, 20).await;
    for fleet in &members {
        for _ in 0..500 {
            for _ in 0..3 {
                if fleet.try_acquire().is_ok() {
                    admitted.note(1);
                }
            }
            sleep(Duration::from_millis(1)).await;
        }
    }
    // The server's bucket is full again.
    sleep(Duration::from_secs(1)).await;
    for _ in 0..50 {
        for fleet in &members {
            while fleet.try_acquire().is_ok() {
                admitted.note(1);
            }
        }
        sleep(Duration::from_millis(1)).await;
    }
    let needed = admitted.burst_needed();
    assert!(needed <= 1000, "{needed}");
    assert!(admitted.count() > 8_000, "{}", admitted.count());
}
