//! The future that waits for several limits.
//!
//! What has been granted is kept in the future itself, so that it goes back also if a clock panics.
//!
//! | stage      | what the future holds                     | dropped then                                  |
//! |------------|-------------------------------------------|-----------------------------------------------|
//! | Start      | nothing                                   | nothing                                       |
//! | Collecting | reservations, and a place in one queue    | leaves; all goes back                         |
//! | Collected  | reservations                              | all goes back                                 |
//! | Final      | a place at the front of all queues, or all permits | leaves all queues, or all goes back  |
//! | Held       | all permits, not yet reported             | all goes back                                 |
//! | Done       | nothing                                   | nothing                                       |
//!
//! A rate limit is no mutex: permits come from time, so that to hold those of one limit while waiting for another cannot
//! block other callers for good.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::sync::Arc;

use super::{AllOf, AllOfDenied, Member, final_round::FinalRound, for_each};
use crate::{
    clock::{Clock, QuantaClock},
    error::Denied,
    queue::{Caller, Driver, Grant, Step, Waiter, poll_proceed},
};

/// The future of [`AllOf::acquire`](crate::AllOf::acquire).
#[must_use = "futures do nothing unless polled or awaited"]
pub struct AcquireAll<C: Clock = QuantaClock> {
    members: Vec<Member<C>>,
    /// What has been granted so far, by member.
    held: Vec<Option<Grant>>,
    stage: Stage<C>,
}

impl<C: Clock> AllOf<C> {
    /// Waits until all limits admit it, and takes the permits of all.
    ///
    /// It allocates. Its place in the queues is as of the first poll.
    ///
    /// # Fairness
    /// If not all limits admit it at once, it waits in the queue of the scarcest one, as any other waiter, and then in that
    /// of the next. What it has been granted so far it holds as reservations. When it has been granted all once, some of
    /// the first may be worth less by now: what would have overflowed the bucket meanwhile is lost. Then it stands at the
    /// front of all its queues, until all limits admit it at the same instant. So a call for large parts is served
    /// beside any number of callers of the single limits.
    ///
    /// The waits add up, and while all of its limits are saturated up to half of one can be lost.
    ///
    /// # Cancel safety
    /// Dropping the future leaves all queues. Permits that had been granted go back, as those of
    /// [`RateLimiter::acquire`](crate::RateLimiter::acquire) do.
    ///
    /// # Errors
    /// At once, [`Denied::TooMany`] if one of the limits cannot ever admit it, or [`Denied::Invalid`] for an
    /// amount that is none; later, `TooMany` if a [quota](crate::RateLimiter::set_quota) has become too small.
    ///
    /// # Panics
    /// As [`RateLimiter::acquire`](crate::RateLimiter::acquire).
    ///
    /// # Examples
    /// ```
    /// use tidegate::{AllOf, Quota, RateLimiter};
    ///
    /// # let rt = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # rt.block_on(async {
    /// let user = RateLimiter::new(Quota::per_second(100).with_burst(1));
    /// let everybody = RateLimiter::new(Quota::per_second(1000).with_burst(10));
    /// let call = AllOf::new().and(&user, 1).and(&everybody, 1);
    /// for _ in 0..3 {
    ///     call.acquire().await.unwrap();
    ///     // … at most 100 calls a second for this user, and 1,000 for all together.
    /// }
    /// # });
    /// ```
    pub fn acquire(&self) -> AcquireAll<C> {
        AcquireAll::new(self.check().map(|()| self.members.clone()))
    }
}

enum Stage<C: Clock> {
    Start(Result<(), AllOfDenied>),
    /// It waits for this member.
    Collecting(usize, Pin<Box<Waiter<Arc<Driver<C>>, C>>>),
    /// A member has granted its part, and it has not been looked at what is missing.
    Collected,
    Final(Arc<FinalRound<C>>),
    /// It holds the parts of all members.
    Held,
    Done,
}

impl<C: Clock> AcquireAll<C> {
    pub(super) fn new(members: Result<Vec<Member<C>>, AllOfDenied>) -> Self {
        let (members, start) = match members {
            Ok(members) => (members, Ok(())),
            Err(denied) => (Vec::new(), Err(denied)),
        };
        Self { members, held: Vec::new(), stage: Stage::Start(start) }
    }

    /// Takes all at once, if all limits admit it and nobody waits; else waits for the scarcest first.
    fn start(&mut self) -> Result<Stage<C>, AllOfDenied> {
        let mut steps = lock_all(&self.members);
        let mut waits = Vec::with_capacity(steps.len());
        let mut all = true;
        for (step, member) in steps.iter_mut().zip(&self.members) {
            let cost = step.cost(member.permits).map_err(|denied| member.denied(denied))?;
            member.driver.reclaim_parked(step, cost);
            let look = step.look(cost, Caller::Waiter);
            all &= look.is_ok();
            let due_ns = look.map_or_else(|tick| step.frame().instant(tick), |()| 0);
            waits.push((due_ns.saturating_sub(step.now_ns()), cost));
        }
        if all {
            let take = |(step, &(_, cost)): (&mut Step<'_>, _)| step.take(cost, Caller::Waiter).ok();
            self.held = steps.iter_mut().zip(&waits).map(take).collect();
            return Ok(Stage::Held);
        }
        drop(steps);
        self.held = vec![None; self.members.len()];
        Ok(self.wait_for_scarcest(|i| waits[i].0))
    }

    /// Waits for the member that is missing and has the longest wait.
    fn wait_for_scarcest(&self, wait_ns: impl Fn(usize) -> u64) -> Stage<C> {
        let missing = (0..self.held.len()).filter(|&i| self.held[i].is_none());
        let waiting = missing.max_by_key(|&i| wait_ns(i)).unwrap_or(0);
        let Member { driver, permits, .. } = &self.members[waiting];
        Stage::Collecting(waiting, Box::pin(Waiter::new(Arc::clone(driver), Ok(*permits), None)))
    }

    /// The next stage, once a limit has granted its part.
    fn collected(&mut self) -> Stage<C> {
        if self.held.iter().any(Option::is_none) {
            return self.wait_for_scarcest(|i| {
                let Member { driver, permits, .. } = &self.members[i];
                driver.time_until(*permits).map_or(0, |wait| wait.as_nanos() as u64)
            });
        }
        self.settle()
    }

    /// All have been granted once: if all is still good, that is it. Else all goes back, and the call stands at the front of
    /// all queues. There it finds what it has given back, as far as that was good.
    fn settle(&mut self) -> Stage<C> {
        let mut steps = lock_all(&self.members);
        let grants = core::mem::take(&mut self.held).into_iter().flatten();
        let grants: Vec<_> = grants.collect();
        let whole = steps.iter_mut().zip(&grants).all(|(step, grant)| step.is_whole(grant));
        if whole {
            // The parts are used from now on.
            let renewed = steps.iter_mut().zip(grants).map(|(step, grant)| Some(step.renew(grant)));
            self.held = renewed.collect();
            return Stage::Held;
        }
        for (step, grant) in steps.iter_mut().zip(grants) {
            step.give_back(grant);
        }
        Stage::Final(FinalRound::join(&self.members, steps))
    }

    /// Gives back what is held.
    fn give_back(&mut self) {
        let held = core::mem::take(&mut self.held);
        for_each(self.members.iter().zip(held), |(member, grant)| {
            if let Some(grant) = grant {
                member.driver.give_back(grant);
            }
        });
    }
}

/// Locks all, in order.
pub(super) fn lock_all<C: Clock>(members: &[Member<C>]) -> Vec<Step<'_>> {
    members.iter().map(|member| member.driver.step()).collect()
}

impl<C> Member<C> {
    pub(super) const fn denied(&self, denied: Denied) -> AllOfDenied {
        AllOfDenied { index: self.index, denied }
    }
}

impl<C: Clock> Future for AcquireAll<C> {
    type Output = Result<(), AllOfDenied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            // The stage is replaced when what it leads to is there: a clock may panic on the way.
            match &mut this.stage {
                Stage::Start(Err(denied)) => {
                    let denied = *denied;
                    this.stage = Stage::Done;
                    return Poll::Ready(Err(denied));
                }
                Stage::Start(Ok(())) => {
                    let started = this.start();
                    let started = started.map(|stage| this.stage = stage);
                    // A step may have found that a clock has stepped back.
                    this.members.iter().for_each(|member| member.driver.drive_if_alarm_void());
                    if let Err(denied) = started {
                        this.stage = Stage::Done;
                        return Poll::Ready(Err(denied));
                    }
                }
                Stage::Collecting(waiting, waiter) => match ready!(waiter.as_mut().poll_grant(cx, true)) {
                    Ok(grant) => {
                        this.held[*waiting] = grant;
                        this.stage = Stage::Collected;
                    }
                    Err(denied) => {
                        let denied = this.members[*waiting].denied(denied);
                        this.stage = Stage::Done;
                        this.give_back();
                        return Poll::Ready(Err(denied));
                    }
                },
                Stage::Collected => {
                    this.stage = this.collected();
                    if let Stage::Final(round) = &this.stage {
                        round.begin();
                    }
                }
                Stage::Final(round) => {
                    let outcome = ready!(round.poll(cx));
                    this.stage = Stage::Done;
                    match outcome {
                        Ok(grants) => {
                            this.held = grants.into_iter().map(Some).collect();
                            this.stage = Stage::Held;
                        }
                        Err((i, denied)) => return Poll::Ready(Err(this.members[i].denied(denied))),
                    }
                }
                Stage::Held => {
                    ready!(poll_proceed(cx)).made_progress();
                    this.held.clear();
                    this.stage = Stage::Done;
                    return Poll::Ready(Ok(()));
                }
                Stage::Done => panic!("polled after completion"),
            }
        }
    }
}

impl<C: Clock> Drop for AcquireAll<C> {
    fn drop(&mut self) {
        // A waiter leaves its queue when it is dropped, also by a panic in here.
        let stage = core::mem::replace(&mut self.stage, Stage::Done);
        self.give_back();
        if let Stage::Final(round) = stage {
            round.leave();
        }
    }
}

impl<C: Clock> fmt::Debug for AcquireAll<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Start(_) => "Start",
            Stage::Collecting(..) => "Collecting",
            Stage::Collected => "Collected",
            Stage::Final(_) => "Final",
            Stage::Held => "Held",
            Stage::Done => "Done",
        };
        f.debug_struct("AcquireAll").field("stage", &stage).finish_non_exhaustive()
    }
}
