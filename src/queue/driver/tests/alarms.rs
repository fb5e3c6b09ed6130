//! When the alarm is set, and for when; and what becomes of it.

use super::*;

const LATE: u64 = LATE_NS;

#[test]
fn the_alarm_is_set_once_for_the_first_waiter() {
    let (limiter, clock) = dialed("1/s burst 3 initial 0");
    let (first, second) = (queued(&limiter, 2), queued(&limiter, 1));
    assert_eq!(clock.deadlines(), [START + 2 * SECOND]);
    limiter.driver().drive();
    assert_eq!(clock.deadlines().len(), 1, "it is set");
    clock.advance(2 * SECOND);
    clock.ring();
    assert_eq!(clock.deadlines(), [2, 3].map(|n| START + n * SECOND));
    drop((first, second));
}

/// Permits may come faster than a step takes. If hungry callers were granted one by one then, each would cost a hand-off.
#[test]
fn a_waiter_that_is_due_just_after_it_joined_is_granted_with_others_by_the_alarm() {
    let (limiter, clock) = dialed("10000000/s burst 1 initial 0");
    clock.pass(60);
    let (mut first, mut second) = (queued(&limiter, 1), queued(&limiter, 1));
    assert_eq!((clock.deadlines(), limiter.waiting()), (vec![START + 100], 2));
    assert!(clock.now() > START + 100);
    clock.ring();
    assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
}

/// What an alarm is late by would be lost.
#[test]
fn a_waiter_that_is_due_just_after_it_joined_is_granted_at_once_if_the_catch_up_is_short() {
    let (limiter, clock) = dialed("10000000/s burst 1 initial 0 catch-up 1ms");
    clock.pass(60);
    for _ in 0..3 {
        assert!(poll(&mut Box::pin(limiter.acquire())).is_ready());
    }
    assert_eq!(clock.deadlines(), []);
}

#[test]
fn an_alarm_that_rings_early_is_set_anew() {
    let (limiter, clock) = dialed("1/s burst 3 initial 0");
    let mut waiter = queued(&limiter, 2);
    clock.advance(SECOND);
    clock.ring();
    assert_eq!(clock.deadlines(), [START + 2 * SECOND; 2]);
    assert_eq!((poll(&mut waiter), limiter.waiting()), (Poll::Pending, 1));
}

#[test]
fn the_next_alarm_is_set_when_the_first_waiter_leaves() {
    let (limiter, clock) = dialed("1/s burst 3 initial 0");
    let (large, small, last) = (queued(&limiter, 3), queued(&limiter, 1), queued(&limiter, 1));
    drop(last);
    assert_eq!(clock.deadlines(), [START + 3 * SECOND], "from the back it changes nothing");
    drop(large);
    assert_eq!(clock.deadlines(), [START + 3 * SECOND, START + SECOND]);
    assert_eq!(state(&limiter), (true, HandOff::Idle, Some(START + SECOND)));
    drop(small);
    assert!(!state(&limiter).0);
}

/// The alarm goes by readings that come again. The caller that finds the step back need not wait itself.
#[test]
fn a_refused_caller_that_finds_a_step_back_sets_the_alarm_anew() {
    let (limiter, clock) = dialed("1/s burst 3 initial 0");
    let _waiter = queued(&limiter, 3);
    clock.set(START - 60 * SECOND);
    let late = poll(&mut Box::pin(limiter.acquire_within(1, Duration::ZERO)));
    assert!(matches!(late, Poll::Ready(Err(_))));
    assert_eq!(clock.deadlines().last(), Some(&(START - 57 * SECOND)));
}

#[test]
fn the_first_waiter_that_leaves_lets_the_next_go_at_once() {
    let (limiter, clock) = dialed("1/s burst 3 initial 0");
    let (large, mut small) = (queued(&limiter, 3), queued(&limiter, 1));
    clock.advance(SECOND);
    drop(large);
    assert!(poll(&mut small).is_ready());
}

/// A newcomer leaves it to the alarm, unless that is two milliseconds late.
#[test]
fn a_newcomer_does_what_a_late_alarm_does_not() {
    let (limiter, clock) = dialed("1/s burst 9 initial 0");
    let first = queued(&limiter, 1);
    clock.advance(SECOND + LATE - 1);
    let second = queued(&limiter, 1);
    assert_eq!(limiter.waiting(), 2);
    clock.advance(1);
    let third = queued(&limiter, 1);
    assert_eq!(limiter.waiting(), 2, "the first has been granted");
    // The next alarm is in time again.
    assert_eq!(clock.deadlines(), [START + SECOND, START + 2 * SECOND]);
    let fourth = queued(&limiter, 1);
    assert_eq!(limiter.waiting(), 3);
    drop((first, second, third, fourth));
}

/// One that would have been admitted by now if the alarm were not late.
#[test]
fn a_call_that_does_not_wait_serves_waiters_that_are_late() {
    let (limiter, clock) = dialed("1/s burst 9 initial 0");
    let mut waiter = queued(&limiter, 1);
    clock.advance(2 * SECOND - 1);
    assert_eq!(limiter.try_acquire(), Err(Denied::NotYet(crate::NotYet::after(Duration::from_nanos(1)))));
    assert!(poll(&mut waiter).is_pending());
    clock.advance(1);
    assert!(limiter.try_acquire().is_ok());
    assert!(poll(&mut waiter).is_ready());
}

/// The alarm was set by readings from before the step, and would ring much too late.
#[test]
fn after_a_step_back_the_alarm_is_set_anew() {
    type Call = fn(&RateLimiter<Dial>);
    let calls: [Call; 5] = [
        |limiter| assert!(limiter.try_acquire().is_err()),
        |limiter| _ = limiter.available(),
        |limiter| assert!(limiter.time_until(1).is_ok()),
        |limiter| drop(queued(limiter, 1)),
        |limiter| limiter.refund(0).unwrap(),
    ];
    for call in calls {
        for back in [2, 50, 100] {
            let (limiter, clock) = dialed("1/s burst 3 initial 0");
            let mut waiter = queued(&limiter, 2);
            clock.set(START - back * SECOND);
            call(&limiter);
            let due_ns = START - back * SECOND + 2 * SECOND;
            assert_eq!(state(&limiter), (true, HandOff::Idle, Some(due_ns)), "{back}");
            assert_eq!(clock.deadlines().last(), Some(&due_ns));
            clock.set(due_ns);
            clock.ring();
            assert!(poll(&mut waiter).is_ready());
        }
    }
}

/// In about the time that a bucket takes to fill.
#[test]
fn after_a_step_back_a_call_is_admitted_when_it_was_told() {
    for (back_ms, wait_ms) in [(0, 100), (1, 101), (2, 100), (20, 100), (103, 100), (900, 100), (50_000, 100)]
    {
        let (limiter, clock) = manual("10/s burst 1 initial 0");
        clock.set(START - back_ms * 1_000_000);
        let retry_after = limiter.try_acquire().unwrap_err().retry_after().unwrap();
        assert_eq!(retry_after, Duration::from_millis(wait_ms), "{back_ms} ms back");
        clock.advance(retry_after);
        assert_eq!(limiter.try_acquire(), Ok(()), "{back_ms} ms back");
    }
}

#[test]
fn a_debt_is_no_greater_for_a_clock_that_steps_back() {
    let (limiter, clock) = manual("100/s");
    clock.advance(secs(90_000));
    limiter.try_acquire().unwrap();
    clock.set(10 * SECOND);
    assert_eq!(limiter.charge(1), Ok(Duration::from_millis(10)));
    let retry_after = limiter.try_acquire().unwrap_err().retry_after().unwrap();
    assert_eq!(retry_after, Duration::from_millis(20));
    clock.advance(retry_after);
    assert_eq!(limiter.try_acquire(), Ok(()));
}

/// A clock that has come to its end shows no later reading: no alarm is set for one.
#[test]
fn no_alarm_is_set_for_a_time_that_no_clock_shows() {
    for (start_ns, waiters) in [(u64::MAX - 5, 1), (0, 2)] {
        let clock = Dial::default();
        clock.set(start_ns);
        // Once in three hundred years.
        let quota = crate::Quota::new(1, secs(86_400 * 365 * 300));
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        limiter.try_acquire().unwrap();
        let all: Vec<_> = (0..waiters).map(|_| queued(&limiter, 1)).collect();
        clock.set(u64::MAX);
        limiter.driver().drive();
        assert_eq!((limiter.waiting(), state(&limiter).1), (1, HandOff::Idle), "from {start_ns}");
        assert!(clock.deadlines().iter().all(|&deadline_ns| deadline_ns < u64::MAX), "from {start_ns}");
        drop(all);
    }
}

/// The alarm does not keep the limiter, and rings in vain.
#[test]
fn an_alarm_outlives_its_limiter() {
    let (limiter, clock) = dialed("1/s burst 3 initial 0");
    drop(queued(&limiter, 1));
    let driver = Arc::downgrade(limiter.driver());
    drop(limiter);
    assert!(driver.upgrade().is_none());
    clock.ring();
}
