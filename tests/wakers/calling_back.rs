//! Wakers that call back.

use super::*;

/// Futures that wakers reach into.
type Shared = Arc<Mutex<Option<Waiter>>>;

fn shared(waiter: Waiter) -> Shared {
    Arc::new(Mutex::new(Some(waiter)))
}

/// A future of one permit, not polled yet.
fn unpolled(limiter: &Limiter) -> Shared {
    shared(Box::pin(limiter.acquire_n_owned(1)))
}

fn poll_shared(shared: &Shared) -> Option<Poll<Result<(), AcquireError>>> {
    let mut waiter = shared.lock().unwrap().take()?;
    let polled = poll(&mut waiter, Waker::noop());
    *shared.lock().unwrap() = Some(waiter);
    Some(polled)
}

fn drop_shared(shared: &Shared) {
    let waiter = shared.lock().unwrap().take();
    drop(waiter);
}

#[test]
fn wakers_may_call_back_when_woken() {
    never_hangs(|| {
        let (limiter, clock) = limiter(10);
        let newcomer = unpolled(&limiter);
        let hooked = Hooked::new();
        let waker = hooked.waker();
        let mut first = queued_by(&limiter, 1, &waker);
        let same_batch = shared(queued(&limiter, 1));
        let same_batch_too = Arc::clone(&same_batch);
        let mut third = queued(&limiter, 1);
        let behind = shared(queued(&limiter, 5));
        let mut last = queued(&limiter, 1);
        hooked.then(On::Wake, {
            let (limiter, behind, newcomer) = (limiter.clone(), Arc::clone(&behind), Arc::clone(&newcomer));
            move || {
                // The first two waiters are granted; others are still in the queue.
                assert_eq!(limiter.waiting(), 3);
                assert!(limiter.try_acquire().is_err(), "others wait");
                assert_eq!(poll_shared(&newcomer), Some(Poll::Pending), "to the back of the queue");
                // One that is granted already: its permit goes on to the third.
                drop_shared(&same_batch);
                // A waiter that delays the waiters behind it.
                drop_shared(&behind);
                // For the one behind it.
                limiter.refund(1).unwrap();
            }
        });
        // Two at once.
        limiter.refund(2).unwrap();
        assert_eq!((hooked.wakes(), hooked.left_to_do()), (1, 0));
        assert!(same_batch_too.lock().unwrap().is_none() && behind.lock().unwrap().is_none());
        assert!(is_granted(&mut first) && is_granted(&mut third) && is_granted(&mut last));
        assert_eq!(poll_shared(&newcomer), Some(Poll::Pending), "it came last");
        assert_eq!((limiter.waiting(), limiter.available()), (1, 0));
        clock.advance(SECOND);
        assert_eq!(poll_shared(&newcomer), Some(Poll::Ready(Ok(()))));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

#[test]
fn wakers_may_call_back_when_cloned() {
    never_hangs(|| {
        let (limiter, clock) = limiter(10);
        let ahead = shared(queued(&limiter, 10));
        let newcomer = unpolled(&limiter);
        let hooked = Hooked::doing(On::Clone, {
            let (limiter, ahead, newcomer) = (limiter.clone(), Arc::clone(&ahead), Arc::clone(&newcomer));
            move || {
                assert!(limiter.try_acquire().is_err(), "others wait");
                assert_eq!(poll_shared(&newcomer), Some(Poll::Pending));
                drop_shared(&ahead);
            }
        });
        // The waiter that its waker adds joins before it; the waiter that delayed both has left.
        let mut waiter = queued_by(&limiter, 1, &hooked.waker());
        assert_eq!((limiter.waiting(), hooked.left_to_do()), (2, 0));
        clock.advance(SECOND);
        assert_eq!(poll_shared(&newcomer), Some(Poll::Ready(Ok(()))));
        // Cloned as a replacement, it brings the permit that the waiter waits for, and more.
        let hooked = Hooked::doing(On::Clone, {
            let limiter = limiter.clone();
            move || {
                limiter.refund(3).unwrap();
                limiter.try_acquire().unwrap();
            }
        });
        assert_eq!(poll(&mut waiter, &hooked.waker()), Poll::Ready(Ok(())));
        assert_eq!((hooked.alive(), hooked.left_to_do()), (0, 0));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 1));
    });
}

#[test]
fn wakers_may_call_back_when_dropped() {
    never_hangs(|| {
        let (limiter, clock) = limiter(10);
        let old = Hooked::new();
        let mut waiter = queued_by(&limiter, 1, &old.waker());
        let behind = shared(queued(&limiter, 10));
        let mut last = queued(&limiter, 1);
        let newcomer = unpolled(&limiter);
        old.then(On::Drop, {
            let (limiter, behind, newcomer) = (limiter.clone(), Arc::clone(&behind), Arc::clone(&newcomer));
            move || {
                assert!(limiter.try_acquire().is_err(), "others wait");
                assert_eq!(poll_shared(&newcomer), Some(Poll::Pending), "to the back of the queue");
                drop_shared(&behind);
                // For the waiter whose waker this was, and the one behind it.
                limiter.refund(2).unwrap();
            }
        });
        let new = Hooked::new();
        assert_eq!(poll(&mut waiter, &new.waker()), Poll::Ready(Ok(())));
        assert_eq!((old.left_to_do(), old.alive(), new.alive()), (0, 0, 0));
        assert!(is_granted(&mut last));
        assert_eq!((limiter.waiting(), limiter.available()), (1, 0));
        clock.advance(SECOND);
        assert_eq!(poll_shared(&newcomer), Some(Poll::Ready(Ok(()))));
        // A waiter that leaves takes others along by its waker.
        let leaves = Hooked::new();
        let leaver = queued_by(&limiter, 1, &leaves.waker());
        let companion = shared(queued(&limiter, 1));
        leaves.then(On::Drop, {
            let companion = Arc::clone(&companion);
            move || drop_shared(&companion)
        });
        drop(leaver);
        assert!(companion.lock().unwrap().is_none());
        clock.advance(SECOND);
        assert_eq!((limiter.waiting(), limiter.available()), (0, 1));
    });
}
