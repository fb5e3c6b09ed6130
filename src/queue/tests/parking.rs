//! What is parked at the very moment at which somebody begins to wait.

use crate::{ManualClock, Permits, RateLimiter, queue::gate::Gate};

use super::waiters::{limiter, queued};

/// With five permits parked, and one who waits for two, as a gate or not: what is moved to the word, in permits.
fn gathered(gate: bool) -> u64 {
    let (limiter, _clock): (RateLimiter<ManualClock>, _) = limiter(40, 0);
    let queue = limiter.queue();
    let slots = queue.attach(1);
    let _waiter = queued(&limiter, 2);
    let mut draw = slots.all()[0].begin().unwrap();
    draw.bring(5 * Permits::MILLION);
    assert!(draw.park());
    queue.locked(|locked| {
        if gate {
            let Some(front) = locked.inner.list.front_mut() else { unreachable!() };
            front.gate = Some(Gate::default());
            locked.inner.sum.gates = 1;
        }
        assert!(locked.gather_for_queue());
        // As it was, for those who leave.
        if gate {
            let Some(front) = locked.inner.list.front_mut() else { unreachable!() };
            front.gate = None;
            locked.inner.sum.gates = 0;
        }
    });
    5 - slots.parked() / Permits::MILLION
}

#[test]
fn only_what_the_head_asks_for_is_gathered() {
    assert_eq!(gathered(false), 2);
}

/// Who waits in other queues, too, may let anybody pass.
#[test]
fn where_a_gate_waits_all_is_gathered() {
    assert_eq!(gathered(true), 5);
}
