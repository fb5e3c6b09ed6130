//! Readings of the clock that lie further behind the word than they can by rights.

use core::{
    future::Future,
    task::{Context, Waker},
    time::Duration,
};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::locked::{MS, START, limiter};
use crate::{
    Clock, ManualClock, RateLimiter,
    queue::{
        AcquireOwned, WaitQueue,
        doubt::{Refusal, Seen},
        locked::Locked,
    },
};

/// Of a thousand a second and five at once, all taken: it takes 5 ms to fill, and a reading may differ by 1 ms.
const QUOTA: &str = "1000/s burst 5";

/// That arrival time by the frame there is.
fn seen<C>(queue: &WaitQueue<C>, tat: u64) -> Seen {
    Seen { tat, edition: queue.meter.published.edition() }
}

/// What a request that is due then is told at this reading, if that arrival time was seen before.
fn refuse<C: Clock>(queue: &WaitQueue<C>, now_ns: u64, due_ns: u64, tat: Option<u64>) -> Refusal {
    let seen = tat.map(|tat| seen(queue, tat));
    queue.locked_at(now_ns, |locked| locked.refuse_at(due_ns, seen))
}

#[test]
fn a_clock_is_doubted_by_a_reading_from_after_the_word_was_seen() {
    let (limiter, _clock) = limiter(QUOTA);
    limiter.try_acquire_n(5).unwrap();
    let queue = limiter.queue();
    let tat = queue.meter.word.load().tat();
    // Not behind by more than it may be.
    assert_eq!(refuse(queue, START - MS, START + 7, None), Refusal::Until(START + 7));
    for known in [None, Some(tat - 1)] {
        assert_eq!(refuse(queue, START - 10 * MS, START + 7, known), Refusal::Unsure(seen(queue, tat)));
        assert!(!queue.meter.doubted());
    }
    // To be followed when it has gone on for as long as it takes to fill, and a difference of readings.
    let trusted = Refusal::Until(START - 4 * MS);
    assert_eq!(refuse(queue, START - 10 * MS, START + 7, Some(tat)), trusted);
    assert!(queue.meter.doubted());
    // The doubt stands, whatever has been seen, and is no younger for that.
    assert_eq!(refuse(queue, START - 5 * MS, START + 7, None), trusted);
    assert_eq!(refuse(queue, START - 5 * MS, START - 5 * MS + 1, None), Refusal::Until(START - 5 * MS + 1));
    // A reading from before it knows nothing of it.
    assert_eq!(refuse(queue, START - 10 * MS - 1, START + 7, None), Refusal::Unsure(seen(queue, tat)));
}

#[test]
fn a_doubt_is_dropped_by_a_reading_that_is_not_behind() {
    let (limiter, _clock) = limiter(QUOTA);
    limiter.try_acquire_n(5).unwrap();
    let queue = limiter.queue();
    let tat = queue.meter.word.load().tat();
    refuse(queue, START - 10 * MS, START, Some(tat));
    assert_eq!(refuse(queue, START, START + 7, None), Refusal::Until(START + 7));
    assert!(!queue.meter.doubted());
    assert_eq!(refuse(queue, START - 10 * MS, START, None), Refusal::Unsure(seen(queue, tat)));
}

#[test]
fn a_doubt_stands_while_the_word_is_what_it_was() {
    for change in [1, 0] {
        let (limiter, _clock) = limiter(QUOTA);
        limiter.try_acquire_n(5).unwrap();
        let queue = limiter.queue();
        let tat = queue.meter.word.load().tat();
        refuse(queue, START - 10 * MS, START, Some(tat));
        queue.locked_at(START - 9 * MS, |locked| locked.tat -= change);
        let told = refuse(queue, START - 9 * MS, START + 7, None);
        let expected = if change > 0 {
            Refusal::Unsure(seen(queue, tat - change))
        } else {
            Refusal::Until(START - 4 * MS)
        };
        assert_eq!(told, expected);
    }
}

/// After a small step the word is in its rights again before the clock would be followed.
#[test]
fn a_small_step_back_is_waited_out() {
    let (limiter, _clock) = limiter(QUOTA);
    limiter.try_acquire_n(5).unwrap();
    let queue = limiter.queue();
    let tat = queue.meter.word.load().tat();
    assert_eq!(refuse(queue, START - 3 * MS, START + 70 * MS, Some(tat)), Refusal::Until(START + 70 * MS));
    assert!(queue.meter.doubted());
}

/// The bucket is taken to have been empty when the doubt arose, and deepest in debt.
#[test]
fn a_clock_that_has_been_behind_for_long_is_followed() {
    for (debt, since, level) in [(0, 6, 6), (2, 8, 6), (2, 9, 7)] {
        let (limiter, _clock) = limiter(QUOTA);
        limiter.try_acquire_n(5).unwrap();
        if debt > 0 {
            limiter.charge(debt).unwrap();
        }
        let queue = limiter.queue();
        let tat = queue.meter.word.load().tat();
        let then = START - 100 * MS;
        refuse(queue, then, START, Some(tat));
        let trusted = then + (5 + debt + 1) * MS;
        assert_eq!(refuse(queue, trusted - 1, START, None), Refusal::Until(trusted));
        assert_eq!(queue.meter.word.load().tat(), tat, "left as it is until then");
        queue.locked_at(then + since * MS, |locked| {
            assert_eq!(locked.refuse_at(START, None), Refusal::Settled);
            let cost = locked.frame.scale.per_permit;
            assert_eq!((locked.now + locked.frame.scale.limit - locked.tat) / cost, level, "{debt} {since}");
            assert!(!locked.is_behind());
        });
        assert!(!queue.meter.doubted());
    }
}

/// All taken, and the clock has stepped back by a second, as somebody has seen: the queue, and when that was.
fn doubted(limiter: &RateLimiter<ManualClock>) -> (&WaitQueue<ManualClock>, u64) {
    limiter.try_acquire_n(5).unwrap();
    let (queue, then_ns) = (limiter.queue(), START - 1_000 * MS);
    let tat = queue.meter.word.load().tat();
    assert_eq!(refuse(queue, then_ns, START, Some(tat)), Refusal::Until(then_ns + 6 * MS));
    (queue, then_ns)
}

/// What those are told who know nothing of the word: when the clock is followed, while it is doubted.
fn told<C: Clock>(queue: &WaitQueue<C>, now_ns: u64) -> Option<u64> {
    match refuse(queue, now_ns, START + 70 * MS, None) {
        Refusal::Until(until_ns) => Some(until_ns),
        Refusal::Unsure(_) => None,
        Refusal::Settled => panic!("followed"),
    }
}

#[test]
fn what_has_come_in_doubt_is_a_burst_at_the_most() {
    let (limiter, _clock) = limiter(QUOTA);
    let (queue, then_ns) = doubted(&limiter);
    let come = |now_ns| {
        queue.locked_at(now_ns, |locked| {
            let permit = locked.frame.scale.per_permit;
            locked.come_in_doubt().map(|come| (come / permit, come % permit))
        })
    };
    assert_eq!(
        [0, 3, 5, 7].map(|ms| come(then_ns + ms * MS)),
        [0, 3, 5, 5].map(|permits| Some((permits, 0)))
    );
    // By a reading from before it, and by one that is not behind.
    assert_eq!([then_ns - 1, START].map(come), [None; 2]);
}

#[test]
fn a_doubt_goes_on_with_what_those_make_of_the_word_who_know_of_it() {
    let changes: [fn(&mut Locked<'_>, u64); 4] = [
        |locked, permit| locked.tat -= permit,
        |locked, permit| locked.tat += 7 * permit,
        |locked, permit| locked.restart(locked.now_ns, 70 * permit as i64),
        // Not behind.
        |locked, permit| locked.restart(locked.now_ns, 6 * permit as i64),
    ];
    for (case, change) in changes.into_iter().enumerate() {
        let (limiter, _clock) = limiter(QUOTA);
        let (queue, then_ns) = doubted(&limiter);
        queue.locked_at(then_ns + 2 * MS, |locked| {
            let permit = locked.frame.scale.per_permit;
            locked.keep_doubting(|locked| change(locked, permit));
            assert_eq!(locked.is_behind(), case < 3, "{case}");
        });
        assert_eq!(queue.meter.doubted(), case < 3, "{case}");
        if case < 3 {
            assert_eq!(told(queue, then_ns + 3 * MS), Some(then_ns + 6 * MS), "{case}");
        }
    }
}

/// Of another quota, so much time has passed as brings what has come: rather a nanosecond less.
#[test]
fn a_doubt_goes_on_by_what_has_come_since() {
    for (come, expected) in [(Some(3), Some(3)), (Some(0), Some(6)), (None, None)] {
        let (limiter, _clock) = limiter(QUOTA);
        let (queue, then_ns) = doubted(&limiter);
        let now_ns = then_ns + 2 * MS;
        queue.locked_at(now_ns, |locked| {
            let permit = locked.frame.scale.per_permit;
            locked.doubt_since(come.map(|come| come * permit));
        });
        let later = u64::from(come.is_some_and(|come| come > 0));
        assert_eq!(told(queue, now_ns), expected.map(|ms| now_ns + ms * MS + later), "{come:?}");
    }
}

/// By the new one, what has come is as many permits as by the old one, from the deepest debt on.
#[test]
fn a_doubt_goes_on_by_another_quota() {
    for (debt, trusted_ms) in [(0, 9), (2, 13)] {
        let (limiter, clock) = limiter(QUOTA);
        limiter.try_acquire_n(5).unwrap();
        limiter.charge(debt).unwrap();
        let (queue, then_ns) = (limiter.queue(), START - 1_000 * MS);
        let tat = queue.meter.word.load().tat();
        refuse(queue, then_ns, START, Some(tat));
        let origin_ns = queue.locked(|locked| locked.frame.origin_ns);
        // Two have come; another takes two milliseconds from here on.
        clock.set(then_ns + 2 * MS);
        limiter.set_quota("500/s burst 5".parse().unwrap()).unwrap();
        assert_ne!(queue.locked(|locked| locked.frame.origin_ns), origin_ns);
        assert_eq!(told(queue, then_ns + 2 * MS), Some(then_ns + trusted_ms * MS + 1), "{debt}");
    }
}

/// Whoever calls last looks at the clock, whatever the call is.
#[test]
fn calls_that_take_what_they_find_follow_a_clock_too() {
    let (limiter, clock) = limiter(QUOTA);
    limiter.try_acquire_n(5).unwrap();
    clock.set(START - 100 * MS);
    assert_eq!(limiter.try_acquire_up_to(7), 0);
    clock.advance(Duration::from_nanos(6 * MS - 1));
    assert_eq!(limiter.try_acquire_up_to(7), 0);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(limiter.try_acquire_up_to(7), 5);
}

#[test]
fn a_charge_follows_a_clock_too() {
    let (limiter, clock) = limiter(QUOTA);
    limiter.try_acquire_n(5).unwrap();
    clock.set(START - 100 * MS);
    assert!(limiter.try_acquire().is_err());
    clock.advance(Duration::from_millis(6));
    assert_eq!((limiter.charge(1), limiter.available()), (Ok(Duration::ZERO), 4));
}

/// A clock that steps back by 100 ms after so many readings, and keeps the latest alarm, which does not ring.
#[derive(Debug)]
struct Leap {
    now_ns: AtomicU64,
    readings: AtomicUsize,
    alarm_ns: AtomicU64,
}

impl Clock for Leap {
    fn now(&self) -> u64 {
        let now_ns = self.now_ns.load(Relaxed);
        if self.readings.load(Relaxed) > 0 && self.readings.fetch_sub(1, Relaxed) == 1 {
            self.now_ns.store(now_ns - 100 * MS, Relaxed);
        }
        now_ns
    }

    fn wake_at(&self, deadline: u64, _: &Waker) -> bool {
        self.alarm_ns.store(deadline, Relaxed);
        true
    }
}

/// One is going to wait by such a clock.
fn leaping() -> (RateLimiter<Leap>, AcquireOwned<Leap>) {
    let clock = Leap { now_ns: START.into(), readings: 0.into(), alarm_ns: 0.into() };
    let limiter = RateLimiter::with_clock("1000/s burst 5 initial 0".parse().unwrap(), clock);
    let waiter = limiter.acquire_owned();
    (limiter, waiter)
}

/// Those who wait have been looked after when the clock steps back, and are once more.
#[test]
fn who_is_refused_after_a_step_back_moves_the_alarm_of_those_who_wait() {
    let (limiter, waiter) = leaping();
    let mut waiter = Box::pin(waiter);
    assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let queue = limiter.queue();
    let alarm_ns = || queue.clock.alarm_ns.load(Relaxed);
    assert_eq!(alarm_ns(), START + MS);
    queue.clock.readings.store(1, Relaxed);
    let refused = queue.try_hold(1.into()).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(6)));
    assert_eq!(alarm_ns(), START - 94 * MS, "when the clock is followed");
}

#[test]
fn who_only_looks_after_a_step_back_moves_the_alarm_of_those_who_wait() {
    let (limiter, waiter) = leaping();
    let mut waiter = Box::pin(waiter);
    assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let queue = limiter.queue();
    queue.clock.now_ns.store(START - 100 * MS, Relaxed);
    assert!(limiter.available() < 0);
    assert_eq!(queue.clock.alarm_ns.load(Relaxed), START - 94 * MS, "when the clock is followed");
}
