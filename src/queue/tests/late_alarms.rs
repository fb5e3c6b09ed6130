//! Alarms that come late, or not at all.

use core::{
    future::Future,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    deadlines::{late_by, look, within},
    waiters::SECOND,
};
use crate::{Clock, Denied, ManualClock, Quota, RateLimiter, queue::hand_off::By};

/// A clock whose alarms never ring.
#[derive(Debug)]
struct Silent(ManualClock);

impl Clock for Silent {
    fn now(&self) -> u64 {
        self.0.now()
    }

    fn wake_at(&self, _: u64, _: &Waker) -> bool {
        true
    }
}

/// By a permit a second, with none there.
fn limiter(burst: u64) -> (RateLimiter<Silent>, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).burst(burst).initial(0).catch_up(Duration::ZERO);
    (RateLimiter::with_clock(quota, Silent(clock.clone())), clock)
}

/// What an alarm was too late for is lost to all who wait, and who cannot wait for that is told at once.
#[test]
fn a_late_alarm_sends_those_away_who_are_late_for_it() {
    let (limiter, clock) = limiter(1);
    let mut waiters = [2, 4, 3].map(|n| within(&limiter, 1, n * SECOND));
    assert!(waiters.iter_mut().all(|waiter| look(waiter).is_pending()));
    clock.advance(3 * SECOND / 2);
    limiter.queue().drive(By::Other);
    let [first, second, third] = &mut waiters;
    assert_eq!((look(first), look(third)), (Poll::Ready(Ok(())), late_by(SECOND / 2)));
    assert_eq!((look(second), limiter.waiting()), (Poll::Pending, 1));
}

/// Those who come leave it to the alarm, unless that is two milliseconds late.
#[test]
fn a_newcomer_does_what_a_late_alarm_does_not() {
    let (limiter, clock) = limiter(9);
    let mut waiters = [(); 4].map(|()| Box::pin(limiter.acquire_n(1)));
    let mut come = |which: usize| {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiters[which].as_mut().poll(&mut cx).is_pending());
        limiter.waiting()
    };
    assert_eq!(come(0), 1);
    clock.advance(SECOND + Duration::from_nanos(1_999_999));
    assert_eq!(come(1), 2);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(come(2), 2, "the first has been granted");
    // The next alarm is in time again.
    assert_eq!(come(3), 3);
}

#[test]
fn a_newcomer_with_a_deadline_does_not_wait_for_an_alarm() {
    let (limiter, clock) = limiter(9);
    let mut first = within(&limiter, 1, SECOND);
    assert_eq!(look(&mut first), Poll::Pending);
    clock.advance(SECOND);
    assert_eq!(look(&mut within(&limiter, 1, 5 * SECOND)), Poll::Pending);
    assert_eq!((look(&mut first), limiter.waiting()), (Poll::Ready(Ok(())), 0));
}

/// Although it would find all of them due.
#[test]
fn a_newcomer_leaves_those_to_the_alarm_who_came_due_before_it() {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1_000).burst(9).initial(0).catch_up(Duration::ZERO);
    let limiter = RateLimiter::with_clock(quota, Silent(clock.clone()));
    let mut first = within(&limiter, 1, SECOND);
    assert_eq!(look(&mut first), Poll::Pending);
    clock.advance(Duration::from_micros(2_999));
    let mut second = Box::pin(limiter.acquire_n(1));
    assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(limiter.waiting(), 2);
}

/// Whoever is refused behind those who wait is told when it is its turn. What nobody has taken in time is lost to it,
/// too; and those who are due are served.
#[test]
fn who_is_refused_behind_a_late_alarm_is_told_of_what_is_lost() {
    let (limiter, clock) = limiter(9);
    let mut waiters = [1, 9, 9].map(|n| Box::pin(limiter.acquire_n(n)));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiters.iter_mut().all(|waiter| waiter.as_mut().poll(&mut cx).is_pending()));
    let retry_after = || limiter.try_acquire().unwrap_err().retry_after();
    assert_eq!((retry_after(), limiter.waiting()), (Some(20 * SECOND), 3));
    // The bucket is full, and nothing is lost yet.
    clock.advance(9 * SECOND);
    assert_eq!(retry_after(), Some(11 * SECOND));
    clock.advance(SECOND);
    // One second is lost, by which all come later.
    assert_eq!((retry_after(), limiter.waiting()), (Some(11 * SECOND), 2));
}

/// At the very time at which it is its turn, those before it are due, and so is it.
#[test]
fn whose_turn_has_come_is_not_refused_for_a_late_alarm() {
    let (limiter, clock) = limiter(9);
    let mut waiter = Box::pin(limiter.acquire());
    assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clock.advance(Duration::from_nanos(1_999_999_999));
    let early = Denied::NotYet { retry_after: Duration::from_nanos(1) };
    assert_eq!((limiter.try_acquire(), limiter.waiting()), (Err(early), 1));
    clock.advance(Duration::from_nanos(1));
    assert_eq!((limiter.try_acquire(), limiter.waiting()), (Ok(()), 0));
}

/// It is not told how long it will be until the clock is back where it was.
#[test]
fn who_is_refused_behind_those_who_wait_doubts_the_clock() {
    let (limiter, clock) = limiter(1);
    clock.advance(3600 * SECOND);
    limiter.try_acquire().unwrap();
    let mut waiter = Box::pin(limiter.acquire());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(waiter.as_mut().poll(&mut cx).is_pending());
    clock.set(1800 * 1_000_000_000);
    // As long as it takes to fill, and a difference of readings.
    let followed = SECOND + Duration::from_millis(1);
    assert_eq!(limiter.try_acquire(), Err(Denied::NotYet { retry_after: followed }));
    clock.advance(followed);
    let next = Denied::NotYet { retry_after: SECOND };
    assert_eq!((limiter.try_acquire(), limiter.waiting()), (Err(next), 0));
    assert!(waiter.as_mut().poll(&mut cx).is_ready());
}
