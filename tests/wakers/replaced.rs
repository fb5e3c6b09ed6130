//! Wakers that are replaced, or not needed any more.

use super::*;

#[test]
fn a_replaced_waker_is_dropped_at_once_outside_the_lock_and_never_woken() {
    never_hangs(|| {
        let (limiter, clock) = limiter(3);
        // At the head, and behind it.
        for behind in [0, 1] {
            let _ahead: Vec<_> = (0..behind).map(|_| queued(&limiter, 1)).collect();
            let (old, new) = (Hooked::new(), Hooked::new());
            let mut waiter = queued_by(&limiter, 1, &old.waker());
            assert_eq!(old.alive(), 1, "the limiter's own");
            old.then(On::Drop, {
                let limiter = limiter.clone();
                move || look_into(&limiter)
            });
            assert!(poll(&mut waiter, &new.waker()).is_pending());
            assert_eq!((old.alive(), old.left_to_do()), (0, 0), "not dropped");
            // The same once more: no other clone is kept.
            assert!(poll(&mut waiter, &new.waker()).is_pending());
            assert_eq!(new.alive(), 1);
            clock.advance(2 * SECOND);
            assert_eq!((old.wakes(), new.wakes(), new.alive()), (0, 1, 0));
            assert!(is_granted(&mut waiter));
            limiter.try_acquire_up_to(u64::MAX);
        }
    });
}

#[test]
fn the_waker_of_a_waiter_that_leaves_is_dropped_outside_the_lock() {
    never_hangs(|| {
        let (limiter, _clock) = limiter(3);
        let looks = || {
            let limiter = limiter.clone();
            Hooked::doing(On::Drop, move || look_into(&limiter))
        };
        let hooked = [looks(), looks(), looks()];
        let mut waiters: Vec<_> = hooked
            .iter()
            .map(|hooked| {
                let mut waiter = Box::pin(limiter.acquire_n_owned(1));
                // Not to be dropped here.
                let waker = std::mem::ManuallyDrop::new(hooked.waker());
                assert!(poll(&mut waiter, &waker).is_pending());
                waiter
            })
            .collect();
        // From the middle, from the front, and the last one.
        for i in [1, 0, 0] {
            drop(waiters.remove(i));
        }
        assert!(hooked.iter().all(|hooked| hooked.left_to_do() == 0 && hooked.wakes() == 0));
        assert_eq!(limiter.waiting(), 0);
    });
}

#[test]
fn a_waker_that_proves_unnecessary_is_dropped_outside_the_lock() {
    never_hangs(|| {
        for within in [false, true] {
            let (limiter, _clock) = limiter(3);
            let hooked = Hooked::new();
            let waker = hooked.waker();
            // The permit comes while the waker is cloned, so that the clone is not needed.
            hooked.then(On::Clone, {
                let limiter = limiter.clone();
                move || limiter.refund(1).unwrap()
            });
            hooked.then(On::Drop, {
                let limiter = limiter.clone();
                move || look_into(&limiter)
            });
            if within {
                let mut waiter = Box::pin(limiter.acquire_within_owned(1, 10 * SECOND));
                assert_eq!(poll(&mut waiter, &waker), Poll::Ready(Ok(())));
            } else {
                let mut waiter = Box::pin(limiter.acquire_n_owned(1));
                assert_eq!(poll(&mut waiter, &waker), Poll::Ready(Ok(())));
            }
            assert_eq!((hooked.alive(), hooked.left_to_do(), hooked.wakes()), (1, 0, 0));
            assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
        }
    });
}
