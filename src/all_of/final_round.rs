//! The last round of a call for several limits. It has a part at the front of its lane in each of its queues, and takes all
//! parts in the same instant, when every limit admits its part.
//!
//! A hand-off that finds a part due wakes the round, which then tries to take all parts on that thread. So neither the call
//! nor the waiters behind it depend on the call's task being polled.
//!
//! # Invariants
//! 1. A round joins all its queues in one hold of all locks, in the same lane, behind earlier rounds of that lane. So two
//!    rounds have the same order in every queue that they share, and never wait for each other.
//! 2. After a try that takes nothing, the part is not due in at least one queue, and that queue has an alarm for the
//!    part. In a queue where the part is due, the hand-off does not wake the round again until the part was not due.
//!
//! A round gives way while one of its limits is paused: the call then waits for that limit in turn, so that the callers of its
//! other limits do not wait for the end of the pause.
//!
//! # Locks
//! First the lock of the round, then those of the queues in the order of the lists' numbers. No waker is woken or
//! dropped while one of them is held.

use core::{
    pin::Pin,
    task::{Context, Poll, Waker},
};
use std::{sync::Arc, task::Wake};

use super::members::{Member, for_each};
use crate::{
    error::Denied,
    lane::Lane,
    permits::Permits,
    queue::{
        AnyDriver, Entry, Grant, Home, Outcome, Place, Step, WakeBatch, not_yet,
        work::{self, Job},
    },
    sync::Mutex,
};

#[derive(Debug)]
pub(super) struct FinalRound {
    parts: Box<[Part]>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Part {
    driver: Arc<AnyDriver>,
    permits: Permits,
    /// The latest acceptable reading of its clock, or `NEVER`.
    deadline_ns: u64,
    place: Pin<Box<Place>>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    task: Option<Waker>,
}

#[derive(Debug)]
enum Stage {
    Waiting,
    // From here on the round has left all queues.
    Granted(Vec<Grant>),
    Denied(Refusal),
    /// A limit is paused. Its other callers must not wait for that.
    GivenWay,
    /// Reported.
    Over,
}

/// The part that was refused, and why.
type Refusal = (usize, Denied);

impl Wake for FinalRound {
    fn wake(self: Arc<Self>) {
        work::run(self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        work::run(Arc::<Self>::clone(self));
    }
}

impl Job for FinalRound {
    fn run(&self) {
        self.take_if_all_due();
    }
}

impl FinalRound {
    /// Joins all queues at the front, unless a limit refuses its part. `steps` hold all locks. The caller calls
    /// [`begin`](Self::begin) afterwards.
    pub(super) fn join(members: &[Member], lane: Lane, caller: Home, mut steps: Vec<Step<'_>>) -> Arc<Self> {
        let part = |member: &Member| Part {
            driver: Arc::clone(&member.driver),
            permits: member.permits,
            deadline_ns: member.deadline_ns,
            place: Box::pin(member.driver.place()),
        };
        let costs: Vec<_> =
            steps.iter().zip(members).map(|(step, member)| step.cost(member.permits)).collect();
        let refused = costs.iter().enumerate().find_map(|(i, cost)| cost.err().map(|denied| (i, denied)));
        let stage = refused.map_or(Stage::Waiting, Stage::Denied);
        let state = State { stage, task: None };
        let round = Arc::new(Self { parts: members.iter().map(part).collect(), state: Mutex::new(state) });
        if refused.is_none() {
            let waker = Waker::from(Arc::clone(&round));
            let costs = costs.into_iter().flatten();
            for ((step, Part { permits, place, .. }), cost) in steps.iter_mut().zip(&round.parts).zip(costs) {
                let first = step.is_empty();
                step.join_front(place.as_ref(), *permits, cost, lane, waker.clone());
                // The round drives all its queues afterwards, whatever this tells.
                step.note_caller(caller, first);
            }
        }
        round
    }

    /// Takes all parts if all are due. If the round was refused, grants to other waiters what the call gave back.
    pub(super) fn begin(&self) {
        let joined = matches!(self.state.lock().stage, Stage::Waiting);
        if joined { self.take_if_all_due() } else { self.drive() }
    }

    fn drive(&self) {
        for_each(self.parts.iter(), |part| part.driver.drive());
    }

    /// Takes all parts if all are due.
    fn take_if_all_due(&self) {
        let mut dropped = Vec::new();
        let task = {
            let mut state = self.state.lock();
            if !matches!(state.stage, Stage::Waiting) {
                return;
            }
            let untried = Untried(self);
            let mut steps: Vec<_> = self.parts.iter().map(|part| part.driver.step()).collect();
            core::mem::forget(untried);
            if let Some(stage) = self.take_or_keep(&mut steps, &mut dropped) {
                state.stage = stage;
                state.task.take()
            } else {
                None
            }
        };
        drop(dropped);
        let mut batch = WakeBatch::new();
        batch.push(task);
        batch.wake();
        // Grants the waiters behind the round, or sets the alarm of a queue where its part is not due.
        self.drive();
    }

    /// The next stage, or `None` if the round stays in its queues. The caller drops `dropped` without a lock.
    fn take_or_keep(&self, steps: &mut [Step<'_>], dropped: &mut Vec<Waker>) -> Option<Stage> {
        let parts = &*self.parts;
        let refused = self.parts.iter().enumerate().find_map(|(i, part)| match part.place.outcome() {
            Some(Outcome::Denied(denied)) => Some((i, denied)),
            _ => None,
        });
        let mut leave = |steps: &mut [Step<'_>]| {
            for (step, part) in steps_and_parts(steps, parts) {
                dropped.extend(step.leave(part.place.as_ref()).and_then(Entry::into_waker));
            }
        };
        if let Some((i, denied)) = refused {
            leave(steps);
            return Some(Stage::Denied((i, denied)));
        }
        if steps.iter().any(|step| step.is_paused()) {
            leave(steps);
            return Some(Stage::GivenWay);
        }
        for (step, part) in steps_and_parts(steps, parts) {
            if let (Some(shares), Some(cost)) = (part.driver.shares(), step.cost_of(part.place.as_ref())) {
                shares.reclaim_for(step, cost);
            }
        }
        let all_due =
            steps_and_parts(steps, parts).all(|(step, part)| step.is_final_part_due(part.place.as_ref()));
        let wait = |(step, part): (&mut Step<'_>, &Part)| {
            step.final_part_due_ns(part.place.as_ref()).saturating_sub(step.now_ns())
        };
        let waits = steps_and_parts(steps, parts).map(wait).enumerate();
        let (scarcest, longest_ns) = waits.max_by_key(|&(_, wait_ns)| wait_ns).unwrap_or((0, 0));
        // Each limit measures the wait by its own clock.
        let is_late =
            |(step, part): (&Step<'_>, &Part)| part.deadline_ns < step.now_ns().saturating_add(longest_ns);
        if steps.iter().zip(parts).any(is_late) {
            let now_ns = steps[scarcest].now_ns();
            let denied = not_yet(now_ns.saturating_add(longest_ns), now_ns.max(parts[scarcest].deadline_ns));
            leave(steps);
            return Some(Stage::Denied((scarcest, denied)));
        }
        if all_due {
            let mut grants = Vec::with_capacity(self.parts.len());
            for (step, part) in steps_and_parts(steps, parts) {
                if let Some((grant, waker)) = step.take_final_part(part.place.as_ref()) {
                    grants.push(grant);
                    dropped.extend(waker);
                }
            }
            return Some(Stage::Granted(grants));
        }
        for (step, part) in steps_and_parts(steps, parts) {
            let due_ns = step.now_ns().saturating_add(longest_ns);
            step.keep_final_part(part.place.as_ref(), due_ns);
        }
        None
    }

    /// The outcome, if the round has one; `None` if it has given way.
    pub(super) fn poll(self: &Arc<Self>, cx: &Context<'_>) -> Poll<Result<Option<Vec<Grant>>, Refusal>> {
        let waker = Waker::from(Arc::clone(self));
        for part in &self.parts {
            // The task may be polled on another runtime than before.
            part.driver.refresh(part.place.as_ref(), &waker);
        }
        let task = cx.waker().clone();
        let mut state = self.state.lock();
        match core::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Waiting => {
                state.stage = Stage::Waiting;
                let replaced = state.task.replace(task);
                drop(state);
                drop(replaced);
                Poll::Pending
            }
            Stage::Granted(grants) => Poll::Ready(Ok(Some(grants))),
            Stage::GivenWay => Poll::Ready(Ok(None)),
            Stage::Denied(refusal) => Poll::Ready(Err(refusal)),
            Stage::Over => panic!("polled after completion"),
        }
    }

    /// Leaves all queues, or gives back the grants if they came first.
    pub(super) fn leave(&self) {
        let (stage, task) = {
            let mut state = self.state.lock();
            (core::mem::replace(&mut state.stage, Stage::Over), state.task.take())
        };
        match stage {
            Stage::Waiting => {
                for_each(self.parts.iter(), |part| part.driver.leave(part.place.as_ref()));
            }
            Stage::Granted(grants) => {
                for_each(self.parts.iter().zip(grants), |(part, grant)| part.driver.give_back(grant));
            }
            Stage::Denied(..) | Stage::GivenWay | Stage::Over => {}
        }
        drop(task);
    }
}

/// For loom, which does not see that the last handle of an `Arc` is dropped after all others, and so believes that a
/// place is still in its queue.
#[cfg(all(test, tidegate_loom))]
impl Drop for FinalRound {
    fn drop(&mut self) {
        self.parts.iter().for_each(|part| part.driver.without_clock(|_| ()));
    }
}

/// Dropped if a clock panics: notes that the parts have not been tried.
struct Untried<'a>(&'a FinalRound);

impl Drop for Untried<'_> {
    fn drop(&mut self) {
        for part in &self.0.parts {
            part.driver.without_clock(|core| core.wake_final_part_when_due(part.place.as_ref()));
        }
    }
}

fn steps_and_parts<'a, 'b>(
    steps: &'a mut [Step<'b>],
    parts: &'a [Part],
) -> impl Iterator<Item = (&'a mut Step<'b>, &'a Part)> {
    steps.iter_mut().zip(parts)
}
