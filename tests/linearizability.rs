//! Linearizability: whatever several threads do to one limiter at once, and to its clock, there is an order of their
//! calls, each within its own time, in which one after the other gives the very same answers by exact arithmetic.
//!
//! Histories are recorded, and searched for such an order (Wing and Gong 1993). How the threads interleave is up to
//! the machine, so what fails is printed whole: the seed for the calls, and the history, which can be checked again.

#[path = "support/random.rs"]
mod random;

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    task::Waker,
    thread,
    time::Duration,
};

use tidegate::{Clock, Denied, ManualClock, Quota, RateLimiter};

#[path = "linearizability/checker.rs"]
mod checker;
#[path = "linearizability/spec.rs"]
mod spec;
#[path = "linearizability/wrong.rs"]
mod wrong;

use checker::{Entry, History, is_linearizable};
use random::Random;
use spec::{Answer, Call, Spec};

/// How many histories; the environment may ask for more.
fn histories() -> u64 {
    std::env::var("TIDEGATE_HISTORIES").map_or(2_000, |n| n.parse().expect("a number"))
}

/// How often a clock was read.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// A clock that makes its readers slow: between a reading and what is done with it others come in.
#[derive(Clone, Debug)]
struct Slow(ManualClock);

impl Clock for Slow {
    fn now(&self) -> u64 {
        let now = self.0.now();
        // Relaxed: only to have some yield and some not.
        if Random(CALLS.fetch_add(1, Ordering::Relaxed)).below(3) == 0 {
            thread::yield_now();
        }
        now
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        self.0.wake_at(deadline, waker)
    }
}

/// Makes a call, and says what came of it.
fn make(limiter: &RateLimiter<Slow>, call: Call) -> Answer {
    match call {
        Call::Try(n) => match limiter.try_acquire_n(n) {
            Ok(()) => Answer::Done,
            Err(Denied::Never { .. }) => Answer::Never,
            Err(denied) => Answer::Wait(denied.retry_after().expect("not yet").as_nanos() as u64),
        },
        Call::UpTo(most) => Answer::Count(limiter.try_acquire_up_to(most) as i64),
        Call::Charge(n) => Answer::Wait(limiter.charge(n).expect("a small debt").as_nanos() as u64),
        Call::Refund(n) => {
            limiter.refund(n).expect("a small number");
            Answer::Done
        }
        Call::Reset => {
            limiter.reset();
            Answer::Done
        }
        Call::Available => Answer::Count(limiter.available()),
        Call::Advance(ns) => {
            limiter.clock().0.advance(Duration::from_nanos(ns));
            Answer::Done
        }
    }
}

/// The calls of one thread. The first thread moves the clock, and does nothing else.
fn calls(random: &mut Random, thread: usize, one_ns: u64) -> Vec<Call> {
    let call = |random: &mut Random| {
        let n = 1 + random.below(3);
        match random.below(12) {
            _ if thread == 0 => Call::Advance(random.below(12) * one_ns / 4 + random.below(2)),
            0..=4 => Call::Try(n),
            5 => Call::UpTo(n),
            6 | 7 => Call::Charge(n),
            8 | 9 => Call::Refund(n),
            10 => Call::Available,
            _ if n == 1 => Call::Reset,
            _ => Call::Available,
        }
    };
    let count = 2 + random.below(3);
    (0..count).map(|_| call(random)).collect()
}

/// Has several threads make random calls at once.
fn record(seed: u64) -> (Spec, History) {
    let mut random = Random(seed);
    let (permits, period_ns) =
        [(1, 1_000), (3, 1_000), (1_000, 1_000_000_000), (7, 60_000)][seed as usize % 4];
    let burst = 1 + random.below(4);
    let initial = random.below(burst + 1);
    let quota = Quota::new(permits, Duration::from_nanos(period_ns)).burst(burst).initial(initial);
    let limiter = RateLimiter::with_clock(quota, Slow(ManualClock::new()));

    let threads = 3 + random.below(2) as usize;
    let plans: Vec<_> = (0..threads).map(|i| calls(&mut random, i, period_ns / permits)).collect();
    let (ticket, ready) = (AtomicU64::new(0), AtomicUsize::new(0));
    // SeqCst: whoever draws a later ticket does so after all that came before the earlier one.
    let draw = || ticket.fetch_add(1, Ordering::SeqCst);
    let history = thread::scope(|scope| {
        let run = |plan: Vec<Call>| {
            // SeqCst: so that they start as one.
            ready.fetch_add(1, Ordering::SeqCst);
            while ready.load(Ordering::SeqCst) < threads {
                thread::yield_now();
            }
            let entry = |call| {
                let from = draw();
                let answer = make(&limiter, call);
                Entry { call, answer, from, to: draw() }
            };
            plan.into_iter().map(entry).collect()
        };
        let running: Vec<_> = plans.into_iter().map(|plan| scope.spawn(move || run(plan))).collect();
        running.into_iter().map(|thread| thread.join().expect("it panicked")).collect()
    });
    (Spec::new(&quota), history)
}

/// Whether a call of one thread was made while one of another was.
fn overlaps(history: &History) -> bool {
    let meet = |a: &Entry, b: &Entry| a.from < b.to && b.from < a.to;
    history.iter().enumerate().any(|(i, thread)| {
        let others = || history[..i].iter().flatten();
        thread.iter().any(|entry| others().any(|other| meet(entry, other)))
    })
}

#[test]
fn every_history_has_an_order() {
    let (mut calls, mut overlapping) = (0, 0);
    for seed in 0..histories() {
        let (spec, history) = record(seed);
        assert!(is_linearizable(&spec, &history), "seed {seed}, {spec:?}: {history:#?}");
        calls += history.iter().map(Vec::len).sum::<usize>();
        overlapping += usize::from(overlaps(&history));
    }
    println!("{} histories, {calls} calls, {overlapping} histories with calls at the same time", histories());
    assert!(overlapping > 0, "the calls of no two threads have met");
}
