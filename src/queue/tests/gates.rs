//! Who waits in several queues at once, seen from one of them.

use core::task::Waker;
use std::sync::Arc;

use super::{
    locked::{MS, START, limiter},
    waiters::Counter,
};
use crate::queue::{
    gate::Gate,
    inner::{NEVER, Request},
    wake_batch::WakeBatch,
};

/// Who is promised a time, and is not ready by then, is told so once: it gets another promise by looking.
#[test]
fn a_gate_is_woken_once_when_its_promise_is_broken() {
    let (limiter, _clock) = limiter("1000/s burst 100 initial 0");
    let queue = limiter.queue();
    let place = Box::pin(queue.place());
    let counter = Arc::new(Counter::default());
    let promise_ns = START + 10 * MS;
    queue.locked(|locked| {
        let mut gate = Gate::default();
        gate.promise_ns = promise_ns;
        let request = Request { permits: 50.into(), max_wait: None, thread: false, gate: Some(gate) };
        let cost = 50 * locked.frame.scale.per_permit;
        locked.inner.join(place.as_ref(), request, cost, NEVER, Waker::from(counter.clone()));
    });
    let woken = |now_ns| {
        let mut batch = WakeBatch::new();
        queue.locked_at(now_ns, |locked| locked.grant_due(&mut batch, None));
        batch.wake();
        counter.count()
    };
    // Not due for 50 ms.
    let times = [promise_ns - 1, promise_ns, promise_ns + 1, START + 50 * MS - 1, START + 50 * MS];
    assert_eq!(times.map(woken), [0, 1, 1, 1, 2]);
    queue.leave(place.as_ref());
}
