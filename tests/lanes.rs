//! Lanes: waiters of a higher lane go first, and waiters of a lower lane refuse nobody.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "lanes/histories.rs"]
mod histories;
#[path = "support/late_clock.rs"]
mod late_clock;

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use by_hand::{limiter, poll};
use late_clock::LateClock;
use tidegate::{AllOf, Denied, Lane, Limit, ManualClock, NotYet, PerCore, Quota, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);
const LANES: [Lane; 3] = [Lane::Urgent, Lane::Normal, Lane::Background];

/// One permit a second, none at first.
fn one_a_second(burst: u64) -> (RateLimiter<ManualClock>, ManualClock) {
    limiter(Quota::per_second(1).with_burst(burst).with_initial(0).with_catch_up(Duration::ZERO))
}

#[derive(Default)]
struct Wakes(AtomicU64);

impl Wakes {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn lanes_go_in_turn_and_each_in_order_of_arrival() {
    let (limiter, clock) = one_a_second(1);
    let arrivals =
        [Lane::Background, Lane::Normal, Lane::Urgent, Lane::Normal, Lane::Background, Lane::Urgent];
    let mut waiters = arrivals.map(|lane| Box::pin(limiter.lane(lane).acquire_owned()));
    for waiter in &mut waiters {
        assert!(poll(waiter.as_mut()).is_pending());
    }
    for served in [2, 5, 1, 3, 0, 4] {
        clock.advance(SECOND);
        assert!(poll(waiters[served].as_mut()).is_ready(), "{served}");
    }
    assert_eq!(limiter.waiting(), 0);
}

#[test]
fn a_call_that_does_not_wait_counts_the_waiters_of_its_lane_and_of_higher_lanes() {
    let (limiter, clock) = one_a_second(10);
    let lanes = LANES.map(|lane| limiter.lane(lane));
    let mut waiters: Vec<_> = lanes.iter().map(|lane| Box::pin(lane.acquire_n(2))).collect();
    for waiter in &mut waiters {
        assert!(poll(waiter.as_mut()).is_pending());
    }
    for (lane, secs) in lanes.iter().zip([4, 6, 8]) {
        let wait = secs * SECOND;
        assert_eq!(lane.try_acquire_n(2), Err(Denied::NotYet(NotYet::after(wait))));
        assert_eq!(lane.time_until(2), Ok(wait));
        assert!(!lane.has_capacity(1) && lane.try_reserve(1).is_err());
        assert_eq!(lane.try_acquire_up_to(1), 0);
        assert_eq!(AllOf::new().and(lane, 2).try_acquire().unwrap_err().retry_after(), Some(wait));
    }
    // The lowest lane still waits. It refuses its own lane only.
    clock.advance(4 * SECOND);
    assert!(poll(waiters[0].as_mut()).is_ready() && poll(waiters[1].as_mut()).is_ready());
    limiter.refund(1).unwrap();
    assert_eq!((limiter.waiting(), limiter.available()), (1, 1));
    let [urgent, normal, background] = &lanes;
    assert_eq!(background.try_acquire().unwrap_err().retry_after(), Some(2 * SECOND));
    assert!(normal.has_capacity(1) && urgent.has_capacity(1) && !background.has_capacity(1));
    normal.try_acquire().unwrap();
    assert_eq!(normal.try_acquire().unwrap_err().retry_after(), Some(SECOND));
    limiter.refund(1).unwrap();
    assert_eq!((urgent.try_acquire_up_to(5), background.try_acquire_up_to(5)), (1, 0));
    limiter.refund(1).unwrap();
    AllOf::new().and(normal, 1).try_acquire().unwrap();
    limiter.refund(1).unwrap();
    assert_eq!(normal.try_acquire_reporting(1).unwrap().available(), 0);
    limiter.refund(1).unwrap();
    drop(urgent.try_reserve(1).unwrap());
    // The calls of the higher lanes took what it had waited for.
    clock.advance(SECOND);
    assert!(poll(waiters[2].as_mut()).is_ready());
}

/// A batch job that always waits for more than is available.
#[test]
fn a_batch_job_that_always_waits_does_not_refuse_the_calls_of_others() {
    let (limiter, clock) = limiter(Quota::per_second(100).with_burst(20));
    let batch = limiter.lane(Lane::Background);
    let mut jobs = 0;
    let mut job = Box::pin(batch.acquire_n(10));
    let (mut admitted, mut calls) = (0, 0);
    for ms in 0..9_000 {
        while poll(job.as_mut()).is_ready() {
            jobs += 1;
            job.set(batch.acquire_n(10));
        }
        if ms % 27 == 0 {
            calls += 1;
            admitted += u64::from(limiter.try_acquire().is_ok());
        }
        clock.advance(Duration::from_millis(1));
    }
    // A call comes upon an empty bucket only in the first hundredth of a second after a grant to the job.
    assert!(admitted * 10 >= calls * 8, "{admitted} of {calls}");
    assert!(jobs * 10 + admitted >= 900, "{jobs} jobs and {admitted} calls");
}

#[test]
fn a_waiter_that_a_higher_lane_makes_too_late_fails_at_once() {
    for overtake in [
        (|limiter| assert!(poll(pin!(limiter.acquire_owned())).is_ready())) as fn(&RateLimiter<ManualClock>),
        |limiter| limiter.try_acquire().unwrap(),
        |limiter| AllOf::new().and(limiter, 1).try_acquire().unwrap(),
        |limiter| limiter.try_reserve(1).unwrap().spend(),
        |limiter| assert_eq!(limiter.try_acquire_up_to(9), 1),
        |limiter| {
            AllOf::new()
                .and(limiter, 1)
                .and(&RateLimiter::new(Quota::per_second(9)), 1)
                .blocking_acquire()
                .unwrap();
        },
    ] {
        let (limiter, clock) = one_a_second(3);
        let mut waiter = Box::pin(limiter.lane(Lane::Background).acquire_within_owned(3, 3 * SECOND));
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut cx = Context::from_waker(&waker);
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
        clock.advance(SECOND);
        overtake(&limiter);
        assert_eq!((wakes.count(), limiter.waiting()), (1, 0));
        let late = Err(Denied::NotYet(NotYet::after(SECOND)));
        assert_eq!(waiter.as_mut().poll(&mut cx), Poll::Ready(late));
    }
}

/// It was due in time, and the alarm is late: calls of higher lanes do not go before it.
#[test]
fn a_waiter_that_is_due_is_granted_before_a_higher_lane_takes() {
    for overtake in [
        (|limiter| assert!(limiter.try_acquire().is_err())) as fn(&RateLimiter<LateClock>),
        |limiter| assert!(poll(pin!(limiter.acquire())).is_pending()),
        |limiter| assert!(poll(pin!(limiter.acquire_within(1, Duration::ZERO))).is_ready()),
        |limiter| assert!(poll(pin!(limiter.reserve(1))).is_pending()),
        |limiter| assert!(poll(pin!(limiter.acquire_n(5))).is_pending()),
        |limiter| assert!(AllOf::new().and(limiter, 1).try_acquire().is_err()),
        |limiter| {
            let other = RateLimiter::new(Quota::per_second(9));
            assert!(poll(pin!(AllOf::new().and(limiter, 1).and(&other, 1).acquire())).is_pending());
        },
    ] {
        let clock = LateClock::default();
        let quota = Quota::per_second(1_000).with_burst(5).with_initial(0);
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let background = limiter.lane(Lane::Background);
        let mut waiter = pin!(background.acquire_within(1, Duration::from_millis(1)));
        assert!(poll(waiter.as_mut()).is_pending());
        // Relaxed: all of it is on one thread.
        clock.now.store(1_500_000, Ordering::Relaxed);
        overtake(&limiter);
        assert_eq!(poll(waiter), Poll::Ready(Ok(())));
        clock.ring();
    }
}

/// The alarm was set for a waiter that needs more.
#[test]
fn a_cheaper_waiter_of_a_higher_lane_is_granted_in_time() {
    let (limiter, clock) = one_a_second(5);
    let background = limiter.lane(Lane::Background);
    let mut job = pin!(background.acquire_n(5));
    assert!(poll(job.as_mut()).is_pending());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut first = pin!(limiter.acquire());
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    clock.advance(SECOND);
    assert_eq!(wakes.count(), 1);
    assert!(poll(first).is_ready());
    clock.advance(4 * SECOND);
    assert!(poll(job.as_mut()).is_pending());
    clock.advance(SECOND);
    assert!(poll(job).is_ready());
}

#[test]
fn a_waiter_that_leaves_lets_the_lower_lanes_go_ahead() {
    let (limiter, clock) = one_a_second(2);
    let background = limiter.lane(Lane::Background);
    let mut waits = pin!(background.acquire_within(1, 2 * SECOND));
    assert!(poll(waits.as_mut()).is_pending());
    let urgent = limiter.lane(Lane::Urgent);
    {
        let mut first = pin!(urgent.acquire());
        assert!(poll(first.as_mut()).is_pending());
        clock.advance(SECOND);
        // Granted, and not used.
    }
    assert_eq!(poll(waits), Poll::Ready(Ok(())));
}

#[test]
fn threads_wait_in_lanes_beside_tasks() {
    let (limiter, clock) = one_a_second(1);
    let mut order = Vec::new();
    thread::scope(|scope| {
        let (sender, granted) = std::sync::mpsc::channel();
        for (i, lane) in [Lane::Background, Lane::Normal, Lane::Urgent].into_iter().enumerate() {
            let (lane, sender) = (limiter.lane(lane), sender.clone());
            scope.spawn(move || {
                lane.blocking_acquire();
                sender.send(i).unwrap();
            });
            while limiter.waiting() <= i {
                thread::yield_now();
            }
        }
        for _ in 0..3 {
            clock.advance(SECOND);
            order.push(granted.recv().unwrap());
        }
    });
    assert_eq!(order, [2, 1, 0]);
}

#[test]
fn only_the_waiters_before_a_call_count_for_a_full_queue() {
    let (limiter, _clock) = one_a_second(1);
    limiter.set_max_waiters(1);
    let [urgent, normal, background] = LANES.map(|lane| limiter.lane(lane));
    let mut job = pin!(background.acquire());
    assert!(poll(job.as_mut()).is_pending());
    let full = |lane: &RateLimiter<_>| {
        matches!(lane.blocking_acquire_within(1, Duration::from_nanos(u64::MAX)), Err(Denied::QueueFull(_)))
    };
    assert!(full(&background));
    let mut waits = pin!(normal.acquire_within(1, 9 * SECOND));
    assert!(poll(waits.as_mut()).is_pending());
    assert!(full(&normal) && full(&background));
    let mut first = pin!(urgent.acquire_within(1, 9 * SECOND));
    assert!(poll(first.as_mut()).is_pending());
    assert!(full(&urgent));
}

#[test]
fn a_change_reaches_the_waiters_of_all_lanes() {
    let (limiter, clock) = one_a_second(4);
    let lanes = LANES.map(|lane| limiter.lane(lane));
    let mut waiters: Vec<_> = lanes.iter().map(|lane| Box::pin(lane.acquire_n(4))).collect();
    for waiter in &mut waiters {
        assert!(poll(waiter.as_mut()).is_pending());
    }
    limiter.set_quota(Quota::per_second(4)).unwrap();
    clock.advance(SECOND);
    assert!(poll(waiters[0].as_mut()).is_ready() && poll(waiters[1].as_mut()).is_pending());
    limiter.pause_for(10 * SECOND);
    clock.advance(SECOND);
    let mut late = Box::pin(lanes[0].acquire_n(1));
    assert!(poll(waiters[1].as_mut()).is_pending() && poll(late.as_mut()).is_pending());
    clock.advance(9 * SECOND + SECOND / 4);
    assert!(poll(late.as_mut()).is_ready() && poll(waiters[1].as_mut()).is_pending());
    // Too much for the new burst.
    limiter.set_quota(Quota::per_second(1).with_burst(3)).unwrap();
    assert!(matches!(poll(waiters[1].as_mut()), Poll::Ready(Err(_))));
    assert!(matches!(poll(waiters[2].as_mut()), Poll::Ready(Err(_))));
    let mut told: Vec<_> = lanes.iter().map(|lane| Box::pin(lane.acquire_n(3))).collect();
    for waiter in &mut told {
        assert!(poll(waiter.as_mut()).is_pending());
    }
    limiter.close();
    for waiter in &mut told {
        assert!(matches!(poll(waiter.as_mut()), Poll::Ready(Err(_))));
    }
    assert!(lanes.iter().all(|lane| lane.try_acquire() == Err(Denied::Closed)));
}

#[test]
fn a_call_for_several_limits_is_in_the_lowest_lane_of_them() {
    let clock = ManualClock::new();
    let make = || {
        let quota = Quota::per_second(1).with_burst(2).with_initial(0).with_catch_up(Duration::ZERO);
        RateLimiter::with_clock(quota, clock.clone())
    };
    let (a, b) = (make(), make());
    let both = |a_lane, b_lane| AllOf::new().and(&a.lane(a_lane), 1).and(&b.lane(b_lane), 1);
    let mut low = Box::pin(both(Lane::Background, Lane::Urgent).acquire());
    let mut normal = Box::pin(AllOf::new().and(&a, 1).and(&b, 1).acquire());
    // Also of an `AllOf` in an `AllOf`, and of a limit of unknown kind.
    let nested: Box<dyn Limit> = Box::new(AllOf::new().and(&both(Lane::Urgent, Lane::Urgent), 1));
    let mut high = Box::pin(nested.acquire_n(1.into()));
    assert!(
        poll(low.as_mut()).is_pending()
            && poll(normal.as_mut()).is_pending()
            && poll(high.as_mut()).is_pending()
    );
    let mut served = [0; 3];
    for second in 1..=9 {
        clock.advance(SECOND);
        if served[0] == 0 && poll(high.as_mut()).is_ready() {
            served[0] = second;
        }
        if served[1] == 0 && poll(normal.as_mut()).is_ready() {
            served[1] = second;
        }
        if served[2] == 0 && poll(low.as_mut()).is_ready() {
            served[2] = second;
        }
    }
    assert!(0 < served[0] && served[0] < served[1] && served[1] < served[2], "{served:?}");
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
}

#[test]
fn a_handle_keeps_its_lane_and_a_per_core_is_in_the_normal_one() {
    let (limiter, _clock) = limiter(Quota::per_second(10).with_burst(10).with_initial(3));
    let background = limiter.lane(Lane::Background).clone();
    let mut job = pin!(background.acquire_n(5));
    assert!(poll(job.as_mut()).is_pending());
    assert!(background.clone().try_acquire().is_err());
    assert!(format!("{background:?}").contains("Background"));
    let per_core = PerCore::new(&background);
    assert!(per_core.limiter().try_acquire().is_ok() && per_core.try_acquire().is_ok());
    assert!(background.lane(Lane::Normal).try_acquire().is_ok());
}
