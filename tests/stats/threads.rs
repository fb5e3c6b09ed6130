//! Threads count apart from each other, and nothing is lost when they end.

use std::{cell::RefCell, sync::Barrier, thread};

use tidegate::{Quota, RateLimiter};

#[test]
fn no_call_of_more_threads_than_there_are_stripes_is_lost() {
    let limiter = RateLimiter::new(Quota::UNLIMITED).watched("threads");
    let most = thread::available_parallelism().unwrap().get();
    // Twice as many threads as cores, at least eight, have a stripe of their own.
    let threads = (2 * most).clamp(8, 128) + 5;
    let rounds = 3;
    for _ in 0..rounds {
        let all_there = Barrier::new(threads);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    limiter.try_acquire().unwrap();
                    // So that no thread ends before all have a stripe.
                    all_there.wait();
                    for _ in 0..1_000 {
                        limiter.try_acquire().unwrap();
                    }
                });
            }
        });
    }
    let stats = limiter.stats().unwrap();
    assert_eq!((stats.admitted, stats.refused), (rounds * threads as u64 * 1_001, 0));
}

#[test]
fn a_call_in_a_destructor_of_a_thread_that_ends_is_counted() {
    struct Last(RateLimiter);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.try_acquire().unwrap();
        }
    }
    thread_local!(static LAST: RefCell<Vec<Last>> = const { RefCell::new(Vec::new()) });

    let limiter = RateLimiter::new(Quota::UNLIMITED).watched("destructors");
    for first in [true, false] {
        let limiter = limiter.clone();
        let before = limiter.stats().unwrap().admitted;
        let call = move || {
            let keep = || LAST.with_borrow_mut(|last| last.push(Last(limiter.clone())));
            // The destructors run in the order of the first accesses, or in the opposite one.
            if first {
                keep();
            }
            limiter.try_acquire().unwrap();
            if !first {
                keep();
            }
            limiter
        };
        let limiter = thread::spawn(call).join().unwrap();
        assert_eq!(limiter.stats().unwrap().admitted, before + 2);
    }
}
