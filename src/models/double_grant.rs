//! Claim: a permit is granted once. However many run the hand-off at a time, and whoever takes or gives back
//! beside it, what is granted is what is there; and who sees that it has been granted sees all that the grant
//! left, and may be gone at once, without the lock.

use core::{task::Waker, time::Duration};

use loom::thread;

use super::{ModelClock, SECOND, Waiter, check, poll, queue, queue_of, queued, waiter};
use crate::{Quota, queue::By};

#[test]
fn two_hand_offs_grant_one_permit_once() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(2, 0, &clock);
        let (mut first, mut second) = (queued(&queue, 1), queued(&queue, 1));
        clock.set(SECOND);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || queue.drive(By::Other))
        };
        queue.drive(By::Other);
        other.join().unwrap();
        assert!(poll(&mut first, Waker::noop()));
        assert!(!poll(&mut second, Waker::noop()));
        assert_eq!(queue.waiting(), 1);
    });
}

/// One permit has come, one is given back, and a call that does not wait gets neither.
#[test]
fn time_and_a_refund_grant_one_each() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(3, 0, &clock);
        let mut waiters = [1, 1, 1].map(|n| queued(&queue, n));
        clock.set(SECOND);
        let refund = {
            let queue = queue.clone();
            thread::spawn(move || queue.refund(1.into()))
        };
        let taken = {
            let queue = queue.clone();
            thread::spawn(move || queue.try_take(1.into()).is_ok())
        };
        queue.drive(By::Other);
        refund.join().unwrap();
        assert!(!taken.join().unwrap(), "past those who wait");
        let granted = waiters.each_mut().map(|waiter| poll(waiter, Waker::noop()));
        assert_eq!(granted, [true, true, false]);
        assert_eq!(queue.available(), 0);
    });
}

/// It looks without being woken, so that nothing but GRANTED orders its look after the hand-off.
#[test]
fn who_sees_the_grant_sees_all_of_it() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(1, 0, &clock);
        let mut waiter = queued(&queue, 1);
        clock.set(SECOND);
        let hand_off = {
            let queue = queue.clone();
            thread::spawn(move || queue.drive(By::Other))
        };
        let granted = poll(&mut waiter, Waker::noop());
        if granted {
            drop(waiter);
        } else {
            hand_off.join().unwrap();
            assert!(poll(&mut waiter, Waker::noop()));
            return;
        }
        hand_off.join().unwrap();
        assert_eq!(queue.available(), 0);
    });
}

/// A late timer leaves credit for three; two threads, of two tasks each, take it with and without the lock.
#[test]
fn the_credit_of_a_drained_queue_is_taken_once() {
    check(2, || {
        let clock = ModelClock::new();
        let quota = Quota::per_second(1_000_000).burst(1).initial(0).catch_up(Duration::from_micros(4));
        let queue = queue_of(quota, &clock);
        let mut late = queued(&queue, 1);
        clock.set(4_000);
        queue.drive(By::Other);
        assert!(poll(&mut late, Waker::noop()));

        let served = |waiter: &mut Waiter| poll(waiter, Waker::noop());
        let other = {
            let queue = queue.clone();
            thread::spawn(move || {
                let mut waiters = [waiter(&queue, 1), waiter(&queue, 1)];
                waiters.iter_mut().filter_map(|waiter| served(waiter).then_some(())).count()
            })
        };
        let mut waiters = [waiter(&queue, 1), waiter(&queue, 1)];
        let mine = waiters.iter_mut().filter_map(|waiter| served(waiter).then_some(())).count();
        let others = other.join().unwrap();
        assert_eq!(mine + others, 3);
        drop(waiters);
        assert_eq!((queue.waiting(), queue.available()), (0, 0));
    });
}
