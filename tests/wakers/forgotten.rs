//! Futures that are forgotten, and limiters that go first.

use super::*;

/// Forgets a future for good, as a program may.
fn forget<F>(future: Pin<Box<F>>) {
    // For Miri, memory has leaked unless a static leads to it.
    static FORGOTTEN: Mutex<Vec<AtomicPtr<()>>> = Mutex::new(Vec::new());
    let pointer = (&raw const *future).cast_mut().cast();
    FORGOTTEN.lock().unwrap().push(AtomicPtr::new(pointer));
    std::mem::forget(future);
}

#[test]
fn a_forgotten_waiter_costs_what_it_asked_for_and_delays_nobody() {
    let (limiter, clock) = limiter(10);
    // One that was never polled costs nothing.
    forget(Box::pin(limiter.acquire_n_owned(1)));
    let mut kept = Vec::new();
    for _ in 0..20 {
        forget(queued(&limiter, 1));
        kept.push(queued(&limiter, 1));
    }
    // Every second permit is granted to a forgotten waiter, and no more.
    for (i, waiter) in kept.iter_mut().enumerate() {
        clock.advance(SECOND);
        assert_eq!(limiter.waiting(), 40 - 2 * i - 1);
        assert!(poll(waiter, Waker::noop()).is_pending());
        clock.advance(SECOND);
        assert!(is_granted(waiter));
    }
    // One that is forgotten when it has been granted, without knowing.
    let granted = queued(&limiter, 1);
    clock.advance(SECOND);
    forget(granted);
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    clock.advance(3 * SECOND);
    assert_eq!(limiter.try_acquire_up_to(u64::MAX), 3);
}

#[test]
fn a_limiter_may_go_before_those_who_were_forgotten_in_its_queue() {
    let (limiter, clock) = limiter(10);
    let mut future = Box::pin(limiter.acquire());
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    forget(future);
    drop(limiter);
    clock.advance(100 * SECOND);
}
