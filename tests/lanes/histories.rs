//! Random histories of calls in lanes against an exact model, millisecond by millisecond: which call is admitted, when
//! each waiter is granted or refused, and each wait that is told.

use std::{pin::Pin, task::Poll, time::Duration};

use proptest::prelude::*;
use tidegate::{AcquireWithinOwned, Denied, Lane, NotYet, Quota};

use super::{LANES, limiter, poll};

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Try(usize, u64),
    /// With a longest wait, in milliseconds.
    Join(usize, u64, u64),
    Leave(usize),
    Refund(u64),
    Charge(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1u64..12).prop_map(Step::Advance),
        3 => (0usize..3, 1u64..4).prop_map(|(lane, n)| Step::Try(lane, n)),
        6 => (0usize..3, 1u64..4, prop_oneof![0u64..30, Just(1_000_000)])
            .prop_map(|(lane, n, most)| Step::Join(lane, n, most)),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => (1u64..3).prop_map(Step::Refund),
        1 => (1u64..3).prop_map(Step::Charge),
    ];
    prop::collection::vec(step, 1..80)
}

struct Waiting {
    lane: usize,
    n: u64,
    deadline_ms: u64,
    future: Pin<Box<AcquireWithinOwned<tidegate::ManualClock>>>,
}

/// A permit a millisecond, so that all times are whole milliseconds. The TAT is a time.
struct Model {
    burst: u64,
    tat: u64,
    now: u64,
    queue: Vec<Waiting>,
}

impl Model {
    /// When `n` permits conform that come after the waiters of a lane and of higher lanes.
    fn due(&self, lane: usize, n: u64) -> u64 {
        let before: u64 =
            self.queue.iter().filter(|waiting| waiting.lane <= lane).map(|waiting| waiting.n).sum();
        (self.tat.max(self.now) + before + n).saturating_sub(self.burst).max(self.now)
    }

    /// Takes permits at once, or tells when they are due.
    fn take(&mut self, lane: usize, n: u64) -> Result<(), u64> {
        let waits = self.queue.iter().any(|waiting| waiting.lane <= lane);
        let due = self.due(lane, n);
        if waits || due > self.now {
            return Err(due);
        }
        self.tat = self.tat.max(self.now) + n;
        Ok(())
    }

    /// Settles the waiters that are due or too late, in order, and checks that the limiter has done the same.
    fn settle(&mut self) {
        let mut ahead = self.tat.max(self.now);
        let mut blocked = false;
        let now = self.now;
        let mut kept = Vec::new();
        for mut waiting in std::mem::take(&mut self.queue) {
            let due = (ahead + waiting.n).saturating_sub(self.burst).max(now);
            let told = poll(waiting.future.as_mut());
            if !blocked && due <= now {
                ahead += waiting.n;
                self.tat = ahead;
                assert!(told == Poll::Ready(Ok(())), "{told:?}, due at {due}");
            } else if due > waiting.deadline_ms {
                let wait = Duration::from_millis(due - waiting.deadline_ms);
                let late = Err(Denied::NotYet(NotYet::after(wait)));
                assert!(told == Poll::Ready(late), "{told:?}, late by {wait:?}");
            } else {
                assert!(told.is_pending(), "{told:?}, due at {due}");
                ahead += waiting.n;
                blocked = true;
                kept.push(waiting);
            }
        }
        self.queue = kept;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn lanes_go_as_in_the_model(burst in 3u64..8, full in any::<bool>(), steps in steps()) {
        let quota = Quota::per_second(1_000).with_burst(burst).with_catch_up(Duration::ZERO);
        let (limiter, clock) = limiter(quota.with_initial(if full { burst } else { 0 }));
        let lanes = LANES.map(|lane: Lane| limiter.lane(lane));
        let mut model = Model { burst, tat: if full { 0 } else { burst }, now: 0, queue: Vec::new() };
        let ms = Duration::from_millis;
        for step in steps {
            match step {
                Step::Advance(by) => {
                    // Alarms ring in time.
                    for _ in 0..by {
                        clock.advance(ms(1));
                        model.now += 1;
                        model.settle();
                    }
                }
                Step::Try(lane, n) => {
                    let expected = model.take(lane, n);
                    let late = expected.map_err(|due| Denied::NotYet(NotYet::after(ms(due - model.now))));
                    prop_assert_eq!(lanes[lane].try_acquire_n(n), late);
                }
                Step::Join(lane, n, most) => {
                    let deadline_ms = model.now + most;
                    let mut future = Box::pin(lanes[lane].acquire_within_owned(n, ms(most)));
                    let told = poll(future.as_mut());
                    match model.take(lane, n) {
                        Ok(()) => prop_assert_eq!(told, Poll::Ready(Ok(()))),
                        Err(due) if due > deadline_ms => {
                            let late = Denied::NotYet(NotYet::after(ms(due - deadline_ms)));
                            prop_assert_eq!(told, Poll::Ready(Err(late)));
                        }
                        Err(_) => {
                            prop_assert!(told.is_pending());
                            let place = model.queue.iter().filter(|waiting| waiting.lane <= lane).count();
                            model.queue.insert(place, Waiting { lane, n, deadline_ms, future });
                        }
                    }
                }
                Step::Leave(which) if !model.queue.is_empty() => {
                    let which = which % model.queue.len();
                    drop(model.queue.remove(which));
                }
                Step::Refund(n) => {
                    limiter.refund(n).unwrap();
                    model.tat = model.tat.saturating_sub(n).max(model.now.min(model.tat));
                }
                Step::Charge(n) => {
                    limiter.charge(n).unwrap();
                    model.tat = model.tat.max(model.now) + n;
                }
                Step::Leave(_) => {}
            }
            model.settle();
            prop_assert_eq!(limiter.waiting(), model.queue.len());
        }
    }
}
