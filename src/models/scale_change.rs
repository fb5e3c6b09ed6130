//! Claim: moving the origin of the scale while others take permits admits nothing extra and loses
//! nothing. A caller that decided by the old scale cannot get its word in; nor if the word happens to look
//! the same after the change (ABA). Nor does a refusal go by the word from before and the scale from after.

use std::sync::Arc;

use loom::thread;

use super::{ModelClock, SECOND, check, queue};
use crate::{
    Inherit, Quota,
    gcra::Scale,
    meter::{Fast, Meter, Taken},
    published::{Frame, SeqLock},
    word::{Mode, State},
};

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

/// A scale by which the present is far ahead of what the next one counts from: whoever decided by it and changed the
/// word all the same would leave it in nobody's reach until that is undone.
#[test]
fn a_call_by_the_scale_before_leaves_the_word_alone() {
    const NOW: u64 = 1_000 * SECOND;
    check(2, || {
        let scale = Scale::new(&Quota::per_second(1).burst(2)).unwrap();
        let meter = Arc::new(Meter::new(Frame { origin_ns: 0, scale }, 0));
        let other = {
            let meter = meter.clone();
            thread::spawn(move || meter.take_at_once(1.into(), NOW))
        };
        // As the holder of the queue's lock would.
        let taken = meter.word.freeze().tat() > 0;
        let (frame, now) = Frame::at(scale, NOW);
        let tat = now + if taken { scale.per_permit } else { 0 };
        meter.published.publish(frame, || {});
        meter.word.thaw(State::new(tat, Mode::Odd));
        let then = meter.word.load().tat();
        assert!(then <= now + scale.per_permit, "{then}, and now is {now}");
        // It is in the word and known to be, or it is not: nothing is taken twice, or given back.
        let outcome = other.join().unwrap();
        assert!(matches!(outcome, Ok(()) | Err(None)), "{outcome:?}");
        assert_eq!(meter.word.load().tat(), if outcome.is_ok() { now + scale.per_permit } else { now });
    });
}

/// After two changes the word is the same, but a permit a thousandth of what it was: whoever decided by the first scale
/// and gets its word in all the same is told to take it back.
#[test]
fn a_word_that_looks_the_same_after_two_changes_is_not_taken_for_it() {
    check(2, || {
        let [slow, fast] = [1, 1_000].map(|n| Scale::new(&Quota::per_second(n).burst(2)).unwrap());
        let frame = |scale| Frame { origin_ns: 0, scale };
        let meter = Arc::new(Meter::new(frame(slow), 0));
        let other = {
            let meter = meter.clone();
            thread::spawn(move || meter.take_at_once(1.into(), 0))
        };
        let mut taken = false;
        for (scale, mode) in [(slow, Mode::Odd), (fast, Mode::Even)] {
            taken |= meter.word.freeze().tat() > 0;
            meter.published.publish(frame(scale), || {});
            meter.word.thaw(State::new(0, mode));
        }
        let outcome = other.join().unwrap();
        let tat = meter.word.load().tat();
        match outcome {
            Ok(()) if taken => assert_eq!(tat, 0),
            Ok(()) => assert_eq!(tat, fast.per_permit),
            Err(None) => assert_eq!(tat, 0),
            // In time, and then held up until both changes were over: it cannot know, and nobody gets what it took.
            Err(Some(step)) if taken => assert_eq!((step, tat), ((0, slow.per_permit), 0)),
            // By the first scale, or by what it read while that was being replaced.
            Err(Some(step)) => assert_eq!(step, (0, tat)),
        }
    });
}

/// A full bucket before the change, and after: the word is the same, though a permit is a thousandth of what it was.
/// Without any preemption: values that are out of date are what it takes.
#[test]
fn a_word_that_looks_the_same_deceives_nobody() {
    check(0, || {
        let clock = ModelClock::new();
        let queue = queue(2, 2, &clock);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || queue.try_take(1.into()).unwrap())
        };
        queue.set_quota(Quota::per_second(1_000).burst(2), Inherit::Reset).unwrap();
        other.join().unwrap();
        // It was taken before the reset, or after.
        let left = queue.available();
        assert!(left == 2 || left == 1, "{left} left");
    });
}

/// Who is refused makes no exchange that could fail when the word is of the same parity again, after two changes. By the
/// first scale a permit comes after half a millisecond, by the second after a second, and by the third there are two.
#[test]
fn a_refusal_is_not_by_a_word_and_the_scale_after_the_next() {
    check(2, || {
        let scale = |rate, burst| Scale::new(&Quota::per_second(rate).burst(burst)).unwrap();
        let frame = |scale| Frame { origin_ns: 0, scale };
        let [first, second, third] = [scale(2_000, 3), scale(1, 3), scale(1_000, 2)];
        let meter = Arc::new(Meter::new(frame(first), first.limit));
        let other = {
            let meter = meter.clone();
            thread::spawn(move || match meter.take(1.into(), 0) {
                Fast::Done(Taken::NotBefore(tick, _), frame) => Some(frame.instant(tick)),
                _ => None,
            })
        };
        for (scale, tat, mode) in [(second, second.limit, Mode::Odd), (third, 0, Mode::Even)] {
            meter.word.freeze();
            meter.published.publish(frame(scale), || meter.word.thaw(State::new(tat, Mode::Queued)));
            meter.word.thaw(State::new(tat, mode));
        }
        if let Some(due_ns) = other.join().unwrap() {
            assert!(due_ns == 500_000 || due_ns == SECOND, "{due_ns}");
        }
    });
}

/// The smallest of them: the sequence lock alone, with two numbers that belong together.
#[test]
fn numbers_that_belong_together_are_read_together() {
    check(3, || {
        let lock = Arc::new(SeqLock::new([1, 10]));
        let other = {
            let lock = lock.clone();
            thread::spawn(move || {
                let number = lock.begin()?;
                let values = lock.values();
                (lock.since(number) == 0).then_some((number, values))
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
