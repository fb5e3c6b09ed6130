//! Claim: a call that loaded the word before a publication takes nothing by the old frame after it, because the numbers
//! of the word never repeat. No call is refused or answered by a word of one frame and the numbers of another.

use std::sync::Arc;

use loom::thread;

use super::{ModelClock, SECOND, check, limiter};
use crate::{
    Inherit, NotYet, Quota,
    frame::Frame,
    gcra::Scale,
    lane::Lane,
    meter::{Meter, Taken, Thaw},
    seq_lock::SeqLock,
    sync::Mutex,
    word::State,
};

/// Beyond the horizon of the frame of one permit a second.
const BEYOND: u64 = 400 * 365 * 86_400 * SECOND;

fn scale(rate: u64, burst: u64) -> Scale {
    Scale::new(&Quota::per_second(rate).with_burst(burst)).unwrap()
}

/// The thaw of a lock holder without waiters and without debt.
fn thaw(tat: u64, frame: Option<Frame>) -> Thaw {
    let state = State::new(tat, false, false);
    Thaw { frame, state, now_ns: 0, in_debt: false, credit_until_ns: 0, queued: [0; Lane::COUNT] }
}

/// Publishes the next frame, as the lock holder would, with so many permits available. Returns whether the word has
/// changed since it was `left`.
fn publish(meter: &Meter, scale: Scale, level: u64, now_ns: u64, left: &mut u64) -> bool {
    let tat = meter.freeze().tat();
    let changed = tat != *left;
    let ahead = scale.limit - level * scale.per_permit;
    let (frame, now) = Frame::next(scale, now_ns, tat.max(*left), ahead);
    *left = now + ahead;
    meter.thaw(&thaw(*left, Some(frame)));
    changed
}

/// The bucket is full by each frame. So if the numbers began anew, the TAT would be the same in each. A permit of the
/// second frame costs a thousandth of a permit of the first and the third.
#[test]
fn a_call_by_the_frame_before_takes_nothing() {
    check(0, || {
        let [slow, fast] = [scale(1, 2), scale(1_000, 2)];
        let (frame, now) = Frame::first(slow, 0);
        let meter = Arc::new(Meter::new(&frame, now));
        let other = {
            let meter = meter.clone();
            thread::spawn(move || meter.draw(1.into(), 0, 0))
        };
        let mut left = now;
        let taken = publish(&meter, fast, 2, 0, &mut left) | publish(&meter, slow, 2, 0, &mut left);
        let outcome = other.join().unwrap();
        let then = meter.bits() >> 2;
        match outcome {
            // The model's level after a publication does not take account of it.
            Taken::Yes(0) if taken => assert_eq!(then, left),
            Taken::Yes(0) => assert_eq!(then, left + slow.per_permit),
            // A publication came between.
            Taken::Slow => assert_eq!(then, left),
            refused => panic!("{refused:?}, and there were two"),
        }
    });
}

/// By the first frame a permit comes after half a millisecond, by the second after a second. By the third two are
/// available.
#[test]
fn a_refusal_is_not_by_a_word_and_a_later_frame() {
    check(0, || {
        let [first, second, third] = [scale(2_000, 3), scale(1, 3), scale(1_000, 2)];
        let (frame, now) = Frame::first(first, 0);
        let meter = Arc::new(Meter::new(&frame, now + first.limit));
        let other = {
            let meter = meter.clone();
            thread::spawn(move || meter.draw(1.into(), 0, 0))
        };
        let mut left = now + first.limit;
        publish(&meter, second, 0, 0, &mut left);
        publish(&meter, third, 2, 0, &mut left);
        match other.join().unwrap() {
            Taken::NotYet(wait) => {
                assert!([500_000, SECOND].map(NotYet::after_ns).contains(&wait), "{wait}");
            }
            Taken::Yes(0) | Taken::Slow => {}
            Taken::Yes(more) => panic!("{more} more"),
        }
    });
}

/// A report makes no exchange that could fail. By the first frame four permits are available. Read by that frame, the
/// used permits of the second frame would be almost none, and would not look like a step back of the clock.
#[test]
fn a_report_is_by_one_frame() {
    check(0, || {
        let [slow, fast] = [scale(1, 4), scale(1_000, 4)];
        let (frame, now) = Frame::first(slow, 0);
        let mut left = now;
        let meter = Arc::new(Meter::new(&frame, left));
        let other = {
            let meter = meter.clone();
            thread::spawn(move || {
                let snapshot = meter.snapshot(0)?;
                let scale = *snapshot.frame.scale();
                Some((scale.level(snapshot.tat, snapshot.now), scale.per_permit as i64))
            })
        };
        publish(&meter, fast, 1, 0, &mut left);
        publish(&meter, slow, 2, 0, &mut left);
        if let Some(told) = other.join().unwrap() {
            let levels = [(4, slow), (1, fast), (2, slow)];
            let levels =
                levels.map(|(n, Scale { per_permit, .. })| (n * per_permit as i64, per_permit as i64));
            assert!(levels.contains(&told), "{told:?}");
        }
    });
}

/// One lock holder publishes. The next lock holder, on another thread, changes the word and publishes nothing. So only
/// the word leads a reader to the frame.
#[test]
fn a_word_of_the_next_lock_holder_is_not_read_by_an_older_frame() {
    check(0, || {
        let [slow, fast] = [scale(1, 4), scale(1_000, 4)];
        let (frame, now) = Frame::first(slow, 0);
        let meter = Arc::new(Meter::new(&frame, now));
        // The TAT that the last thaw left.
        let lock = Arc::new(Mutex::new(now));
        let next = {
            let (meter, lock) = (meter.clone(), lock.clone());
            thread::spawn(move || {
                let left = lock.lock();
                if *left != now {
                    meter.freeze();
                    meter.thaw(&thaw(*left - fast.per_permit, None));
                }
            })
        };
        let reader = {
            let meter = meter.clone();
            thread::spawn(move || {
                let snapshot = meter.snapshot(0)?;
                let scale = *snapshot.frame.scale();
                Some((scale.level(snapshot.tat, snapshot.now), scale.per_permit as i64))
            })
        };
        {
            let mut left = lock.lock();
            publish(&meter, fast, 1, 0, &mut left);
        }
        next.join().unwrap();
        if let Some((level, per_permit)) = reader.join().unwrap() {
            let whole = level % per_permit == 0;
            let scale = [slow, fast].map(|scale| scale.per_permit as i64);
            assert!(whole && scale.contains(&per_permit), "{level} of {per_permit}");
        }
    });
}

/// A full bucket before the change, and after.
#[test]
fn a_call_beside_a_change_and_a_reset_takes_one() {
    check(0, || {
        let limiter = limiter(2, 2, &ModelClock::new());
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire().unwrap())
        };
        limiter.set_quota_with(Quota::per_second(1_000).with_burst(2), Inherit::Reset).unwrap();
        other.join().unwrap();
        // The call took its permit before the reset, or after it.
        let left = limiter.available();
        assert!(left == 2 || left == 1, "{left} left");
    });
}

#[test]
fn the_origin_moves_under_two_calls() {
    check(1, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        // Each thread finds the clock beyond the horizon, or sees the old time and is refused by it. The bucket is
        // full by now, and holds two permits.
        clock.set(BEYOND);
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || (0..2).filter(|_| limiter.try_acquire().is_ok()).count())
        };
        let mine = (0..2).filter(|_| limiter.try_acquire().is_ok()).count();
        let others = other.join().unwrap();
        assert!(mine + others <= 2, "over-admitted: {mine} + {others}");
        let left = usize::try_from(limiter.available()).unwrap();
        assert_eq!(mine + others + left, 2, "{mine} + {others} taken");
    });
}

/// The sequence lock alone, with two numbers that belong together.
#[test]
fn numbers_that_belong_together_are_read_together() {
    check(3, || {
        let lock = Arc::new(SeqLock::new([1, 10]));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || {
                let number = lock.begin()?;
                let values = lock.values();
                lock.is_current(number).then_some((number, values))
            })
        };
        for n in [2, 3] {
            lock.replace([n, n * 10], || {});
        }
        if let Some((number, [n, tens])) = other.join().unwrap() {
            assert_eq!([n, tens], [number / 2 + 1, (number / 2 + 1) * 10]);
        }
    });
}
