//! Calls with a deadline against a model in whole quarters of a permit's time: refused exactly if their turn
//! comes too late, with the exact wait; else served exactly in their turn, and never after the deadline.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::prelude::*;
use tidegate::{AcquireWithinOwned, Denied, ManualClock, NotYet, Quota, RateLimiter};

/// 1,000 permits a second.
const QUARTER: Duration = Duration::from_micros(250);

type Waiter = Pin<Box<AcquireWithinOwned<ManualClock>>>;

/// Times are in quarters.
#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    /// So many permits, within so long.
    Join(u64, u64),
    /// The waiter at this place leaves.
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0u64..30).prop_map(Step::Advance),
        6 => (1u64..5, 0u64..60).prop_map(|(n, within)| Step::Join(n, within)),
        1 => any::<usize>().prop_map(Step::Leave),
    ];
    prop::collection::vec(step, 1..80)
}

/// The bucket and the queue: the TAT, and for each waiter its permits and its deadline.
#[derive(Debug)]
struct Model {
    now: u64,
    arrival: u64,
    burst: u64,
    waiting: VecDeque<(usize, u64, u64)>,
    served: Vec<usize>,
}

impl Model {
    /// When the first so many are due, and `cost` after them.
    fn turn(&self, ahead: usize, cost: u64) -> u64 {
        let ahead: u64 = self.waiting.iter().take(ahead).map(|&(_, cost, _)| cost).sum();
        (self.arrival.max(self.now) + ahead + cost).saturating_sub(self.burst)
    }

    /// Grants the waiters that are due up to `until`.
    fn serve(&mut self, until: u64) {
        while let Some(&(id, cost, deadline)) = self.waiting.front() {
            let due = self.turn(0, cost).max(self.now);
            if due > until {
                break;
            }
            assert!(due <= deadline, "{id} is served only at {due}");
            self.now = due;
            self.arrival = self.arrival.max(due) + cost;
            self.served.push(id);
            self.waiting.pop_front();
        }
        self.now = until;
    }

    /// What is to become of a newcomer.
    fn join(&mut self, id: usize, cost: u64, within: u64) -> Result<(), u64> {
        let due = self.turn(self.waiting.len(), cost).max(self.now);
        let deadline = self.now + within;
        if due > deadline {
            return Err(due - deadline);
        }
        self.waiting.push_back((id, cost, deadline));
        self.serve(self.now);
        Ok(())
    }
}

proptest! {
    #[test]
    fn deadlines_are_decided_as_by_an_exact_model(burst in 1u64..7, steps in steps()) {
        let clock = ManualClock::new();
        let quota = Quota::per_second(1_000).with_burst(burst).with_catch_up(Duration::ZERO);
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let mut model = Model {
            now: 0,
            arrival: 0,
            burst: burst * 4,
            waiting: VecDeque::new(),
            served: Vec::new(),
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut waiters: Vec<(usize, Waiter)> = Vec::new();
        for (id, &step) in steps.iter().enumerate() {
            match step {
                Step::Advance(quarters) => {
                    clock.advance(QUARTER * quarters as u32);
                    model.serve(model.now + quarters);
                }
                Step::Join(n, within) => {
                    let n = n.min(burst);
                    let mut waiter = Box::pin(limiter.acquire_within_owned(n, QUARTER * within as u32));
                    let polled = waiter.as_mut().poll(&mut cx);
                    match model.join(id, n * 4, within) {
                        Err(late) => {
                            let retry_after = QUARTER * late as u32;
                            prop_assert_eq!(polled, Poll::Ready(Err(Denied::NotYet(NotYet::after(retry_after)))));
                        }
                        Ok(()) if model.served.contains(&id) => prop_assert_eq!(polled, Poll::Ready(Ok(()))),
                        Ok(()) => {
                            prop_assert_eq!(polled, Poll::Pending);
                            waiters.push((id, waiter));
                        }
                    }
                }
                Step::Leave(place) if !model.waiting.is_empty() => {
                    let (id, ..) = model.waiting.remove(place % model.waiting.len()).unwrap();
                    waiters.retain(|(other, _)| *other != id);
                    model.serve(model.now);
                }
                Step::Leave(_) => {}
            }
            prop_assert_eq!(limiter.waiting(), model.waiting.len());
            let mut left = Vec::new();
            for (id, mut waiter) in waiters {
                let expected = if model.served.contains(&id) { Poll::Ready(Ok(())) } else { Poll::Pending };
                prop_assert_eq!(waiter.as_mut().poll(&mut cx), expected, "{}", id);
                if expected.is_pending() {
                    left.push((id, waiter));
                }
            }
            waiters = left;
        }
    }
}
