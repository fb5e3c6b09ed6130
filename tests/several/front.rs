//! The last round: a call that was granted all its parts once, of which some are worth less by now, stands at the front of
//! all its queues.

use super::*;

/// A call for ten of `a` (10/s, burst 10) and two of `b` (1/s, burst 2) that is in its last round at 5,000 ms. Then `a` has
/// ten, and `b`, where three have come since it was granted its part there, has one.
fn at_the_front(clock: &ManualClock) -> (Limiter, Limiter, Group) {
    at_the_front_after(clock, |_, _| ())
}

/// The same, with `meanwhile` just before it begins its last round.
fn at_the_front_after(
    clock: &ManualClock,
    meanwhile: impl FnOnce(&Limiter, &Limiter),
) -> (Limiter, Limiter, Group) {
    let (a, b) = (limiter(clock, 10, 10, 0), limiter(clock, 1, 2, 0));
    let mut group = Group::new(AllOf::new().and(&a, 10).and(&b, 2).acquire());
    pass(clock, 1_900, &mut [&mut group]);
    a.charge(31).unwrap();
    let mut singles: Vec<_> = (0..3).map(|_| Single::new(b.acquire_n_owned(1))).collect();
    // It holds its part of `b` from 2,000 ms on, and has to wait for `a` now.
    pass(clock, 100, &mut [&mut group, &mut singles]);
    assert_eq!((a.waiting(), b.waiting()), (1, 3));
    pass(clock, 2_990, &mut [&mut group, &mut singles]);
    clock.advance(ms(10));
    singles.look(5_000);
    meanwhile(&a, &b);
    group.look(5_000);
    assert!(singles.iter().all(|single| single.served.is_some()));
    assert_eq!((a.waiting(), b.waiting(), group.served), (1, 1, None));
    (a, b, group)
}

#[test]
fn it_takes_all_in_the_same_instant() {
    let clock = ManualClock::new();
    let (a, b, mut group) = at_the_front(&clock);
    assert_eq!((a.available(), b.available()), (10, 1));
    pass(&clock, 990, &mut [&mut group]);
    assert_eq!((a.available(), b.available(), group.served), (10, 1, None));
    pass(&clock, 10, &mut [&mut group]);
    assert_eq!(group.served, Some(6_000));
    assert_eq!((a.available(), b.available()), (0, 0));
}

/// The hand-off looks after it, not its task.
#[test]
fn it_goes_although_its_task_is_not_polled() {
    let clock = ManualClock::new();
    let (a, b, mut group) = at_the_front(&clock);
    let mut behind = Single::new(b.acquire_n_owned(1));
    pass(&clock, 2_000, &mut [&mut behind]);
    assert_eq!(behind.served, Some(7_000));
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
    assert_eq!(group.poll(), Some(Ok(())));
}

#[test]
fn nobody_passes_it() {
    let clock = ManualClock::new();
    let (a, b, mut group) = at_the_front(&clock);
    let mut behind: Vec<_> = (0..5).map(|_| Single::new(a.acquire_n_owned(1))).collect();
    assert!(a.try_acquire().is_err());
    assert_eq!(a.try_acquire_up_to(10), 0);
    pass(&clock, 1_500, &mut [&mut group, &mut behind]);
    assert_eq!(group.served, Some(6_000));
    let served: Vec<_> = behind.iter().filter_map(|waiter| waiter.served).collect();
    assert_eq!(served, [6_100, 6_200, 6_300, 6_400, 6_500]);
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
}

/// When it goes `a` is empty.
#[test]
fn a_refusal_counts_what_it_is_going_to_take() {
    let clock = ManualClock::new();
    let (a, b, mut group) = at_the_front(&clock);
    let denied = Denied::NotYet(tidegate::NotYet::after(ms(1_100)));
    assert_eq!(a.try_acquire(), Err(denied));
    assert_eq!(a.try_reserve(1).map(drop), Err(denied));
    assert_eq!(AllOf::new().and(&a, 1).try_acquire().unwrap_err().denied(), denied);
    assert_eq!(a.time_until(1), Ok(ms(1_100)));
    let denied = AllOf::new().and(&a, 1).and(&b, 1).try_acquire().unwrap_err();
    assert_eq!((denied.limit(), denied.retry_after()), (1, Some(ms(2_000))));
    pass(&clock, 1_100, &mut [&mut group]);
    assert_eq!((group.served, a.try_acquire()), (Some(6_000), Ok(())));
}

/// More than are woken between two holds of the lock.
#[test]
fn many_behind_it_are_refused_at_once() {
    let clock = ManualClock::new();
    let (a, _b, _group) = at_the_front(&clock);
    let mut behind: Vec<_> = (0..100).map(|_| Waiter::new(a.acquire_within_owned(1, ms(20_000)))).collect();
    a.charge(250).unwrap();
    assert_eq!(a.waiting(), 1);
    let late = behind.iter_mut().map(Waiter::poll);
    assert!(late.into_iter().all(|outcome| matches!(outcome, Some(Err(Denied::NotYet(_))))));
}

#[test]
fn a_charge_puts_it_off_and_a_refund_brings_it_forward() {
    let clock = ManualClock::new();
    let (a, b, mut group) = at_the_front(&clock);
    b.charge(3).unwrap();
    pass(&clock, 3_000, &mut [&mut group]);
    a.charge(5).unwrap();
    b.refund(2).unwrap();
    // At 8,000 ms `b` has two, and `a` lacks five.
    assert_eq!((a.available(), b.available(), group.poll()), (5, 2, None));
    pass(&clock, 500, &mut [&mut group]);
    assert_eq!(group.served, Some(8_500));
    let (a, b, mut group) = at_the_front(&ManualClock::new());
    b.refund(2).unwrap();
    assert_eq!(group.poll(), Some(Ok(())));
    assert_eq!((a.available(), b.available()), (0, 0));
}

#[test]
fn a_waiter_behind_it_is_refused_when_it_comes() {
    let clock = ManualClock::new();
    let mut waiter = None;
    // It goes at 26,000 ms.
    let (a, _b, _group) = at_the_front_after(&clock, |a, b| {
        b.charge(20).unwrap();
        waiter = Some(Waiter::new(a.acquire_within_owned(1, ms(400))));
    });
    assert_eq!(a.waiting(), 1);
    let denied = Denied::NotYet(tidegate::NotYet::after(ms(20_700)));
    assert_eq!(waiter.unwrap().poll(), Some(Err(denied)));
}

#[test]
fn a_refusal_counts_for_how_long_it_was_put_off() {
    let clock = ManualClock::new();
    let (a, b, _group) = at_the_front(&clock);
    // It goes at 16,000 ms.
    b.charge(10).unwrap();
    let wait = ms(11_100);
    assert_eq!(a.try_acquire(), Err(Denied::NotYet(tidegate::NotYet::after(wait))));
    clock.advance(wait);
    assert_eq!(a.try_acquire(), Ok(()));
}

#[test]
fn a_waiter_behind_it_is_refused_when_it_is_put_off() {
    let clock = ManualClock::new();
    let (a, b, _group) = at_the_front(&clock);
    // It goes at 6,000 ms, and one more of `a` comes at 6,100.
    let mut waiter = Waiter::new(a.acquire_within_owned(1, ms(1_200)));
    b.charge(10).unwrap();
    clock.advance(ms(1_300));
    let outcome = waiter.poll().expect("its longest wait is over");
    // The same call made so much later would be granted at 16,100 ms, in time.
    let denied = Denied::NotYet(tidegate::NotYet::after(ms(9_900)));
    assert_eq!(outcome, Err(denied));
}

#[test]
fn another_quota_is_its_quota_too() {
    let clock = ManualClock::new();
    let (_a, b, mut group) = at_the_front(&clock);
    b.set_quota(Quota::per_second(4).with_burst(2).with_catch_up(Duration::ZERO)).unwrap();
    pass(&clock, 500, &mut [&mut group]);
    assert_eq!(group.served, Some(5_250));
    // One that is too small for it.
    let clock = ManualClock::new();
    let (a, b, mut group) = at_the_front(&clock);
    b.set_quota(Quota::per_second(1).with_burst(1)).unwrap();
    let denied = group.poll().unwrap().unwrap_err();
    assert_eq!((denied.limit(), denied.denied()), (1, too_many(2, 1)));
    assert_eq!((a.waiting(), b.waiting(), a.available()), (0, 0, 10));
}

/// Each of the two stands behind the other in no queue where the other stands behind it.
#[test]
fn several_go_in_the_order_in_which_they_came_to_the_front() {
    let clock = ManualClock::new();
    let (a, b, mut first) = at_the_front(&clock);
    let mut others: Vec<_> = (0..3)
        .map(|i| {
            let all = if i % 2 == 0 {
                AllOf::new().and(&a, 1).and(&b, 1)
            } else {
                AllOf::new().and(&b, 1).and(&a, 1)
            };
            Group::new(all.acquire())
        })
        .collect();
    pass(&clock, 8_000, &mut [&mut first, &mut others]);
    assert_eq!(first.served, Some(6_000));
    let served: Vec<_> = others.iter().filter_map(|group| group.served).collect();
    assert_eq!(served, [7_000, 8_000, 9_000]);
}

/// Beside twenty callers of each limit that come back at once.
#[test]
fn a_large_call_beside_hungry_waiters_is_served_again_and_again() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 10, 10, 0), limiter(&clock, 10, 10, 0));
    let hungry = |limiter: &Limiter| Single::new(limiter.acquire_n_owned(1));
    let mut ones: Vec<_> = (0..40).map(|i| (i % 2 == 0, hungry(if i % 2 == 0 { &a } else { &b }))).collect();
    let all = AllOf::new().and(&a, 10).and(&b, 10);
    let mut group = Group::new(all.acquire());
    let mut times = vec![0];
    while clock.now() < 120_000_000_000 {
        clock.advance(ms(50));
        if group.poll().is_some() {
            times.push(clock.now() / 1_000_000);
            group = Group::new(all.acquire());
        }
        for (of_a, waiter) in &mut ones {
            if waiter.poll().is_some() {
                *waiter = hungry(if *of_a { &a } else { &b });
            }
        }
    }
    // First behind 20 in one queue and for its own ten, then so in the other, and at the front for ten again.
    let longest = times.windows(2).map(|two| two[1] - two[0]).max();
    assert!(times.len() > 14 && longest <= Some(8_000), "{times:?}");
}
