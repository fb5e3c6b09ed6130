//! Random histories: the counters are what the callers have seen.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use tidegate::{AcquireWithinOwned, Denied, Lane, ManualClock, Quota, RateLimiter};

#[derive(Clone, Debug)]
enum Op {
    Try(u64),
    Wait { n: u64, max_wait_ms: u64, lane: Lane },
    Poll,
    Drop(usize),
    Advance(u64),
    Charge(u64),
    Refund(u64),
    Pause(u64),
    SetBurst(u64),
}

fn ops() -> impl Strategy<Value = Op> {
    let lane = prop_oneof![Just(Lane::Urgent), Just(Lane::Normal), Just(Lane::Background)];
    prop_oneof![
        4 => (1..4_u64).prop_map(Op::Try),
        6 => (1..4_u64, 0..900_u64, lane).prop_map(|(n, max_wait_ms, lane)| Op::Wait { n, max_wait_ms, lane }),
        3 => Just(Op::Poll),
        2 => (0..8_usize).prop_map(Op::Drop),
        5 => (1..400_u64).prop_map(Op::Advance),
        1 => (1..6_u64).prop_map(Op::Charge),
        1 => (1..6_u64).prop_map(Op::Refund),
        1 => (1..300_u64).prop_map(Op::Pause),
        1 => (1..5_u64).prop_map(Op::SetBurst),
    ]
}

/// What callers have seen.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    admitted: u64,
    refused: u64,
    waited: u64,
    granted: u64,
    too_late: u64,
    cancelled: u64,
    charged: u64,
    given_back: u64,
    pauses: u64,
}

struct Waiters(Vec<Pin<Box<AcquireWithinOwned<ManualClock>>>>);

impl Waiters {
    fn poll(&mut self, seen: &mut Seen) {
        self.0.retain_mut(|waiter| match poll(waiter) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => {
                seen.granted += 1;
                false
            }
            Poll::Ready(Err(_)) => {
                seen.too_late += 1;
                false
            }
        });
    }
}

fn poll(waiter: &mut Pin<Box<AcquireWithinOwned<ManualClock>>>) -> Poll<Result<(), Denied>> {
    waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_call_and_every_wait_is_counted_once(ops in vec(ops(), 1..60)) {
        let (clock, mut seen, mut waiters) = (ManualClock::new(), Seen::default(), Waiters(Vec::new()));
        let quota = |burst| Quota::per_second(10).with_burst(burst);
        let limiter = RateLimiter::with_clock(quota(3), clock.clone()).watched("history");
        for op in ops {
            match op {
                Op::Try(n) => match limiter.try_acquire_n(n) {
                    Ok(()) => seen.admitted += 1,
                    Err(_) => seen.refused += 1,
                },
                Op::Wait { n, max_wait_ms, lane } => {
                    let max_wait = Duration::from_millis(max_wait_ms);
                    let mut waiter = Box::pin(limiter.lane(lane).acquire_within_owned(n, max_wait));
                    match poll(&mut waiter) {
                        Poll::Ready(Ok(())) => seen.admitted += 1,
                        Poll::Ready(Err(_)) => seen.refused += 1,
                        Poll::Pending => {
                            seen.waited += 1;
                            waiters.0.push(waiter);
                        }
                    }
                }
                Op::Poll => waiters.poll(&mut seen),
                Op::Drop(i) if i < waiters.0.len() => {
                    drop(waiters.0.remove(i));
                    seen.cancelled += 1;
                }
                Op::Drop(_) => {}
                Op::Advance(ms) => clock.advance(Duration::from_millis(ms)),
                Op::Charge(n) => {
                    limiter.charge(n).unwrap();
                    seen.charged += 1;
                }
                Op::Refund(n) => {
                    limiter.refund(n).unwrap();
                    seen.given_back += 1;
                }
                Op::Pause(ms) => {
                    limiter.pause_for(Duration::from_millis(ms));
                    seen.pauses += 1;
                }
                Op::SetBurst(burst) => limiter.set_quota(quota(burst)).unwrap(),
            }
        }
        waiters.poll(&mut seen);
        let stats = limiter.stats().unwrap();
        prop_assert_eq!(stats.waiting, waiters.0.len());
        prop_assert_eq!(stats.waits.count(), stats.granted);
        prop_assert_eq!(stats.waited, stats.granted + stats.too_late + stats.cancelled + stats.waiting as u64);
        let counted = Seen {
            admitted: stats.admitted,
            refused: stats.refused,
            waited: stats.waited,
            granted: stats.granted,
            too_late: stats.too_late,
            cancelled: stats.cancelled,
            charged: stats.charged,
            given_back: stats.given_back,
            pauses: stats.pauses,
        };
        prop_assert_eq!(counted, seen);
    }
}
