//! Who passes a group that waits, and when the group goes.

use super::*;

/// A group in the queue of `a`, which is full, that is promised to go at 5,000 ms.
fn promised(clock: &ManualClock, rate: u64, burst: u64, n: u64) -> (Limiter, Limiter, Group) {
    let a = limiter(clock, rate, burst, burst);
    let (b, c) = (limiter(clock, 1, 5, 5), limiter(clock, 1, 1, 0));
    let mut group = Group::new(AllOf::new().and(&a, n).and(&b, 5).and(&c, 1).acquire());
    b.try_acquire_n(5).unwrap();
    pass(clock, 1_000, &mut [&mut group]);
    assert_eq!((a.waiting(), b.waiting(), c.waiting()), (1, 1, 1));
    (a, b, group)
}

/// Polls all; how many are served.
fn served(waiters: &mut [Pin<Box<impl Future<Output = Result<(), Denied>>>>]) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut served = 0;
    for waiter in waiters {
        if let Poll::Ready(outcome) = waiter.as_mut().poll(&mut cx) {
            outcome.unwrap();
            served += 1;
        }
    }
    served
}

/// More than are woken between two holds of the lock.
#[test]
fn many_pass_a_group_at_once() {
    let clock = ManualClock::new();
    let (a, _b, _group) = promised(&clock, 100, 200, 1);
    a.charge(200).unwrap();
    let mut behind: Vec<_> = (0..100).map(|_| Box::pin(a.acquire_n_owned(1))).collect();
    assert_eq!(served(&mut behind), 0);
    a.refund(100).unwrap();
    assert_eq!((a.waiting(), served(&mut behind)), (1, 100));
}

#[test]
fn many_behind_a_group_are_turned_away_at_once() {
    let clock = ManualClock::new();
    let (a, _b, _group) = promised(&clock, 100, 200, 1);
    a.charge(200).unwrap();
    let mut behind: Vec<_> = (0..100).map(|_| Box::pin(a.acquire_within_owned(1, ms(1_010)))).collect();
    assert_eq!(served(&mut behind), 0);
    a.charge(101).unwrap();
    assert_eq!(a.waiting(), 1);
    // Each, after those ahead of it have left.
    let late = Denied::NotYet { retry_after: ms(10) };
    for waiter in &mut behind {
        assert_eq!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(late)));
    }
}

/// The group is counted as one ahead, although it lets others pass.
#[test]
fn who_passes_a_group_is_in_time_or_turned_away() {
    for (charge, outcome) in [(1, Ok(())), (2, Err(Denied::NotYet { retry_after: ms(10) }))] {
        let clock = ManualClock::new();
        let (a, _b, _group) = promised(&clock, 100, 200, 1);
        a.charge(200).unwrap();
        let mut waiter = Box::pin(a.acquire_within_owned(1, ms(30)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
        a.charge(charge).unwrap();
        assert_eq!(a.waiting() > 1, outcome.is_ok());
        clock.advance(ms(20));
        assert_eq!(waiter.as_mut().poll(&mut cx), Poll::Ready(outcome));
    }
}

/// A group that could not go as promised gets another promise, and lets others pass until then.
#[test]
fn a_promise_that_was_broken_is_made_anew() {
    let clock = ManualClock::new();
    // It asks for all that `a` has.
    let (a, b, mut group) = promised(&clock, 10, 10, 10);
    b.charge(2).unwrap();
    let mut hungry: Vec<_> = Vec::new();
    for _ in 0..6 {
        pass(&clock, 1_000, &mut [&mut group, &mut hungry]);
        if group.served.is_none() {
            hungry.push(Waiter { future: Box::pin(a.acquire_n_owned(1)), served: None });
        }
    }
    assert_eq!(group.served, Some(7_000));
    let served: Vec<_> = hungry.iter().map(|waiter| waiter.served).collect();
    assert_eq!(served, [2, 3, 4, 5, 6].map(|second| Some(second * 1_000 + 10)));
}
