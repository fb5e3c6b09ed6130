//! What is parked at cores is for the waiters.

use super::*;
use crate::{
    Permits,
    queue::Stolen,
    shares::{Slots, tests::park},
};

/// A limiter with one slot, in which so many permits are parked.
fn parked(text: &str, permits: u64) -> (RateLimiter<Dial>, Arc<Slots>) {
    let (limiter, _clock) = dialed(text);
    let slots = Arc::new(Slots::new(1));
    limiter.driver().attach(|| Arc::clone(&slots) as Arc<dyn Shares>);
    park(&slots.all()[0], permits * Permits::MILLION, 0, 0);
    (limiter, slots)
}

fn left(slots: &Slots) -> u64 {
    slots.parked() / Permits::MILLION
}

#[test]
fn a_waiter_is_given_what_is_parked_and_no_more_than_it_asks_for() {
    let (limiter, slots) = parked("1/s burst 80 initial 0", 5);
    assert_eq!(poll(&mut Box::pin(limiter.acquire_n(2))), Poll::Ready(Ok(())));
    assert_eq!((left(&slots), limiter.available()), (3, 3));
    // It takes all there is towards what it waits for.
    let mut waiter = queued(&limiter, 4);
    assert_eq!((left(&slots), limiter.time_until(1)), (0, Ok(secs(2))));
    park(&slots.all()[0], 3 * Permits::MILLION, 0, 0);
    limiter.driver().drive();
    assert_eq!((poll(&mut waiter), left(&slots)), (Poll::Ready(Ok(())), 2));
}

#[test]
fn a_part_of_a_call_is_given_what_is_parked() {
    let (limiter, slots) = parked("1/s burst 80 initial 0", 5);
    let driver = limiter.driver();
    let place = Box::pin(driver.place());
    let due = {
        let mut step = driver.step();
        let cost = step.cost(2.into()).unwrap();
        step.join_front(place.as_ref(), 2.into(), cost, Lane::Normal, Waker::noop().clone());
        let cost = step.cost_of(place.as_ref()).unwrap();
        assert!(slots_of(driver).reclaim_for(&mut step, cost));
        step.is_final_part_due(place.as_ref())
    };
    assert_eq!((due, left(&slots)), (true, 3));
    driver.leave(place.as_ref());
}

fn slots_of(driver: &Driver<Dial>) -> &Arc<dyn Shares> {
    driver.shares().unwrap()
}

/// Waiters for more than would be left keep their places; nothing is set aside until they have been served.
#[test]
fn nothing_is_set_aside_while_a_waiter_needs_it() {
    let (limiter, clock) = dialed("1/s burst 80 initial 70");
    let mut large = queued(&limiter, 80);
    limiter.driver().attach(|| Arc::new(Slots::new(1)));
    assert_eq!((limiter.waiting(), limiter.largest_request()), (1, 70));
    assert_eq!(limiter.try_acquire_n(71), Err(crate::TooMany::new(71.into(), 80, 70).into()));
    clock.advance(10 * SECOND);
    clock.ring();
    assert_eq!(poll(&mut large), Poll::Ready(Ok(())));
    clock.advance(1_000 * SECOND);
    assert_eq!((limiter.available(), limiter.largest_request()), (70, 70), "set aside");
    limiter.driver().detach();
    clock.advance(10 * SECOND);
    assert_eq!(limiter.available(), 80);
}

/// Shares of another thread, which draws all there is and parks it just after it has been looked at what is parked.
#[derive(Debug, Default)]
struct Late {
    limiter: parking_lot::Mutex<Option<RateLimiter<Dial>>>,
    parked: AtomicU64,
}

impl Shares for Late {
    fn parked(&self) -> u64 {
        let seen = self.parked.load(Relaxed);
        let drawn = self.limiter.lock().as_ref().map_or(0, |limiter| {
            limiter.driver().meter().take_up_to(100, limiter.clock().now()).unwrap_or(0)
        });
        self.parked.fetch_add(drawn * Permits::MILLION, Relaxed);
        seen
    }

    fn reclaim(&self, most: u64) -> u64 {
        let taken = self.parked.load(Relaxed).min(most);
        self.parked.fetch_sub(taken, Relaxed);
        taken
    }

    #[cfg(feature = "stats")]
    fn stolen(&self) -> u64 {
        0
    }

    fn steal(&self, _: Permits) -> Stolen {
        Stolen::Parts
    }

    fn steal_whole(&self, _: u64) -> u64 {
        0
    }

    fn capacity_of(&self, _: u64) -> u64 {
        10
    }

    fn set_capacity(&self, _: Option<u64>) -> u64 {
        0
    }

    fn is_overdrawn(&self) -> bool {
        false
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn core::any::Any + Send + Sync> {
        self
    }
}

/// What was in the word when the slots were empty, and is in the slots when the word is, is there all the time.
#[test]
fn what_is_parked_meanwhile_is_not_missed() {
    let (limiter, _clock) = dialed("1/s burst 80 initial 5");
    let shares = Arc::new(Late::default());
    limiter.driver().attach(|| Arc::clone(&shares) as Arc<dyn Shares>);
    *shares.limiter.lock() = Some(limiter.clone());
    assert_eq!(limiter.try_reserve(5).map(crate::Reservation::spend), Ok(()));
    // The limiter and the shares own each other.
    drop(shares.limiter.lock().take());
}
