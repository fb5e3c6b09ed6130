//! Bytes through a limit: shares, pace and edges in virtual time; bodies; real connections.

#![cfg(all(feature = "io", feature = "tokio"))]

#[cfg(feature = "io-body")]
#[path = "paced_io/bodies.rs"]
mod bodies;
#[path = "paced_io/edges.rs"]
mod edges;
#[path = "paced_io/loopback.rs"]
mod loopback;
#[path = "paced_io/slow.rs"]
mod slow;

use std::{sync::Arc, time::Duration};

use tidegate::{AllOf, Limit, Paced, Quota, RateLimiter, TokioClock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, repeat, sink},
    time::{Instant, sleep, timeout},
};

const MB: u64 = 1_000_000;

fn limiter(quota: Quota) -> RateLimiter<TokioClock> {
    RateLimiter::with_clock(quota, TokioClock::new())
}

/// How many bytes of `chunk` at a time each of some tasks passes in `seconds`.
async fn passed<F>(seconds: u64, chunks: &[usize], start: impl Fn(usize, Arc<Meter>) -> F) -> Vec<u64>
where
    F: Future<Output = ()> + Send + 'static,
{
    let meters: Vec<_> = chunks.iter().map(|_| Arc::new(Meter::default())).collect();
    let tasks: Vec<_> = chunks
        .iter()
        .zip(&meters)
        .map(|(&chunk, meter)| tokio::spawn(start(chunk, Arc::clone(meter))))
        .collect();
    sleep(Duration::from_secs(seconds)).await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    meters.iter().map(|meter| meter.read()).collect()
}

/// Counts bytes. The tasks of a test are on one thread, so that no ordering is needed.
#[derive(Debug, Default)]
struct Meter(std::sync::atomic::AtomicU64);

impl Meter {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, std::sync::atomic::Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

async fn write_for_ever(mut stream: Paced<tokio::io::Sink>, chunk: usize, meter: Arc<Meter>) {
    let buf = vec![1; chunk];
    loop {
        let mut rest = &buf[..];
        while !rest.is_empty() {
            let written = stream.write(rest).await.unwrap();
            meter.add(written);
            rest = &rest[written..];
        }
    }
}

async fn read_for_ever(mut stream: Paced<tokio::io::Repeat>, chunk: usize, meter: Arc<Meter>) {
    let mut buf = vec![0; chunk];
    loop {
        let read = stream.read(&mut buf).await.unwrap();
        assert!((1..=chunk).contains(&read));
        meter.add(read);
    }
}

fn within_percent(value: u64, expected: u64, percent: u64) -> bool {
    value.abs_diff(expected) * 100 <= expected * percent
}

#[track_caller]
fn assert_within_percent(value: u64, expected: u64, percent: u64) {
    assert!(within_percent(value, expected, percent), "{value} is not within {percent} % of {expected}");
}

const CHUNKS: [usize; 4] = [16 * 1024, 16 * 1024, 4 * 1024, 1024];

#[tokio::test(start_paused = true)]
async fn writers_share_by_byte_whatever_their_chunks() {
    let limiter = limiter(Quota::per_second(2 * MB).with_burst(64 * 1024));
    let bytes =
        passed(10, &CHUNKS, |chunk, meter| write_for_ever(Paced::new(sink(), &limiter), chunk, meter)).await;
    assert!(bytes.iter().all(|&bytes| within_percent(bytes, 5 * MB, 5)), "{bytes:?}");
    assert_within_percent(bytes.iter().sum(), 20 * MB, 1);
}

#[tokio::test(start_paused = true)]
async fn readers_share_by_byte_whatever_their_chunks() {
    let limiter = limiter(Quota::per_second(2 * MB).with_burst(64 * 1024));
    let bytes =
        passed(10, &CHUNKS, |chunk, meter| read_for_ever(Paced::new(repeat(1), &limiter), chunk, meter))
            .await;
    assert!(bytes.iter().all(|&bytes| within_percent(bytes, 5 * MB, 5)), "{bytes:?}");
    assert_within_percent(bytes.iter().sum(), 20 * MB, 1);
}

#[tokio::test(start_paused = true)]
async fn shares_are_those_of_the_quanta() {
    let limiter = limiter(Quota::per_second(2 * MB).with_burst(64 * 1024));
    let start = |chunk: usize, meter| {
        // One stream takes three times as much at a time.
        let quantum = if chunk == 1_000 { 12_000 } else { 4_000 };
        write_for_ever(Paced::new(sink(), &limiter).quantum(quantum), chunk, meter)
    };
    let bytes = passed(10, &[1_000, 50_000], start).await;
    assert_within_percent(bytes[0], 15 * MB, 5);
    assert_within_percent(bytes[1], 5 * MB, 5);
}

#[tokio::test(start_paused = true)]
async fn connections_have_limits_of_their_own_and_one_together() {
    let all = limiter(Quota::per_second(2 * MB).with_burst(64 * 1024));
    let start = |rate: usize, meter| {
        let own = limiter(Quota::per_second(rate as u64).with_burst(16 * 1024));
        let limit: Arc<dyn Limit> = Arc::new(AllOf::new().and(&own, 1).and(&all, 1));
        write_for_ever(Paced::new(sink(), &limit), 4_000, meter)
    };
    // The sum of their own limits is below the common one: each is held to its own.
    let bytes = passed(10, &[200_000, 400_000, 800_000], start).await;
    for (bytes, own) in bytes.into_iter().zip([2 * MB, 4 * MB, 8 * MB]) {
        assert_within_percent(bytes, own, 3);
    }
    // The common limit is scarce, and shared equally.
    let bytes = passed(10, &[4_000_000, 4_000_000], start).await;
    assert!(bytes.iter().all(|&bytes| within_percent(bytes, 10 * MB, 5)), "{bytes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_transfer_takes_its_bytes_by_the_rate() {
    for (rate, chunk) in [(2 * MB, 100_000), (20 * MB, 1_000), (20 * MB, 1 << 20), (300_000, 777)] {
        let limiter = limiter(Quota::per_second(rate).with_burst(10_000));
        let start = Instant::now();
        let mut stream = Paced::new(Vec::new(), &limiter);
        let buf = vec![3; chunk];
        let mut sent = 0;
        while sent < rate * 3 {
            stream.write_all(&buf).await.unwrap();
            sent += chunk as u64;
        }
        let expected = (sent - 10_000) as f64 / rate as f64;
        let took = start.elapsed().as_secs_f64();
        assert!((took - expected).abs() < expected * 0.01, "{sent} bytes at {rate}/s took {took} s");
        // What has not passed is not debited.
        drop(stream.into_inner());
        sleep(Duration::from_secs(1)).await;
        assert_eq!(limiter.available(), 10_000);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_large_write_of_another_stream() {
    let limiter = limiter(Quota::per_second(MB).with_burst(10_000));
    let mut large = Paced::new(sink(), &limiter);
    let large = tokio::spawn(async move { large.write_all(&vec![0; 5_000_000]).await });
    sleep(Duration::from_millis(200)).await;
    let start = Instant::now();
    Paced::new(sink(), &limiter).write_all(b"small").await.unwrap();
    // A quantum of the large write, and one of its own.
    assert!(start.elapsed() <= Duration::from_millis(18), "{:?}", start.elapsed());
    assert!(!large.is_finished());
    large.abort();
}

#[tokio::test(start_paused = true)]
async fn another_quota_takes_effect_within_50_ms() {
    let limiter = limiter(Quota::per_second(MB).with_burst(10_000));
    let meter = Arc::new(Meter::default());
    let task = tokio::spawn(write_for_ever(Paced::new(sink(), &limiter), 1 << 20, Arc::clone(&meter)));
    let rate = async |for_ms: u64| {
        let before = meter.read();
        sleep(Duration::from_millis(for_ms)).await;
        (meter.read() - before) * 1000 / for_ms
    };
    sleep(Duration::from_secs(1)).await;
    for rate_now in [20 * MB, 200_000, 5 * MB, 500_000] {
        limiter.set_quota(Quota::per_second(rate_now).with_burst(10_000)).unwrap();
        sleep(Duration::from_millis(50)).await;
        assert_within_percent(rate(2000).await, rate_now, 3);
    }
    // A burst that is smaller than the quantum, down to one byte.
    for burst in [5_000, 1] {
        limiter.set_quota(Quota::per_second(100_000).with_burst(burst)).unwrap();
        sleep(Duration::from_millis(50)).await;
        assert_within_percent(rate(1000).await, 100_000, 6);
    }
    limiter.set_quota(Quota::per_second(20 * MB).with_burst(10_000)).unwrap();
    sleep(Duration::from_millis(50)).await;
    assert_within_percent(rate(1000).await, 20 * MB, 3);
    assert!(!task.is_finished());
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_has_not_used_goes_back_when_it_is_dropped() {
    let limiter = limiter(Quota::per_hour(10_000));
    let mut stream = Paced::new(sink(), &limiter).quantum(1_000);
    stream.write_all(&[0; 300]).await.unwrap();
    assert_eq!(limiter.available(), 9_000);
    stream.write_all(&[0; 800]).await.unwrap();
    assert_eq!(limiter.available(), 8_000);
    assert!(format!("{stream:?}").contains("held_for_writes: Some(900)"), "{stream:?}");
    drop(stream);
    assert_eq!(limiter.available(), 8_900);

    // A stream that waits leaves the queue, and nothing is debited.
    let mut stream = Paced::new(sink(), &limiter).quantum(9_500);
    assert!(timeout(Duration::from_secs(1), stream.write(b"x")).await.is_err());
    assert_eq!(limiter.waiting(), 1);
    assert!(limiter.try_acquire().is_err());
    drop(stream);
    assert_eq!(limiter.waiting(), 0);
    assert!(limiter.try_acquire_n(8_900).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_given_up_keeps_its_place() {
    let limiter = limiter(Quota::per_second(1_000).with_burst(1_000));
    limiter.try_acquire_n(1_000).unwrap();
    let mut first = Paced::new(Vec::new(), &limiter).quantum(1_000);
    assert!(timeout(Duration::from_millis(900), first.write(b"first")).await.is_err());
    let mut second = Paced::new(Vec::new(), &limiter).quantum(1_000);
    assert!(timeout(Duration::from_millis(10), second.write(b"second")).await.is_err());
    let start = Instant::now();
    first.write_all(b"again").await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 90);
    assert_eq!(first.get_ref(), b"again");
    second.write_all(b"second").await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 1_090);
}
