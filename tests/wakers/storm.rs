//! Wakers that do something at random in all that they do.

use super::*;

/// `SplitMix64`.
fn random(state: &AtomicU64, below: u64) -> u64 {
    let mut z = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below
}

/// A limiter, waiters in all stages, and wakers that do something to both in all that they do.
struct Storm {
    limiter: Limiter,
    random: AtomicU64,
    /// Waiters, and what they ask for.
    slots: Vec<Mutex<Option<(u64, Waiter)>>>,
    /// What was brought by refunds, and what was taken.
    refunded: AtomicU64,
    taken: AtomicU64,
    /// How much deeper wakers may call back.
    depth: AtomicU64,
}

impl Storm {
    const SLOTS: u64 = 40;

    fn new(seed: u64, limiter: Limiter) -> Arc<Self> {
        let [random, refunded, taken, depth] = [seed, 0, 0, 4].map(AtomicU64::new);
        let slots = (0..Self::SLOTS).map(|_| Mutex::default()).collect();
        Arc::new(Self { limiter, random, slots, refunded, taken, depth })
    }

    fn below(&self, n: u64) -> u64 {
        random(&self.random, n)
    }

    /// One thing at random.
    fn act(self: &Arc<Self>) {
        let n = 1 + self.below(3);
        let slot = &self.slots[self.below(Self::SLOTS) as usize];
        match self.below(8) {
            0 => {
                let taken = if self.limiter.try_acquire_n(n).is_ok() { n } else { 0 };
                self.taken.fetch_add(taken, Ordering::Relaxed);
            }
            1 => {
                self.refunded.fetch_add(n, Ordering::Relaxed);
                self.limiter.refund(n).unwrap();
            }
            2 => {
                let dropped = slot.lock().unwrap().take();
                drop(dropped);
            }
            _ => {
                // A waiter that is being polled further out is not there, and another takes its slot.
                let there = slot.lock().unwrap().take();
                let (n, mut waiter) = there.unwrap_or_else(|| (n, Box::pin(self.limiter.acquire_n_owned(n))));
                if poll(&mut waiter, &self.waker()).is_pending() {
                    let replaced = slot.lock().unwrap().replace((n, waiter));
                    drop(replaced);
                } else {
                    self.taken.fetch_add(n, Ordering::Relaxed);
                }
            }
        }
    }

    /// A waker that acts whatever is done with it.
    fn waker(self: &Arc<Self>) -> Waker {
        let hooked = Hooked::new();
        for on in [On::Clone, On::Wake, On::Drop] {
            let storm = Arc::downgrade(self);
            hooked.then(on, move || {
                let Some(storm) = storm.upgrade() else { return };
                if storm.depth.load(Ordering::Relaxed) > 0 {
                    storm.depth.fetch_sub(1, Ordering::Relaxed);
                    storm.act();
                    storm.depth.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        hooked.waker()
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes")]
fn the_books_are_exact_whatever_wakers_do() {
    never_hangs(|| {
        for seed in 0..40 {
            // So large that it is never full.
            let (limiter, clock) = limiter(1_000_000);
            let storm = Storm::new(seed, limiter.clone());
            let mut seconds = 0;
            for _ in 0..500 {
                storm.act();
                let by = storm.below(3);
                seconds += by;
                clock.advance(by as u32 * SECOND);
            }
            // The storm ends; then all waiters are granted.
            storm.depth.store(0, Ordering::Relaxed);
            seconds += 1000;
            clock.advance(1000 * SECOND);
            assert_eq!(limiter.waiting(), 0, "seed {seed}");
            let mut taken = storm.taken.load(Ordering::Relaxed);
            for slot in &storm.slots {
                if let Some((n, mut waiter)) = slot.lock().unwrap().take() {
                    assert!(is_granted(&mut waiter), "seed {seed}");
                    taken += n;
                }
            }
            let left = u64::try_from(limiter.available()).unwrap();
            assert_eq!(taken + left, seconds + storm.refunded.load(Ordering::Relaxed), "seed {seed}");
        }
    });
}
