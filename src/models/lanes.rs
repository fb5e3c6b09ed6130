//! Claim: waiters of lower lanes are served although calls of higher lanes come before them, leave, or are refused; and a
//! call of a higher lane takes what is available, whatever a lower lane waits for. No permit is lost or made.

use core::{
    future::Future,
    task::{Context, Poll, Waker},
};

use loom::{future::block_on, thread};

use super::{Limiter, ModelClock, SECOND, check, drive, limiter, poll, queued, spawn_drive};
use crate::{AcquireError, Denied, lane::Lane};

fn background(limiter: &Limiter) -> Limiter {
    limiter.lane(Lane::Background)
}

/// The job waits for two permits. One is available: it is for the call, also in the middle of a hand-off.
#[test]
fn a_try_call_takes_what_is_available_before_a_lower_lane() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 1, &clock);
        let mut job = queued(&background(&limiter), 2);
        let other = spawn_drive(&limiter);
        assert!(limiter.try_acquire().is_ok(), "only a waiter that comes later asks for it");
        other.join().unwrap();
        clock.set(2 * SECOND);
        drive(&limiter);
        assert!(poll(&mut job, Waker::noop()));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

/// The last waiter of the lower lane leaves meanwhile: there is one permit, for one of two calls.
#[test]
fn calls_share_a_permit_as_a_lower_lane_empties() {
    check(2, || {
        let limiter = limiter(2, 1, &ModelClock::new());
        let job = queued(&background(&limiter), 2);
        let other = super::spawn_try(&limiter);
        drop(job);
        let mine = limiter.try_acquire().is_ok();
        assert!(mine != other.join().unwrap(), "exactly one of the two");
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

/// The waiter of the higher lane joins before, during or after the grant of the job, and needs less.
#[test]
fn waiters_of_two_lanes_are_granted() {
    check(1, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let ringing = clock.spawn_ring();
        let job = background(&limiter).acquire_n_owned(2);
        let other = thread::spawn(move || block_on(job).unwrap());
        block_on(limiter.acquire_n_owned(1)).unwrap();
        other.join().unwrap();
        ringing.finish();
        assert_eq!(limiter.waiting(), 0);
        assert!(limiter.available() >= 0, "nothing was invented: {}", limiter.available());
    });
}

/// The first waiter leaves, maybe granted. The lower lane goes on.
#[test]
fn a_lower_lane_goes_on_when_the_higher_leaves() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let mut job = queued(&background(&limiter), 1);
        let first = queued(&limiter, 1);
        clock.set(SECOND);
        let other = spawn_drive(&limiter);
        drop(first);
        other.join().unwrap();
        assert!(poll(&mut job, Waker::noop()));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

/// A call that goes before the job makes it too late: it is refused at once, or was granted before.
#[test]
fn a_job_that_becomes_too_late_is_told() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 1, &clock);
        let job = background(&limiter).acquire_within_owned(2, core::time::Duration::from_secs(1));
        let other = thread::spawn(move || block_on(job).is_ok());
        let taken = limiter.try_acquire().is_ok();
        if !taken {
            unreachable!("the job can only wait");
        }
        // No alarm rings: it is refused as it joins, or by the call.
        assert!(!other.join().unwrap());
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

#[test]
fn a_close_leaves_no_lane_waiting() {
    check(1, || {
        let limiter = limiter(1, 0, &ModelClock::new());
        let mut job = queued(&background(&limiter), 1);
        let urgent = limiter.lane(Lane::Urgent).acquire_n_owned(1);
        let urgent = thread::spawn(move || block_on(urgent));
        limiter.close();
        assert_eq!(urgent.join().unwrap(), Err(AcquireError::Closed));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(job.as_mut().poll(&mut cx), Poll::Ready(Err(AcquireError::Closed)));
        assert_eq!(limiter.try_acquire(), Err(Denied::Closed));
        assert_eq!(limiter.waiting(), 0);
    });
}
