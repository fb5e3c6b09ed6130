//! The cost of a call that does not wait.
//!
//! The floor under these numbers, and the peers, are in `benches/peers`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::{
    hint::black_box,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tidegate::{Clock, QuantaClock, Quota, RateLimiter};

/// A quota that nothing exhausts: every call is admitted, and no call has to move the origin.
fn abundant() -> RateLimiter {
    RateLimiter::new(Quota::per_second(1_000_000_000).with_burst(1_000_000_000_000))
}

/// A quota that is exhausted: every call is refused.
fn exhausted() -> RateLimiter {
    RateLimiter::new(Quota::per_day(1).with_initial(0))
}

fn alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("try_acquire/alone");
    group.throughput(Throughput::Elements(1));
    group.bench_function("clock only", |b| {
        let clock = QuantaClock::new();
        b.iter(|| black_box(&clock).now());
    });
    group.bench_function("admitted", |b| {
        let limiter = abundant();
        b.iter(|| assert!(black_box(&limiter).try_acquire().is_ok()));
    });
    group.bench_function("admitted, n = 3", |b| {
        let limiter = abundant();
        b.iter(|| assert!(black_box(&limiter).try_acquire_n(black_box(3)).is_ok()));
    });
    group.bench_function("admitted, n = 0.5", |b| {
        let limiter = abundant();
        b.iter(|| assert!(black_box(&limiter).try_acquire_n(black_box(0.5)).is_ok()));
    });
    group.bench_function("refused", |b| {
        let limiter = exhausted();
        b.iter(|| assert!(black_box(&limiter).try_acquire().is_err()));
    });
    group.bench_function("refused for ever", |b| {
        let limiter = exhausted();
        b.iter(|| assert!(black_box(&limiter).try_acquire_n(black_box(2)).is_err()));
    });
    group.finish();
}

/// Times `iterations` calls on this thread while another makes the same calls without end.
fn against_another(iterations: u64, limiter: &RateLimiter) -> Duration {
    let (start, stop) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            while !stop.load(Ordering::Relaxed) {
                let _ = black_box(black_box(limiter).try_acquire());
            }
        });
        start.wait();
        let began = Instant::now();
        for _ in 0..iterations {
            let _ = black_box(black_box(limiter).try_acquire());
        }
        let took = began.elapsed();
        stop.store(true, Ordering::Relaxed);
        took
    })
}

fn contended(c: &mut Criterion) {
    let mut group = c.benchmark_group("try_acquire/two threads");
    group.throughput(Throughput::Elements(1));
    group.bench_function("admitted", |b| {
        let limiter = abundant();
        b.iter_custom(|iterations| against_another(iterations, &limiter));
    });
    group.bench_function("refused", |b| {
        let limiter = exhausted();
        b.iter_custom(|iterations| against_another(iterations, &limiter));
    });
    group.finish();
}

criterion_group!(benches, alone, contended);
criterion_main!(benches);
