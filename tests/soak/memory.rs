//! What memory is kept: the bytes of the heap to the last one, or the pages that the process has.

use std::{
    sync::{
        Arc, Once,
        atomic::{AtomicI64, Ordering},
    },
    thread::{self, JoinHandle},
};

use tidegate::{Quota, RateLimiter};

use super::round::Wall;

/// The bytes that were allocated and not freed by what several threads do, wherever each was freed.
///
/// A thread counts what is done within `count`. Threads are begun by `spawn` and ended by `join`, so that what is
/// kept for each is not counted: the thread frees it when it counts no more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<AtomicI64>);

impl Kept {
    pub(crate) fn count<T>(&self, run: impl FnOnce() -> T) -> T {
        let mut out = None;
        let counted = allocation_counter::measure(|| out = Some(run()));
        // Relaxed: it is read when all threads have been joined.
        self.0.fetch_add(counted.bytes_current, Ordering::Relaxed);
        out.unwrap()
    }

    pub(crate) fn bytes(&self) -> i64 {
        // Relaxed: see `count`.
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn spawn<T: Send + 'static>(&self, run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let kept = self.clone();
        let run = move || {
            uncounted(warm_up);
            kept.count(run)
        };
        uncounted(|| thread::spawn(run))
    }
}

/// Makes what a thread keeps until it ends: what it is blocked with, and what it knows of its runtime.
fn warm_up() {
    let quota = Quota::per_second(2_000).with_burst(1).with_initial(0);
    RateLimiter::with_clock(quota, Wall::new()).blocking_acquire();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {});
}

pub(crate) fn join<T>(thread: JoinHandle<T>) -> T {
    uncounted(|| thread.join().unwrap())
}

fn uncounted<T>(run: impl FnOnce() -> T) -> T {
    let mut out = None;
    allocation_counter::opt_out(|| out = Some(run()));
    out.unwrap()
}

/// Does not report a panic that is caught: tokio panics in a caller that sets a timer of a runtime that shuts down. A
/// report may load all symbols.
pub(crate) fn keep_silent() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str));
            if !text.is_some_and(|text| text.contains("being shutdown")) {
                tell(panic);
            }
        }));
    });
}

/// The memory in use by the process. `None` if that cannot be told, or with `TIDEGATE_SOAK_MEMORY=off`: a sanitizer keeps memory of
/// its own.
pub(crate) fn resident() -> Option<i64> {
    if std::env::var("TIDEGATE_SOAK_MEMORY").is_ok_and(|memory| memory == "off") {
        return None;
    }
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

#[test]
fn what_is_kept_is_counted_wherever_it_is_freed() {
    let kept = Kept::default();
    kept.count(|| {
        let here = vec![0_u8; 1_000];
        let there = join(kept.spawn(move || {
            drop(here);
            vec![0_u8; 10]
        }));
        std::mem::forget(there);
    });
    assert_eq!(kept.bytes(), 10);
}
