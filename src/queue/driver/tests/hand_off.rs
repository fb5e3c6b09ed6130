//! The hand-off: wakers that call the limiter, and notes, none of which is lost.

use super::*;

/// A waker runs outside the lock.
#[test]
fn a_waker_may_call_back_into_the_limiter() {
    let (limiter, clock) = manual("1/s burst 1 initial 0");
    let (again, calls) = (limiter.clone(), Arc::new(Counter::default()));
    let counted = Arc::clone(&calls);
    let reenters = waker(move || {
        assert!(again.try_acquire().is_err());
        let mut waiter = Box::pin(again.acquire_n(1));
        assert!(poll(&mut waiter).is_pending());
        assert_eq!((again.waiting(), again.available()), (1, 0));
        drop(waiter);
        again.set_quota("1/s burst 1".parse().unwrap()).unwrap();
        again.charge(0).unwrap();
        counted.wake_by_ref();
    });
    let mut waiter = queued_with(&limiter, 1, &reenters);
    clock.advance(secs(1));
    assert_eq!((poll(&mut waiter), calls.count()), (Poll::Ready(Ok(())), 1));
    assert_eq!((limiter.waiting(), state(&limiter).1), (0, HandOff::Idle));
}

/// A thread that finds the hand-off running leaves a note: another round grants what the waker's reset made available.
#[test]
fn a_call_during_a_hand_off_makes_it_go_round_again() {
    let (limiter, clock) = dialed("1/s burst 3 initial 0");
    let again = limiter.clone();
    let (seen, noted) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Counter::default()));
    let states = Arc::clone(&seen);
    let resets = waker(move || {
        states.lock().push(state(&again).1);
        again.reset();
        states.lock().push(state(&again).1);
    });
    let mut first = queued_with(&limiter, 1, &resets);
    let second = queued_with(&limiter, 2, &Waker::from(Arc::clone(&noted)));
    let third = queued(&limiter, 2);
    assert_eq!(clock.deadlines(), [START + SECOND]);
    clock.advance(SECOND);
    clock.ring();
    // The alarm for the second was just to be set.
    assert_eq!(*seen.lock(), [HandOff::Running, HandOff::Called]);
    assert_eq!((noted.count(), limiter.waiting()), (1, 1));
    assert!(poll(&mut first).is_ready());
    assert_eq!(state(&limiter), (true, HandOff::Idle, clock.deadlines().last().copied()));
    drop((second, third));
}

/// A waker that is woken when all has been settled drives the queue itself.
#[test]
fn a_waker_that_runs_after_the_hand_off_starts_another() {
    let (limiter, clock) = dialed("1/s burst 3 initial 0");
    let (again, seen) = (limiter.clone(), Arc::new(Mutex::new(Vec::new())));
    let states = Arc::clone(&seen);
    let looks = waker(move || {
        states.lock().push(state(&again).1);
        again.reset();
    });
    let waiter = queued_with(&limiter, 1, &looks);
    clock.advance(SECOND);
    clock.ring();
    assert_eq!(*seen.lock(), [HandOff::Idle]);
    assert_eq!(state(&limiter), (false, HandOff::Idle, None));
    drop(waiter);
}

#[test]
fn more_waiters_than_a_batch_are_all_woken() {
    let (limiter, clock) = manual("1/s burst 100 initial 0");
    let counter = Arc::new(Counter::default());
    let counted = Waker::from(Arc::clone(&counter));
    let mut waiters: Vec<_> = (0..100).map(|_| queued_with(&limiter, 1, &counted)).collect();
    limiter.reset();
    assert_eq!(counter.count(), 100);
    clock.advance(secs(1));
    assert!(waiters.iter_mut().all(|waiter| poll(waiter).is_ready()));
}

/// Wakers find the limiter unlocked, also the wakers of a full batch.
#[test]
fn wakers_of_a_full_batch_may_take_what_is_left() {
    let (limiter, _clock) = dialed("1/s burst 100 initial 0");
    let (again, granted) = (limiter.clone(), Arc::new(Counter::default()));
    let counted = Arc::clone(&granted);
    // While others wait it is refused.
    let tries = waker(move || {
        if again.try_acquire().is_ok() {
            counted.wake_by_ref();
        }
    });
    let waiters: Vec<_> = (0..70).map(|_| queued_with(&limiter, 1, &tries)).collect();
    limiter.refund(80).unwrap();
    assert_eq!((limiter.waiting(), limiter.available() + granted.count() as i64), (0, 10));
    drop(waiters);
}

/// Several threads join, leave, and drive at once; when all is over the state is as before.
#[test]
fn hand_offs_of_many_threads_end_idle() {
    let (limiter, clock) = manual("1000/s burst 10 initial 0");
    let rounds = if cfg!(miri) { 5 } else { 500 };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (limiter, clock) = (&limiter, clock.clone());
            scope.spawn(move || {
                for n in 0..rounds {
                    let mut waiter = Box::pin(limiter.acquire_n(1 + (n + thread) % 3));
                    let _ = poll(&mut waiter);
                    match (n + thread) % 4 {
                        0 => clock.advance(Duration::from_millis(1)),
                        1 => limiter.refund(1).unwrap(),
                        2 => drop(limiter.try_acquire()),
                        _ => limiter.driver().drive(),
                    }
                }
            });
        }
    });
    assert_eq!(limiter.waiting(), 0);
    limiter.driver().drive();
    let (owned, hand_off, _) = state(&limiter);
    assert_eq!((owned, hand_off), (false, HandOff::Idle));
    clock.advance(secs(1));
    assert_eq!(limiter.available(), 10);
}
