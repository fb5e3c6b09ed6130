//! The steps under the lock on their own, and what they make of the word.

use core::time::Duration;

use super::waiters::{Waiter, queued};
use crate::{
    ManualClock, RateLimiter,
    gcra::MAX_TAT,
    meter::UNTOLD,
    queue::{
        locked::{Next, charged},
        timer::TICK,
    },
    word::Mode,
};

pub(super) const START: u64 = 1_000_000_000_000;
pub(super) const MS: u64 = 1_000_000;

pub(super) fn limiter(quota: &str) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::starting_at(START);
    (RateLimiter::with_clock(quota.parse().unwrap(), clock.clone()), clock)
}

/// What the next but one alarm would be for if these waited, and the first of them was due at its time.
fn after_next(quota: &str, costs: &[u64], rings: bool) -> Option<u64> {
    let (limiter, _clock) = limiter(quota);
    let _waiters: Vec<Waiter<'_>> = costs.iter().map(|&cost| queued(&limiter, cost)).collect();
    limiter.queue().locked(|locked| {
        locked.inner.rings = rings;
        let due_ns =
            locked.frame.instant_of(u128::from(locked.tat + locked.inner.list.front_mut().unwrap().cost));
        let then_ns = locked.after_next(Next::At(due_ns));
        assert_eq!(locked.after_next(Next::Empty), None);
        locked.inner.rings = true;
        then_ns.map(|then_ns| then_ns - START)
    })
}

#[test]
fn the_alarm_after_the_next_is_for_the_second() {
    assert_eq!(TICK.as_nanos(), MS.into());
    assert_eq!(after_next("1000/s burst 5 initial 0", &[1, 1, 1], false), Some(2 * MS));
    assert_eq!(after_next("1000/s burst 5 initial 0", &[1, 2, 1, 1], false), Some(3 * MS));
    // The timer makes it a tick later.
    assert_eq!(after_next("2000/s burst 5 initial 0", &[1, 1, 1, 1], false), Some(MS));
    // All of them are due by then.
    assert_eq!(after_next("1000/s burst 5 initial 0", &[1, 1], false), None);
    assert_eq!(after_next("2000/s burst 5 initial 0", &[1, 1, 1], false), None);
    // An alarm that is precise is set for each.
    assert_eq!(after_next("1000/s burst 5 initial 0", &[1, 1, 1], true), None);
}

#[test]
fn a_newcomer_has_its_turn_after_all_others() {
    let (limiter, _clock) = limiter("1000/s burst 5 initial 0");
    let _waiters = [queued(&limiter, 2), queued(&limiter, 3)];
    limiter.queue().locked(|locked| {
        let cost = locked.frame.scale.per_permit;
        assert_eq!(locked.turn(4 * cost), START + 9 * MS);
        // One that could have come before does not come sooner by that, but for what is made up for.
        locked.floor = locked.tat + cost;
        assert_eq!(locked.turn(4 * cost), START + 10 * MS);
    });
}

/// A timer that was late by no more than a microsecond was in time.
#[test]
fn a_late_timer_leaves_credit_for_as_long_as_is_made_up_for() {
    let (limiter, _clock) = limiter("1000/s burst 5 catch-up 7ms");
    limiter.queue().locked(|locked| {
        for (late_ns, until_ns) in [(0, START), (1_000, START), (1_001, START + 7 * MS)] {
            locked.tat = locked.now - locked.frame.scale.span(late_ns);
            locked.drained();
            assert_eq!(locked.meter.linger_until_ns(), until_ns, "{late_ns}");
        }
    });
}

#[test]
fn credit_lingers_while_there_is_some() {
    for (late, until_ns, lingers) in [
        (1, START + 1, true),
        (0, START + 1, false),
        (1, START, false),
        (1, START - 1, false),
        (0, START, false),
    ] {
        let (limiter, _clock) = limiter("1000/s burst 5 catch-up 7ms");
        let queue = limiter.queue();
        queue.locked(|locked| {
            // Where alarms are precise nobody has to take turns for it.
            locked.inner.rings = true;
            locked.tat = locked.now - late;
            locked.meter.set_linger_until_ns(until_ns);
        });
        let state = queue.meter.word.load();
        assert_eq!(state.is(Mode::Linger), lingers, "{late} {until_ns}");
        assert!(state.is(Mode::Linger) || state.is(Mode::Even));
        // The floor goes back while it does.
        queue.locked(|locked| {
            let back = if lingers { locked.frame.scale.catch_up } else { 0 };
            assert_eq!(locked.now - locked.floor, back, "{late} {until_ns}");
        });
        let later = |now_ns| queue.locked_at(now_ns, |locked| locked.now - locked.floor);
        assert_eq!(later(until_ns.max(START)), 0);
    }
}

#[test]
fn who_has_to_take_turns_finds_the_word_taken() {
    let (limiter, _clock) = limiter("1000/s burst 5 catch-up 7ms");
    let queue = limiter.queue();
    let mode_after = |late, until_ns, holds| {
        queue.locked(|locked| {
            locked.tat = locked.now - late;
            locked.meter.set_linger_until_ns(until_ns);
            locked.inner.holds = holds;
        });
        queue.meter.word.load().mode()
    };
    assert_eq!(mode_after(1, START + 1, 0), Mode::Queued);
    assert_eq!(mode_after(0, START + 1, 0), Mode::Even);
    assert_eq!(mode_after(0, START + 1, 1), Mode::Queued);
    assert_eq!(mode_after(1, START, 0), Mode::Even);
}

/// As far back as a call without the lock can have compared: to where the arrival time was when they were let in.
#[test]
fn calls_without_the_lock_are_noted_once() {
    let (limiter, _clock) = limiter("1000/s burst 5");
    let queue = limiter.queue();
    let noted = || {
        queue.locked(|locked| {
            let slack = &locked.inner.slack;
            let moment = slack.moment();
            (
                moment,
                slack.least_since(0, locked.now),
                slack.least_since(moment.saturating_sub(1), locked.now),
            )
        })
    };
    let cost = queue.locked(|locked| locked.frame.scale.per_permit);
    assert_eq!([noted(), noted()], [(0, u64::MAX, u64::MAX); 2]);
    limiter.try_acquire().unwrap();
    assert_eq!([noted(), noted()], [(1, 0, 0); 2]);
    limiter.try_acquire().unwrap();
    limiter.try_acquire().unwrap();
    assert_eq!(noted(), (2, 0, cost));
    limiter.try_acquire().unwrap();
    assert_eq!(noted(), (3, 0, 3 * cost));
}

#[test]
fn a_reading_is_early_if_the_word_is_further_ahead_than_it_can_be_by_it() {
    let (limiter, _clock) = limiter("1000/s burst 5");
    limiter.queue().locked(|locked| {
        let limit = locked.frame.scale.limit;
        for (debt, ahead, early) in
            [(0, limit, false), (0, limit + 1, true), (9, limit + 9, false), (9, limit + 10, true)]
        {
            locked.meter.set_debt(debt);
            locked.tat = locked.now + ahead;
            assert_eq!(locked.is_early(), early, "{debt} {ahead}");
        }
        locked.tat = locked.now;
    });
}

/// The arrival time may have fallen behind the clock by as much as the least slack, and no more.
#[test]
fn a_grant_goes_back_if_the_arrival_time_was_ahead_by_its_cost_ever_since() {
    for (short, back) in [(0, true), (1, false)] {
        let (limiter, clock) = limiter("1000/s burst 5 catch-up 0s");
        let queue = limiter.queue();
        let first = queue.try_hold(2.into()).unwrap();
        // The second is compared when the first is all that is left, or a nanosecond of it has passed.
        clock.advance(Duration::from_nanos(short));
        queue.try_hold(1.into()).unwrap();
        let held = queue.locked(|locked| locked.hold_for(first));
        assert_eq!((held, queue.locked(|locked| locked.inner.holds)), (back, usize::from(back)));
        let before = queue.meter.word.load().tat();
        assert_eq!(queue.locked(|locked| locked.give_back(first, held)), back);
        let cost = if back { first.cost } else { 0 };
        assert_eq!(before - queue.meter.word.load().tat(), cost);
        assert_eq!(queue.locked(|locked| locked.inner.holds), 0);
    }
}

/// Between the two looks at it, too; and without the first, nothing is known of calls without the lock.
#[test]
fn a_grant_that_was_to_go_back_may_have_become_too_late() {
    for (held, passed_ns, back) in [(true, 0, true), (true, 1, false), (false, 0, false)] {
        let (limiter, clock) = limiter("1000/s burst 5 catch-up 0s");
        let queue = limiter.queue();
        let first = queue.try_hold(2.into()).unwrap();
        if held {
            assert!(queue.locked(|locked| locked.hold_for(first)));
        }
        clock.advance(Duration::from_nanos(passed_ns));
        queue.try_hold(1.into()).unwrap();
        assert_eq!(queue.locked(|locked| locked.give_back(first, held)), back);
        assert_eq!(limiter.available(), if back { 4 } else { 2 });
    }
}

/// So it is with calls without the lock, of which only the least that they can have seen is known.
#[test]
fn calls_without_the_lock_count_from_where_the_arrival_time_was_before() {
    for (passed_ns, back) in [(0, true), (1, false)] {
        let (limiter, clock) = limiter("1000/s burst 5 catch-up 0s");
        let queue = limiter.queue();
        let first = queue.try_hold(2.into()).unwrap();
        limiter.try_acquire().unwrap();
        clock.advance(Duration::from_nanos(passed_ns));
        let held = queue.locked(|locked| locked.hold_for(first));
        assert_eq!(held, back);
        assert_eq!(queue.locked(|locked| locked.give_back(first, held)), back);
        if back {
            // Without it, less was seen.
            assert_eq!(queue.locked(|locked| locked.inner.slack.least_since(first.moment, locked.now)), 0);
        }
    }
}

#[test]
fn a_charge_fits_the_word_or_not() {
    assert_eq!(charged(5, 3, MAX_TAT - 5), Some(MAX_TAT));
    assert_eq!(charged(3, 5, MAX_TAT - 5), Some(MAX_TAT));
    assert_eq!([charged(5, 3, MAX_TAT - 4), charged(1, 0, u64::MAX)], [None; 2]);
}

/// Where a fresh origin offers more, all of that; what is more than either offers changes nothing.
#[test]
fn as_much_can_be_charged_as_is_said() {
    for more in [0, 1] {
        let (limiter, clock) = limiter("1000000000000/s burst 1000000");
        let queue = limiter.queue();
        let horizon_ns = queue.locked(|locked| locked.frame.scale.horizon_ns);
        clock.advance(Duration::from_nanos(horizon_ns / 2));
        queue.locked(|locked| {
            let (most, origin_ns) = (locked.chargeable(), locked.frame.origin_ns);
            assert_eq!(charged(locked.tat, locked.now, most), None);
            assert_eq!(locked.charge(most + more).is_some(), more == 0);
            assert_eq!(locked.frame.origin_ns == origin_ns, more > 0);
        });
    }
}

#[test]
fn a_charge_notes_how_far_beyond_a_burst_it_goes() {
    let (limiter, _clock) = limiter("1000/s burst 5");
    limiter.queue().locked(|locked| {
        let cost = locked.frame.scale.per_permit;
        locked.charge(5 * cost).unwrap();
        assert_eq!(locked.meter.debt(), 0);
        locked.charge(3 * cost).unwrap();
        assert_eq!(locked.meter.debt(), 3 * cost);
        assert!(locked.inner.recheck);
    });
}

/// What newcomers find ahead of them counts it in.
#[test]
fn what_gates_were_promised_is_kept_until_the_last_has_gone() {
    let (limiter, _clock) = limiter("1000/s burst 5");
    let queue = limiter.queue();
    queue.locked(|locked| {
        locked.inner.sum.gates = 1;
        locked.inner.promised_ns = START + 20 * MS;
    });
    // The promise, and a burst that may have come until then.
    queue.locked(|locked| {
        assert_eq!(locked.inner.promised_ns, START + 20 * MS);
        let ahead = locked.inner.ahead(&locked.frame, locked.tat);
        assert_eq!(ahead, 25 * u128::from(locked.frame.scale.per_permit));
    });
    // Who looks without the lock is told that it takes the lock.
    assert_eq!(queue.meter.queued(), UNTOLD);
    queue.locked(|locked| locked.inner.sum.gates = 0);
    assert_eq!((queue.meter.queued(), queue.locked(|locked| locked.inner.promised_ns)), (0, 0));
}
