//! What is parked at the very moment at which somebody begins to wait.

use core::{task::Waker, time::Duration};

use super::waiters::{limiter, poll};
use crate::{
    Permits,
    queue::{
        gate::Gate,
        inner::{NEVER, Request},
    },
    shares::tests::park,
};

/// With five permits parked, and one who waits for two, as a gate or not: what is moved to the word, in permits.
fn gathered(gate: Option<Gate>) -> u64 {
    let (limiter, _clock) = limiter(40, 0);
    let queue = limiter.queue();
    let slots = queue.attach(1);
    let place = Box::pin(queue.place());
    queue.locked(|locked| {
        let request = Request { permits: 2.into(), max_wait: None, thread: false, gate };
        let cost = 2 * locked.frame.scale.per_permit;
        locked.inner.join(place.as_ref(), request, cost, NEVER, Waker::noop().clone());
    });
    park(&slots.all()[0], 5 * Permits::MILLION, 0, 0);
    queue.locked(|locked| assert!(locked.gather_for_queue()));
    let left = slots.parked() / Permits::MILLION;
    queue.leave(place.as_ref());
    5 - left
}

#[test]
fn only_what_the_head_asks_for_is_gathered() {
    assert_eq!(gathered(None), 2);
}

/// Who waits in other queues, too, may let anybody pass.
#[test]
fn where_a_gate_waits_all_is_gathered() {
    assert_eq!(gathered(Some(Gate::default())), 5);
}

/// A grant can be given back though others were let past a gate since, by what was parked: without it they would have
/// needed less of that.
#[test]
fn what_is_gathered_past_a_gate_does_not_make_it_too_late() {
    let (limiter, clock) = limiter(40, 32);
    let queue = limiter.queue();
    let slots = queue.attach(1);
    let grant = queue.try_hold(20.into()).unwrap();
    let place = Box::pin(queue.place());
    let level = queue.locked(|locked| {
        let mut gate = Gate::default();
        gate.promise_ns = locked.now_ns + 100_000_000_000;
        let request = Request { permits: 33.into(), max_wait: None, thread: false, gate: Some(gate) };
        let permit = locked.frame.scale.per_permit;
        locked.inner.join(place.as_ref(), request, 33 * permit, NEVER, Waker::noop().clone());
        (locked.now + locked.frame.scale.limit - locked.tat) / permit
    });
    assert_eq!(level, 12);
    park(&slots.all()[0], 5 * Permits::MILLION, 0, 0);
    clock.advance(Duration::from_secs(1));
    let mut waiter = Box::pin(limiter.acquire_n(14));
    assert!(poll(&mut waiter).is_ready(), "let past");
    assert_eq!(slots.parked(), 0);
    queue.give_back(grant);
    let level = queue.locked(|locked| {
        (locked.now + locked.frame.scale.limit - locked.tat) / locked.frame.scale.per_permit
    });
    assert_eq!(level, 12 + 5 + 1 - 14 + 20);
    queue.leave(place.as_ref());
}
