//! What the lock guards, on its own.

use core::{pin::pin, task::Waker};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Wake,
};

use super::locked::{START, limiter};
use crate::{
    Quota,
    gcra::Scale,
    queue::inner::{Grant, Inner, Keeper, NEVER, Request},
};

/// Which one was woken last; a waker need not be equal to its clone.
struct Numbered(usize, Arc<AtomicUsize>);

impl Wake for Numbered {
    fn wake(self: Arc<Self>) {
        self.1.store(self.0, Relaxed);
    }
}

#[test]
fn a_grant_costs_as_many_permits_by_another_scale() {
    let scale = |per_permit| Scale { per_permit, ..Scale::new(&Quota::per_second(1)).unwrap() };
    let grant = |cost, per_permit| Grant { cost, per_permit, moment: 0 };
    assert_eq!(grant(700, 100).cost_by(&scale(100)), 700);
    assert_eq!(grant(700, 100).cost_by(&scale(30)), 210);
    assert_eq!(grant(705, 100).cost_by(&scale(30)), 211, "rounded down");
    assert_eq!(grant(u64::MAX, 1).cost_by(&scale(2)), u64::MAX);
}

/// The one that keeps it, or else the first that could.
#[test]
fn a_thread_that_waits_keeps_the_time() {
    let (limiter, _clock) = limiter("1/s initial 0");
    let queue = limiter.queue();
    let woken = Arc::new(AtomicUsize::new(0));
    let waker = |number| Waker::from(Arc::new(Numbered(number, Arc::clone(&woken))));
    let keeper = |inner: &mut Inner| {
        woken.store(0, Relaxed);
        if let Some(waker) = inner.timekeeper() {
            waker.wake();
        }
        woken.load(Relaxed)
    };
    let places = [(); 4].map(|()| Box::pin(queue.place()));
    let mut inner = queue.inner.lock();
    let mut kept_by = Vec::new();
    for ((number, place), thread) in (1..).zip(&places).zip([false, false, true, true]) {
        let request = Request { permits: 1.into(), max_wait: None, thread, gate: None };
        inner.join(place.as_ref(), request, 1, NEVER, waker(number));
        kept_by.push(keeper(&mut inner));
    }
    inner.keeper = Some(Keeper { place: 0, waker: waker(9) });
    kept_by.push(keeper(&mut inner));
    // Also of tasks alone.
    for place in &places {
        inner.remove(place.as_ref());
    }
    kept_by.push(keeper(&mut inner));
    inner.keeper = None;
    assert_eq!(kept_by, [0, 0, 3, 3, 9, 9]);
}

#[test]
fn the_sum_is_that_over_the_list() {
    let (limiter, _clock) = limiter("1/s initial 0");
    let queue = limiter.queue();
    let sum = |inner: &Inner| (inner.sum.ticks, inner.sum.threads, inner.sum.deadlines, inner.sum.gates);
    let (first, second) = (pin!(queue.place()), pin!(queue.place()));
    let mut inner = queue.inner.lock();
    let request = |thread, gate: bool| Request {
        permits: 1.into(),
        max_wait: None,
        thread,
        gate: gate.then(Default::default),
    };
    inner.join(first.as_ref(), request(true, false), 5, START, Waker::noop().clone());
    inner.join(second.as_ref(), request(false, true), 7, NEVER, Waker::noop().clone());
    assert_eq!(sum(&inner), (12, 1, 1, 1));
    inner.remove(first.as_ref());
    assert_eq!(sum(&inner), (7, 0, 0, 1));
    inner.remove(second.as_ref());
    assert_eq!(sum(&inner), (0, 0, 0, 0));
}
