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
use crate::{
    AllOf, Denied, Fleet, Lane, Limit, OnOutage, PerCore, Quota, RateLimiter, Reservation, TokioClock,
};

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

/// Each call comes after a rest, so that nothing is leased.
#[tokio::test(start_paused = true)]
async fn every_way_to_wait_for_a_moment_has_permits_leased() {
    let (_server, fleet) = one_member(Quota::per_minute(60).with_burst(100), OnOutage::Closed).await;
    let limiter = fleet.limiter();
    let rest = || sleep(Duration::from_secs(20));
    for _ in 0..3 {
        rest().await;
        limiter.acquire_within(5, MOMENT).await.unwrap();
        rest().await;
        limiter.lane(Lane::Background).acquire_within(5, MOMENT).await.unwrap();
        rest().await;
        let reservation = limiter.reserve_within(5, MOMENT).await.unwrap();
        reservation.settle(2).unwrap();
        rest().await;
        AllOf::new().and(&fleet, 5).acquire_within(MOMENT).await.unwrap();
        rest().await;
        let all = AllOf::new().and(limiter, 5).and(&RateLimiter::new(Quota::per_hour(100)), 1);
        all.reserve_within(MOMENT).await.unwrap().spend();
        rest().await;
        let limit: &dyn Limit = &fleet;
        limit.acquire_within(5.into(), MOMENT).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_as_long_as_the_permits_take_by_the_rate_is_enough() {
    let quota = Quota::per_second(20);
    // Two calls to the server take less than the shortest of these.
    for wait in (15..=200).step_by(5).chain([49, 51, 52, 99, 101]) {
        let (_server, fleet) = one_member(quota, OnOutage::Closed).await;
        for _ in 0..5 {
            sleep(Duration::from_secs(4)).await;
            let done = fleet.acquire_within(1, Duration::from_millis(wait)).await;
            done.unwrap_or_else(|denied| panic!("{wait} ms: {denied}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_for_many_that_does_not_wait_is_refused_once_after_a_rest() {
    let (_server, fleet) = one_member(Quota::per_second(1000), OnOutage::Closed).await;
    for n in [1, 2, 3, 10, 100, 400] {
        for way in 0..4 {
            sleep(Duration::from_secs(5)).await;
            let call = || match way {
                0 => fleet.try_acquire_n(n).is_ok(),
                1 => AllOf::new().and(&fleet, n).try_acquire().is_ok(),
                2 => fleet.limiter().try_reserve(n).map(Reservation::spend).is_ok(),
                _ => PerCore::new(fleet.limiter()).try_acquire_n(n).is_ok(),
            };
            assert!(!call(), "way {way}, {n}");
            sleep(Duration::from_millis(7)).await;
            assert!(call(), "way {way}, {n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_limiter_is_one_of_the_fleet_also_while_the_server_is_away() {
    let server = Server::new(5, &TokioClock::new());
    let members = server.join_many(Quota::per_second(100), 2).await;
    for fleet in &members {
        AllOf::new().and(fleet, 1).pause_for(Duration::from_secs(10));
        sleep(Duration::from_secs(4)).await;
        for fleet in &members {
            assert!(fleet.acquire_within(1, Duration::from_secs(5)).await.is_err());
        }
        let start = Instant::now();
        members[0].acquire().await;
        let waited = start.elapsed();
        assert!((5_900..6_200).contains(&waited.as_millis()), "{waited:?}");
    }
    server.with(|state| state.is_stopped = true);
    sleep(Duration::from_secs(3)).await;
    members[1].limiter().pause_for(Duration::from_secs(10));
    sleep(Duration::from_secs(3)).await;
    assert!(members[1].acquire_within(1, Duration::from_secs(5)).await.is_err());
    assert!(members[0].acquire_within(1, Duration::from_secs(5)).await.is_ok());
    sleep(Duration::from_secs(8)).await;
    assert!(members[1].acquire_within(1, Duration::from_secs(5)).await.is_ok());
}

#[test]
fn a_thread_that_waits_for_a_moment_has_permits_leased() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = Server::new(5, &TokioClock::new());
    let fleet =
        runtime.block_on(server.join(0, Fleet::builder("test", SLOW).call_timeout(Duration::from_secs(60))));
    // Generous, for slow machines.
    for _ in 0..3 {
        fleet.limiter().blocking_acquire_within(3, Duration::from_secs(60)).unwrap();
    }
}

/// More is booked than the server books ahead, and the caller waits for longer.
#[tokio::test(start_paused = true)]
async fn a_patient_call_behind_all_that_can_be_booked_asks_now_and_then() {
    let server = Server::new(7, &TokioClock::new());
    let mut members = server.join_many(Quota::per_second(1).with_burst(3), 30).await;
    let patient = members.pop().unwrap();
    let mut tasks = JoinSet::new();
    for fleet in members {
        tasks.spawn(async move { fleet.acquire_n(2).await });
    }
    sleep(Duration::from_secs(1)).await;
    let (start, before) = (Instant::now(), server.with(|state| state.calls));
    // Due after 66 s, of which it waits for 20.
    let done = patient.acquire_within(1, Duration::from_secs(20)).await;
    assert!(done.is_err() && start.elapsed() <= Duration::from_secs(21), "{:?}", start.elapsed());
    patient.acquire_within(1, Duration::from_secs(100)).await.unwrap();
    let calls = server.with(|state| state.calls) - before;
    // Two a second for a report of each of thirty, and one or two for each that waits.
    let most = 80.0 * start.elapsed().as_secs_f64() + 100.0;
    assert!((calls as f64) < most, "{calls} of {most}");
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap().unwrap();
    }
}
