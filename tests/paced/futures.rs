//! Streams of futures whose starts are paced.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    task::Waker,
};

use futures_util::{FutureExt, StreamExt, future};
use proptest::prelude::*;
use tidegate::{Throttle, throttle_stream};

use super::{Duration, Limiter, Pin, Poll, Quota, SECOND, Stream, limiter, next, pin, seconds, stream};

#[test]
fn the_stream_is_asked_only_for_a_future_that_may_run() {
    let (limiter, clock) = seconds(10);
    let asked = RefCell::new(0);
    let source = stream::iter(0..5).map(|id| {
        *asked.borrow_mut() += 1;
        if id < 2 { future::pending().left_future() } else { future::ready(id).right_future() }
    });
    let mut outputs = pin!(throttle_stream(source, &limiter).concurrency(2));
    for _ in 0..3 {
        assert_eq!(next(outputs.as_mut()), Poll::<Option<i32>>::Pending);
        clock.advance(SECOND);
    }
    assert_eq!(*asked.borrow(), 2);
    assert_eq!(limiter.available(), 10, "two were taken, three have come");
    assert_eq!(outputs.size_hint(), (5, Some(5)));
}

#[test]
fn a_stream_that_is_late_keeps_the_output_pending() {
    let (limiter, clock) = seconds(1);
    let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
    let source = stream::poll_fn(|cx| receiver.poll_recv(cx)).map(future::ready);
    let mut outputs = pin!(throttle_stream(source, &limiter));
    assert_eq!(next(outputs.as_mut()), Poll::Pending);
    assert_eq!(limiter.available(), 1);
    sender.try_send(1).unwrap();
    sender.try_send(2).unwrap();
    assert_eq!(next(outputs.as_mut()), Poll::Ready(Some(1)));
    assert_eq!(next(outputs.as_mut()), Poll::Pending);
    clock.advance(SECOND);
    assert_eq!(next(outputs.as_mut()), Poll::Ready(Some(2)));
    assert_eq!(next(outputs.as_mut()), Poll::Pending);
    drop(sender);
    assert_eq!(next(outputs.as_mut()), Poll::Ready(None));
    assert_eq!(next(outputs.as_mut()), Poll::Ready(None), "the stream is not asked again");
}

#[test]
fn no_more_than_32_are_started_in_one_poll() {
    let (limiter, _) = limiter(Quota::UNLIMITED);
    let started = RefCell::new(0);
    let source = stream::repeat(()).map(|()| {
        *started.borrow_mut() += 1;
        future::pending::<()>()
    });
    let mut outputs = pin!(throttle_stream(source, &limiter));
    for polls in 1..=3 {
        assert_eq!(next(outputs.as_mut()), Poll::Pending);
        assert_eq!(*started.borrow(), 32 * polls);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u32),
    /// One more future comes.
    Arrive,
    /// The future of this number finishes, if it exists.
    Finish(usize),
    Poll,
    Drop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1_u32..3).prop_map(Step::Advance),
        4 => Just(Step::Arrive),
        4 => (0_usize..40).prop_map(Step::Finish),
        6 => Just(Step::Poll),
        1 => Just(Step::Drop),
    ];
    prop::collection::vec(step, 1..150)
}

/// What happens to the futures, which are numbered as they come.
#[derive(Default)]
struct Log {
    arrived: usize,
    /// As many have left the source.
    taken: usize,
    started: Vec<usize>,
    may_finish: BTreeSet<usize>,
    wakers: BTreeMap<usize, Waker>,
}

/// A future that logs its first poll, and finishes when it may.
fn logged(number: usize, log: &RefCell<Log>) -> impl Future<Output = usize> {
    let mut is_started = false;
    poll_fn(move |cx| {
        let mut log = log.borrow_mut();
        if !core::mem::replace(&mut is_started, true) {
            log.started.push(number);
        }
        log.wakers.insert(number, cx.waker().clone());
        if log.may_finish.contains(&number) { Poll::Ready(number) } else { Poll::Pending }
    })
}

fn throttled<S>(source: S, limiter: &Limiter, most: usize, in_order: bool) -> Pin<Box<Throttle<S>>>
where
    S: Stream<Item: Future>,
{
    let throttle = throttle_stream(source, limiter).concurrency(most);
    Box::pin(if in_order { throttle.in_order() } else { throttle })
}

proptest! {
    #[test]
    fn futures_of_a_stream_start_in_order_within_the_bounds_and_end_once(
        most in 1_usize..5,
        in_order: bool,
        steps in steps(),
    ) {
        // It never overflows: the permits taken are those that have come, less those available.
        let quota = Quota::per_second(1).with_burst(1000).with_initial(0).with_catch_up(Duration::ZERO);
        let (limiter, clock) = limiter(quota);
        let log = &RefCell::new(Log::default());
        let source = stream::poll_fn(|_| {
            let mut log = log.borrow_mut();
            if log.taken == log.arrived {
                return Poll::Pending;
            }
            log.taken += 1;
            Poll::Ready(Some(log.taken - 1))
        });
        let mut source = pin!(source.map(|number| logged(number, log)));
        let mut outputs = throttled(source.as_mut(), &limiter, most, in_order);
        // Of the present stream: its first future, and those that it has started and returned.
        let (mut first, mut before, mut returned) = (0, 0, BTreeSet::new());
        let mut elapsed = 0;
        for step in steps {
            match step {
                Step::Advance(seconds) => {
                    clock.advance(seconds * SECOND);
                    elapsed += seconds as usize;
                    continue;
                }
                Step::Arrive => {
                    log.borrow_mut().arrived += 1;
                    continue;
                }
                Step::Finish(number) => {
                    let waker = {
                        let mut log = log.borrow_mut();
                        log.may_finish.insert(number);
                        log.wakers.remove(&number)
                    };
                    waker.into_iter().for_each(Waker::wake);
                    continue;
                }
                Step::Drop => {
                    drop(outputs);
                    outputs = throttled(source.as_mut(), &limiter, most, in_order);
                    let log = log.borrow();
                    prop_assert!(log.taken <= first + log.started.len() - before + 1);
                    (first, before) = (log.taken, log.started.len());
                    returned.clear();
                }
                Step::Poll => {
                    while let Poll::Ready(output) = next(outputs.as_mut()) {
                        let number = output.expect("the source does not end");
                        prop_assert!(!in_order || number == first + returned.len());
                        prop_assert!(log.borrow().may_finish.contains(&number));
                        prop_assert!(returned.insert(number), "{} came twice", number);
                    }
                }
            }
            let log = log.borrow();
            let started = &log.started[before..];
            prop_assert!(started.iter().copied().eq(first..first + started.len()));
            let running = started.len() - returned.len();
            prop_assert!(running <= most);
            prop_assert!(log.taken <= first + started.len() + 1, "more than one future waits");
            let available = elapsed - log.started.len();
            prop_assert_eq!(limiter.available(), available as i64);
            if matches!(step, Step::Poll) {
                let waiting = log.arrived > first + started.len();
                prop_assert!(!waiting || available == 0 || running == most, "one more could run");
                let mut unreturned = started.iter().filter(|number| !returned.contains(*number));
                let head = |number: &usize| log.may_finish.contains(number);
                let missed = if in_order { unreturned.next().is_some_and(head) } else { unreturned.any(head) };
                prop_assert!(!missed, "an output was not returned");
            }
        }
    }
}
