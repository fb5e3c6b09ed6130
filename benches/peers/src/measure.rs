//! What a call costs, from short measurements that alternate, so that other work on the machine and its changes of speed
//! fall on all alike.

use std::{
    hint::black_box,
    sync::{
        Barrier,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::stats::{Spread, spread};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The length of one measurement of calls.
    pub slice: Duration,
    /// The number of rounds of them; each measures everything once.
    pub rounds: usize,
    /// The length of one measurement of waiting tasks.
    pub long: Duration,
    /// The number of rounds of them.
    pub long_rounds: usize,
    /// Whether every cell is measured.
    pub full: bool,
}

impl Effort {
    /// For the page.
    pub const PAGE: Self = Self {
        slice: Duration::from_millis(20),
        rounds: 40,
        long: Duration::from_secs(2),
        long_rounds: 3,
        full: false,
    };

    /// For a try: its numbers mean little.
    pub const TRY: Self = Self {
        slice: Duration::from_millis(2),
        rounds: 5,
        long: Duration::from_millis(200),
        long_rounds: 1,
        full: false,
    };
}

/// Calls between two looks at the time or at the flag.
const BATCH: u64 = 2048;

/// A kind of call: something that all threads share, and something that each has of its own.
struct Party<S, N, F> {
    name: String,
    shared: S,
    own: N,
    call: F,
}

impl<S: Sync, O, N: Fn(&S) -> O + Sync, F: Fn(&S, &mut O) -> bool + Sync> Party<S, N, F> {
    fn batch(&self, own: &mut O) -> u64 {
        let call = |_| u64::from((self.call)(black_box(&self.shared), black_box(&mut *own)));
        let good: u64 = (0..BATCH).map(call).sum();
        assert_eq!(good, BATCH, "{}: not every call ended as it should", self.name);
        good
    }

    /// Nanoseconds a call, on this thread.
    fn alone(&self, slice: Duration) -> f64 {
        let mut own = (self.own)(&self.shared);
        let (began, mut calls) = (Instant::now(), 0);
        loop {
            calls += self.batch(&mut own);
            let took = began.elapsed();
            if took >= slice {
                return took.as_nanos() as f64 / calls as f64;
            }
        }
    }

    /// Nanoseconds between calls, with so many threads calling. What they do until the system has found a core for each does
    /// not count.
    fn by_many(&self, threads: usize, slice: Duration) -> f64 {
        const WARM_UP: u8 = 0;
        const MEASURED: u8 = 1;
        const OVER: u8 = 2;
        let (start, phase) = (Barrier::new(threads + 1), AtomicU8::new(WARM_UP));
        let work = || {
            let mut own = (self.own)(&self.shared);
            start.wait();
            while phase.load(Ordering::Relaxed) == WARM_UP {
                self.batch(&mut own);
            }
            let (began, mut calls) = (Instant::now(), 0);
            while phase.load(Ordering::Relaxed) == MEASURED {
                calls += self.batch(&mut own);
            }
            calls as f64 / began.elapsed().as_nanos() as f64
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            start.wait();
            for next in [MEASURED, OVER] {
                thread::sleep(slice);
                phase.store(next, Ordering::Relaxed);
            }
            1.0 / workers.into_iter().map(|worker| worker.join().expect("a worker panicked")).sum::<f64>()
        })
    }
}

/// A kind of call, and the nanoseconds that it took in each round.
pub struct Row {
    pub name: String,
    measure: Box<dyn Fn(Duration) -> f64>,
    pub samples: Vec<f64>,
}

impl Row {
    /// A call by so many threads, each with something of its own. It tells whether it ended as it should.
    pub fn with_own<S: Sync + 'static, O: 'static>(
        name: impl Into<String>,
        threads: usize,
        shared: S,
        own: impl Fn(&S) -> O + Sync + 'static,
        call: impl Fn(&S, &mut O) -> bool + Sync + 'static,
    ) -> Self {
        let party = Party { name: name.into(), shared, own, call };
        let name = party.name.clone();
        let measure: Box<dyn Fn(Duration) -> f64> = match threads {
            1 => Box::new(move |slice| party.alone(slice)),
            _ => Box::new(move |slice| party.by_many(threads, slice)),
        };
        Self { name, measure, samples: Vec::new() }
    }

    /// A call by so many threads.
    pub fn new<S: Sync + 'static>(
        name: impl Into<String>,
        threads: usize,
        shared: S,
        call: impl Fn(&S) -> bool + Sync + 'static,
    ) -> Self {
        Self::with_own(name, threads, shared, |_| (), move |shared, ()| call(shared))
    }

    /// Nanoseconds a call.
    pub fn time(&self) -> Spread {
        spread(self.samples.iter().copied())
    }

    /// How many times as long as another one it takes, round by round.
    pub fn ratio(&self, to: &Self) -> Spread {
        spread(self.samples.iter().zip(&to.samples).map(|(own, other)| own / other))
    }
}

/// Measures all in turn, after one turn that does not count.
pub fn run_rounds(rows: &mut [Row], rounds: usize, slice: Duration) {
    for round in 0..=rounds {
        for row in &mut *rows {
            let took = (row.measure)(slice);
            if round > 0 {
                row.samples.push(took);
            }
        }
    }
}
