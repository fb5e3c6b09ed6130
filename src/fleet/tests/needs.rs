//! Calls that may wait for a short time, while the limiter of their process has nothing.

use core::time::Duration;

use futures_util::future::join_all;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    random::Random,
    server::{Admitted, Server},
};
use crate::{AllOf, Denied, Fleet, Limit, OnOutage, Quota, TokioClock};

const MOMENT: Duration = Duration::from_millis(50);

/// Nine permits at the server, and none in six minutes.
const SLOW: Quota = Quota::per_hour(10).with_burst(10);

async fn one_member(quota: Quota, policy: OnOutage) -> (Server, Fleet<TokioClock>) {
    let server = Server::new(5, &TokioClock::new());
    let fleet = server.join(0, Fleet::builder("test", quota).on_outage(policy)).await;
    (server, fleet)
}

#[tokio::test(start_paused = true)]
async fn what_is_at_the_server_is_there_for_a_call_that_waits_for_a_moment() {
    let (_server, fleet) = one_member(SLOW, OnOutage::Closed).await;
    for i in 0..9 {
        let start = Instant::now();
        // Far longer than its permits are valid, and once without a rest.
        sleep(Duration::from_secs(i * 100)).await;
        fleet.acquire_within(1, MOMENT).await.unwrap_or_else(|denied| panic!("call {i}: {denied}"));
        assert!(start.elapsed() <= Duration::from_secs(i * 100) + MOMENT);
        // The permits of the time that has passed.
        sleep(Duration::from_secs(i * 260)).await;
    }
    let (_server, fleet) = one_member(SLOW, OnOutage::Closed).await;
    fleet.acquire_within(7, MOMENT).await.unwrap();
    Limit::acquire_within(&fleet, 2.into(), MOMENT).await.unwrap();
    let start = Instant::now();
    let denied = fleet.acquire_within(1, MOMENT).await.unwrap_err();
    assert!(matches!(denied, Denied::NotYet(_)), "{denied}");
    assert!(start.elapsed() <= MOMENT);
    assert!(matches!(fleet.acquire_within(10, MOMENT).await.unwrap_err(), Denied::TooMany(_)));
    assert!(matches!(fleet.acquire_within(1, Duration::ZERO).await.unwrap_err(), Denied::NotYet(_)));
}

#[tokio::test(start_paused = true)]
async fn of_many_calls_at_once_as_many_are_admitted_as_there_are_permits() {
    let (_server, fleet) = one_member(SLOW, OnOutage::Closed).await;
    let start = Instant::now();
    let all = join_all((0..30).map(|_| fleet.acquire_within(1, MOMENT))).await;
    assert_eq!(all.iter().filter(|done| done.is_ok()).count(), 9);
    assert!(start.elapsed() <= MOMENT, "{:?}", start.elapsed());
    // The others are refused before their time is over, and so are the next ones.
    let start = Instant::now();
    for _ in 0..100 {
        fleet.acquire_within(1, Duration::from_secs(10)).await.unwrap_err();
    }
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_refused_book_nothing_and_patient_ones_get_their_turn() {
    let quota = Quota::per_second(10).with_burst(10);
    let clock = TokioClock::new();
    let server = Server::new(8, &clock);
    let members = server.join_many(quota, 12).await;
    let admitted = Admitted::new(quota, &clock);
    let mut tasks = JoinSet::new();
    let (hungry, noted) = (members[0].clone(), admitted.clone());
    tasks.spawn(async move {
        loop {
            hungry.acquire().await;
            noted.note(1);
        }
    });
    // Calls now and then, which nobody can serve in their time, and whose callers are gone when permits come.
    for (i, impatient) in members[2..].iter().cloned().enumerate() {
        let (noted, mut random) = (admitted.clone(), Random(i as u64 + 1));
        tasks.spawn(async move {
            loop {
                sleep(Duration::from_millis(1_500 + random.below(1_000))).await;
                if impatient.acquire_within(1, Duration::from_millis(10)).await.is_ok() {
                    noted.note(1);
                }
            }
        });
    }
    sleep(Duration::from_secs(10)).await;
    let before = admitted.count();
    sleep(Duration::from_secs(100)).await;
    let count = admitted.count() - before;
    assert!(count >= 970, "{count} of 1,000");

    // A call that may wait for longer than what is booked gets its turn.
    for _ in 0..10 {
        members[1].acquire_within(2, Duration::from_secs(2)).await.unwrap();
        admitted.note(2);
    }
    assert!(admitted.burst_needed() <= quota.burst());
}

#[tokio::test(start_paused = true)]
async fn without_the_server_a_call_ends_in_its_time_and_gets_what_the_policy_says() {
    for (policy, is_admitted) in
        [(OnOutage::Closed, false), (OnOutage::Open, true), (OnOutage::LocalShare, true)]
    {
        let (server, fleet) = one_member(SLOW, policy).await;
        // What is leased ends.
        sleep(Duration::from_secs(3600)).await;
        server.with(|state| state.is_stopped = true);
        for wait in [30, 100, 3_000] {
            let start = Instant::now();
            let done = fleet.acquire_within(1, Duration::from_millis(wait)).await;
            // The task looks every 25 ms.
            assert!(start.elapsed() <= Duration::from_millis(wait + 30), "{policy:?}: {:?}", start.elapsed());
            // The first call may come too early to know that the server is away.
            assert!(done.is_ok() == is_admitted || wait == 30, "{policy:?} {wait}: {done:?}");
        }
        server.with(|state| state.is_stopped = false);
        sleep(Duration::from_secs(2)).await;
        fleet.acquire_within(1, MOMENT).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_give_up_early_leave_little_unused() {
    let quota = Quota::per_second(5).with_burst(2);
    let clock = TokioClock::new();
    let server = Server::new(6, &clock);
    let admitted = Admitted::new(quota, &clock);
    let mut tasks = JoinSet::new();
    for (i, fleet) in server.join_many(quota, 8).await.into_iter().enumerate() {
        let (admitted, mut random) = (admitted.clone(), Random(i as u64 + 1));
        tasks.spawn(async move {
            loop {
                let wait = Duration::from_millis(50 + random.below(250));
                if fleet.acquire_within(1, wait).await.is_ok() {
                    admitted.note(1);
                }
                sleep(Duration::from_millis(random.below(50))).await;
            }
        });
    }
    sleep(Duration::from_secs(200)).await;
    let share = admitted.count() as f64 / 1_000.0;
    assert!(admitted.burst_needed() <= quota.burst());
    assert!(share >= 0.85, "{share}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_takes_nothing() {
    let (_server, fleet) = one_member(SLOW, OnOutage::Closed).await;
    let mut random = Random(7);
    for _ in 0..200 {
        let call = fleet.acquire_within(1, MOMENT);
        if timeout(Duration::from_micros(random.below(3_000)), call).await.is_ok() {
            break;
        }
    }
    // Whatever became of the one before, others are there, if not all at once.
    let mut count = 0;
    for _ in 0..400 {
        sleep(Duration::from_secs(1)).await;
        count += u64::from(fleet.acquire_within(1, MOMENT).await.is_ok());
    }
    assert!((7..=10).contains(&count), "{count}");
    let all = AllOf::new().and(&fleet, 1);
    assert!(all.try_acquire().is_err());
}
