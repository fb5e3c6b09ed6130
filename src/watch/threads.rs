//! A number for each live thread, so that a thread can count without an atomic read-modify-write.
//!
//! A counter of a stripe has one writer: the thread that has the stripe's number. It loads the counter and stores the sum,
//! which costs about one nanosecond. A thread gives its number back when it ends. Threads beyond the number of stripes, and
//! threads that are ending, share the last stripe, and add to it by a read-modify-write.

use core::cell::Cell;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The fewest and the most stripes of one thread each. A stripe takes one or two cache lines.
const FEWEST: usize = 8;
const MOST: usize = 128;

/// The stripe of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stripe {
    Own(usize),
    /// The last one.
    Shared,
}

/// The stripes of a watched limiter: one for each of twice as many threads as there are cores, and the shared one.
pub(super) fn stripes() -> usize {
    static STRIPES: OnceLock<usize> = OnceLock::new();
    *STRIPES.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (2 * cores).clamp(FEWEST, MOST) + 1
    })
}

/// The numbers that no live thread has.
fn free() -> MutexGuard<'static, Vec<usize>> {
    static FREE: OnceLock<Mutex<Vec<usize>>> = OnceLock::new();
    let free = FREE.get_or_init(|| Mutex::new((0..stripes() - 1).rev().collect()));
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

const UNASSIGNED: usize = usize::MAX;
const SHARED: usize = usize::MAX - 1;

std::thread_local! {
    // Without a destructor, so that it can be read until the thread is gone.
    static NUMBER: Cell<usize> = const { Cell::new(UNASSIGNED) };
    static LEASE: Lease = const { Lease };
}

/// Gives the number of this thread back when the thread ends.
struct Lease;

impl Drop for Lease {
    fn drop(&mut self) {
        // Destructors that run after this one may still call limiters.
        let number = NUMBER.replace(SHARED);
        if number < SHARED {
            // The lock orders the last count of this thread before the first one of the next owner.
            free().push(number);
        }
    }
}

/// The stripe of this thread.
#[inline]
pub(super) fn current() -> Stripe {
    match NUMBER.get() {
        SHARED => Stripe::Shared,
        UNASSIGNED => assign(),
        number => Stripe::Own(number),
    }
}

#[cold]
#[inline(never)]
fn assign() -> Stripe {
    // The first access registers the destructor. In a thread that is ending it fails.
    let number = LEASE.try_with(|_| free().pop()).ok().flatten();
    NUMBER.set(number.unwrap_or(SHARED));
    number.map_or(Stripe::Shared, Stripe::Own)
}
