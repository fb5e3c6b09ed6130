//! A call that is dropped takes nothing along, and lets the others go, at whatever stage it is: one that acquires, and one that
//! reserves.

use futures_util::TryFutureExt;
use tidegate::{AllOfDenied, ReservationAll};

use super::*;

/// How far a call has come when it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    NotPolled,
    Waiting,
    /// Granted its part of the first limit, and not polled since.
    Granted,
    /// Holds its part of the first, and waits for the second.
    Holding,
    GrantedBoth,
}

const STAGES: [Stage; 5] =
    [Stage::NotPolled, Stage::Waiting, Stage::Granted, Stage::Holding, Stage::GrantedBoth];

#[test]
fn nothing_is_lost_at_any_stage() {
    nothing_is_lost_by(|all| all.acquire());
    nothing_is_lost_by(|all| all.reserve());
    nothing_is_lost_by(|all| all.reserve_within(ms(60_000)));
}

/// Limits whose buckets never fill, so that all of a grant goes back: what is left is as if the call had not been.
fn nothing_is_lost_by<F: Future>(begin: impl Fn(AllOf) -> F) {
    for stage in STAGES {
        let clock = ManualClock::new();
        let (a, b) = (limiter(&clock, 1, 1_000, 0), limiter(&clock, 2, 1_000, 0));
        let mut future = Box::pin(begin(AllOf::new().and(&a, 3).and(&b, 3)));
        let mut poll = || future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        if stage != Stage::NotPolled {
            assert!(poll());
            assert_eq!((a.waiting(), b.waiting()), (1, 0));
        }
        clock.advance(ms(if stage == Stage::Waiting { 2_000 } else { 4_000 }));
        if matches!(stage, Stage::Holding | Stage::GrantedBoth) {
            b.charge(20).unwrap();
            assert!(poll());
            assert_eq!((a.waiting(), b.waiting()), (0, 1));
            b.refund(if stage == Stage::Holding { 1 } else { 20 }).unwrap();
            assert_eq!((a.waiting(), b.waiting()), (0, usize::from(stage == Stage::Holding)));
            b.refund(if stage == Stage::Holding { 19 } else { 0 }).unwrap();
        }
        drop(future);
        let seconds = clock.now() as i64 / 1_000_000_000;
        assert_eq!((a.waiting(), b.waiting()), (0, 0), "{stage:?}");
        assert_eq!((a.available(), b.available()), (seconds, 2 * seconds), "{stage:?}");
    }
}

#[test]
fn others_go_on_when_one_leaves_the_head_of_a_queue() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 3, 0), limiter(&clock, 1, 3, 0));
    let group = Group::new(AllOf::new().and(&a, 3).and(&b, 3).acquire());
    let waiting = if a.waiting() == 1 { &a } else { &b };
    let mut behind = Single::new(waiting.acquire_n_owned(1));
    pass(&clock, 1_500, &mut [&mut behind]);
    assert_eq!(behind.served, None);
    drop(group);
    assert_eq!(behind.poll(), Some(Ok(())));
}

/// What a bucket cannot hold any more is lost, as of any grant that is not used.
#[test]
fn what_has_overflowed_since_does_not_come_back() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 3, 0), limiter(&clock, 1, 3, 0));
    let group = Group::new(AllOf::new().and(&a, 3).and(&b, 3).acquire());
    // Granted at 3,000 ms.
    for (at_ms, left) in [(4_000, 1), (10_000, 3)] {
        clock.set(at_ms * 1_000_000);
        let mine = if a.available() == 3 { &b } else { &a };
        assert_eq!((mine.available(), a.waiting() + b.waiting()), (left, 0));
    }
    drop(group);
    assert_eq!((a.available(), b.available()), (3, 3));
}

#[test]
fn the_last_round_is_left_and_all_comes_back() {
    the_last_round_is_left_by(|all| all.acquire());
    the_last_round_is_left_by(|all| all.reserve().map_ok(ReservationAll::spend));
}

/// In its last round: it stands at the front of both queues, or has been granted all.
fn the_last_round_is_left_by<F: Future<Output = Result<(), AllOfDenied>>>(begin: impl Fn(AllOf) -> F) {
    for is_granted in [false, true] {
        let clock = ManualClock::new();
        let (a, b) = (limiter(&clock, 1, 2, 0), limiter(&clock, 1, 2, 0));
        let mut group = Waiter::new(begin(AllOf::new().and(&a, 2).and(&b, 2)));
        let (first, second) = if a.waiting() == 1 { (&a, &b) } else { (&b, &a) };
        second.charge(4).unwrap();
        let mut singles: Vec<_> = (0..4).map(|_| Single::new(first.acquire_n_owned(1))).collect();
        pass(&clock, 6_000, &mut [&mut group, &mut singles]);
        // Of what it was granted of the first at 2,000 ms, one has been lost.
        assert_eq!((first.waiting(), second.waiting(), group.served), (1, 1, None));
        assert_eq!((first.available(), second.available()), (1, 2));
        let mut behind = Single::new(second.acquire_n_owned(1));
        if is_granted {
            clock.advance(ms(1_000));
            assert_eq!((first.waiting(), second.waiting()), (0, 1));
            assert_eq!((first.available(), second.available()), (0, 0));
        }
        drop(group);
        assert_eq!(behind.poll(), Some(Ok(())));
        let left = if is_granted { 2 } else { 1 };
        assert_eq!((first.available(), second.available()), (left, 1));
        assert_eq!((first.waiting(), second.waiting()), (0, 0));
    }
}

#[test]
fn a_quota_that_has_become_too_small_refuses_it() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 3, 0), limiter(&clock, 2, 3, 0));
    let refused = |group: &mut Group| {
        let denied = group.poll().unwrap().unwrap_err();
        assert_eq!(denied.denied(), too_many(3, 2));
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
        denied.limit()
    };
    let mut group = Group::new(AllOf::new().and(&a, 3).and(&b, 3).acquire());
    assert_eq!((a.waiting(), b.waiting()), (1, 0));
    a.set_quota(Quota::per_second(1).with_burst(2)).unwrap();
    assert_eq!(refused(&mut group), 0);
    // The other, which it does not wait for yet: what it holds of the first goes back.
    let mut group = Group::new(AllOf::new().and(&a, 2).and(&b, 3).acquire());
    assert_eq!((a.waiting(), b.waiting()), (1, 0));
    b.set_quota(Quota::per_second(2).with_burst(2)).unwrap();
    clock.advance(ms(2_000));
    assert_eq!((a.available(), b.available()), (0, 2));
    assert_eq!(refused(&mut group), 1);
    assert_eq!((a.available(), b.available()), (2, 2));
}

/// Its part was due by the old quota and is granted, but that quota is not in force any more when it takes all.
#[test]
fn a_part_that_is_granted_before_a_quota_shrinks_is_not_kept() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 2, 0), limiter(&clock, 1, 2, 2));
    let mut group = Group::new(AllOf::new().and(&a, 2).and(&b, 1).acquire());
    clock.advance(ms(2_000));
    assert_eq!((a.waiting(), a.available()), (0, 0));
    a.set_quota(Quota::per_second(1).with_burst(1)).unwrap();
    let denied = group.poll().unwrap().unwrap_err();
    assert_eq!((denied.limit(), denied.denied()), (0, too_many(2, 1)));
    // As if it had never come.
    assert_eq!((a.available(), b.available()), (1, 2));
}
