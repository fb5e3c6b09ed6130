//! Claim: however draws, takes, steals, reclaims and returns interleave, no permit is made or lost. Parked permits stay
//! within the claims, so that the bound holds. A call is refused only if no permit is parked. A waiter is granted
//! parked permits, also if another thread is just parking them.

use core::task::Waker;
use std::sync::Arc;

use loom::{
    future::block_on,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{EXHAUSTIVE, Limiter, ModelClock, SECOND, check, limiter, spawn_try};
use crate::{
    Permits, Quota,
    per_core::draw::{LocalShare, take_shared},
    queue::{Shares, Stolen},
    shares::{Sizing, Slots},
};

/// The largest share there may be in these models.
const SHARE: Sizing = Sizing::Fixed(2);

/// A limiter with slots.
#[derive(Clone)]
struct Shared {
    limiter: Limiter,
    slots: Arc<Slots>,
}

/// A burst of 16 for each slot, of which two may be parked.
fn shared(slots: u64, initial: u64, clock: &ModelClock) -> Shared {
    let limiter = limiter(16 * slots, initial, clock);
    let slots = Arc::new(Slots::new(usize::try_from(slots).unwrap()));
    limiter.driver().attach(|| slots.clone());
    Shared { limiter, slots }
}

impl Shared {
    /// Takes one permit by that slot. Returns whether the call was admitted.
    fn take(&self, slot: usize) -> bool {
        take_shared(self.limiter.driver(), &self.slots, &self.slots.all()[slot], 1.into(), SHARE).is_ok()
    }

    /// As [`take`](Self::take), on a thread of its own.
    fn spawn_take(&self, slot: usize) -> thread::JoinHandle<bool> {
        let shared = self.clone();
        thread::spawn(move || shared.take(slot))
    }

    fn take_by_hand(&self, hand: &mut LocalShare) -> bool {
        // A `Local` first takes the permits that it holds.
        if hand.held >= Permits::MILLION {
            hand.held -= Permits::MILLION;
            return true;
        }
        hand.take(self.limiter.driver(), &self.slots, 1.into(), SHARE).is_ok()
    }

    fn spawn_lay_down(&self, mut hand: LocalShare) -> thread::JoinHandle<()> {
        let shared = self.clone();
        thread::spawn(move || hand.give_back(shared.limiter.driver(), &shared.slots))
    }

    fn parked(&self) -> i64 {
        i64::try_from(self.slots.parked() / Permits::MILLION).unwrap()
    }

    /// Nothing is parked beyond a claim, and all claims belong to slots, or to a `Local` that has so much.
    fn check_claims(&self, by_hand: u64) {
        let mut claims = by_hand;
        for slot in self.slots.all().iter() {
            let account = slot.account();
            assert!(account.parked <= account.claim * Permits::MILLION, "{account:?}");
            claims += account.claim;
        }
        assert_eq!(self.slots.pool().claimed(), claims);
    }
}

#[test]
fn two_threads_share_a_slot() {
    check(2, || {
        let shared = shared(1, 4, &ModelClock::new());
        let other = {
            let shared = shared.clone();
            thread::spawn(move || (0..2).filter(|_| shared.take(0)).count())
        };
        let mine = (0..2).filter(|_| shared.take(0)).count();
        let taken = mine + other.join().unwrap();
        assert_eq!(i64::try_from(taken).unwrap() + shared.limiter.available(), 4);
        // Each call may miss permits that the other is about to park. A later call finds them.
        assert_eq!((0..4).filter(|_| shared.take(0)).count(), 4 - taken);
        shared.check_claims(0);
    });
}

#[test]
fn a_call_that_the_word_refuses_takes_from_another_slot() {
    check(2, || {
        let shared = shared(2, 3, &ModelClock::new());
        assert!(shared.take(0));
        assert_eq!(shared.parked(), 2);
        // Slot 0 has two permits: one for each call, or both for one call. No call is refused while one is parked.
        let other = shared.spawn_take(1);
        let mine = shared.take(0);
        assert!(mine && other.join().unwrap());
        assert!(!shared.take(0) && !shared.take(1));
        assert_eq!(shared.limiter.available(), 0);
    });
}

/// Two permits are parked after the first call, also if the other call was refused before. So the note that all slots
/// are empty no longer counts.
#[test]
fn a_refusal_makes_nobody_forget_what_is_parked_meanwhile() {
    check(2, || {
        let shared = shared(2, 3, &ModelClock::new());
        let drawer = shared.spawn_take(0);
        let other = spawn_try(&shared.limiter);
        assert!(drawer.join().unwrap());
        let taken = other.join().unwrap();
        let left = 2 - usize::from(taken);
        assert_eq!((0..3).filter(|_| shared.limiter.try_acquire().is_ok()).count(), left);
        // The slots are now known to be empty, until a thread parks permits.
        shared.limiter.refund(3).unwrap();
        assert!(shared.take(0));
        assert!((0..2).all(|_| shared.limiter.try_acquire().is_ok()));
    });
}

/// Parked permits go back to the word for a request that is still too large. One call finds the slots empty meanwhile,
/// and the other call relies on that scan: it also sees that the word was frozen.
#[test]
fn what_another_has_found_empty_is_looked_for_in_the_word() {
    check(2, || {
        let shared = shared(1, 3, &ModelClock::new());
        assert!(shared.take(0));
        let other = spawn_try(&shared.limiter);
        let large = {
            let limiter = shared.limiter.clone();
            thread::spawn(move || limiter.try_acquire_n(3).is_ok())
        };
        assert!(shared.limiter.try_acquire().is_ok(), "there are two, for two");
        assert!(other.join().unwrap(), "there are two, for two");
        assert!(!large.join().unwrap());
        assert_eq!(shared.limiter.available(), 0);
    });
}

/// The word has no permits, and all are parked: a call for one permit is not refused, however many calls there are.
#[test]
fn a_refusal_is_right() {
    check(2, || {
        let shared = shared(1, 3, &ModelClock::new());
        assert!(shared.take(0));
        let other = {
            let shared = shared.clone();
            // More permits than one slot holds.
            thread::spawn(move || shared.limiter.try_acquire_n(3).is_ok())
        };
        assert!(shared.limiter.try_acquire().is_ok(), "two are parked, and nobody can take them");
        assert!(!other.join().unwrap());
        assert_eq!(shared.limiter.available(), 1);
    });
}

#[test]
fn what_is_being_parked_goes_to_the_one_that_begins_to_wait() {
    check(3, || {
        // The clock stands still, and no alarm rings: the waiter gets the drawn permits, or none.
        let shared = shared(1, 2, &ModelClock::new());
        let drawer = shared.spawn_take(0);
        block_on(shared.limiter.acquire_n_owned(1)).unwrap();
        assert!(drawer.join().unwrap());
        assert_eq!((shared.limiter.waiting(), shared.limiter.available(), shared.parked()), (0, 0, 0));
    });
}

/// The smallest case that needs the fences: a thread parks permits without the lock, and the waiter has joined without
/// seeing them.
#[test]
fn what_is_parked_by_the_last_draw_goes_to_a_blocked_thread() {
    check(2, || {
        let shared = shared(1, 2, &ModelClock::new());
        let drawer = shared.spawn_take(0);
        shared.limiter.blocking_acquire_n(1).unwrap();
        assert!(drawer.join().unwrap());
        assert_eq!((shared.limiter.waiting(), shared.limiter.available(), shared.parked()), (0, 0, 0));
    });
}

#[test]
fn what_a_hand_gives_back_goes_to_a_waiter() {
    check(2, || {
        let shared = shared(1, 2, &ModelClock::new());
        let mut hand = LocalShare::default();
        assert!(shared.take_by_hand(&mut hand));
        assert_eq!((hand.held, shared.limiter.available()), (Permits::MILLION, 0));
        let giver = shared.spawn_lay_down(hand);
        block_on(shared.limiter.acquire_n_owned(1)).unwrap();
        giver.join().unwrap();
        assert_eq!((shared.limiter.waiting(), shared.limiter.available()), (0, 0));
    });
}

#[test]
fn what_a_hand_gives_back_is_added_to_what_is_there() {
    check(2, || {
        let shared = shared(1, 4, &ModelClock::new());
        let mut hand = LocalShare::default();
        assert!(shared.take_by_hand(&mut hand));
        // One permit in the word, and two in the `Local`.
        let giver = shared.spawn_lay_down(hand);
        shared.limiter.try_acquire().unwrap();
        giver.join().unwrap();
        assert_eq!(shared.limiter.available(), 2);
    });
}

#[test]
fn a_large_request_and_small_takes_leave_the_books_balanced() {
    check(2, || {
        let shared = shared(1, 4, &ModelClock::new());
        assert!(shared.take(0));
        // One in the word and two parked: a request for three needs them all.
        let other = {
            let limiter = shared.limiter.clone();
            thread::spawn(move || limiter.try_acquire_n(3).is_ok())
        };
        let mine = shared.take(0);
        let other = other.join().unwrap();
        assert!(mine || other, "one of the two");
        assert_eq!(shared.limiter.available(), 3 - i64::from(mine) - 3 * i64::from(other));
        shared.check_claims(0);
    });
}

#[test]
fn a_claim_that_is_taken_over_brings_what_is_parked() {
    check(2, || {
        let clock = ModelClock::new();
        let shared = shared(1, 3, &clock);
        assert!(shared.take(0));
        // The slot is idle, and has claimed the whole capacity.
        clock.set(SECOND / 2);
        let other = shared.spawn_take(0);
        let mut hand = LocalShare::default();
        let mine = shared.take_by_hand(&mut hand);
        let other = other.join().unwrap();
        shared.check_claims(hand.demand.claim);
        let claimed = shared.slots.pool().claimed();
        assert!(claimed <= 2, "{claimed} of 2 claimed");
        let held = i64::try_from(hand.held / Permits::MILLION).unwrap();
        assert_eq!(i64::from(mine) + i64::from(other) + held + shared.limiter.available(), 2);
    });
}

#[test]
fn a_smaller_quota_admits_no_more_than_the_larger() {
    check(0, || {
        let shared = shared(1, 16, &ModelClock::new());
        let done = Arc::new(AtomicBool::new(false));
        let drawer = {
            let (shared, done) = (shared.clone(), done.clone());
            thread::spawn(move || {
                assert!(shared.take(0));
                // Release: pairs with the Acquire below.
                done.store(true, Ordering::Release);
            })
        };
        // Acquire: as above.
        let done = done.load(Ordering::Acquire);
        shared.limiter.set_quota(Quota::per_second(1).with_burst(2)).unwrap();
        drawer.join().unwrap();
        shared.check_claims(0);
        let mut left = 0;
        while shared.take(0) {
            left += 1;
        }
        // The level was 14, because two permits of the burst were set aside. The new quota keeps two. Permits that were
        // parked before overflow the full word. Otherwise the thread parks its earlier draw later, or draws from these
        // two.
        let expected: &[_] = if done { &[2] } else { &[1, 2, 4] };
        assert!(expected.contains(&left), "{left} are left");
        assert_eq!(shared.limiter.available(), 0);
    });
}

#[test]
fn the_last_handle_that_leaves_takes_nothing_along() {
    check(0, || {
        let shared = shared(1, 3, &ModelClock::new());
        assert!(shared.take(0));
        let thief = spawn_try(&shared.limiter);
        shared.limiter.driver().detach();
        assert!(thief.join().unwrap(), "two were there");
        assert_eq!((shared.limiter.available(), shared.parked()), (1, 0));
    });
}

#[test]
fn a_waiter_that_leaves_lets_the_next_have_what_was_reclaimed() {
    check(2, || {
        let shared = shared(1, 3, &ModelClock::new());
        assert!(shared.take(0));
        // The waiter needs four permits, and gets the two parked ones.
        let mut first = super::waiter(&shared.limiter, 4);
        assert!(!super::poll(&mut first, Waker::noop()));
        let taker = shared.spawn_take(0);
        drop(first);
        let taken = taker.join().unwrap();
        assert_eq!(i64::from(taken) + shared.limiter.available(), 2);
        assert!(shared.take(0));
    });
}

/// The slots are known to be empty when a drawer parks two permits. A thread that takes one of them can steal the other.
#[test]
fn what_is_seen_to_be_parked_is_not_known_to_be_empty() {
    check(EXHAUSTIVE, || {
        let slots = Arc::new(Slots::new(1));
        assert_eq!(slots.steal(1.into()), Stolen::Nothing);
        let drawer = {
            let slots = slots.clone();
            thread::spawn(move || {
                let mut draw = slots.all()[0].begin().unwrap();
                draw.bring(2 * Permits::MILLION);
                slots.park(draw)
            })
        };
        let seer = {
            let slots = slots.clone();
            thread::spawn(move || {
                !slots.all()[0].take(Permits::MILLION) || slots.steal(1.into()) == Stolen::All
            })
        };
        assert!(seer.join().unwrap(), "one is left");
        assert!(drawer.join().unwrap());
    });
}
