//! Streams and iterators whose items are paced, by their number or by their weight; and streams of futures.

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "paced/cancel.rs"]
mod cancel;
#[path = "paced/futures.rs"]
mod futures;
#[path = "support/late_clock.rs"]
mod late_clock;
#[path = "paced/threads.rs"]
mod threads;

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use by_hand::{limiter, poll};
use futures_util::{Stream, StreamExt, stream};
use late_clock::LateClock;
use tidegate::{AllOf, Limit, ManualClock, PacedExt, PerCore, Permits, Quota, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);

type Limiter = RateLimiter<ManualClock>;
type Kind = fn(&Limiter) -> Box<dyn Limit>;

/// One permit a second.
fn seconds(burst: u64) -> (Limiter, ManualClock) {
    limiter(Quota::per_second(1).with_burst(burst).with_catch_up(Duration::ZERO))
}

fn next<S: Stream + ?Sized>(mut stream: Pin<&mut S>) -> Poll<Option<S::Item>> {
    poll(pin!(stream.next()))
}

#[test]
fn an_item_costs_its_weight() {
    let (limiter, clock) = seconds(4);
    let mut items = pin!(stream::iter([3, 2, 0, 4]).paced_by(&limiter).weighing(|&weight: &u64| weight));
    assert_eq!(next(items.as_mut()), Poll::Ready(Some(3)));
    assert_eq!(next(items.as_mut()), Poll::Pending);
    assert_eq!((limiter.available(), limiter.waiting(), items.size_hint()), (1, 1, (3, Some(3))));
    clock.advance(SECOND);
    assert_eq!(next(items.as_mut()), Poll::Ready(Some(2)));
    assert_eq!(next(items.as_mut()), Poll::Ready(Some(0)), "needs no permit");
    assert_eq!(next(items.as_mut()), Poll::Pending);
    clock.advance(3 * SECOND);
    assert_eq!(next(items.as_mut()), Poll::Pending);
    clock.advance(SECOND);
    assert_eq!(next(items.as_mut()), Poll::Ready(Some(4)));
    assert_eq!(next(items.as_mut()), Poll::Ready(None));
    assert_eq!(limiter.available(), 0);
}

#[test]
fn weights_may_be_fractions() {
    let (limiter, _) = seconds(4);
    let half = Permits::try_from(0.5).unwrap();
    let mut items = pin!(stream::repeat(()).paced_by(&limiter).weighing(|()| half));
    for _ in 0..8 {
        assert_eq!(next(items.as_mut()), Poll::Ready(Some(())));
    }
    assert_eq!(next(items.as_mut()), Poll::Pending);
}

#[test]
fn a_heavy_item_is_paid_for_in_parts_by_each_kind() {
    let kinds: [Kind; 4] = [
        |limiter| Box::new(limiter.clone()),
        |limiter| Box::new(PerCore::new(limiter)),
        |limiter| Box::new(AllOf::new().and(limiter, 1)),
        |limiter| Box::new(AllOf::new().and(limiter, 1).and(&RateLimiter::new(Quota::UNLIMITED), 1)),
    ];
    for kind in kinds {
        let (limiter, clock) = seconds(4);
        let limit = kind(&limiter);
        let most = limiter.largest_request();
        let mut items = pin!(
            stream::iter(["heavy", "light"])
                .paced_by(&*limit)
                .weighing(|item| { if *item == "heavy" { 10_u64 } else { 1 } })
        );
        let mut waited = 0;
        while next(items.as_mut()).is_pending() {
            assert!(limiter.available() < most as i64, "{limit:?}");
            clock.advance(SECOND);
            waited += 1;
            assert!(waited <= 10, "{limit:?}");
        }
        // Ten permits, of which four were there. A part may take permits that it has to wait for.
        assert_eq!(waited, 6, "{limit:?}");
        assert_eq!(next(items.as_mut()), Poll::Pending, "{limit:?}");
        clock.advance(SECOND);
        assert_eq!(next(items.as_mut()), Poll::Ready(Some("light")), "{limit:?}");
    }
}

#[test]
fn others_take_permits_between_the_parts() {
    let (limiter, clock) = seconds(4);
    let mut items = pin!(stream::iter([()]).paced_by(&limiter).weighing(|()| 8_u64));
    assert_eq!(next(items.as_mut()), Poll::Pending);
    clock.advance(4 * SECOND);
    // The second part has been granted; the stream has not been polled since.
    assert!(limiter.try_acquire().is_err());
    clock.advance(SECOND);
    limiter.try_acquire().unwrap();
    assert_eq!(next(items.as_mut()), Poll::Ready(Some(())));
}

#[test]
fn a_limit_that_takes_more_than_its_burst_for_one_permit_is_paid_for_in_fractions() {
    let (limiter, clock) = seconds(2);
    let three = AllOf::new().and(&limiter, 3);
    let mut items = pin!(stream::iter([()]).paced_by(&three).weighing(|()| 1_u64));
    assert_eq!(next(items.as_mut()), Poll::Pending);
    clock.advance(SECOND);
    assert_eq!(next(items.as_mut()), Poll::Ready(Some(())));
    assert_eq!(limiter.available(), 0);
}

#[test]
fn the_greatest_weight_waits() {
    let (limiter, clock) = seconds(2);
    let two = AllOf::new().and(&limiter, 2);
    for limit in [&limiter as &dyn Limit, &two] {
        let mut items = pin!(stream::iter([()]).paced_by(limit).weighing(|()| u64::MAX));
        for _ in 0..10 {
            assert_eq!(next(items.as_mut()), Poll::Pending, "{limit:?}");
            clock.advance(SECOND);
        }
    }
}

#[test]
fn a_smaller_burst_makes_smaller_parts() {
    let (limiter, clock) = seconds(10);
    limiter.try_acquire_n(10).unwrap();
    let mut items = pin!(stream::iter([()]).paced_by(&limiter).weighing(|()| 6_u64));
    assert_eq!(next(items.as_mut()), Poll::Pending);
    limiter.set_quota(Quota::per_second(1).with_burst(2).with_catch_up(Duration::ZERO)).unwrap();
    for _ in 0..6 {
        assert_eq!(next(items.as_mut()), Poll::Pending);
        clock.advance(SECOND);
    }
    assert_eq!(next(items.as_mut()), Poll::Ready(Some(())));
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn many_parts_that_are_due_do_not_hold_up_the_task() {
    let clock = LateClock::default();
    let quota = Quota::per_second(1000).with_burst(1).with_initial(0).with_catch_up(SECOND);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut items = pin!(stream::iter([()]).paced_by(&limiter).weighing(|()| 100_u64));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    assert_eq!(items.as_mut().poll_next(&mut cx), Poll::Pending);
    // The alarm is late: all permits have come.
    clock.now.store(500_000_000, Ordering::Relaxed);
    clock.ring();
    for poll in 1..=3 {
        assert_eq!(wakes.0.load(Ordering::Relaxed), poll);
        assert_eq!(items.as_mut().poll_next(&mut cx), Poll::Pending, "more than 32 parts in one poll");
    }
    assert_eq!(wakes.0.load(Ordering::Relaxed), 4);
    assert_eq!(items.as_mut().poll_next(&mut cx), Poll::Ready(Some(())));
}

#[test]
fn paid_parts_of_a_dropped_item_are_spent() {
    let (limiter, clock) = seconds(4);
    {
        let mut items = pin!(stream::iter([()]).paced_by(&limiter).weighing(|()| 6_u64));
        assert_eq!(next(items.as_mut()), Poll::Pending);
        assert_eq!((limiter.available(), limiter.waiting()), (0, 1));
        clock.advance(SECOND);
    }
    assert_eq!((limiter.available(), limiter.waiting()), (1, 0));
}

#[test]
fn a_closed_limit_leaves_a_weighing_stream_pending() {
    let (limiter, clock) = seconds(4);
    let mut items = pin!(stream::iter([6, 0]).paced_by(&limiter).weighing(|&weight: &u64| weight));
    assert_eq!(next(items.as_mut()), Poll::Pending);
    limiter.close();
    for _ in 0..3 {
        assert_eq!(next(items.as_mut()), Poll::Pending);
        clock.advance(10 * SECOND);
    }
}

#[test]
#[should_panic(expected = "invalid amount of -1 permits")]
fn a_limit_with_an_invalid_amount_panics() {
    let (limiter, _) = seconds(4);
    let invalid = AllOf::new().and(&limiter, -1);
    let mut items = pin!(stream::iter([()]).paced_by(&invalid).weighing(|()| 6_u64));
    let _ = next(items.as_mut());
}

#[test]
fn calls_and_bytes_are_paced_one_after_the_other() {
    let (calls, clock) = seconds(1);
    let (bytes, bytes_clock) = seconds(10);
    let mut items =
        pin!(stream::iter([4, 8, 1]).paced_by(&calls).paced_by(&bytes).weighing(|&weight: &u64| weight));
    assert_eq!(next(items.as_mut()), Poll::Ready(Some(4)));
    bytes_clock.advance(SECOND);
    assert_eq!(next(items.as_mut()), Poll::Pending, "no call");
    clock.advance(SECOND);
    assert_eq!(next(items.as_mut()), Poll::Pending, "too few bytes");
    bytes_clock.advance(SECOND);
    assert_eq!(next(items.as_mut()), Poll::Ready(Some(8)));
    clock.advance(SECOND);
    assert_eq!(next(items.as_mut()), Poll::Pending, "no byte");
}

#[test]
fn a_receiver_is_a_stream_whose_messages_wait() {
    let (limiter, clock) = seconds(1);
    let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
    let mut messages = stream::poll_fn(move |cx| receiver.poll_recv(cx)).paced_by(&limiter);
    assert_eq!(next(Pin::new(&mut messages)), Poll::Pending);
    assert_eq!(limiter.available(), 1, "no message, no permit");
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert_eq!(next(Pin::new(&mut messages)), Poll::Ready(Some(1)));
    assert_eq!(next(Pin::new(&mut messages)), Poll::Pending);
    // One message waits for its permit. The channel bounds the others.
    sender.try_send(3).unwrap();
    sender.try_send(4).unwrap();
    assert!(sender.try_send(5).is_err());
    drop(sender);
    for message in 2..=4 {
        assert_eq!(next(Pin::new(&mut messages)), Poll::Pending);
        clock.advance(SECOND);
        assert_eq!(next(Pin::new(&mut messages)), Poll::Ready(Some(message)));
    }
    assert_eq!(next(Pin::new(&mut messages)), Poll::Ready(None));
}
