//! What no limiter can do without, and what the machine gives.

use std::{
    cell::Cell,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
};

/// The least that a limiter without shares must do: read the clock, and change one word.
#[derive(Default)]
pub struct Floor {
    clock: Clock,
    word: AtomicU64,
}

impl Floor {
    /// Does it.
    #[inline]
    pub fn call(&self) -> bool {
        let now = black_box(self.clock.0.raw());
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let new = seen.wrapping_add(now);
            match self.word.compare_exchange_weak(seen, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(changed) => seen = changed,
            }
        }
    }
}

/// The reading of the clock alone.
pub struct Clock(quanta::Clock);

impl Default for Clock {
    fn default() -> Self {
        Self(quanta::Clock::new())
    }
}

impl Clock {
    /// Reads it.
    #[inline]
    pub fn call(&self) -> bool {
        black_box(self.0.raw()) != 0
    }
}

thread_local!(static LEFT: Cell<u64> = const { Cell::new(u64::MAX) });

/// A decrement of a number of the thread's own.
#[inline]
pub fn decrement() -> bool {
    LEFT.with(|left| {
        let there = left.get();
        left.set(there.wrapping_sub(1));
        there > 0
    })
}

/// A step of arithmetic in registers.
#[inline]
pub fn arithmetic(own: &mut u64) -> bool {
    *own = own.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    true
}
