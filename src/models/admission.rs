//! Claim: however try calls of several threads interleave, exactly the permits of the level are admitted,
//! and none is lost.

use loom::thread;

use super::{ModelClock, check, queue};

#[test]
fn two_threads_share_a_burst_of_three() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(3, 3, &clock);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || (0..2).filter(|_| queue.try_take(1.into()).is_ok()).count())
            })
            .collect();
        let admitted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(admitted, 3);
        assert_eq!(queue.available(), 0);
    });
}

#[test]
fn a_large_request_is_all_or_nothing() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(3, 3, &clock);
        let large = {
            let queue = queue.clone();
            thread::spawn(move || queue.try_take(3.into()).is_ok())
        };
        let small = queue.try_take(1.into()).is_ok();
        let large = large.join().unwrap();
        assert!(small != large, "one of the two fits: small {small}, large {large}");
        assert_eq!(queue.available(), if large { 0 } else { 2 });
    });
}

#[test]
fn a_charge_and_a_refund_both_count() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(5, 2, &clock);
        let charge = {
            let queue = queue.clone();
            thread::spawn(move || queue.charge(4.into()).unwrap())
        };
        queue.refund(1.into());
        charge.join().unwrap();
        assert_eq!(queue.available(), -1);
    });
}

#[test]
fn as_many_as_are_there_are_taken_in_one_step() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(2, 2, &clock);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || queue.try_take_up_to(2))
        };
        let mine = queue.try_take_up_to(2);
        let others = other.join().unwrap();
        assert!([(2, 0), (0, 2)].contains(&(mine, others)), "{mine} and {others}");
        assert_eq!(queue.available(), 0);
    });
}
