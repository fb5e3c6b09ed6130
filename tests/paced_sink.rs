//! Sinks whose items are paced, by their number or by their weight.

#![cfg(feature = "sink")]

#[path = "support/by_hand.rs"]
mod by_hand;

use std::{
    cell::{Cell, RefCell},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use by_hand::{limiter, poll};
use futures_util::{Sink, SinkExt};
use proptest::prelude::*;
use tidegate::{AllOf, Limit, ManualClock, PacedSinkExt, PerCore, Quota, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);

type Limiter = RateLimiter<ManualClock>;
type Kind = fn(&Limiter) -> Box<dyn Limit>;

/// One permit a second.
fn seconds(burst: u64) -> (Limiter, ManualClock) {
    limiter(Quota::per_second(1).with_burst(burst).with_catch_up(Duration::ZERO))
}

/// A sink that is ready when it is told, and logs what it gets.
#[derive(Default)]
struct Log {
    is_ready: Cell<bool>,
    items: RefCell<Vec<u64>>,
    flushed: Cell<usize>,
    is_closed: Cell<bool>,
}

impl Log {
    fn ready() -> Self {
        Self { is_ready: Cell::new(true), ..Self::default() }
    }

    fn items(&self) -> Vec<u64> {
        self.items.borrow().clone()
    }
}

#[derive(Debug, PartialEq)]
struct Full;

impl Sink<u64> for &Log {
    type Error = Full;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Full>> {
        if self.items.borrow().len() == 100 {
            return Poll::Ready(Err(Full));
        }
        if self.is_ready.get() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn start_send(self: Pin<&mut Self>, item: u64) -> Result<(), Full> {
        assert!(self.is_ready.get(), "sent to a sink that was not ready");
        self.items.borrow_mut().push(item);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Full>> {
        self.flushed.set(self.items.borrow().len());
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Full>> {
        self.is_closed.set(true);
        Poll::Ready(Ok(()))
    }
}

#[test]
fn an_item_goes_out_with_its_permit_by_each_kind() {
    let kinds: [Kind; 3] = [
        |limiter| Box::new(limiter.clone()),
        |limiter| Box::new(PerCore::new(limiter)),
        |limiter| Box::new(AllOf::new().and(limiter, 0.5).and(limiter, 0.5)),
    ];
    for kind in kinds {
        let (limiter, clock) = seconds(2);
        let limit = kind(&limiter);
        let log = Log::ready();
        let mut sink = (&log).sink_paced_by(&*limit);
        assert_eq!(poll(pin!(sink.send(1))), Poll::Ready(Ok(())));
        assert_eq!(poll(pin!(sink.send(2))), Poll::Ready(Ok(())));
        assert_eq!(limiter.available(), 0, "{limit:?}");
        {
            let mut send = pin!(sink.send(3));
            assert_eq!(poll(send.as_mut()), Poll::Pending, "{limit:?}");
            assert_eq!((log.items(), limiter.waiting()), (vec![1, 2], 1));
            clock.advance(SECOND);
            assert_eq!(poll(send.as_mut()), Poll::Ready(Ok(())), "{limit:?}");
        }
        assert_eq!((log.items(), log.flushed.get()), (vec![1, 2, 3], 3));
    }
}

#[test]
fn a_sink_without_items_takes_no_permits() {
    let (limiter, _) = seconds(1);
    let log = Log::default();
    let mut sink = (&log).sink_paced_by(&limiter);
    assert_eq!(poll(pin!(sink.flush())), Poll::Ready(Ok(())));
    assert_eq!(poll(pin!(sink.close())), Poll::Ready(Ok(())));
    assert_eq!((limiter.available(), log.is_closed.get()), (1, true));
}

#[test]
fn a_sink_that_is_not_ready_takes_no_permit() {
    let (limiter, _) = seconds(1);
    let log = Log::default();
    let mut sink = (&log).sink_paced_by(&limiter);
    let mut send = pin!(sink.send(7));
    assert_eq!(poll(send.as_mut()), Poll::Pending);
    assert_eq!((limiter.available(), limiter.waiting()), (1, 0));
    log.is_ready.set(true);
    assert_eq!(poll(send.as_mut()), Poll::Ready(Ok(())));
    assert_eq!(limiter.available(), 0);
}

#[test]
fn an_item_that_was_taken_outlives_the_call() {
    let (limiter, clock) = seconds(1);
    limiter.try_acquire().unwrap();
    let log = Log::ready();
    let mut sink = (&log).sink_paced_by(&limiter);
    assert_eq!(poll(pin!(sink.send(1))), Poll::Pending);
    // This one is not taken: the sink keeps one item.
    assert_eq!(poll(pin!(sink.send(2))), Poll::Pending);
    clock.advance(SECOND);
    assert_eq!(poll(pin!(sink.close())), Poll::Ready(Ok(())));
    assert_eq!((log.items(), log.is_closed.get(), limiter.available()), (vec![1], true, 0));
}

#[test]
fn an_item_costs_its_weight_in_parts_if_it_is_heavy() {
    let (limiter, clock) = seconds(2);
    let log = Log::ready();
    let mut sink = (&log).sink_paced_by(&limiter).weighing(|&item| item);
    let mut send = pin!(sink.send(5));
    for _ in 0..3 {
        assert_eq!(poll(send.as_mut()), Poll::Pending);
        clock.advance(SECOND);
    }
    assert_eq!(poll(send.as_mut()), Poll::Ready(Ok(())));
}

#[test]
fn the_error_of_the_sink_comes_through() {
    let (limiter, _) = limiter(Quota::UNLIMITED);
    let log = Log::ready();
    let mut sink = (&log).sink_paced_by(&limiter);
    for item in 0..100 {
        assert_eq!(poll(pin!(sink.feed(item))), Poll::Ready(Ok(())));
    }
    assert_eq!(poll(pin!(sink.send(100))), Poll::Ready(Err(Full)));
}

#[test]
fn a_closed_limit_leaves_the_sink_pending() {
    let (limiter, _) = seconds(1);
    limiter.close();
    let log = Log::ready();
    let mut sink = (&log).sink_paced_by(&limiter);
    assert_eq!(poll(pin!(sink.close())), Poll::Ready(Ok(())), "it keeps no item");
    for _ in 0..2 {
        assert_eq!(poll(pin!(sink.send(1))), Poll::Pending);
    }
    assert_eq!(log.items(), []);
}

#[test]
#[should_panic(expected = "start_send without a poll_ready")]
fn it_keeps_one_item_only() {
    let (limiter, _) = seconds(1);
    let log = Log::ready();
    let mut sink = (&log).sink_paced_by(&limiter);
    Pin::new(&mut sink).start_send(1).unwrap();
    let _ = Pin::new(&mut sink).start_send(2);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u32),
    Ready(bool),
    Offer(u64),
    Flush,
    Drop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1_u32..4).prop_map(Step::Advance),
        2 => any::<bool>().prop_map(Step::Ready),
        5 => (0_u64..4).prop_map(Step::Offer),
        3 => Just(Step::Flush),
        1 => Just(Step::Drop),
    ];
    prop::collection::vec(step, 1..90)
}

proptest! {
    /// Every item that was taken comes through once and in order, except the one that a dropped sink kept. The permits taken are
    /// the weights of those that came through.
    #[test]
    fn no_item_is_lost_and_no_permit(steps in steps()) {
        // It never overflows: the permits taken are those that have come, less those available.
        let quota = Quota::per_second(1).with_burst(1000).with_initial(0).with_catch_up(Duration::ZERO);
        let (limiter, clock) = limiter(quota);
        let log = Log::default();
        let paced = || (&log).sink_paced_by(&limiter).weighing(|&item: &u64| item);
        let mut sink = paced();
        let mut cx = Context::from_waker(Waker::noop());
        let (mut taken, mut kept, mut elapsed) = (Vec::new(), None, 0);
        for step in steps {
            let polled = match step {
                Step::Advance(seconds) => {
                    clock.advance(seconds * SECOND);
                    elapsed += u64::from(seconds);
                    continue;
                }
                Step::Ready(is_ready) => {
                    log.is_ready.set(is_ready);
                    continue;
                }
                Step::Offer(item) => {
                    let polled = Pin::new(&mut sink).poll_ready(&mut cx);
                    if polled.is_ready() {
                        taken.extend(kept.replace(item));
                        Pin::new(&mut sink).start_send(item).unwrap();
                        prop_assert_eq!(log.items(), &*taken);
                        continue;
                    }
                    polled
                }
                Step::Flush => {
                    let polled = Pin::new(&mut sink).poll_flush(&mut cx);
                    if polled.is_ready() {
                        taken.extend(kept.take());
                        prop_assert_eq!(log.flushed.get(), taken.len());
                    }
                    polled
                }
                Step::Drop => {
                    sink = paced();
                    kept = None;
                    Poll::Ready(Ok(()))
                }
            };
            prop_assert_eq!(log.items(), &*taken);
            let left = elapsed - taken.iter().sum::<u64>();
            if polled.is_pending() {
                let kept = kept.expect("only an item has to wait");
                // A part may have been granted before the sink became unready.
                prop_assert!(!log.is_ready.get() || kept > left, "the item could go out");
            } else {
                prop_assert_eq!(limiter.available(), left as i64);
            }
            prop_assert_eq!(limiter.waiting() > 1, false);
        }
    }
}
