//! What all limits have in common: each kind can be tried, waited for, joined with others, and throttle by.

#[path = "support/by_hand.rs"]
mod by_hand;

use std::{pin::pin, sync::Arc, task::Poll, time::Duration};

use by_hand::{limiter, poll};
use futures_util::{Stream, StreamExt, stream};
use tidegate::{
    AllOf, Clock, Denied, Limit, ManualClock, PacedExt, PerCore, Permits, Quota, RateLimiter, throttle,
};

const SECOND: Duration = Duration::from_secs(1);

type Limiter = RateLimiter<ManualClock>;

/// A limiter of two permits, one a second, as each kind of limit.
fn kinds() -> Vec<(Box<dyn Limit>, Limiter, ManualClock)> {
    let make = |kind: fn(&Limiter) -> Box<dyn Limit>| {
        let (limiter, clock) = limiter(Quota::per_second(1).with_burst(2).with_catch_up(Duration::ZERO));
        (kind(&limiter), limiter, clock)
    };
    vec![
        make(|limiter| Box::new(limiter.clone())),
        make(|limiter| Box::new(PerCore::new(limiter))),
        make(|limiter| Box::new(AllOf::new().and(limiter, 1))),
        make(|limiter| {
            Box::new(AllOf::new().and(limiter, 1).and(&RateLimiter::new(Quota::per_second(1_000)), 1))
        }),
        make(|limiter| Box::new(AllOf::new().and(&AllOf::new().and(limiter, 0.5), 2))),
        make(|limiter| Box::new(Arc::new(limiter.clone()) as Arc<dyn Limit>)),
    ]
}

#[test]
fn each_kind_can_be_tried_and_waited_for() {
    for (limit, limiter, clock) in kinds() {
        limit.try_acquire_n(2.into()).unwrap();
        let denied = limit.try_acquire_n(1.into()).unwrap_err();
        assert_eq!(denied.retry_after(), Some(SECOND), "{limit:?}");
        assert!(limit.try_acquire_n(3.into()).unwrap_err().is_never(), "{limit:?}");

        let mut first = pin!(limit.acquire_n(1.into()));
        let mut second = pin!(limit.acquire_within(1.into(), 2 * SECOND));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        assert_eq!(limiter.waiting(), 2);
        // The third permit comes after three seconds.
        let mut third = pin!(limit.acquire_within(1.into(), 2 * SECOND));
        let Poll::Ready(Err(denied)) = poll(third.as_mut()) else { panic!("{limit:?}") };
        assert_eq!(denied.retry_after(), Some(SECOND), "{limit:?}");

        clock.advance(SECOND);
        assert_eq!(poll(second.as_mut()), Poll::Pending, "{limit:?}");
        assert_eq!(poll(first.as_mut()), Poll::Ready(Ok(())), "{limit:?}");
        clock.advance(SECOND);
        assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())), "{limit:?}");
        let mut too_many = pin!(limit.acquire_n(3.into()));
        assert!(matches!(poll(too_many.as_mut()), Poll::Ready(Err(Denied::TooMany(_)))), "{limit:?}");
    }
}

#[test]
fn a_dropped_wait_of_each_kind_leaves_the_queue() {
    for (limit, limiter, clock) in kinds() {
        limit.try_acquire_n(2.into()).unwrap();
        {
            let mut waiting = pin!(limit.acquire_n(2.into()));
            assert!(poll(waiting.as_mut()).is_pending());
            assert_eq!(limiter.waiting(), 1);
        }
        assert_eq!(limiter.waiting(), 0, "{limit:?}");
        clock.advance(2 * SECOND);
        assert_eq!(limiter.available(), 2, "{limit:?}");
    }
}

#[test]
fn a_thread_waits_for_each_kind() {
    for (limit, _, _) in kinds() {
        limit.blocking_acquire_n(2.into()).unwrap();
        let denied = limit.blocking_acquire_within(1.into(), SECOND / 4).unwrap_err();
        assert_eq!(denied.retry_after(), Some(SECOND * 3 / 4), "{limit:?}");
    }
}

#[test]
fn the_trait_hides_no_method_of_a_type_behind_an_arc() {
    let limiter = Arc::new(RateLimiter::new(Quota::per_hour(5)));
    limiter.try_acquire_n(0.5).unwrap();
    let all = Arc::new(AllOf::new().and(&*limiter, 1));
    all.blocking_acquire_within(SECOND).unwrap();
    let shared: Arc<dyn Limit> = limiter;
    shared.try_acquire_n(1.into()).unwrap();
}

#[test]
fn limits_of_all_kinds_and_clocks_are_joined() {
    let (slow, slow_clock) = limiter(Quota::per_second(1).with_burst(2));
    let (fast, fast_clock) = limiter(Quota::per_second(10).with_burst(20));
    fast_clock.advance(1_000 * SECOND);
    let real = PerCore::new(&RateLimiter::new(Quota::per_hour(1_000_000)));
    let pair = AllOf::new().and(&fast, 2).and(&real, 0.5);
    let all = AllOf::new().and(&slow, 1).and(&pair, 4);

    all.try_acquire().unwrap();
    assert_eq!((slow.available(), fast.available()), (1, 12));
    all.try_acquire().unwrap();
    assert_eq!((slow.available(), fast.available()), (0, 4));
    let denied = all.try_acquire().unwrap_err();
    assert_eq!((denied.limit(), denied.retry_after()), (0, Some(SECOND)));

    // It waits for both, each by its own clock.
    let mut waiting = pin!(all.acquire_within(2 * SECOND));
    assert!(poll(waiting.as_mut()).is_pending());
    slow_clock.advance(SECOND);
    assert!(poll(waiting.as_mut()).is_pending());
    fast_clock.advance(SECOND);
    assert_eq!(poll(waiting.as_mut()), Poll::Ready(Ok(())));
    assert_eq!((slow.available(), fast.available()), (0, 6));
    assert!(fast_clock.now() > slow_clock.now());
}

#[test]
fn amounts_of_nested_limits_multiply() {
    let (limiter, _) = limiter(Quota::per_second(100));
    let inner = AllOf::new().and(&limiter, 1.5);
    let outer = AllOf::new().and(&inner, 2).and(&limiter, 1);
    outer.try_acquire().unwrap();
    assert_eq!(limiter.available(), 96);
    outer.try_acquire_n(Permits::from(3)).unwrap();
    assert_eq!(limiter.available(), 84);
    let denied = outer.try_acquire_n(Permits::from(u64::MAX)).unwrap_err();
    assert!(denied.to_string().contains("7.37869"), "{denied}");
    let invalid = AllOf::new().and(&AllOf::new().and(&limiter, -1), 2);
    assert!(matches!(invalid.try_acquire().unwrap_err().denied(), Denied::Invalid(_)));
    assert_eq!(limiter.available(), 84);
}

#[test]
fn throttle_takes_each_kind() {
    for (limit, limiter, clock) in kinds() {
        let mut outputs = throttle((0..3).map(std::future::ready), &*limit);
        assert_eq!(poll(pin!(outputs.next())), Poll::Ready(Some(0)));
        assert_eq!(poll(pin!(outputs.next())), Poll::Ready(Some(1)));
        assert_eq!(poll(pin!(outputs.next())), Poll::Pending, "{limit:?}");
        assert_eq!(limiter.waiting(), 1, "{limit:?}");
        clock.advance(SECOND);
        assert_eq!(poll(pin!(outputs.next())), Poll::Ready(Some(2)), "{limit:?}");
        assert_eq!(poll(pin!(outputs.next())), Poll::Ready(None));
    }
}

#[test]
fn a_stream_is_paced_by_each_kind() {
    for (limit, limiter, clock) in kinds() {
        let mut items = pin!(stream::iter(0..4).paced_by(&*limit));
        assert_eq!(items.size_hint(), (4, Some(4)));
        assert_eq!(poll(pin!(items.next())), Poll::Ready(Some(0)));
        assert_eq!(poll(pin!(items.next())), Poll::Ready(Some(1)));
        assert_eq!(poll(pin!(items.next())), Poll::Pending, "{limit:?}");
        assert_eq!((limiter.waiting(), items.size_hint()), (1, (2, Some(2))), "{limit:?}");
        clock.advance(SECOND);
        assert_eq!(poll(pin!(items.next())), Poll::Ready(Some(2)), "{limit:?}");
        limiter.close();
        assert_eq!(poll(pin!(items.next())), Poll::Pending, "{limit:?}");
        assert_eq!(poll(pin!(items.next())), Poll::Pending, "{limit:?}");
    }
}

#[test]
fn a_stream_without_items_takes_no_permits() {
    let (limiter, _) = limiter(Quota::per_second(1).with_burst(2));
    let mut items = pin!(stream::pending::<u8>().paced_by(&limiter));
    assert_eq!(poll(pin!(items.next())), Poll::Pending);
    assert_eq!((limiter.available(), limiter.waiting()), (2, 0));
    let mut items = pin!(stream::iter([1]).paced_by(&limiter));
    assert_eq!(poll(pin!(items.next())), Poll::Ready(Some(1)));
    assert_eq!(poll(pin!(items.next())), Poll::Ready(None));
    assert_eq!(limiter.available(), 1);
}

#[test]
fn throttle_by_a_closed_limit_stays_pending() {
    for (limit, limiter, clock) in kinds() {
        let mut outputs = throttle((0..3).map(std::future::ready), &*limit);
        limiter.close();
        for _ in 0..3 {
            assert_eq!(poll(pin!(outputs.next())), Poll::Pending, "{limit:?}");
            clock.advance(SECOND);
        }
    }
}

#[test]
#[should_panic(expected = "more than the burst of 2")]
fn throttle_by_a_limit_that_can_never_admit_a_call_panics() {
    let (limiter, _) = limiter(Quota::per_second(1).with_burst(2));
    let mut outputs = throttle((0..3).map(std::future::ready), &AllOf::new().and(&limiter, 3));
    let _ = poll(pin!(outputs.next()));
}

#[test]
fn a_thread_waits_for_several_limits() {
    let one = RateLimiter::new(Quota::per_second(100).with_burst(1));
    let other = RateLimiter::new(Quota::per_second(200).with_burst(1));
    let all = AllOf::new().and(&one, 1).and(&other, 1);
    let start = std::time::Instant::now();
    for _ in 0..4 {
        all.blocking_acquire().unwrap();
    }
    // Three of the four waited for 10 ms each, but for the catch-up.
    assert!(start.elapsed() >= Duration::from_millis(20), "{:?}", start.elapsed());
    assert!(all.blocking_acquire_within(Duration::ZERO).is_err());
}
