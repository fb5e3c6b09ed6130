//! Makes one kind of call many times: `tidegate-instructions CALL COUNT`. Without arguments it lists the calls.
//!
//! The clock is a counter in memory, so that only the limiter's own instructions are counted.

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll, Waker},
};

use tidegate::{AllOf, Clock, PerCore, Quota, RateLimiter};

/// A clock that advances by ten nanoseconds with every reading.
#[derive(Debug)]
struct Counter(AtomicU64);

impl Clock for Counter {
    #[inline]
    fn now(&self) -> u64 {
        let now = self.0.load(Relaxed) + 10;
        self.0.store(now, Relaxed);
        now
    }
}

type Limiter = RateLimiter<Counter>;

fn limiter(quota: Quota) -> Limiter {
    RateLimiter::with_clock(quota, Counter(AtomicU64::new(1)))
}

/// A permit comes with every reading.
fn open() -> Limiter {
    limiter(Quota::per_second(100_000_000).with_burst(1_000))
}

fn empty() -> Limiter {
    limiter(Quota::per_hour(1).with_initial(0))
}

fn poll<F: Future>(future: F) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// The number of repetitions; each call returns whether it ended as expected.
fn repeat(count: u64, mut call: impl FnMut() -> bool) {
    for _ in 0..count {
        assert!(call());
    }
}

fn admit(limiter: Limiter, count: u64) {
    repeat(count, || black_box(&limiter).try_acquire().is_ok());
}

fn refuse(limiter: Limiter, count: u64) {
    repeat(count, || black_box(black_box(&limiter).try_acquire()).is_err());
}

fn acquire(limiter: Limiter, count: u64) {
    repeat(count, || poll(black_box(&limiter).acquire()));
}

const CALLS: &[(&str, fn(u64))] = &[
    ("admit", |count| admit(open(), count)),
    ("admit-n", |count| {
        let limiter = open();
        repeat(count, || black_box(&limiter).try_acquire_n(black_box(1_u64)).is_ok());
    }),
    ("refuse", |count| refuse(empty(), count)),
    ("refuse-behind-waiters", |count| {
        let limiter = empty();
        let mut waiter = pin!(limiter.acquire());
        assert_eq!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
        repeat(count, || black_box(black_box(&limiter).try_acquire()).is_err());
    }),
    ("refuse-up-to", |count| {
        let limiter = empty();
        repeat(count, || black_box(&limiter).try_acquire_up_to(9) == 0);
    }),
    ("acquire", |count| acquire(open(), count)),
    ("all-of-refuse", |count| {
        let (open, empty) = (open(), empty());
        let all = AllOf::new().and(&open, 1).and(&empty, 1);
        repeat(count, || black_box(black_box(&all).try_acquire()).is_err());
    }),
    ("per-core-admit", |count| {
        let per_core = PerCore::builder(&limiter(Quota::per_hour(10_000_000)))
            .slots(1)
            .share(1_000)
            .build()
            .expect("a share of 1,000");
        repeat(count, || black_box(&per_core).try_acquire().is_ok());
    }),
    ("per-core-refuse", |count| {
        let limiter = limiter(Quota::per_hour(1).with_burst(1_000).with_initial(0));
        let per_core = PerCore::builder(&limiter).slots(2).build().expect("two slots");
        repeat(count, || black_box(black_box(&per_core).try_acquire()).is_err());
    }),
    #[cfg(feature = "stats")]
    ("watched-admit", |count| admit(open().watched("api"), count)),
    #[cfg(feature = "stats")]
    ("watched-refuse", |count| refuse(empty().watched("api"), count)),
    #[cfg(feature = "stats")]
    ("watched-acquire", |count| acquire(open().watched("api"), count)),
];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [name, count] = &*arguments else {
        CALLS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let (_, call) = CALLS.iter().find(|(known, _)| known == name).expect("the name of a call");
    call(count.parse().expect("a count"));
}
