//! How a waiter comes in, whose alarm it relies on then, and what it leaves to others.

use core::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};
use std::sync::{Arc, atomic::Ordering::Relaxed};

use tokio::runtime::{Builder, Runtime};

use super::{
    alarms::{self, SECOND},
    locked::{self, MS, START},
    rounds::never,
    timer::paused,
    waiters::{Counter, limiter, poll, queued},
};
use crate::{
    Quota,
    queue::{
        AcquireOwned,
        gate::Gate,
        inner::{NEVER, Request},
        rounds::HOLD_NS,
        timer::{Armed, Delay, LONGEST},
    },
};

/// With a thread of its own.
fn threaded() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

/// Others may be about to come back who want it as well. There is nothing to share in none.
#[test]
fn who_is_served_at_once_while_permits_are_short_lets_others_run_first() {
    for (permits, short, rests) in [(1, true, 1), (1, false, 0), (0, true, 0), (0, false, 0)] {
        let (limiter, _clock) = locked::limiter("1000/s burst 5");
        limiter.queue().locked(|locked| {
            // A queue that has left credit: who comes takes a turn.
            locked.tat = locked.now - 1;
            locked.meter.set_linger_until_ns(START + MS);
            if short {
                locked.inner.rounds.fall_short();
                assert_eq!(locked.inner.rounds.hold(0, START, never), None);
            }
        });
        let woken = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut waiter = pin!(limiter.acquire_n(permits));
        for _ in 0..rests {
            assert!(waiter.as_mut().poll(&mut cx).is_pending(), "{permits} {short}");
        }
        assert_eq!(waiter.as_mut().poll(&mut cx), Poll::Ready(Ok(())), "{permits} {short}");
        assert_eq!((woken.count(), limiter.waiting()), (rests, 0), "{permits} {short}");
    }
}

/// What is said without the lock may be out of date.
#[test]
fn nobody_overtakes_who_was_not_reported_yet() {
    let (limiter, _clock) = limiter(3, 2);
    let _first = queued(&limiter, 3);
    limiter.queue().meter.set_queued(0);
    // There is one permit for it, and one for the next.
    let _second = queued(&limiter, 1);
    assert_eq!((limiter.waiting(), limiter.available()), (2, 2));
}

/// When the alarm is set for after one has come who finds others awaited; before that, a runtime with threads of its
/// own keeps it.
fn alarm_of_who_is_held_back(armed: Option<u64>) -> Option<u64> {
    let queue = alarms::queue(Quota::per_second(1_000).burst(5));
    queue.clock.0.store(SECOND, Relaxed);
    queue.locked(|locked| {
        locked.tat = locked.now;
        let rounds = &mut locked.inner.rounds;
        rounds.fall_short();
        assert_eq!(rounds.hold(0, SECOND, never), None);
        (0..2).for_each(|_| rounds.released(SECOND));
        let delay = Delay { due: LONGEST, then: None };
        assert_eq!(locked.inner.timer.arm(delay, Waker::noop(), true), Armed::Pending);
        assert!(locked.inner.timer.is_steady());
        locked.inner.armed = armed;
    });
    let place = Box::pin(queue.place());
    let request = Request { permits: 1.into(), max_wait: None, thread: false, gate: None };
    queue.enter(place.as_ref(), request, Waker::noop(), SECOND).unwrap();
    let (waiting, armed) = (queue.waiting(), queue.inner.lock().armed);
    queue.leave(place.as_ref());
    assert_eq!(waiting, 1, "it is not held back");
    armed
}

/// It rings in time, and is still to ring.
#[test]
fn who_is_held_back_relies_on_an_alarm_that_is_good_enough() {
    let runtime = threaded();
    // By the only thread of the runtime, which does not come to ring any alarm meanwhile.
    let all = runtime.spawn(async {
        let until = SECOND + HOLD_NS;
        for (armed, then) in [
            (None, until),
            (Some(SECOND - 1), until),
            (Some(SECOND), until),
            (Some(SECOND + 1), SECOND + 1),
            (Some(until), until),
            (Some(until + 1), until),
        ] {
            assert_eq!(alarm_of_who_is_held_back(armed), Some(then), "{armed:?}");
        }
    });
    runtime.block_on(all).unwrap();
}

/// The runtime of one further back may be driven no longer than that is polled.
#[test]
fn the_alarm_moves_with_the_head_alone() {
    let queue = alarms::queue(Quota::per_second(1).burst(1).initial(0));
    let [here, there] = [paused(), paused()];
    let acquire = || Box::pin(AcquireOwned::new(Arc::clone(&queue), Ok(1.into()), None));
    let (mut first, mut second) = (acquire(), acquire());
    let wait = |waiter: &mut Pin<Box<AcquireOwned<_>>>| {
        assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    };
    let times = |runtime: &Runtime| queue.inner.lock().timer.fickle() == Some(runtime.handle().id());
    here.block_on(async {
        wait(&mut first);
        wait(&mut second);
    });
    assert!(times(&here));
    there.block_on(async { wait(&mut second) });
    assert!(times(&here));
    // Nor where there is no other.
    wait(&mut first);
    assert!(times(&here));
    there.block_on(async { wait(&mut first) });
    assert!(times(&there));
}

/// Whatever the head is polled by.
#[test]
fn the_alarm_stays_with_a_runtime_that_drives_it_itself() {
    let queue = alarms::queue(Quota::per_hour(1).initial(0));
    let (threads, other) = (threaded(), paused());
    let mut head = Box::pin(AcquireOwned::new(Arc::clone(&queue), Ok(1.into()), None));
    for runtime in [&threads, &other] {
        runtime.block_on(async {
            assert!(head.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        });
        assert!(queue.inner.lock().timer.is_steady());
    }
}

/// Behind one who waits for other limits as well, anybody may be in the way.
#[test]
fn who_leaves_from_behind_a_gate_lets_the_next_pass_it() {
    let (limiter, clock) = locked::limiter("1000/s burst 5 initial 0");
    let queue = limiter.queue();
    let gate = Box::pin(queue.place());
    queue.locked(|locked| {
        let request =
            Request { permits: 1.into(), max_wait: None, thread: false, gate: Some(Gate::default()) };
        let cost = locked.frame.scale.per_permit;
        locked.inner.join(gate.as_ref(), request, cost, NEVER, Waker::noop().clone());
        locked.promise(gate.as_ref(), START + 100 * MS);
    });
    let large = queued(&limiter, 5);
    let mut small = queued(&limiter, 1);
    clock.set(START + MS);
    let before = poll(&mut small);
    drop(large);
    let after = poll(&mut small);
    let waiting = limiter.waiting();
    queue.leave(gate.as_ref());
    assert_eq!((before, after, waiting), (Poll::Pending, Poll::Ready(Ok(())), 1));
}
