//! Wakers that panic.

use super::*;

#[test]
fn wakers_that_panic_keep_nobody_from_being_granted_and_woken() {
    type Cause = fn(&Limiter, &ManualClock, &mut Vec<Waiter>);
    let causes: [(&str, Cause); 6] = [
        ("the alarm", |_, clock, _| clock.advance(100 * SECOND)),
        ("a refund", |limiter, _, _| limiter.refund(100).unwrap()),
        ("a reset", |limiter, _, _| {
            limiter.reset();
            limiter.charge(100).unwrap();
        }),
        ("another quota", |limiter, _, _| {
            limiter.set_quota_with(Quota::per_second(1).with_burst(100), tidegate::Inherit::Reset).unwrap();
        }),
        ("a head that leaves", |_, clock, waiters| {
            clock.advance(99 * SECOND);
            drop(waiters.remove(0));
            clock.advance(SECOND);
        }),
        ("a grant that is given back", |limiter, _, waiters| {
            limiter.refund(100).unwrap();
            drop(waiters.remove(0));
        }),
    ];
    for (name, cause) in causes {
        let (limiter, clock) = limiter(200);
        // More than two batches of them; the large one at the head has room for all the rest.
        let mut all = vec![Hooked::new()];
        let head = if name == "a head that leaves" { 100 } else { 1 };
        let mut waiters = vec![queued_by(&limiter, head, &all[0].waker())];
        for i in 0..99 {
            let hooked = if i % 3 == 1 { Hooked::new() } else { Hooked::panicking(On::Wake) };
            waiters.push(queued_by(&limiter, 1, &hooked.waker()));
            all.push(hooked);
        }
        cause(&limiter, &clock, &mut waiters);
        assert_eq!(limiter.waiting(), 0, "{name}");
        assert!(all[1..].iter().all(|hooked| hooked.wakes() == 1), "{name}");
        assert!(all.iter().all(|hooked| hooked.alive() == 0), "{name}");
        assert!(waiters.iter_mut().all(is_granted), "{name}");
        // It works on, and the books are right.
        let spare = 100 - i64::try_from(waiters.len()).unwrap();
        assert_eq!(limiter.available(), spare, "{name}");
        limiter.try_acquire_up_to(u64::MAX);
        let mut next = queued(&limiter, 1);
        clock.advance(SECOND);
        assert!(is_granted(&mut next), "{name}");
        assert_eq!(limiter.available(), 0, "{name}");
    }
}

#[test]
fn a_waker_that_panics_when_cloned_hits_its_own_task_only() {
    let (limiter, clock) = limiter(3);
    let mut before = queued(&limiter, 1);
    // On the way into the queue: it is not in it.
    let panics = Hooked::panicking(On::Clone);
    let mut refused = Box::pin(limiter.acquire_n_owned(1));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut refused, &panics.waker()))).is_err());
    assert_eq!(limiter.waiting(), 1);
    drop(refused);
    // In the queue already: it stays, with the waker that it had.
    let (had, panics) = (Hooked::new(), Hooked::panicking(On::Clone));
    let mut stays = queued_by(&limiter, 1, &had.waker());
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut stays, &panics.waker()))).is_err());
    assert_eq!((limiter.waiting(), had.alive()), (2, 1));
    clock.advance(2 * SECOND);
    assert_eq!((had.wakes(), panics.wakes()), (1, 0));
    assert!(is_granted(&mut before) && is_granted(&mut stays));
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

#[test]
fn a_waker_that_panics_when_dropped_takes_nobody_out_of_the_queue() {
    let (limiter, clock) = limiter(3);
    // One that is replaced, at the head.
    let (old, new) = (Hooked::new(), Hooked::new());
    let mut head = queued_by(&limiter, 1, &old.waker());
    let mut second = queued(&limiter, 1);
    old.then(On::Drop, || std::panic::resume_unwind(Box::new("on purpose")));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut head, &new.waker()))).is_err());
    assert_eq!((limiter.waiting(), old.alive()), (2, 0));
    clock.advance(SECOND);
    assert_eq!((old.wakes(), new.wakes()), (0, 1));
    assert!(is_granted(&mut head));
    // One that goes with its waiter, which held up the one behind.
    clock.advance(SECOND);
    assert!(is_granted(&mut second));
    let panics = Hooked::new();
    let large = queued_by(&limiter, 3, &panics.waker());
    let mut small = queued(&limiter, 1);
    clock.advance(SECOND);
    panics.then(On::Drop, || std::panic::resume_unwind(Box::new("on purpose")));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(large))).is_err());
    assert!(is_granted(&mut small));
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}
