//! Claim: moving the origin of the scale while others take permits admits nothing extra and loses
//! nothing. A caller that decided by the old scale cannot get its word in; nor if the word happens to look
//! the same after the change (ABA).

use loom::thread;

use super::{ModelClock, SECOND, check, queue};

/// Beyond the horizon of the scale of one permit a second.
const BEYOND: u64 = 400 * 365 * 86_400 * SECOND;

#[test]
fn the_origin_moves_under_two_try_calls() {
    check(1, || {
        let clock = ModelClock::new();
        let queue = queue(2, 0, &clock);
        // Both calls find the clock beyond the horizon, or see the old time and are refused by it; the
        // bucket is full by now, and holds two.
        clock.set(BEYOND);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || (0..2).filter(|_| queue.try_take(1.into()).is_ok()).count())
        };
        let mine = (0..2).filter(|_| queue.try_take(1.into()).is_ok()).count();
        let others = other.join().unwrap();
        assert!(mine + others <= 2, "over-admitted: {mine} + {others}");
        let left = usize::try_from(queue.available()).unwrap();
        assert_eq!(mine + others + left, 2, "{mine} + {others} taken");
    });
}
