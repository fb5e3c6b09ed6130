//! Limits at which 8 KiB take long: nobody waits for more than accrues in 50 ms.

use std::{io, sync::Arc, time::Duration};

use tidegate::{AllOf, Limit, Paced, Quota, RateLimiter, TokioClock};
use tokio::{
    io::{AsyncWriteExt, sink},
    time::{Instant, sleep, timeout},
};

use crate::{CHUNKS, MB, Meter, assert_within_percent, limiter, passed, within_percent, write_for_ever};

fn empty(rate: u64, burst: u64) -> RateLimiter<TokioClock> {
    limiter(Quota::per_second(rate).with_burst(burst).with_initial(0))
}

/// Writes for two seconds. Returns the bytes that passed, and the longest time between two writes.
async fn passed_and_longest(limit: &dyn Limit) -> (u64, Duration) {
    let mut stream = Paced::new(sink(), limit);
    let (start, mut bytes, mut longest) = (Instant::now(), 0, Duration::ZERO);
    while start.elapsed() < Duration::from_secs(2) {
        let before = Instant::now();
        bytes += stream.write(&[0; 10_000]).await.unwrap() as u64;
        longest = longest.max(before.elapsed());
    }
    (bytes, longest)
}

#[tokio::test(start_paused = true)]
async fn a_slow_stream_stands_still_for_50_ms_at_most() {
    for (rate, burst) in [(1_000, 1_000), (4_000, 4_000), (100_000, 100_000), (150_000, 20_000)] {
        let (bytes, longest) = passed_and_longest(&empty(rate, burst)).await;
        assert!(longest <= Duration::from_millis(51), "{longest:?} at {rate}");
        assert_within_percent(bytes, 2 * rate, 3);
    }
    // By the slowest of several, with two permits for a byte.
    let (slow, fast) = (empty(8_000, 8_000), empty(MB, MB));
    let (bytes, longest) = passed_and_longest(&AllOf::new().and(&slow, 2).and(&fast, 1)).await;
    assert!(longest <= Duration::from_millis(51), "{longest:?}");
    assert_within_percent(bytes, 8_000, 3);
    // Less than a byte in 50 ms.
    let mut stream = Paced::new(sink(), &empty(4, 4));
    let start = Instant::now();
    assert_eq!(stream.write(b"tide").await.unwrap(), 1);
    assert_eq!(start.elapsed().as_millis(), 250);
}

#[tokio::test(start_paused = true)]
async fn what_is_available_passes_in_large_parts() {
    let hourly = limiter(Quota::per_hour(20_000));
    let mut stream = Paced::new(sink(), &hourly);
    for expected in [8_192, 8_192, 1] {
        assert_eq!(stream.write(&[0; 10_000]).await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn slow_streams_share_by_byte() {
    let limiter = empty(20_000, 20_000);
    let bytes =
        passed(10, &CHUNKS, |chunk, meter| write_for_ever(Paced::new(sink(), &limiter), chunk, meter)).await;
    assert!(bytes.iter().all(|&bytes| within_percent(bytes, 50_000, 5)), "{bytes:?}");
}

#[tokio::test(start_paused = true)]
async fn another_quota_takes_effect_for_a_writer_that_waits() {
    for slow in [Quota::per_hour(100_000).with_initial(0), Quota::BLOCKED] {
        let limiter = limiter(slow);
        let meter = Arc::new(Meter::default());
        let task = tokio::spawn(write_for_ever(Paced::new(sink(), &limiter), 1 << 20, Arc::clone(&meter)));
        sleep(Duration::from_secs(5)).await;
        assert_eq!(limiter.waiting(), 1);
        let before = meter.read();
        limiter.set_quota(Quota::per_second(MB).with_burst(10_000).with_initial(0)).unwrap();
        sleep(Duration::from_millis(50)).await;
        assert!((40_000..=60_000).contains(&(meter.read() - before)), "{}", meter.read() - before);
        task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_leaves_the_queue() {
    let limiter = empty(1_000, 1_000);
    let mut stream = Paced::new(Vec::new(), &limiter);
    assert!(timeout(Duration::from_millis(10), stream.write(b"x")).await.is_err());
    assert_eq!(limiter.waiting(), 1, "the stream keeps its place");
    stream.shutdown().await.unwrap();
    assert_eq!(limiter.waiting(), 0);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(limiter.available(), 1_000);
    drop(stream);
    assert_eq!(limiter.available(), 1_000);
}

#[test]
fn a_thread_stands_still_for_50_ms_at_most_too() {
    let limiter = RateLimiter::new(Quota::per_second(20_000).with_initial(0));
    let mut stream = Paced::new(io::sink(), &limiter);
    for _ in 0..3 {
        assert_eq!(io::Write::write(&mut stream, &[0; 10_000]).unwrap(), 1_000);
    }
}

/// A quantum goes by the rate, which another thread changes meanwhile.
#[test]
fn the_quota_may_change_while_streams_reckon_their_quanta() {
    let quotas = [1_000_000_000, 2_000_000_000].map(|rate| Quota::per_second(rate).with_burst(1_000_000_000));
    let limiter = RateLimiter::new(quotas[0]);
    let mut stream = Paced::new(io::sink(), &limiter);
    std::thread::scope(|scope| {
        let changes = scope.spawn(|| {
            for n in 0..20_000 {
                limiter.set_quota(quotas[n % 2]).unwrap();
            }
        });
        while !changes.is_finished() {
            assert!(std::io::Write::write(&mut stream, &[0; 8_192]).unwrap() > 0);
        }
    });
}
