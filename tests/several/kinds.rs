//! Limits of all kinds and on clocks of their own in one call.

use tidegate::{Limit, Monotonic, PerCore, TokioClock};

use super::*;

/// A limiter, a `PerCore`, an `AllOf` of two, each on another clock. With each call one, two, and two times half a permit.
#[test]
fn each_kind_and_clock_takes_part() {
    let clocks = [(); 3].map(|()| ManualClock::new());
    clocks[1].advance(ms(1_000_000));
    let (one, two) = (limiter(&clocks[0], 1, 5, 5), limiter(&clocks[1], 10, 400, 400));
    let steady = RateLimiter::with_clock(
        Quota::per_second(1).with_burst(5).with_catch_up(Duration::ZERO),
        Monotonic::new(clocks[2].clone()),
    );
    let per_core = PerCore::builder(&two).slots(1).share(2).build().unwrap();
    per_core.try_acquire().unwrap();
    // An eighth of the burst is set aside for what is parked.
    let inner = AllOf::new().and(&steady, 0.5).and_named("inner two", &per_core, 1);
    let call = AllOf::new().and_named("one", &one, 1).and(&per_core, 2).and_named("inner", &inner, 2);
    let left = || (one.available(), two.available(), steady.available());
    assert_eq!(left(), (5, 349, 5));

    call.try_acquire().unwrap();
    assert_eq!(left(), (4, 345, 4));
    let reservation = call.try_reserve().unwrap();
    assert_eq!(left(), (3, 341, 3));
    // Nothing was used of the nested limits.
    reservation.settle(&AllOf::new().and(&one, 1).and(&per_core, 3)).unwrap();
    assert_eq!(left(), (3, 342, 4));
    assert_eq!(call.charge(), Ok(Duration::ZERO));
    call.refund().unwrap();
    assert_eq!(left(), (3, 342, 4));
    for _ in 0..3 {
        call.try_acquire().unwrap();
    }
    assert_eq!(left(), (0, 330, 1));
    assert_eq!(call.try_reserve().unwrap_err().name(), Some("one"));

    // It waits for each by its own clock.
    AllOf::new().and(&one, 0).and(&steady, 1).charge().unwrap();
    assert_eq!(call.time_until(), Ok(ms(1_000)));
    let mut waiting = Box::pin(call.reserve());
    let mut poll = || waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    clocks[0].advance(ms(1_000));
    assert!(poll().is_pending());
    clocks[2].advance(ms(1_000));
    let Poll::Ready(Ok(reservation)) = poll() else { panic!("it should be served") };
    assert_eq!(left(), (0, 326, 0));
    // A clock that steps back holds up nobody: `Monotonic` goes on from where it was.
    clocks[2].set(0);
    drop(reservation);
    assert_eq!(left(), (1, 330, 1));
}

/// A limit that the program has chosen at run time.
#[test]
fn a_boxed_limit_is_reserved_and_settled() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 9, 9), limiter(&clock, 1, 9, 9));
    let boxed: [Box<dyn Limit>; 2] = [Box::new(a.clone()), Box::new(AllOf::new().and(&a, 1).and(&b, 0.5))];
    for (limit, left) in boxed.iter().zip([(6, 9), (3, 7)]) {
        let call = |n: u64| AllOf::new().and(limit, n);
        call(5).try_reserve().unwrap().settle(&call(3)).unwrap();
        assert_eq!((a.available(), b.available()), left);
    }
}

#[cfg(feature = "keyed")]
#[test]
fn a_key_joins_a_limit_of_all_keys() {
    let (clock, other) = (ManualClock::new(), ManualClock::new());
    let users = tidegate::Keyed::<u64, _>::builder(Quota::per_minute(600)).clock(clock.clone());
    let users = users.build().unwrap();
    let all_users = limiter(&other, 10, 1_000, 1_000);
    let cores = PerCore::new(&RateLimiter::new(Quota::per_second(1_000_000)));
    let everybody = AllOf::new().and_named("all users", &all_users, 1).and_named("machine", &cores, 0.5);
    let call = |user: u64, n: u64| {
        AllOf::new().and_named("user", &users.limiter(&user).unwrap(), n).and(&everybody, n)
    };
    call(1, 400).try_acquire().unwrap();
    let denied = call(1, 201).try_acquire().unwrap_err();
    assert_eq!((denied.name(), denied.retry_after()), (Some("user"), Some(ms(100))));
    let denied = call(2, 500).try_acquire();
    assert_eq!((denied, users.level(&2).available()), (Ok(()), 100));
    let denied = call(3, 500).try_acquire().unwrap_err();
    assert_eq!((denied.name(), users.level(&3).available()), (Some("all users"), 600));

    // A reservation keeps the key, and the same key is settled when it is looked up again.
    let reservation = call(3, 90).try_reserve().unwrap();
    assert_eq!((users.level(&3).available(), all_users.available()), (510, 10));
    reservation.settle(&call(3, 30)).unwrap();
    assert_eq!((users.level(&3).available(), all_users.available()), (570, 70));
    call(3, 30).charge().unwrap();
    call(3, 10).refund().unwrap();
    assert_eq!((users.level(&3).available(), all_users.available()), (550, 50));

    let mut waiting = Box::pin(call(1, 201).acquire());
    let mut poll = || waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll().is_pending());
    clock.advance(ms(100));
    assert!(poll().is_pending());
    other.advance(ms(20_000));
    assert_eq!(poll(), Poll::Ready(Ok(())));
    assert_eq!((users.level(&1).available(), all_users.available()), (0, 49));
}

#[tokio::test(start_paused = true)]
async fn a_task_waits_by_tokios_clock_and_by_another() {
    let clock = ManualClock::new();
    let by_hand = limiter(&clock, 1, 5, 5);
    let quota = Quota::per_second(1).with_burst(1).with_catch_up(Duration::ZERO);
    let tokio = RateLimiter::with_clock(quota, TokioClock::new());
    let call = AllOf::new().and(&by_hand, 2).and(&tokio, 1);
    let start = tokio::time::Instant::now();
    call.reserve().await.unwrap().spend();
    tokio::spawn(call.reserve()).await.unwrap().unwrap().settle(&AllOf::new().and(&by_hand, 1)).unwrap();
    assert_eq!((start.elapsed(), by_hand.available()), (ms(1_000), 2));
    assert_eq!(tokio.available(), 1);
}
