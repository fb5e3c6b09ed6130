//! The future that waits for several limits. It keeps all grants in itself, so that they go back also if a clock
//! panics.
//!
//! | stage      | the future holds                                   | when it is dropped                     |
//! |------------|----------------------------------------------------|----------------------------------------|
//! | Start      | nothing                                            |                                        |
//! | Fetching   | nothing                                            |                                        |
//! | Ready      | nothing                                            |                                        |
//! | Collecting | grants, and a place in one queue                   | leaves the queue; all grants go back   |
//! | Collected  | grants                                             | all grants go back                     |
//! | Final      | a place at the front of all queues, or all permits | leaves all queues, or all go back      |
//! | Held       | all permits, not yet reported                      | all go back                            |
//! | Done       | nothing, or all permits until they are taken       | all go back                            |
//!
//! This cannot deadlock: permits come from time, not from the caller that holds those of another limit.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use std::sync::Arc;

use futures_util::future::join_all;

use super::{
    denied::{AllOfDenied, Refusals},
    final_round::FinalRound,
    members::{Member, Members, for_each, tell},
};
use crate::{
    clock::{Clock, Fetch},
    lane::Lane,
    queue::{AnyDriver, Ask, Caller, Grant, Home, NEVER, Step, Waiter, after, not_yet, poll_proceed},
};

/// The future of [`AllOf::acquire`](crate::AllOf::acquire), with the output `Result<(), AllOfDenied>`. It is owned: it can
/// outlive the [`AllOf`](crate::AllOf), and be spawned.
#[must_use = "futures do nothing unless polled or awaited"]
pub struct AcquireAll {
    members: Vec<Member>,
    lane: Lane,
    /// The grants so far, by member.
    held: Vec<Option<Grant>>,
    max_wait: Option<Duration>,
    stage: Stage,
}

enum Stage {
    Start(Result<(), AllOfDenied>),
    /// Permits are fetched that time does not bring, for several members at a time.
    Fetching(Fetch),
    /// It may ask the limits.
    Ready,
    Collecting(usize, Pin<Box<Waiter<Arc<AnyDriver>, dyn Clock>>>),
    /// A member has granted its part. The next missing part is not yet chosen.
    Collected,
    Final(Arc<FinalRound>),
    Held,
    Done,
}

impl AcquireAll {
    pub(super) fn new(members: Result<Members, AllOfDenied>, max_wait: Option<Duration>) -> Self {
        let (members, start) = match members {
            Ok(members) => (members, Ok(())),
            Err(denied) => (Members::new(), Err(denied)),
        };
        let lane = members.lane();
        Self { members: members.into_vec(), lane, held: Vec::new(), max_wait, stage: Stage::Start(start) }
    }

    /// Fetches what time does not bring. `None` if there is nothing to fetch.
    fn fetch(&self) -> Option<Fetch> {
        let max_wait = self.max_wait;
        // Another limit refuses the call.
        let is_late = |member: &&Member| {
            let wait = member.driver.time_until(member.permits, self.lane);
            member.driver.clock().supplier().is_none() && wait.map_or(true, |wait| Some(wait) > max_wait)
        };
        if max_wait.is_none() || self.members.iter().any(|member| is_late(&member)) {
            return None;
        }
        let ask = |member: &Member| Ask { permits: member.permits, lane: self.lane, max_wait };
        let all: Vec<Fetch> =
            self.members.iter().filter_map(|member| member.driver.fetch(ask(member))).collect();
        (!all.is_empty())
            .then(|| Fetch::new(async move { join_all(all).await.into_iter().min().unwrap_or_default() }))
    }

    /// Takes all at once if all limits admit the call and no caller waits; otherwise waits for the scarcest first.
    fn start(&mut self) -> Result<Stage, AllOfDenied> {
        self.members.iter().for_each(|member| member.driver.drive_if_overtaking(self.lane));
        let mut steps = lock_all(&self.members);
        let mut waits = Vec::with_capacity(steps.len());
        let mut all = true;
        let mut refusals = Refusals(None);
        for (step, member) in steps.iter_mut().zip(&self.members) {
            let cost = step.cost(member.permits).map_err(|denied| member.denied(denied))?;
            member.driver.reclaim_parked(step, cost, self.lane);
            let conforms = step.conforms(cost, Caller::Waiter(self.lane));
            all &= conforms.is_ok();
            let due_ns = conforms.map_or_else(|tick| step.frame().reading_at(tick), |()| 0);
            let deadline_ns = self.max_wait.map_or(NEVER, |wait| after(step.now_ns(), wait));
            if due_ns > deadline_ns {
                refusals.note(member.which, not_yet(due_ns, deadline_ns));
            }
            waits.push((due_ns.saturating_sub(step.now_ns()), cost, deadline_ns));
        }
        if all {
            let caller = Caller::Waiter(self.lane);
            let take = |(step, &(_, cost, _)): (&mut Step<'_>, _)| step.take(cost, caller).ok();
            self.held = steps.iter_mut().zip(&waits).map(take).collect();
            return Ok(Stage::Held);
        }
        drop(steps);
        refusals.result()?;
        for (member, &(.., deadline_ns)) in self.members.iter_mut().zip(&waits) {
            member.deadline_ns = deadline_ns;
        }
        self.held = vec![None; self.members.len()];
        Ok(self.wait_for_scarcest(|i| waits[i].0))
    }

    /// Waits for the member with the longest wait among those that have not granted their part.
    fn wait_for_scarcest(&self, wait_ns: impl Fn(usize) -> u64) -> Stage {
        let missing = (0..self.held.len()).filter(|&i| self.held[i].is_none());
        let waiting = missing.max_by_key(|&i| wait_ns(i)).unwrap_or(0);
        let member = &self.members[waiting];
        let time_left = self
            .max_wait
            .map(|_| Duration::from_nanos(member.deadline_ns.saturating_sub(member.driver.clock().now())));
        let ask = Ask { permits: member.permits, lane: self.lane, max_wait: time_left };
        let waiter = Waiter::new(Arc::clone(&member.driver), Ok(ask));
        Stage::Collecting(waiting, Box::pin(waiter))
    }

    /// A part that was granted in time counts, however late the task runs. After the longest wait, the call gets the other
    /// parts only if they are available at once.
    fn collected(&mut self) -> Stage {
        if self.held.iter().any(Option::is_none) {
            return self.wait_for_missing();
        }
        if self.members.len() == 1 {
            // The call is an ordinary waiter of its only limit.
            return Stage::Held;
        }
        self.use_or_join_front()
    }

    /// As `wait_for_scarcest`, by the waits of now.
    fn wait_for_missing(&self) -> Stage {
        self.wait_for_scarcest(|i| {
            let Member { driver, permits, .. } = &self.members[i];
            driver.time_until(*permits, self.lane).map_or(0, |wait| wait.as_nanos() as u64)
        })
    }

    /// Every limit has granted its part. If all grants are still whole and no limit is paused, the call is done.
    /// Otherwise it gives them back and joins the front of all queues in the same hold of the locks, so that no other
    /// caller takes what goes back.
    fn use_or_join_front(&mut self) -> Stage {
        let caller = Home::of_caller();
        let mut steps = lock_all(&self.members);
        let grants: Vec<_> = self.held.iter().copied().flatten().collect();
        let is_paused = steps.iter().any(|step| step.is_paused());
        let whole = !is_paused && steps.iter_mut().zip(&grants).all(|(step, grant)| step.is_whole(grant));
        if whole {
            // The grants count as used from now on.
            let renewed = steps.iter_mut().zip(grants).map(|(step, grant)| Some(step.renew(grant)));
            self.held = renewed.collect();
            return Stage::Held;
        }
        self.held.clear();
        for (step, grant) in steps.iter_mut().zip(grants) {
            step.give_back(grant);
        }
        if is_paused {
            drop(steps);
            self.members.iter().for_each(|member| member.driver.drive_if_needed());
            return self.begin_again();
        }
        Stage::Final(FinalRound::join(&self.members, self.lane, caller, steps))
    }

    /// Waits for all limits once more, for the scarcest first.
    fn begin_again(&mut self) -> Stage {
        self.held = vec![None; self.members.len()];
        self.wait_for_missing()
    }

    fn give_back(&mut self) {
        let held = core::mem::take(&mut self.held);
        for_each(self.members.iter().zip(held), |(member, grant)| {
            if let Some(grant) = grant {
                member.driver.give_back_unused(grant, member.permits);
            }
        });
    }
}

/// Locks all limits, in order.
pub(super) fn lock_all(members: &[Member]) -> Vec<Step<'_>> {
    members.iter().map(|member| member.driver.step()).collect()
}

impl AcquireAll {
    /// After success, the caller takes all permits by [`take_parts`](Self::take_parts), or clears `held`.
    pub(super) fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AllOfDenied>> {
        loop {
            // The stage changes only after the step has succeeded: a clock may panic in the step.
            match &mut self.stage {
                Stage::Start(Err(denied)) => {
                    let denied = *denied;
                    self.stage = Stage::Done;
                    return Poll::Ready(Err(denied));
                }
                Stage::Start(Ok(())) => {
                    self.stage = self.fetch().map_or(Stage::Ready, Stage::Fetching);
                }
                Stage::Fetching(fetch) => {
                    self.max_wait = Some(ready!(Pin::new(fetch).poll(cx)));
                    self.stage = Stage::Ready;
                }
                Stage::Ready => {
                    let started = self.start();
                    let started = started.map(|stage| self.stage = stage);
                    // A step may have found that a clock has stepped back.
                    self.members.iter().for_each(|member| member.driver.drive_if_needed());
                    if matches!(self.stage, Stage::Held) || started.is_err() {
                        tell(&self.members, &started);
                    }
                    if let Err(denied) = started {
                        self.stage = Stage::Done;
                        return Poll::Ready(Err(denied));
                    }
                }
                Stage::Collecting(waiting, waiter) => match ready!(waiter.as_mut().poll_grant(cx, true)) {
                    Ok(grant) => {
                        self.held[*waiting] = grant;
                        self.stage = Stage::Collected;
                    }
                    Err(denied) => {
                        let denied = self.members[*waiting].denied(denied);
                        self.stage = Stage::Done;
                        self.give_back();
                        return Poll::Ready(Err(denied));
                    }
                },
                Stage::Collected => {
                    self.stage = self.collected();
                    if let Stage::Final(round) = &self.stage {
                        round.begin();
                    }
                }
                Stage::Final(round) => {
                    let outcome = ready!(round.poll(cx));
                    self.stage = Stage::Done;
                    match outcome {
                        Ok(Some(grants)) => {
                            self.held = grants.into_iter().map(Some).collect();
                            self.stage = Stage::Held;
                        }
                        Ok(None) => self.stage = self.begin_again(),
                        Err((i, denied)) => return Poll::Ready(Err(self.members[i].denied(denied))),
                    }
                }
                Stage::Held => {
                    ready!(poll_proceed(cx)).made_progress();
                    self.stage = Stage::Done;
                    return Poll::Ready(Ok(()));
                }
                Stage::Done => panic!("polled after completion"),
            }
        }
    }

    /// The limits with their grants, once all are held.
    pub(super) fn take_parts(&mut self) -> Vec<(Member, Grant)> {
        let held = core::mem::take(&mut self.held);
        core::mem::take(&mut self.members).into_iter().zip(held.into_iter().flatten()).collect()
    }
}

impl Future for AcquireAll {
    type Output = Result<(), AllOfDenied>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.poll_held(cx));
        // They are used from now on.
        self.held.clear();
        Poll::Ready(outcome)
    }
}

impl Drop for AcquireAll {
    fn drop(&mut self) {
        // Dropping the stage leaves the queue of a waiter, also if `give_back` panics.
        let stage = core::mem::replace(&mut self.stage, Stage::Done);
        self.give_back();
        if let Stage::Final(round) = stage {
            round.leave();
        }
    }
}

impl fmt::Debug for AcquireAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Start(_) => "Start",
            Stage::Fetching(_) => "Fetching",
            Stage::Ready => "Ready",
            Stage::Collecting(..) => "Collecting",
            Stage::Collected => "Collected",
            Stage::Final(_) => "Final",
            Stage::Held => "Held",
            Stage::Done => "Done",
        };
        f.debug_struct("AcquireAll").field("stage", &stage).finish_non_exhaustive()
    }
}
