//! Which calls are under way, so that none of them sees two changes of quota.
//!
//! A change waits until all calls have ended that were under way at the one before: so each call is decided by one of two
//! quotas at most, and the search stays small.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// `SeqCst` throughout: the calls of an age are counted before its end is seen, or see it themselves.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// How many changes there have been.
    age: AtomicU64,
    /// The calls under way, by the parity of the age in which they began.
    under_way: [AtomicU64; 2],
    changing: Mutex<()>,
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call<'a>(&'a AtomicU64);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Calls {
    pub(crate) fn begin(&self) -> Call<'_> {
        loop {
            let age = self.age.load(SeqCst);
            let under_way = &self.under_way[(age % 2) as usize];
            under_way.fetch_add(1, SeqCst);
            let call = Call(under_way);
            if self.age.load(SeqCst) == age {
                return call;
            }
        }
    }

    /// Makes a change once all calls have ended that began before the last one.
    pub(crate) fn between<T>(&self, change: impl FnOnce() -> T) -> T {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let age = self.age.load(SeqCst);
        while self.under_way[((age + 1) % 2) as usize].load(SeqCst) > 0 {
            thread::sleep(Duration::from_micros(50));
        }
        let changed = change();
        self.age.store(age + 1, SeqCst);
        changed
    }
}
