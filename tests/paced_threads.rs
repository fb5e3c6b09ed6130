//! Bytes through a limit, for threads that read and write by the traits of `std::io`.

#![cfg(feature = "io")]

use std::{
    io::{IoSlice, Read, Write, copy, sink},
    thread,
    time::{Duration, Instant},
};

use tidegate::{Denied, Paced, Quota, RateLimiter};

#[test]
fn bytes_of_threads_pass_by_the_rate() {
    let limiter = RateLimiter::new(Quota::per_second(1_000_000).with_burst(8_192));
    let start = Instant::now();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let mut reads = Paced::new(std::io::repeat(7).take(100_000), &limiter);
            thread::spawn(move || copy(&mut reads, &mut sink()).unwrap())
        })
        .collect();
    let copied: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(copied, 300_000);
    // Late grants are dated earlier by up to 10 ms.
    assert!(start.elapsed() >= Duration::from_millis(280), "{:?}", start.elapsed());
}

#[test]
fn only_bytes_that_passed_are_debited() {
    let limiter = RateLimiter::new(Quota::per_hour(10_000));
    let mut writes = Paced::new(Vec::new(), &limiter).quantum(100);
    assert_eq!(writes.write(&[]).unwrap(), 0);
    assert_eq!(limiter.available(), 10_000);
    assert_eq!(writes.write(&[1; 500]).unwrap(), 100);
    let bufs = [&[2; 60][..], &[3; 60], &[4; 60]].map(IoSlice::new);
    assert_eq!(writes.write_vectored(&bufs).unwrap(), 60);
    assert_eq!(writes.write_vectored(&bufs).unwrap(), 40);
    assert_eq!(writes.write_vectored(&bufs[..1]).unwrap(), 60);
    writes.flush().unwrap();
    assert_eq!(writes.into_inner().len(), 260);
    assert_eq!(limiter.available(), 10_000 - 260);

    // At the end the rest goes back.
    let mut reads = Paced::new(&[5; 150][..], &limiter).quantum(100);
    assert_eq!(reads.read(&mut [0; 500]).unwrap(), 100);
    assert_eq!(reads.read(&mut [0; 500]).unwrap(), 50);
    assert_eq!(reads.read(&mut [0; 500]).unwrap(), 0);
    assert_eq!(limiter.available(), 10_000 - 410);
}

#[test]
fn a_closed_limiter_is_an_error_of_the_stream() {
    let limiter = RateLimiter::new(Quota::per_hour(10));
    limiter.try_acquire_n(10).unwrap();
    let mut writes = Paced::new(Vec::new(), &limiter);
    thread::scope(|scope| {
        let waits = scope.spawn(|| writes.write(b"x").unwrap_err());
        while limiter.waiting() == 0 {
            thread::yield_now();
        }
        limiter.close();
        let error = waits.join().unwrap();
        assert_eq!(error.get_ref().and_then(|inner| inner.downcast_ref()), Some(&Denied::Closed));
    });
}
