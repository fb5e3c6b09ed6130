//! Reservations of several limits: what goes back, and when.

use futures_util::FutureExt;
use tidegate::{AllOfDenied, ChargeError, ReservationAll, ReserveAll};

use super::*;

fn poll(future: &mut ReserveAll) -> Poll<Result<ReservationAll, AllOfDenied>> {
    future.poll_unpin(&mut Context::from_waker(Waker::noop()))
}

/// The reservation of a call that is served by now.
fn ready(future: &mut ReserveAll) -> ReservationAll {
    match poll(future) {
        Poll::Ready(outcome) => outcome.unwrap(),
        Poll::Pending => panic!("it should be served"),
    }
}

/// Limits of 1/s, the first with a small burst.
fn pair(clock: &ManualClock) -> (Limiter, Limiter) {
    (limiter(clock, 1, 3, 3), limiter(clock, 1, 1_000, 500))
}

#[test]
fn all_is_taken_and_all_goes_back_or_nothing() {
    let clock = ManualClock::new();
    let (a, b) = pair(&clock);
    let call = |n: u64, m: u64| AllOf::new().and(&a, n).and(&b, m);
    let reservation = call(2, 200).try_reserve().unwrap();
    assert_eq!((a.available(), b.available()), (1, 300));
    let denied = call(2, 301).try_reserve().unwrap_err();
    assert_eq!((denied.limit(), denied.retry_after()), (0, Some(ms(1_000))));
    assert!(call(4, 1).try_reserve().unwrap_err().is_never());
    assert!(AllOf::new().and(&a, 1).and(&b, -1).try_reserve().is_err());
    assert_eq!((a.available(), b.available()), (1, 300));
    drop(reservation);
    assert_eq!((a.available(), b.available()), (3, 500));
    call(2, 200).try_reserve().unwrap().spend();
    assert_eq!((a.available(), b.available()), (1, 300));
    AllOf::new().try_reserve().unwrap().settle(&call(1, 0)).unwrap();
    assert_eq!(a.available(), 0);
}

/// While a caller waits for one of the limits, it comes first.
#[test]
fn it_does_not_overtake() {
    let clock = ManualClock::new();
    let (a, b) = pair(&clock);
    a.charge(3).unwrap();
    let mut waiting = Single::new(a.acquire_n_owned(1));
    let denied = AllOf::new().and(&b, 1).and(&a, 1).try_reserve().unwrap_err();
    assert_eq!((denied.limit(), denied.retry_after()), (1, Some(ms(2_000))));
    let mut group = AllOf::new().and(&b, 1).and(&a, 1).reserve();
    assert!(poll(&mut group).is_pending());
    clock.advance(ms(1_000));
    assert_eq!(waiting.poll(), Some(Ok(())));
    assert!(poll(&mut group).is_pending());
    clock.advance(ms(1_000));
    ready(&mut group).spend();
    assert_eq!((a.available(), b.available()), (0, 501));
}

#[test]
fn of_each_limit_returns_what_has_not_overflowed_since() {
    let clock = ManualClock::new();
    let (a, b) = pair(&clock);
    let reservation = AllOf::new().and(&a, 3).and(&b, 100).try_reserve().unwrap();
    // Without it `a` would have been full all the time. `b` has room.
    clock.advance(ms(2_000));
    assert_eq!((a.available(), b.available()), (2, 402));
    drop(reservation);
    assert_eq!((a.available(), b.available()), (3, 502));

    let reservation = AllOf::new().and(&a, 3).and(&b, 100).try_reserve().unwrap();
    clock.advance(ms(3_000));
    a.try_acquire_n(3).unwrap();
    drop(reservation);
    assert_eq!((a.available(), b.available()), (0, 505));
}

#[test]
fn what_goes_back_is_granted_to_the_waiters_of_each_limit() {
    let clock = ManualClock::new();
    let (a, b) = pair(&clock);
    let reservation = AllOf::new().and(&a, 3).and(&b, 500).try_reserve().unwrap();
    let mut waiting = [a.acquire_n_owned(2), b.acquire_n_owned(300)].map(Single::new);
    let mut group = Group::new(AllOf::new().and(&a, 1).and(&b, 150).acquire());
    drop(reservation);
    assert!(waiting.iter_mut().all(|waiting| waiting.poll() == Some(Ok(()))));
    assert_eq!(group.poll(), Some(Ok(())));
    assert_eq!((a.available(), b.available()), (0, 50));
}

/// Its parts were granted at different times, and what was lost meanwhile was taken anew. At the end all is whole.
#[test]
fn what_was_waited_for_goes_back_whole() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 10, 0), limiter(&clock, 1, 10, 0));
    // Its part of `a` at 4,000 ms, that of `b` at 8,000 ms.
    let mut future = AllOf::new().and(&a, 4).and(&b, 3).reserve();
    assert!(poll(&mut future).is_pending());
    b.charge(5).unwrap();
    for _ in 0..2 {
        clock.advance(ms(4_000));
        let _ = poll(&mut future).map(|outcome| {
            assert_eq!((clock.now(), a.available(), b.available()), (8_000_000_000, 4, 0));
            drop(outcome.unwrap());
        });
    }
    assert_eq!((a.available(), b.available()), (8, 3));

    // With a last round: see `leaving.rs`. The part of the first is lost while it waits for the second.
    let (a, b) = (limiter(&clock, 1, 2, 0), limiter(&clock, 1, 2, 0));
    let mut future = AllOf::new().and(&a, 2).and(&b, 2).reserve();
    assert!(poll(&mut future).is_pending());
    let (first, second) = if a.waiting() == 1 { (&a, &b) } else { (&b, &a) };
    second.charge(4).unwrap();
    let mut singles: Vec<_> = (0..4).map(|_| Single::new(first.acquire_n_owned(1))).collect();
    for _ in 0..7 {
        assert!(poll(&mut future).is_pending());
        clock.advance(ms(1_000));
        singles.look(clock.now() / 1_000_000);
    }
    let reservation = ready(&mut future);
    assert_eq!((first.available(), second.available()), (0, 0));
    drop(reservation);
    assert_eq!((first.available(), second.available()), (2, 2));
}

#[test]
fn settling_goes_by_the_limiter_and_not_by_the_order() {
    let clock = ManualClock::new();
    let (a, b, c) = (limiter(&clock, 1, 9, 9), limiter(&clock, 1, 1_000, 500), limiter(&clock, 1, 9, 9));
    let left = || (a.available(), b.available(), c.available());
    let call = || AllOf::new().and(&a, 2).and(&b, 100);
    // The other way round, in parts, and through another handle.
    let pair = AllOf::new().and(&b.clone(), 25).and(&a, 0.5);
    call().try_reserve().unwrap().settle(&AllOf::new().and(&pair, 2).and(&b, 25)).unwrap();
    assert_eq!(left(), (8, 425, 9));
    // A limit that is left out has cost nothing. One that is new is charged.
    call().try_reserve().unwrap().settle(&AllOf::new().and(&b, 100).and(&c, 10)).unwrap();
    assert_eq!(left(), (8, 325, -1));
    // More than was reserved, into debt; nothing at all; zero.
    call().try_reserve().unwrap().settle(&AllOf::new().and(&b, 400).and(&a, 2)).unwrap();
    assert_eq!(left(), (6, -75, -1));
    b.refund(175).unwrap();
    call().try_reserve().unwrap().settle(&AllOf::new()).unwrap();
    call().try_reserve().unwrap().settle(&AllOf::new().and(&a, 0).and(&b, 0.0)).unwrap();
    assert_eq!(left(), (6, 100, -1));
}

#[test]
fn an_error_of_one_limit_leaves_the_others_right() {
    let clock = ManualClock::new();
    let (a, b, c) = (limiter(&clock, 1, 9, 9), limiter(&clock, 1, 9, 9), limiter(&clock, 1, 9, 9));
    let all = || AllOf::new().and(&a, 3).and(&b, 3).and(&c, 3).try_reserve().unwrap();
    let left = || (a.available(), b.available(), c.available());
    let cost = AllOf::new().and(&c, 1).and_named("b", &b, u64::MAX).and(&a, 2);
    let error = all().settle(&cost).unwrap_err();
    assert_eq!((error.limit(), error.name()), (1, Some("b")));
    let ChargeError::DebtTooDeep { requested, .. } = error.error() else { panic!("{error}") };
    assert_eq!(requested, (u64::MAX - 3).into());
    // The one that refuses keeps its estimate.
    assert_eq!(left(), (7, 6, 8));
    // Of several the first.
    let cost = AllOf::new().and(&c, u64::MAX).and(&b, 0).and(&a, u64::MAX);
    let error = all().settle(&cost).unwrap_err();
    assert_eq!((error.limit(), left()), (0, (4, 6, 5)));
    // With an amount that is none, the estimate stays for all.
    for bad in [-1.0, f64::NAN, 1e30] {
        let error = AllOf::new().and(&a, 1).and(&b, 1).try_reserve().unwrap();
        let error = error.settle(&AllOf::new().and(&a, 0).and(&b, bad)).unwrap_err();
        assert_eq!((error.limit(), matches!(error.error(), ChargeError::Invalid(_))), (1, true));
    }
    assert_eq!(left(), (1, 3, 5));
}

#[test]
fn a_reservation_that_cannot_be_had_in_time_is_refused_at_once() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 5), limiter(&clock, 10, 2, 0));
    let call = AllOf::new().and(&a, 1).and(&b, 2);
    let Poll::Ready(refused) = poll(&mut call.reserve_within(ms(150))) else { panic!("due in 200 ms") };
    let refused = refused.unwrap_err();
    assert_eq!((refused.limit(), refused.retry_after()), (1, Some(ms(50))));
    assert_eq!(call.blocking_reserve_within(ms(150)).unwrap_err(), refused);
    let mut waiting = call.reserve_within(ms(200));
    assert!(poll(&mut waiting).is_pending());
    // It is an owned future: the call may be gone.
    drop(call);
    clock.advance(ms(200));
    drop(ready(&mut waiting));
    assert_eq!((a.available(), b.available(), a.waiting(), b.waiting()), (5, 2, 0, 0));
}

#[test]
#[should_panic(expected = "polled after completion")]
fn polling_a_future_that_is_ready_panics() {
    let mut future = AllOf::new().and(&limiter(&ManualClock::new(), 1, 1, 1), 1).reserve();
    drop(ready(&mut future));
    drop(poll(&mut future));
}

#[test]
fn a_thread_waits_for_a_reservation() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 0), limiter(&clock, 1, 5, 5));
    let call = |n: u64| AllOf::new().and(&a, 2).and(&b, n);
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| call(3).blocking_reserve().unwrap());
        while a.waiting() == 0 {
            std::thread::yield_now();
        }
        clock.advance(ms(2_000));
        blocked.join().unwrap().settle(&call(1)).unwrap();
    });
    assert_eq!((a.available(), b.available()), (0, 4));
    assert!(call(6).blocking_reserve().unwrap_err().is_never());
}

/// After a reset or a step back of a clock, nothing of that limit goes back. The others are not touched by that.
#[test]
fn what_happens_to_one_limit_does_not_touch_the_others() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 9, 9), limiter(&clock, 1, 9, 9));
    let reservation = AllOf::new().and(&a, 4).and(&b, 4).try_reserve().unwrap();
    a.reset();
    a.try_acquire_n(5).unwrap();
    drop(reservation);
    assert_eq!((a.available(), b.available()), (4, 9));
    // A limiter that is closed meanwhile does not keep the others from being settled.
    let reservation = AllOf::new().and(&a, 4).and(&b, 4).try_reserve().unwrap();
    a.close();
    reservation.settle(&AllOf::new().and(&a, 1).and(&b, 1)).unwrap();
    assert_eq!(b.available(), 8);
}
