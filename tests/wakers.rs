//! What wakers may do to the queue, and what may become of the futures and runtimes behind them.
//!
//! Everything is deterministic: the clock is moved by hand, or is tokio's paused time.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicPtr, AtomicU64, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use tidegate::{AcquireNOwned, Clock, Denied, ManualClock, Quota, RateLimiter};
use tokio::runtime::{Builder, Runtime};

use self::hooked::{Hooked, On};

#[path = "wakers/hooked.rs"]
mod hooked;

const SECOND: Duration = Duration::from_secs(1);

type Limiter = RateLimiter<ManualClock>;
type Waiter<C = ManualClock> = Pin<Box<AcquireNOwned<C>>>;

/// One permit a second, and none to begin with.
fn limiter(burst: u64) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).burst(burst).initial(0);
    (RateLimiter::with_clock(quota, clock.clone()), clock)
}

fn poll<C: Clock>(waiter: &mut Waiter<C>, waker: &Waker) -> Poll<Result<(), Denied>> {
    waiter.as_mut().poll(&mut Context::from_waker(waker))
}

/// A waiter that nobody wakes, in the queue.
fn queued<C: Clock>(limiter: &RateLimiter<C>, n: u64) -> Waiter<C> {
    queued_by(limiter, n, Waker::noop())
}

fn queued_by<C: Clock>(limiter: &RateLimiter<C>, n: u64, waker: &Waker) -> Waiter<C> {
    let mut waiter = Box::pin(limiter.acquire_n_owned(n));
    assert!(poll(&mut waiter, waker).is_pending(), "no permit yet");
    waiter
}

fn is_granted<C: Clock>(waiter: &mut Waiter<C>) -> bool {
    poll(waiter, Waker::noop()) == Poll::Ready(Ok(()))
}

/// Runs a test that would hang if code of others were run under the lock, and fails instead.
fn never_hangs(test: impl FnOnce() + Send + 'static) {
    if cfg!(miri) {
        // It finds deadlocks itself.
        return test();
    }
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    let waited = wait.recv_timeout(Duration::from_secs(60));
    assert_ne!(waited, Err(mpsc::RecvTimeoutError::Timeout), "a deadlock");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Calls that take the lock.
fn look_into(limiter: &Limiter) {
    let _ = limiter.waiting();
    let _ = limiter.try_acquire();
    limiter.refund(0).unwrap();
}

// === wakers that are replaced, or not needed any more ===

#[test]
fn a_replaced_waker_is_dropped_at_once_outside_the_lock_and_never_woken() {
    never_hangs(|| {
        let (limiter, clock) = limiter(3);
        // At the head, and behind it.
        for behind in [0, 1] {
            let _ahead: Vec<_> = (0..behind).map(|_| queued(&limiter, 1)).collect();
            let (old, new) = (Hooked::new(), Hooked::new());
            let mut waiter = queued_by(&limiter, 1, &old.waker());
            assert_eq!(old.alive(), 1, "the limiter's own");
            old.then(On::Drop, {
                let limiter = limiter.clone();
                move || look_into(&limiter)
            });
            assert!(poll(&mut waiter, &new.waker()).is_pending());
            assert_eq!((old.alive(), old.left_to_do()), (0, 0), "not dropped");
            // The same once more: no other clone is kept.
            assert!(poll(&mut waiter, &new.waker()).is_pending());
            assert_eq!(new.alive(), 1);
            clock.advance(2 * SECOND);
            assert_eq!((old.wakes(), new.wakes(), new.alive()), (0, 1, 0));
            assert!(is_granted(&mut waiter));
            limiter.try_acquire_up_to(u64::MAX);
        }
    });
}

#[test]
fn the_waker_of_a_waiter_that_leaves_is_dropped_outside_the_lock() {
    never_hangs(|| {
        let (limiter, _clock) = limiter(3);
        let looks = || {
            let limiter = limiter.clone();
            Hooked::doing(On::Drop, move || look_into(&limiter))
        };
        let hooked = [looks(), looks(), looks()];
        let mut waiters: Vec<_> = hooked
            .iter()
            .map(|hooked| {
                let mut waiter = Box::pin(limiter.acquire_n_owned(1));
                // Not to be dropped here.
                let waker = std::mem::ManuallyDrop::new(hooked.waker());
                assert!(poll(&mut waiter, &waker).is_pending());
                waiter
            })
            .collect();
        // From the middle, from the front, and the last one.
        for i in [1, 0, 0] {
            drop(waiters.remove(i));
        }
        assert!(hooked.iter().all(|hooked| hooked.left_to_do() == 0 && hooked.wakes() == 0));
        assert_eq!(limiter.waiting(), 0);
    });
}

#[test]
fn a_waker_that_proves_unnecessary_is_dropped_outside_the_lock() {
    never_hangs(|| {
        for within in [false, true] {
            let (limiter, _clock) = limiter(3);
            let hooked = Hooked::new();
            let waker = hooked.waker();
            // The permit comes while the waker is cloned, so that the clone is not needed.
            hooked.then(On::Clone, {
                let limiter = limiter.clone();
                move || limiter.refund(1).unwrap()
            });
            hooked.then(On::Drop, {
                let limiter = limiter.clone();
                move || look_into(&limiter)
            });
            let mut waiter = Box::pin(if within {
                limiter.acquire_within_owned(1, 10 * SECOND)
            } else {
                limiter.acquire_n_owned(1)
            });
            assert_eq!(poll(&mut waiter, &waker), Poll::Ready(Ok(())));
            assert_eq!((hooked.alive(), hooked.left_to_do(), hooked.wakes()), (1, 0, 0));
            assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
        }
    });
}

// === wakers that panic ===

#[test]
fn wakers_that_panic_keep_nobody_from_being_granted_and_woken() {
    type Cause = fn(&Limiter, &ManualClock, &mut Vec<Waiter>);
    let causes: [(&str, Cause); 6] = [
        ("the alarm", |_, clock, _| clock.advance(100 * SECOND)),
        ("a refund", |limiter, _, _| limiter.refund(100).unwrap()),
        ("a reset", |limiter, _, _| {
            limiter.reset();
            limiter.charge(100).unwrap();
        }),
        ("another quota", |limiter, _, _| {
            limiter.set_quota_with(Quota::per_second(1).burst(100), tidegate::Inherit::Reset).unwrap();
        }),
        ("a head that leaves", |_, clock, waiters| {
            clock.advance(99 * SECOND);
            drop(waiters.remove(0));
            clock.advance(SECOND);
        }),
        ("a grant that is given back", |limiter, _, waiters| {
            limiter.refund(100).unwrap();
            drop(waiters.remove(0));
        }),
    ];
    for (name, cause) in causes {
        let (limiter, clock) = limiter(200);
        // More than two batches of them; the large one at the head has room for all the rest.
        let mut all = vec![Hooked::new()];
        let head = if name == "a head that leaves" { 100 } else { 1 };
        let mut waiters = vec![queued_by(&limiter, head, &all[0].waker())];
        for i in 0..99 {
            let hooked = if i % 3 == 1 { Hooked::new() } else { Hooked::panicking(On::Wake) };
            waiters.push(queued_by(&limiter, 1, &hooked.waker()));
            all.push(hooked);
        }
        cause(&limiter, &clock, &mut waiters);
        assert_eq!(limiter.waiting(), 0, "{name}");
        assert!(all[1..].iter().all(|hooked| hooked.wakes() == 1), "{name}");
        assert!(all.iter().all(|hooked| hooked.alive() == 0), "{name}");
        assert!(waiters.iter_mut().all(is_granted), "{name}");
        // It works on, and the books are right.
        let spare = 100 - i64::try_from(waiters.len()).unwrap();
        assert_eq!(limiter.available(), spare, "{name}");
        limiter.try_acquire_up_to(u64::MAX);
        let mut next = queued(&limiter, 1);
        clock.advance(SECOND);
        assert!(is_granted(&mut next), "{name}");
        assert_eq!(limiter.available(), 0, "{name}");
    }
}

#[test]
fn a_waker_that_panics_when_cloned_hits_its_own_task_only() {
    let (limiter, clock) = limiter(3);
    let mut before = queued(&limiter, 1);
    // On the way into the queue: it is not in it.
    let panics = Hooked::panicking(On::Clone);
    let mut refused = Box::pin(limiter.acquire_n_owned(1));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut refused, &panics.waker()))).is_err());
    assert_eq!(limiter.waiting(), 1);
    drop(refused);
    // In the queue already: it stays, with the waker that it had.
    let (had, panics) = (Hooked::new(), Hooked::panicking(On::Clone));
    let mut stays = queued_by(&limiter, 1, &had.waker());
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut stays, &panics.waker()))).is_err());
    assert_eq!((limiter.waiting(), had.alive()), (2, 1));
    clock.advance(2 * SECOND);
    assert_eq!((had.wakes(), panics.wakes()), (1, 0));
    assert!(is_granted(&mut before) && is_granted(&mut stays));
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

#[test]
fn a_waker_that_panics_when_dropped_takes_nobody_out_of_the_queue() {
    let (limiter, clock) = limiter(3);
    // One that is replaced, at the head.
    let (old, new) = (Hooked::new(), Hooked::new());
    let mut head = queued_by(&limiter, 1, &old.waker());
    let mut second = queued(&limiter, 1);
    old.then(On::Drop, || std::panic::resume_unwind(Box::new("on purpose")));
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut head, &new.waker()))).is_err());
    assert_eq!((limiter.waiting(), old.alive()), (2, 0));
    clock.advance(SECOND);
    assert_eq!((old.wakes(), new.wakes()), (0, 1));
    assert!(is_granted(&mut head));
    // One that goes with its waiter, which held up the one behind.
    clock.advance(SECOND);
    assert!(is_granted(&mut second));
    let panics = Hooked::new();
    let large = queued_by(&limiter, 3, &panics.waker());
    let mut small = queued(&limiter, 1);
    clock.advance(SECOND);
    panics.then(On::Drop, || std::panic::resume_unwind(Box::new("on purpose")));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(large))).is_err());
    assert!(is_granted(&mut small));
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

// === wakers that call back ===

/// Futures that wakers reach into.
type Shared = Arc<Mutex<Option<Waiter>>>;

fn shared(waiter: Waiter) -> Shared {
    Arc::new(Mutex::new(Some(waiter)))
}

/// A future of one permit, not polled yet.
fn unpolled(limiter: &Limiter) -> Shared {
    shared(Box::pin(limiter.acquire_n_owned(1)))
}

fn poll_shared(shared: &Shared) -> Option<Poll<Result<(), Denied>>> {
    let mut waiter = shared.lock().unwrap().take()?;
    let polled = poll(&mut waiter, Waker::noop());
    *shared.lock().unwrap() = Some(waiter);
    Some(polled)
}

fn drop_shared(shared: &Shared) {
    let waiter = shared.lock().unwrap().take();
    drop(waiter);
}

#[test]
fn wakers_may_call_back_when_woken() {
    never_hangs(|| {
        let (limiter, clock) = limiter(10);
        let newcomer = unpolled(&limiter);
        let hooked = Hooked::new();
        let waker = hooked.waker();
        let mut first = queued_by(&limiter, 1, &waker);
        let same_batch = shared(queued(&limiter, 1));
        let same_batch_too = Arc::clone(&same_batch);
        let mut third = queued(&limiter, 1);
        let behind = shared(queued(&limiter, 5));
        let mut last = queued(&limiter, 1);
        hooked.then(On::Wake, {
            let (limiter, behind, newcomer) = (limiter.clone(), Arc::clone(&behind), Arc::clone(&newcomer));
            move || {
                // The first two have been granted; somebody is still in the queue.
                assert_eq!(limiter.waiting(), 3);
                assert!(limiter.try_acquire().is_err(), "others wait");
                assert_eq!(poll_shared(&newcomer), Some(Poll::Pending), "to the back of the queue");
                // One that is granted already: its permit goes on to the third.
                drop_shared(&same_batch);
                // One that holds up those behind it.
                drop_shared(&behind);
                // For the one behind it.
                limiter.refund(1).unwrap();
            }
        });
        // Two at once.
        limiter.refund(2).unwrap();
        assert_eq!((hooked.wakes(), hooked.left_to_do()), (1, 0));
        assert!(same_batch_too.lock().unwrap().is_none() && behind.lock().unwrap().is_none());
        assert!(is_granted(&mut first) && is_granted(&mut third) && is_granted(&mut last));
        assert_eq!(poll_shared(&newcomer), Some(Poll::Pending), "it came last");
        assert_eq!((limiter.waiting(), limiter.available()), (1, 0));
        clock.advance(SECOND);
        assert_eq!(poll_shared(&newcomer), Some(Poll::Ready(Ok(()))));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

#[test]
fn wakers_may_call_back_when_cloned() {
    never_hangs(|| {
        let (limiter, clock) = limiter(10);
        let ahead = shared(queued(&limiter, 10));
        let newcomer = unpolled(&limiter);
        let hooked = Hooked::doing(On::Clone, {
            let (limiter, ahead, newcomer) = (limiter.clone(), Arc::clone(&ahead), Arc::clone(&newcomer));
            move || {
                assert!(limiter.try_acquire().is_err(), "others wait");
                assert_eq!(poll_shared(&newcomer), Some(Poll::Pending));
                drop_shared(&ahead);
            }
        });
        // What its waker brings into the queue comes before it; who held up both has left.
        let mut waiter = queued_by(&limiter, 1, &hooked.waker());
        assert_eq!((limiter.waiting(), hooked.left_to_do()), (2, 0));
        clock.advance(SECOND);
        assert_eq!(poll_shared(&newcomer), Some(Poll::Ready(Ok(()))));
        // Cloned as a replacement, it brings the permit that the waiter waits for, and more.
        let hooked = Hooked::doing(On::Clone, {
            let limiter = limiter.clone();
            move || {
                limiter.refund(3).unwrap();
                limiter.try_acquire().unwrap();
            }
        });
        assert_eq!(poll(&mut waiter, &hooked.waker()), Poll::Ready(Ok(())));
        assert_eq!((hooked.alive(), hooked.left_to_do()), (0, 0));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 1));
    });
}

#[test]
fn wakers_may_call_back_when_dropped() {
    never_hangs(|| {
        let (limiter, clock) = limiter(10);
        let old = Hooked::new();
        let mut waiter = queued_by(&limiter, 1, &old.waker());
        let behind = shared(queued(&limiter, 10));
        let mut last = queued(&limiter, 1);
        let newcomer = unpolled(&limiter);
        old.then(On::Drop, {
            let (limiter, behind, newcomer) = (limiter.clone(), Arc::clone(&behind), Arc::clone(&newcomer));
            move || {
                assert!(limiter.try_acquire().is_err(), "others wait");
                assert_eq!(poll_shared(&newcomer), Some(Poll::Pending), "to the back of the queue");
                drop_shared(&behind);
                // For the waiter whose waker this was, and the one behind it.
                limiter.refund(2).unwrap();
            }
        });
        let new = Hooked::new();
        assert_eq!(poll(&mut waiter, &new.waker()), Poll::Ready(Ok(())));
        assert_eq!((old.left_to_do(), old.alive(), new.alive()), (0, 0, 0));
        assert!(is_granted(&mut last));
        assert_eq!((limiter.waiting(), limiter.available()), (1, 0));
        clock.advance(SECOND);
        assert_eq!(poll_shared(&newcomer), Some(Poll::Ready(Ok(()))));
        // A waiter that leaves takes others along by its waker.
        let leaves = Hooked::new();
        let leaver = queued_by(&limiter, 1, &leaves.waker());
        let companion = shared(queued(&limiter, 1));
        leaves.then(On::Drop, {
            let companion = Arc::clone(&companion);
            move || drop_shared(&companion)
        });
        drop(leaver);
        assert!(companion.lock().unwrap().is_none());
        clock.advance(SECOND);
        assert_eq!((limiter.waiting(), limiter.available()), (0, 1));
    });
}

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
            // No more of it; then all who wait are served.
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

// === futures that are forgotten ===

/// Forgets a future for good, as a program may.
fn forget<F>(future: Pin<Box<F>>) {
    // For Miri, memory has leaked unless a static leads to it.
    static FORGOTTEN: Mutex<Vec<AtomicPtr<()>>> = Mutex::new(Vec::new());
    let pointer = (&raw const *future).cast_mut().cast();
    FORGOTTEN.lock().unwrap().push(AtomicPtr::new(pointer));
    std::mem::forget(future);
}

#[test]
fn a_forgotten_waiter_costs_what_it_asked_for_and_delays_nobody() {
    let (limiter, clock) = limiter(10);
    // One that was never polled costs nothing.
    forget(Box::pin(limiter.acquire_n_owned(1)));
    let mut kept = Vec::new();
    for _ in 0..20 {
        forget(queued(&limiter, 1));
        kept.push(queued(&limiter, 1));
    }
    // Each second one goes to nobody, and not one more.
    for (i, waiter) in kept.iter_mut().enumerate() {
        clock.advance(SECOND);
        assert_eq!(limiter.waiting(), 40 - 2 * i - 1);
        assert!(poll(waiter, Waker::noop()).is_pending());
        clock.advance(SECOND);
        assert!(is_granted(waiter));
    }
    // One that is forgotten when it has been granted, without knowing.
    let granted = queued(&limiter, 1);
    clock.advance(SECOND);
    forget(granted);
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    clock.advance(3 * SECOND);
    assert_eq!(limiter.try_acquire_up_to(u64::MAX), 3);
}

#[test]
fn a_limiter_may_go_before_those_who_were_forgotten_in_its_queue() {
    let (limiter, clock) = limiter(10);
    let mut future = Box::pin(limiter.acquire());
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    forget(future);
    drop(limiter);
    clock.advance(100 * SECOND);
}

// === runtimes that go down ===

/// A clock without alarms that is moved by hand, so that those of tokio are needed.
#[derive(Clone, Debug, Default)]
struct Mute(Arc<AtomicU64>);

impl Mute {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }
}

impl Clock for Mute {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn mute_limiter(burst: u64) -> (RateLimiter<Mute>, Mute) {
    let clock = Mute::default();
    let quota = Quota::per_second(1).burst(burst).initial(0);
    (RateLimiter::with_clock(quota, clock.clone()), clock)
}

/// A runtime whose time goes on by itself whenever it has nothing to do.
fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Polls a waiter once on a runtime.
fn poll_on<C: Clock>(runtime: &Runtime, waiter: &mut Waiter<C>) -> Poll<Result<(), Denied>> {
    runtime.block_on(poll_fn(|cx| Poll::Ready(waiter.as_mut().poll(cx))))
}

/// Lets so many seconds pass on the current runtime, and on the clock a moment before.
async fn pass(clock: &Mute, seconds: u32) {
    let (most, rest) = (Duration::from_millis(990), Duration::from_millis(10));
    for _ in 0..seconds {
        tokio::time::sleep(most).await;
        clock.advance(SECOND);
        tokio::time::sleep(rest).await;
    }
}

#[test]
fn waiters_on_another_runtime_outlive_the_one_that_kept_the_time() {
    // The head is held by nobody that goes down: it stays in the queue, and hears of it.
    let (limiter, clock) = mute_limiter(10);
    let (first, second) = (paused(), paused());
    let hooked = Hooked::new();
    let mut head = Box::pin(limiter.acquire_n_owned(1));
    first.block_on(async {
        assert!(poll(&mut head, &hooked.waker()).is_pending());
    });
    let waiters: Vec<_> = (0..3).map(|_| second.spawn(limiter.acquire_owned())).collect();
    second.block_on(async {
        while limiter.waiting() < 4 {
            tokio::task::yield_now().await;
        }
    });
    drop(first);
    assert_eq!(hooked.wakes(), 1, "asked for another timer");
    second.block_on(async {
        pass(&clock, 1).await;
        assert_eq!(limiter.waiting(), 3, "the head is granted although nobody polls it");
        pass(&clock, 3).await;
        assert_eq!(limiter.waiting(), 0);
        for waiter in waiters {
            waiter.await.unwrap();
        }
    });
    assert!(is_granted(&mut head));
    assert_eq!(limiter.available(), 0);
}

#[test]
fn a_runtime_that_goes_down_with_its_waiters_leaves_the_rest() {
    let (limiter, clock) = mute_limiter(10);
    let (first, second) = (paused(), paused());
    // By turns, so that those that go leave gaps.
    let (mut going, mut staying, mut joined) = (Vec::new(), Vec::new(), 0);
    for _ in 0..4 {
        for (runtime, tasks) in [(&first, &mut going), (&second, &mut staying)] {
            tasks.push(runtime.spawn(limiter.acquire_owned()));
            joined += 1;
            runtime.block_on(async {
                while limiter.waiting() < joined {
                    tokio::task::yield_now().await;
                }
            });
        }
    }
    drop(first);
    assert_eq!(limiter.waiting(), 4, "the tasks are gone, and their places");
    second.block_on(async {
        for left in [3, 2, 1, 0] {
            pass(&clock, 1).await;
            assert_eq!(limiter.waiting(), left);
        }
        for waiter in staying {
            waiter.await.unwrap();
        }
    });
    assert_eq!(limiter.available(), 0);
    for task in going {
        assert!(task.is_finished());
    }
}

#[test]
fn a_timer_lasts_for_longer_than_its_longest_sleep() {
    const DAY: u32 = 86_400;
    let clock = Mute::default();
    let quota = Quota::new(1, 10 * DAY * SECOND).burst(1).initial(0);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let runtime = paused();
    let mut waiter = Box::pin(limiter.acquire_n_owned(1));
    let hooked = Hooked::new();
    runtime.block_on(async {
        // Once, and never again.
        assert!(poll(&mut waiter, &hooked.waker()).is_pending());
        for _ in 0..11 {
            assert_eq!(hooked.wakes(), usize::from(clock.now() >= quota.period().as_nanos() as u64));
            clock.advance(DAY * SECOND);
            tokio::time::sleep(DAY * SECOND).await;
        }
    });
    assert!(is_granted(&mut waiter));
}

#[test]
fn a_queue_without_any_runtime_goes_on_with_the_next_that_comes() {
    let (limiter, clock) = mute_limiter(10);
    let first = paused();
    let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(limiter.acquire_n_owned(1))).collect();
    for waiter in &mut waiters {
        assert!(poll_on(&first, waiter).is_pending());
    }
    // Nobody drives it any more, and nobody is left to bring another.
    drop(first);
    assert_eq!(limiter.waiting(), 3);
    clock.advance(SECOND);
    // The last one is polled elsewhere; those before it are served first.
    let second = paused();
    assert!(poll_on(&second, &mut waiters[2]).is_pending());
    assert_eq!(limiter.waiting(), 2);
    second.block_on(async {
        pass(&clock, 1).await;
        assert_eq!(limiter.waiting(), 1, "timed by a runtime on which the head never was");
        pass(&clock, 1).await;
        for waiter in waiters {
            waiter.await.unwrap();
        }
    });
    // And once more, with a newcomer.
    let mut left = Box::pin(limiter.acquire_n_owned(1));
    assert!(poll_on(&second, &mut left).is_pending());
    drop(second);
    let third = paused();
    third.block_on(async {
        let newcomer = tokio::spawn(limiter.acquire_owned());
        pass(&clock, 2).await;
        newcomer.await.unwrap();
    });
    assert!(is_granted(&mut left));
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

// === waiters that move ===

#[test]
fn a_waiter_keeps_its_place_from_thread_to_thread() {
    let (limiter, clock) = limiter(10);
    let mut ahead = queued(&limiter, 1);
    let mut moving: Waiter = Box::pin(limiter.acquire_n_owned(1));
    let hooked: Vec<_> = (0..4).map(|_| Hooked::new()).collect();
    let mut behind = None;
    for hooked in &hooked {
        let waker = hooked.waker();
        moving = thread::spawn(move || {
            assert!(poll(&mut moving, &waker).is_pending());
            moving
        })
        .join()
        .unwrap();
        behind.get_or_insert_with(|| queued(&limiter, 1));
    }
    clock.advance(SECOND);
    assert!(is_granted(&mut ahead));
    clock.advance(SECOND);
    // The task that had it last is woken, and no other; it may be polled by yet another.
    assert!(hooked.iter().map(Hooked::wakes).eq([0, 0, 0, 1]));
    assert!(hooked.iter().all(|hooked| hooked.alive() == 0));
    assert!(thread::spawn(move || is_granted(&mut moving)).join().unwrap());
    // Dropped on another thread, granted and not granted.
    let (granted, mut last) = (behind.unwrap(), queued(&limiter, 1));
    let waiting = queued(&limiter, 1);
    clock.advance(SECOND);
    thread::spawn(move || drop((granted, waiting))).join().unwrap();
    assert!(is_granted(&mut last));
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_keeps_its_place_from_task_to_task() {
    let limiter =
        RateLimiter::with_clock(Quota::per_second(1).initial(0).burst(1), tidegate::TokioClock::new());
    let start = tokio::time::Instant::now();
    let mut moving = Box::pin(limiter.acquire_n_owned(1));
    for _ in 0..3 {
        // Each task ends after one look; what is left of it must not be woken in place of the last.
        let (send, receive) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            assert!(futures_util::poll!(moving.as_mut()).is_pending());
            assert!(send.send(moving).is_ok());
        })
        .await
        .unwrap();
        moving = receive.await.unwrap();
    }
    let behind = tokio::spawn(limiter.acquire_owned());
    tokio::spawn(async move { moving.await.unwrap() }).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 1);
    behind.await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 2);
}

#[test]
fn a_waiter_moves_to_another_runtime_while_its_first_stands_still() {
    let (limiter, clock) = mute_limiter(10);
    let (first, second) = (paused(), paused());
    let mut moving = Box::pin(limiter.acquire_n_owned(1));
    assert!(poll_on(&first, &mut moving).is_pending());
    let mut behind = Box::pin(limiter.acquire_n_owned(1));
    assert!(poll_on(&first, &mut behind).is_pending());
    second.block_on(async {
        let moved = tokio::spawn(moving);
        pass(&clock, 1).await;
        assert_eq!(limiter.waiting(), 1, "left to a timer that nobody drives");
        moved.await.unwrap().unwrap();
    });
    assert_eq!(limiter.waiting(), 1);
    // Back to the first, where time has not gone on.
    second.block_on(pass(&clock, 1));
    assert!(poll_on(&first, &mut behind).is_ready());
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

/// Whoever panics on the way, the queue keeps a timer.
#[test]
fn a_replaced_waker_that_panics_leaves_a_timer() {
    let (limiter, clock) = mute_limiter(10);
    let (first, second) = (paused(), paused());
    let old = Hooked::new();
    let mut head = Box::pin(limiter.acquire_n_owned(1));
    first.block_on(async {
        assert!(poll(&mut head, &old.waker()).is_pending());
    });
    let behind = second.spawn(limiter.acquire_owned());
    second.block_on(tokio::task::yield_now());
    second.block_on(tokio::task::yield_now());
    assert_eq!(limiter.waiting(), 2);
    old.then(On::Drop, || std::panic::resume_unwind(Box::new("on purpose")));
    let polled =
        second.block_on(poll_fn(|cx| Poll::Ready(catch_unwind(AssertUnwindSafe(|| head.as_mut().poll(cx))))));
    assert!(polled.is_err());
    second.block_on(pass(&clock, 2));
    assert_eq!(limiter.waiting(), 0, "nobody keeps the time");
    drop(behind);
}
