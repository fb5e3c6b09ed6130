//! tokio's timer, in paused time: every alarm rings in the millisecond in which it is due, rounded up, whatever was
//! set before.

#[path = "support/random.rs"]
mod random;

use std::time::Duration;

use random::Random;
use tidegate::{Quota, RateLimiter, TokioClock};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const MILLI: Duration = Duration::from_millis(1);

/// Longer than any of these waits. A waiter with a deadline does not wait for others to come back.
const LONG: Duration = Duration::from_secs(3_600);

/// A waiter, and how it ends.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    cost: u64,
    /// The millisecond in which it leaves, unless it has been served.
    leaves: Option<u64>,
}

/// When each waiter is granted that does not leave: once its own permits have come, and the permits of all waiters
/// ahead that did not leave. A waiter that leaves in the millisecond in which it would be granted leaves first: its
/// timer was set before.
fn expected(rate: u64, waiters: &[Waiter]) -> Vec<Option<u64>> {
    let (mut sum, mut latest) = (0, 0);
    let mut served = Vec::new();
    for waiter in waiters {
        let due = ((sum + waiter.cost) * 1_000).div_ceil(rate).max(latest);
        match waiter.leaves {
            Some(leaves) if leaves <= due => {
                latest = latest.max(leaves);
                served.push(None);
            }
            _ => {
                sum += waiter.cost;
                served.push(Some(due));
            }
        }
    }
    served
}

async fn observed(rate: u64, waiters: &[Waiter]) -> Vec<Option<u64>> {
    let quota = Quota::per_second(rate).with_burst(5).with_initial(0);
    let limiter = RateLimiter::with_clock(quota, TokioClock::new());
    let start = Instant::now();
    let mut all = JoinSet::new();
    for (number, &Waiter { cost, leaves }) in waiters.iter().enumerate() {
        let acquire = limiter.acquire_within_owned(cost, LONG);
        all.spawn(async move {
            let served = match leaves {
                None => acquire.await,
                Some(leaves) => tokio::select! {
                    biased;
                    () = sleep(leaves as u32 * MILLI) => return (number, None),
                    served = acquire => served,
                },
            };
            served.expect("it can wait for long");
            (number, Some(start.elapsed().as_millis() as u64))
        });
    }
    let mut served = all.join_all().await;
    served.sort_unstable();
    served.into_iter().map(|(_, at)| at).collect()
}

/// At rates of less than one a tick, one, and several; costs of one to five.
#[tokio::test(start_paused = true)]
async fn everybody_is_served_in_the_millisecond_that_is_due() {
    for rate in [3, 250, 333, 700, 777, 1_000, 1_001, 1_500, 2_000, 9_999, 100_000] {
        let mut random = Random(rate);
        let waiters: Vec<_> = (0..200).map(|_| Waiter { cost: 1 + random.below(5), leaves: None }).collect();
        assert_eq!(observed(rate, &waiters).await, expected(rate, &waiters), "{rate}/s");
    }
}

/// Some waiters leave: the waiters behind them are granted earlier than the alarm was set for.
#[tokio::test(start_paused = true)]
async fn who_moves_up_is_served_in_time() {
    for rate in [30, 250, 700, 1_000, 1_500] {
        let mut random = Random(rate);
        let waiters: Vec<_> = (0..60)
            .map(|number| {
                let leaves = (random.below(2) == 0).then(|| 1 + random.below(1 + number * 2_000 / rate));
                Waiter { cost: 1 + random.below(5), leaves }
            })
            .collect();
        assert_eq!(observed(rate, &waiters).await, expected(rate, &waiters), "{rate}/s");
    }
}
