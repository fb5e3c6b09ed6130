//! What is near is taken first: without the clock, and without the word.

use core::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{sync::Arc, thread};

use crate::shares::default_slots;
use crate::{Clock, PerCore, Quota, RateLimiter, shares::MAX_SLOTS};

/// A clock that stands still, and counts how often it is read.
#[derive(Clone, Debug, Default)]
struct Counted(Arc<AtomicU64>);

impl Clock for Counted {
    fn now(&self) -> u64 {
        self.0.fetch_add(1, Relaxed);
        0
    }
}

fn per_core(slots: usize, share: u64) -> (PerCore<Counted>, Counted) {
    let clock = Counted::default();
    let limiter = RateLimiter::with_clock(Quota::per_second(1).with_burst(1_000_000), clock.clone());
    (PerCore::builder(&limiter).slots(slots).share(share).build().unwrap(), clock)
}

fn parked(per_core: &PerCore<Counted>) -> u64 {
    per_core.report().iter().map(|slot| slot.parked.whole()).sum()
}

fn ready<F: Future>(call: F) -> F::Output {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it is there"),
    }
}

/// Each of several threads, whatever slot it has.
#[test]
fn whoever_would_wait_takes_from_its_slot_and_reads_no_clock() {
    let (per_core, clock) = per_core(2, 1_000);
    for _ in 0..8 {
        thread::scope(|scope| {
            scope.spawn(|| {
                per_core.try_acquire().unwrap();
                let (before, readings) = (parked(&per_core), clock.0.load(Relaxed));
                ready(per_core.acquire());
                ready(per_core.acquire_n(2)).unwrap();
                ready(per_core.acquire_within(3, Duration::ZERO)).unwrap();
                per_core.blocking_acquire();
                per_core.blocking_acquire_n(4).unwrap();
                per_core.blocking_acquire_within(5, Duration::ZERO).unwrap();
                per_core.try_acquire_n(6).unwrap();
                assert_eq!(before - parked(&per_core), 22);
                assert_eq!(clock.0.load(Relaxed), readings);
            });
        });
    }
}

#[test]
fn what_is_in_hand_needs_no_clock() {
    let (per_core, clock) = per_core(2, 1_000);
    let mut local = per_core.local();
    local.try_acquire().unwrap();
    let (held, readings) = (local.held().whole(), clock.0.load(Relaxed));
    local.try_acquire().unwrap();
    local.try_acquire_n(2).unwrap();
    ready(local.acquire());
    local.blocking_acquire();
    assert_eq!(held - local.held().whole(), 5);
    assert_eq!(clock.0.load(Relaxed), readings);
}

#[test]
fn there_is_a_slot_for_every_core() {
    let cores = thread::available_parallelism().unwrap().get();
    assert!((cores..2 * cores).contains(&default_slots()) && default_slots().is_power_of_two());
    let most = if cfg!(miri) { 64 } else { MAX_SLOTS };
    assert_eq!(per_core(most, 0).0.report().len(), most);
}
