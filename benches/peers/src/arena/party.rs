//! The limiters that hungry tasks wait for.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, sync::Semaphore};

use super::grid::Cell;
use crate::calls::nonzero;

/// How long tasks have to queue up before the first permit comes, where a party can put that off.
const HEAD_START: Duration = Duration::from_millis(50);

/// A limiter that tasks wait for.
pub(super) trait Party: Clone + Send + Sync + 'static {
    /// What it is called in reports.
    const NAME: &'static str;

    /// Makes one whose bucket is empty, and tells from when on permits flow.
    fn at(cell: Cell, runtime: &Runtime) -> (Self, Instant);

    /// Waits for one permit.
    fn wait(&self) -> impl Future<Output = ()> + Send;
}

#[derive(Clone)]
pub(super) struct Tidegate(tidegate::RateLimiter);

impl Tidegate {
    pub(super) fn quota(cell: Cell) -> tidegate::Quota {
        tidegate::Quota::per_second(cell.rate.into()).with_burst(cell.burst.into()).with_initial(0)
    }
}

impl Party for Tidegate {
    const NAME: &'static str = "tidegate";

    /// A debt keeps the first permit back until all tasks are in the queue.
    fn at(cell: Cell, _: &Runtime) -> (Self, Instant) {
        let limiter = tidegate::RateLimiter::new(Self::quota(cell));
        let debt = f64::from(cell.rate) * HEAD_START.as_secs_f64();
        let paid = limiter.charge(debt).expect("not too deep a debt");
        (Self(limiter), Instant::now() + paid)
    }

    async fn wait(&self) {
        self.0.acquire().await;
    }
}

#[derive(Clone)]
pub(super) struct Governor(Arc<governor::DefaultDirectRateLimiter>);

impl Party for Governor {
    const NAME: &'static str = "governor";

    fn at(cell: Cell, _: &Runtime) -> (Self, Instant) {
        let quota = governor::Quota::per_second(nonzero(cell.rate)).allow_burst(nonzero(cell.burst));
        let limiter = governor::RateLimiter::direct(quota);
        limiter.check_n(nonzero(cell.burst)).expect("within the burst").expect("a full bucket");
        (Self(Arc::new(limiter)), Instant::now())
    }

    async fn wait(&self) {
        self.0.until_ready().await;
    }
}

#[derive(Clone)]
pub(super) struct LeakyBucket(Arc<leaky_bucket::RateLimiter>);

impl Party for LeakyBucket {
    const NAME: &'static str = "leaky-bucket";

    /// It refills in steps that it times by tokio's timer, so a step is at least a millisecond, and the
    /// burst at least what comes in one.
    fn at(cell: Cell, _: &Runtime) -> (Self, Instant) {
        let refill = (cell.rate / 1000).max(1);
        let limiter = leaky_bucket::RateLimiter::builder()
            .max(refill.max(cell.burst) as usize)
            .initial(0)
            .refill(refill as usize)
            .interval(Duration::from_secs(1) * refill / cell.rate)
            .build();
        (Self(Arc::new(limiter)), Instant::now())
    }

    async fn wait(&self) {
        self.0.acquire_one().await;
    }
}

/// tokio's semaphore and a task that adds what is due every millisecond. It hoards without bound, so it is
/// no limiter; it shows what the runtime itself can do.
#[derive(Clone)]
pub(super) struct Ticker(Arc<Semaphore>);

impl Party for Ticker {
    const NAME: &'static str = "Semaphore and 1 ms ticker";

    fn at(cell: Cell, runtime: &Runtime) -> (Self, Instant) {
        let semaphore = Arc::new(Semaphore::new(0));
        let filled = Arc::clone(&semaphore);
        let starts = Instant::now() + HEAD_START;
        runtime.spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(1));
            let mut added = 0;
            loop {
                ticks.tick().await;
                let due = starts.elapsed().as_nanos() * u128::from(cell.rate) / 1_000_000_000;
                filled.add_permits((due - added) as usize);
                added = due;
            }
        });
        (Self(semaphore), starts)
    }

    async fn wait(&self) {
        self.0.acquire().await.expect("never closed").forget();
    }
}
