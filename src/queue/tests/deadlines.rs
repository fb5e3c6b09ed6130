//! Who can wait only for so long.

use core::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::waiters::{SECOND, limiter, poll, queued};
use crate::{Clock, Denied, RateLimiter, queue::wake_batch::WakeBatch};

const NS: Duration = Duration::from_nanos(1);

pub(super) type Within<'a> = Pin<Box<dyn Future<Output = Result<(), Denied>> + 'a>>;

pub(super) fn within<C: Clock>(limiter: &RateLimiter<C>, n: u64, longest: Duration) -> Within<'_> {
    Box::pin(limiter.acquire_within(n, longest))
}

pub(super) fn look(waiter: &mut Within<'_>) -> Poll<Result<(), Denied>> {
    waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn late_by(wait: Duration) -> Poll<Result<(), Denied>> {
    Poll::Ready(Err(Denied::NotYet { retry_after: wait }))
}

#[test]
fn a_deadline_is_met_to_the_nanosecond_or_refused_at_once() {
    let (limiter, clock) = limiter(3, 0);
    assert_eq!(look(&mut within(&limiter, 1, Duration::from_nanos(999_999_999))), late_by(NS));
    let mut first = within(&limiter, 1, SECOND);
    assert_eq!(look(&mut first), Poll::Pending);
    // After the first.
    assert_eq!(look(&mut within(&limiter, 2, Duration::from_nanos(2_999_999_998))), late_by(2 * NS));
    let mut second = within(&limiter, 2, 3 * SECOND);
    assert_eq!(look(&mut second), Poll::Pending);
    assert_eq!(limiter.waiting(), 2);
    clock.advance(SECOND);
    assert_eq!((look(&mut first), look(&mut second)), (Poll::Ready(Ok(())), Poll::Pending));
    clock.advance(2 * SECOND);
    assert_eq!(look(&mut second), Poll::Ready(Ok(())));
}

#[test]
fn nobody_waits_for_what_is_there() {
    let (limiter, _clock) = limiter(3, 3);
    assert_eq!(look(&mut within(&limiter, 2, Duration::ZERO)), Poll::Ready(Ok(())));
    assert_eq!(look(&mut within(&limiter, 0, Duration::ZERO)), Poll::Ready(Ok(())));
    assert_eq!(look(&mut within(&limiter, 2, Duration::ZERO)), late_by(SECOND));
    assert_eq!(limiter.available(), 1);
}

/// Who has no deadline stays, and so does who can still be served because another one goes.
#[test]
fn a_charge_sends_those_away_who_are_late_for_it() {
    let (limiter, clock) = limiter(9, 0);
    let mut tight = within(&limiter, 1, SECOND);
    assert_eq!(look(&mut tight), Poll::Pending);
    let mut patient = queued(&limiter, 1);
    let mut just = within(&limiter, 1, 3 * SECOND);
    let mut last = within(&limiter, 2, Duration::from_nanos(5_999_999_999));
    assert_eq!((look(&mut just), look(&mut last)), (Poll::Pending, Poll::Pending));
    limiter.charge(1).unwrap();
    // The first goes, and with it what it asked for.
    assert_eq!(look(&mut tight), late_by(SECOND));
    assert_eq!((limiter.waiting(), look(&mut just), look(&mut last)), (3, Poll::Pending, Poll::Pending));
    limiter.charge(1).unwrap();
    assert_eq!(look(&mut just), late_by(SECOND));
    assert_eq!((limiter.waiting(), look(&mut last)), (2, Poll::Pending));
    clock.advance(3 * SECOND);
    assert!(poll(&mut patient).is_ready());
    clock.advance(2 * SECOND);
    assert_eq!(look(&mut last), Poll::Ready(Ok(())));
}

#[test]
fn more_than_a_batch_can_be_late_at_once() {
    let (limiter, clock) = limiter(200, 0);
    let mut patient = queued(&limiter, 1);
    let mut waiters: Vec<_> = (2..=101).map(|n| within(&limiter, 1, n * SECOND)).collect();
    assert!(waiters.iter_mut().all(|waiter| look(waiter).is_pending()));
    limiter.charge(100).unwrap();
    for (waiter, n) in waiters.iter_mut().zip(2..) {
        assert_eq!(look(waiter), late_by((102 - n) * SECOND));
    }
    assert_eq!(limiter.waiting(), 1);
    clock.advance(101 * SECOND);
    assert!(poll(&mut patient).is_ready());
}

/// Its place is that of its arrival, whoever can wait for longer.
#[test]
fn who_leaves_lets_others_come_in_time() {
    let (limiter, clock) = limiter(9, 0);
    let first = queued(&limiter, 5);
    assert_eq!(look(&mut within(&limiter, 1, 5 * SECOND)), late_by(SECOND));
    drop(first);
    let mut next = within(&limiter, 1, SECOND);
    assert_eq!(look(&mut next), Poll::Pending);
    clock.advance(SECOND);
    assert_eq!(look(&mut next), Poll::Ready(Ok(())));
}

/// Under a clock that has stepped back everybody looks late.
#[test]
fn nobody_is_turned_away_by_a_clock_that_is_behind() {
    for (back_ns, gone) in [(100_000_000, false), (0, true)] {
        let (limiter, _clock) = super::locked::limiter("1000/s burst 5 initial 0");
        let _patient = queued(&limiter, 1);
        let mut second = within(&limiter, 1, Duration::from_millis(2));
        assert_eq!(look(&mut second), Poll::Pending);
        let mut batch = WakeBatch::new();
        limiter.queue().locked_at(super::locked::START - back_ns, |locked| {
            locked.inner.recheck = true;
            locked.tat += 1;
            assert!(locked.turn_away(&mut batch));
            assert_eq!((batch.is_empty(), locked.inner.recheck), (!gone, !gone));
        });
        assert_eq!(limiter.waiting(), if gone { 1 } else { 2 });
    }
}

/// Unless it is the head, and the clock will not be followed before that is due: then it is late by any reading.
#[test]
fn a_late_head_is_turned_away_by_a_clock_that_is_a_little_behind() {
    let (limiter, _clock) = super::locked::limiter("1000/s burst 5 initial 0");
    let mut head = within(&limiter, 1, Duration::from_millis(2));
    assert_eq!(look(&mut head), Poll::Pending);
    limiter.queue().locked_at(super::locked::START - 3_000_000, |locked| {
        let debt = 2 * locked.frame.scale.per_permit;
        locked.meter.set_debt(debt);
        locked.tat += debt;
        let mut batch = WakeBatch::new();
        assert!(locked.is_behind());
        locked.grant_due(&mut batch, Some(locked.seen()));
        assert!(!batch.is_empty());
    });
    assert_eq!(look(&mut head), late_by(Duration::from_millis(1)));
}
