//! Calls for several limits under a clock that panics, at each reading in turn.

use super::*;

type Limiter = RateLimiter<Fragile>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn limiter(clock: &Fragile, rate: u64, burst: u64) -> Limiter {
    let quota = Quota::per_second(rate).with_burst(burst).with_initial(0).with_catch_up(Duration::ZERO);
    RateLimiter::with_clock(quota, clock.clone())
}

/// A call for ten of `a` (10/s, burst 10) and two of `b` (1/s, burst 2) that was granted both parts by 5,000 ms. Then `a`
/// has ten, and `b`, where others took three meanwhile, has one. Its next poll begins its final round.
fn before_the_final_round(clock: &Fragile) -> (Limiter, Limiter, Pin<Box<AcquireAll>>) {
    let (a, b) = (limiter(clock, 10, 10), limiter(clock, 1, 2));
    let mut group = Box::pin(AllOf::new().and(&a, 10).and(&b, 2).acquire());
    assert!(poll(&mut group).is_pending());
    clock.clock.advance(ms(1_900));
    a.charge(31).unwrap();
    let mut singles: Vec<_> = (0..3).map(|_| Box::pin(b.acquire_n_owned(1))).collect();
    assert!(singles.iter_mut().all(|single| poll(single).is_pending()));
    clock.clock.advance(ms(100));
    assert!(poll(&mut group).is_pending());
    assert_eq!((a.waiting(), b.waiting()), (1, 3));
    clock.clock.advance(ms(3_000));
    assert!(singles.iter_mut().all(|single| poll(single).is_ready()));
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
    (a, b, group)
}

fn in_the_final_round(clock: &Fragile) -> (Limiter, Limiter, Pin<Box<AcquireAll>>) {
    let (a, b, mut group) = before_the_final_round(clock);
    assert!(poll(&mut group).is_pending());
    assert_eq!((a.waiting(), b.waiting()), (1, 1));
    (a, b, group)
}

/// Runs the test with a clock that panics at the first reading, then at the second, and so on, until it says that the clock
/// has not panicked.
fn at_each_reading(test: impl Fn(usize) -> bool) {
    let mut reading = 1;
    while test(reading) {
        reading += 1;
    }
}

/// The permits of one limit that a call holds while it waits for another one.
#[test]
fn the_permits_that_a_call_holds_go_back() {
    at_each_reading(|reading| {
        let clock = Fragile::default();
        let (a, b) = (limiter(&clock, 1, 100), limiter(&clock, 1, 100));
        let mut group = Box::pin(AllOf::new().and(&a, 3).and(&b, 2).acquire());
        assert!(poll(&mut group).is_pending());
        clock.clock.advance(ms(2_000));
        b.charge(2).unwrap();
        clock.clock.advance(ms(1_000));
        assert_eq!((a.available(), b.available()), (0, 1));
        let panicked = clock.panics_in(reading, || assert!(poll(&mut group).is_pending()));
        drop(group);
        let left = (a.available(), b.available(), a.waiting(), b.waiting());
        assert_eq!(left, (3, 1, 0, 0), "reading {reading}");
        panicked
    });
}

#[test]
fn a_final_round_that_cannot_begin_keeps_nothing() {
    at_each_reading(|reading| {
        let clock = Fragile::default();
        let (a, b, mut group) = before_the_final_round(&clock);
        let panicked = clock.panics_in(reading, || assert!(poll(&mut group).is_pending()));
        drop(group);
        let left = (a.available(), b.available(), a.waiting(), b.waiting());
        assert_eq!(left, (10, 1, 0, 0), "reading {reading}");
        panicked
    });
}

#[test]
fn a_final_round_that_is_left_stands_in_no_queue() {
    at_each_reading(|reading| {
        let clock = Fragile::default();
        let (a, b, group) = in_the_final_round(&clock);
        let panicked = clock.panics_in(reading, || drop(group));
        assert_eq!((a.waiting(), b.waiting()), (0, 0), "reading {reading}");
        panicked
    });
}

/// The limit whose clock panics may lose its part. The others may not.
#[test]
fn a_final_round_that_was_granted_and_is_left_loses_one_part_at_most() {
    at_each_reading(|reading| {
        let clock = Fragile::default();
        let (a, b, group) = in_the_final_round(&clock);
        clock.clock.advance(ms(1_000));
        assert_eq!((a.waiting(), b.waiting(), a.available(), b.available()), (0, 0, 0, 0));
        if !clock.panics_in(reading, || drop(group)) {
            assert_eq!((a.available(), b.available()), (10, 2));
            return false;
        }
        assert!(a.available() == 10 || b.available() == 2, "reading {reading}: both are lost");
        true
    });
}

/// A limit of ten that is full, and one of twenty with half of it.
fn filled(clock: &Fragile) -> (Limiter, Limiter) {
    let (a, b) = (limiter(clock, 1, 10), limiter(clock, 1, 20));
    clock.clock.advance(ms(10_000));
    assert_eq!((a.available(), b.available()), (10, 10));
    (a, b)
}

#[test]
fn a_reservation_that_fails_keeps_nothing() {
    at_each_reading(|reading| {
        let clock = Fragile::default();
        let (a, b) = filled(&clock);
        let call = AllOf::new().and(&a, 3).and(&b, 4);
        let mut reserved = None;
        let panicked = clock.panics_in(reading, || reserved = call.try_reserve().ok());
        assert_eq!(reserved.is_none(), panicked, "reading {reading}");
        let left = if panicked { (10, 10) } else { (7, 6) };
        assert_eq!((a.available(), b.available()), left, "reading {reading}");
        panicked
    });
}

/// The limit whose clock panics may lose its part. The other is settled or given back.
#[test]
fn a_reservation_that_ends_loses_one_part_at_most() {
    let end = |reading, by_drop: bool| {
        let clock = Fragile::default();
        let (a, b) = filled(&clock);
        let reservation = AllOf::new().and(&a, 3).and(&b, 4).try_reserve().unwrap();
        let cost = AllOf::new().and(&a, 1).and(&b, 6);
        let panicked = clock.panics_in(reading, || {
            if by_drop { drop(reservation) } else { reservation.settle(&cost).unwrap() }
        });
        let right = if by_drop { (10, 10) } else { (9, 4) };
        let left = (a.available(), b.available());
        assert!(left.0 == right.0 || left.1 == right.1, "reading {reading}: {left:?}");
        assert!(panicked || left == right, "{left:?}");
        panicked
    };
    at_each_reading(|reading| end(reading, true));
    at_each_reading(|reading| end(reading, false));
}

#[test]
fn a_charge_that_fails_has_charged_all_or_none() {
    at_each_reading(|reading| {
        let clock = Fragile::default();
        let (a, b) = filled(&clock);
        let mut waiting = Box::pin(b.acquire_n_owned(15));
        assert!(poll(&mut waiting).is_pending());
        let call = AllOf::new().and(&a, 12).and(&b, 3);
        let panicked = clock.panics_in(reading, || assert!(call.charge().is_ok()));
        let left = (a.available(), b.available());
        assert!(left == (-2, 7) || (panicked && left == (10, 10)), "reading {reading}: {left:?}");
        panicked
    });
}

#[test]
fn a_refund_that_fails_misses_one_part_at_most() {
    at_each_reading(|reading| {
        let clock = Fragile::default();
        let (a, b) = filled(&clock);
        let call = AllOf::new().and(&a, 3).and(&b, 4);
        call.try_acquire().unwrap();
        let panicked = clock.panics_in(reading, || call.refund().unwrap());
        let left = (a.available(), b.available());
        assert!(
            left == (10, 10) || (panicked && (left.0 == 10 || left.1 == 10)),
            "reading {reading}: {left:?}"
        );
        panicked
    });
}

/// A reservation that waits: what it was granted goes back at any reading of its polls.
#[test]
fn a_reservation_that_waits_keeps_nothing_after_a_panic() {
    at_each_reading(|reading| {
        let clock = Fragile::default();
        let (a, b) = (limiter(&clock, 1, 100), limiter(&clock, 1, 100));
        let mut group = Box::pin(AllOf::new().and(&a, 3).and(&b, 2).reserve());
        assert!(poll(&mut group).is_pending());
        clock.clock.advance(ms(3_000));
        let mut reserved = None;
        let panicked = clock.panics_in(reading, || {
            if let Poll::Ready(reservation) = poll(&mut group) {
                reserved = Some(reservation.unwrap());
            }
        });
        assert_eq!(reserved.is_none(), panicked, "reading {reading}");
        drop(group);
        let held = if panicked { (3, 3, 0, 0) } else { (0, 1, 0, 0) };
        let left = (a.available(), b.available(), a.waiting(), b.waiting());
        assert_eq!(left, held, "reading {reading}");
        drop(reserved);
        assert_eq!((a.available(), b.available()), (3, 3));
        panicked
    });
}
