//! The cost of a call that waits, and whether the whole allowance is used.
//!
//! Each task asks again as soon as it is granted. Grants cannot come faster than the rate, so the reported time per
//! grant is at least the emission interval (1 µs at a million a second). The excess is allowance that was not
//! delivered. The processor time per grant is in `benches/peers`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tidegate::{Quota, RateLimiter};
use tokio::{runtime::Runtime, task::JoinSet};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

/// Lets `tasks` tasks take `grants` permits in all, and returns how long they took.
async fn closed_loop(limiter: &RateLimiter, tasks: u64, grants: u64) -> Duration {
    let left = Arc::new(AtomicU64::new(grants));
    let mut set = JoinSet::new();
    let began = Instant::now();
    for _ in 0..tasks {
        let (limiter, left) = (limiter.clone(), Arc::clone(&left));
        set.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                limiter.acquire().await;
            }
        });
    }
    while set.join_next().await.is_some() {}
    began.elapsed()
}

fn waiting(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("queue/a million a second");
    group.throughput(Throughput::Elements(1));
    for tasks in [10_u64, 100, 1000] {
        group.bench_function(BenchmarkId::from_parameter(format!("{tasks} tasks")), |b| {
            let limiter = RateLimiter::new(Quota::per_second(1_000_000).with_burst(1));
            b.iter_custom(|grants| runtime.block_on(closed_loop(&limiter, tasks, grants)));
        });
    }
    group.finish();
}

fn not_waiting(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("queue/nobody waits");
    group.throughput(Throughput::Elements(1));
    group.bench_function("acquire", |b| {
        let limiter = RateLimiter::new(Quota::per_second(1_000_000_000).with_burst(1_000_000_000_000));
        b.iter_custom(|grants| {
            runtime.block_on(async {
                let began = Instant::now();
                for _ in 0..grants {
                    limiter.acquire().await;
                }
                began.elapsed()
            })
        });
    });
    group.finish();
}

criterion_group!(benches, waiting, not_waiting);
criterion_main!(benches);
