//! Claim: QUEUED is set and cleared rightly. Once nobody is at it, it is set exactly if somebody waits; and the
//! arrival time is then the exact sum of all that was taken and given back, so that no change of the word, with
//! the lock or without, has overwritten another.

use core::task::Waker;
use std::sync::Arc;

use loom::thread;

use super::{ModelClock, SECOND, check, poll, queue, queued};
use crate::{
    Permits,
    queue::{By, WaitQueue},
    shares::tests::park,
    word::Mode,
};

/// Nobody is at it: what the word says by right, at `taken` permits taken since the bucket was full at time zero,
/// when `waiting` permits are asked for.
fn assert_quiet(queue: &WaitQueue<ModelClock>, taken: u64, waiting: u64) {
    let (word, asked, per_permit) = queue.word();
    assert_eq!(word.tat(), taken * per_permit, "{word:?}");
    assert_eq!(word.is(Mode::Queued), waiting > 0, "{word:?}");
    assert!(!word.is(Mode::Linger), "{word:?}");
    assert_eq!(asked, waiting * per_permit);
    assert_eq!(queue.waiting() > 0, waiting > 0);
}

fn try_take(queue: &Arc<WaitQueue<ModelClock>>) -> thread::JoinHandle<u64> {
    let queue = queue.clone();
    thread::spawn(move || u64::from(queue.try_take(1.into()).is_ok()))
}

#[test]
fn one_comes_as_the_last_is_granted() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(2, 0, &clock);
        let mut first = queued(&queue, 1);
        clock.set(SECOND);
        let hand_off = {
            let queue = queue.clone();
            thread::spawn(move || queue.drive(By::Other))
        };
        let second = queued(&queue, 1);
        hand_off.join().unwrap();
        assert!(poll(&mut first, Waker::noop()));
        assert_quiet(&queue, 3, 1);
        drop(second);
        assert_quiet(&queue, 3, 0);
    });
}

#[test]
fn the_last_leaves_as_another_tries() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(2, 0, &clock);
        let waiter = queued(&queue, 2);
        clock.set(SECOND);
        let other = try_take(&queue);
        drop(waiter);
        let taken = other.join().unwrap();
        assert_quiet(&queue, 2 + taken, 0);
    });
}

#[test]
fn one_comes_as_another_tries() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(2, 1, &clock);
        let other = try_take(&queue);
        let refund = {
            let queue = queue.clone();
            thread::spawn(move || queue.refund(1.into()))
        };
        let mut waiter = super::waiter(&queue, 2);
        let granted = poll(&mut waiter, Waker::noop());
        let taken = other.join().unwrap();
        refund.join().unwrap();
        let granted = granted || poll(&mut waiter, Waker::noop());
        // One was taken at first; what was given back went to one of them, or to nobody yet.
        assert!(!(granted && taken == 1), "three of two");
        assert_quiet(&queue, taken + 2 * u64::from(granted), if granted { 0 } else { 2 });
    });
}

/// QUEUED is held while a grant is on its way back.
#[test]
fn two_grants_go_back_as_another_tries() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(4, 0, &clock);
        let (first, second) = (queued(&queue, 1), queued(&queue, 1));
        clock.set(2 * SECOND);
        queue.drive(By::Other);
        let other = try_take(&queue);
        let leaves = thread::spawn(move || drop(first));
        drop(second);
        leaves.join().unwrap();
        let taken = other.join().unwrap();
        assert_quiet(&queue, 4 + taken, 0);
    });
}

/// Who has taken one permit from the word knows that nobody waits, and takes the other from where it is parked.
#[test]
fn who_takes_after_the_last_was_granted_takes_what_is_parked() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(16, 0, &clock);
        let slots = queue.attach(1);
        let waiter = queued(&queue, 2);
        park(&slots.all()[0], 2 * Permits::MILLION, 0, 0);
        clock.set(3 * SECOND);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || queue.try_take_up_to(2))
        };
        queue.drive(By::Other);
        let taken = other.join().unwrap();
        assert!(taken == 0 || taken == 2, "{taken} taken");
        drop(waiter);
    });
}
