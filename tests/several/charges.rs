//! Charges, refunds, reports and pauses of several limits at once.

use tidegate::{ChargeError, PerCore};

use super::*;

#[test]
fn a_charge_takes_from_all_or_from_none() {
    let clock = ManualClock::new();
    let (a, b, c) = (limiter(&clock, 1, 5, 5), limiter(&clock, 10, 20, 20), limiter(&clock, 1, 5, 5));
    let call = |n: u64, m: u64, l: u64| AllOf::new().and(&c, l).and(&a, n).and_named("b", &b, m);
    // Until the longest debt is paid.
    assert_eq!(call(7, 25, 2).charge(), Ok(ms(2_000)));
    assert_eq!(call(0, 30, 1).charge(), Ok(ms(3_500)));
    assert_eq!((a.available(), b.available(), c.available()), (-2, -35, 2));
    assert_eq!(AllOf::new().charge(), Ok(Duration::ZERO));
    assert_eq!(call(0, 0, 1).charge(), Ok(Duration::ZERO));

    let error = call(1, u64::MAX, 1).charge().unwrap_err();
    assert_eq!((error.limit(), error.name()), (2, Some("b")));
    let ChargeError::DebtTooDeep { requested, most } = error.error() else { panic!("{error}") };
    assert_eq!(requested, u64::MAX.into());
    assert!(error.to_string().starts_with("b: rate limited: a charge of 18446744073709551615 permits"));
    // The first of several, by the order of the call.
    assert_eq!(call(u64::MAX, u64::MAX, 1).charge().unwrap_err().limit(), 1);
    assert_eq!(call(1, 1, u64::MAX).charge().unwrap_err().limit(), 0);
    let invalid = AllOf::new().and(&a, 1).and(&b, -1).charge().unwrap_err();
    assert!(matches!(ChargeError::from(invalid), ChargeError::Invalid(_)));
    assert_eq!((a.available(), b.available(), c.available()), (-2, -35, 1));
    // What it says can be charged.
    call(1, most, 1).charge().unwrap();
    assert_eq!((a.available(), c.available()), (-3, 0));
}

#[test]
fn a_charge_goes_ahead_of_waiters_that_are_not_due() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 0), limiter(&clock, 10, 5, 0));
    let mut hurried = Waiter::new(a.acquire_within_owned(1, ms(1_500)));
    let mut patient = Single::new(b.acquire_n_owned(1));
    let mut group = Group::new(AllOf::new().and(&a, 1).and(&b, 1).acquire());
    AllOf::new().and(&a, 1).and(&b, 5).charge().unwrap();
    assert!(matches!(hurried.poll(), Some(Err(Denied::NotYet(_)))));
    pass(&clock, 590, &mut [&mut patient, &mut group]);
    assert_eq!((patient.served, b.waiting()), (None, 1));
    pass(&clock, 10, &mut [&mut patient, &mut group]);
    assert_eq!(patient.served, Some(600));
    pass(&clock, 1_400, &mut [&mut group]);
    assert_eq!(group.served, Some(2_000));
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
}

#[test]
fn parked_permits_pay_a_debt_first() {
    let clock = ManualClock::new();
    let [one, two] = [(); 2].map(|()| limiter(&clock, 80, 80, 80));
    let _parked = [&one, &two].map(|limiter| {
        let per_core = PerCore::builder(limiter).slots(1).share(10).build().unwrap();
        per_core.try_acquire().unwrap();
        per_core
    });
    clock.advance(ms(1_000));
    let other = limiter(&clock, 1, 5, 5);
    let paid = AllOf::new().and(&one, 85).and(&other, 1).charge().unwrap();
    assert_eq!((paid, one.available()), (two.charge(85).unwrap(), two.available()));
    // Of 80 in all, at 80 a second.
    assert_eq!((paid, one.available()), (Duration::from_micros(62_500), -5));
}

#[test]
fn a_refund_gives_back_to_all_and_to_their_waiters() {
    let clock = ManualClock::new();
    let (a, b) = (limiter(&clock, 1, 5, 0), limiter(&clock, 1, 5, 4));
    let mut waiting = Single::new(a.acquire_n_owned(2));
    let mut group = Group::new(AllOf::new().and(&a, 1).and(&b, 1).acquire());
    AllOf::new().and(&a, 4).and(&b, 3).refund().unwrap();
    assert_eq!((waiting.poll(), group.poll()), (Some(Ok(())), Some(Ok(()))));
    // Above the burst it is lost.
    assert_eq!((a.available(), b.available()), (1, 4));
    let invalid = AllOf::new().and(&a, 1).and(&b, f64::NAN).refund().unwrap_err();
    assert_eq!((invalid.limit(), invalid.is_never()), (1, true));
    assert_eq!((a.available(), b.available()), (1, 4));
}

#[test]
fn the_time_until_all_admit_is_the_longest() {
    let (clock, other) = (ManualClock::new(), ManualClock::new());
    let (a, b) = (limiter(&clock, 1, 5, 1), limiter(&other, 10, 5, 0));
    let call = |n: u64, m: u64| AllOf::new().and_named("a", &a, n).and_named("b", &b, m);
    assert_eq!(call(1, 5).time_until(), Ok(ms(500)));
    assert_eq!(call(2, 5).time_until(), Ok(ms(1_000)));
    assert_eq!((call(1, 0).time_until(), call(1, 0).has_capacity()), (Ok(Duration::ZERO), true));
    assert_eq!((call(1, 1).has_capacity(), AllOf::new().has_capacity()), (false, true));
    // Behind the waiters of each.
    let _waiting = Single::new(b.acquire_n_owned(5));
    assert_eq!(call(1, 5).time_until(), Ok(ms(1_000)));
    a.pause_for(ms(3_000));
    assert_eq!(call(1, 5).time_until(), Ok(ms(3_000)));
    // A refusal for ever names the limit.
    assert_eq!(call(1, 6).time_until().unwrap_err().name(), Some("b"));
    assert!(!call(1, 6).has_capacity());
    a.close();
    let closed = call(1, 1).time_until().unwrap_err();
    assert_eq!((closed.name(), closed.denied()), (Some("a"), Denied::Closed));
    assert!(AllOf::new().and(&b, -1).time_until().is_err());
}

#[test]
fn a_pause_of_all_holds_each_of_them() {
    let (clock, other) = (ManualClock::new(), ManualClock::new());
    let (a, b) = (limiter(&clock, 1, 5, 5), limiter(&other, 1, 5, 5));
    let call = AllOf::new().and(&a, 1).and(&b, 2);
    call.pause_for(ms(10_000));
    let mut group = Group::new(call.acquire());
    let refused = |limiter: &Limiter, wait| {
        assert_eq!(limiter.try_acquire().unwrap_err().retry_after(), Some(ms(wait)));
    };
    refused(&a, 10_000);
    refused(&b, 10_000);
    // Each by its own clock.
    clock.advance(ms(10_000));
    assert_eq!((group.poll(), a.try_acquire()), (None, Ok(())));
    other.advance(ms(10_000));
    assert_eq!(group.poll(), Some(Ok(())));
    assert_eq!((a.available(), b.available()), (3, 3));

    call.pause_for(ms(10_000));
    call.resume();
    call.try_acquire().unwrap();
    call.pause_for(ms(10_000));
    call.resume_gently();
    assert_eq!((a.available(), b.available()), (0, 0));
    assert_eq!(call.time_until(), Ok(ms(2_000)));
}
