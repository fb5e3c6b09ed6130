//! Pointers to clocks.

use core::time::Duration;
use std::sync::{Arc, LazyLock};

use super::AlarmWaker;
use crate::{Clock, ManualClock, Quota, RateLimiter};

fn check(clock: impl Clock + Clone, hand: &ManualClock) {
    let (alarm_waker, waker) = AlarmWaker::new();
    let deadline = hand.now() + 10;
    assert!(clock.wake_at(deadline, &waker));
    let limiters = [1, 2].map(|burst| {
        let quota = Quota::per_second(1_000_000_000).with_burst(burst).with_initial(0);
        RateLimiter::with_clock(quota, clock.clone())
    });
    hand.advance(Duration::from_nanos(1));
    assert_eq!((clock.now(), alarm_waker.rings()), (hand.now(), 0));
    assert!(limiters.iter().all(|limiter| limiter.try_acquire().is_ok()));
    assert!(limiters.iter().all(|limiter| limiter.try_acquire().is_err()));
    hand.advance(Duration::from_nanos(9));
    assert_eq!((clock.now(), alarm_waker.rings()), (deadline, 1));
}

#[test]
fn a_pointer_to_a_clock_is_that_clock() {
    static CLOCK: LazyLock<ManualClock> = LazyLock::new(|| ManualClock::starting_at(7));
    let hand = CLOCK.clone();
    check(Arc::new(hand.clone()), &hand);
    check(Arc::new(hand.clone()) as Arc<dyn Clock>, &hand);
    check(&*CLOCK, &hand);
    check(&*CLOCK as &'static dyn Clock, &hand);
}
