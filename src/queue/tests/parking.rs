//! What is parked at the very moment at which somebody begins to wait.

use core::task::Waker;

use super::waiters::limiter;
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
