//! Who waits for several limits at once: all or nothing.
//!
//! # How it waits
//! 1. *The scarcest first.* If not all admit at once, it joins the queue of the limit whose turn comes last,
//!    and no other: there it waits like anybody else.
//! 2. *Then all.* When it is due there, it joins the queues of the others, all locked at once, and is made a
//!    promise: the latest of its turns. It holds no permits; others may pass as long as they keep that promise
//!    (see `gate.rs`, which has the proof that nobody starves and that no two wait for each other).
//! 3. When it is due in all it takes all, with all of them locked.
//!
//! Whoever finds it due wakes it by a waker of the group's own, which does 2 and 3 on the spot. So what
//! happens to it, and to those behind it, does not hang on its task being polled.
//!
//! # Locks
//! First the group's own, then those of the queues in the order of their lists' numbers, each queue once. A
//! waker is woken or dropped with none of them held.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use std::{sync::Arc, task::Wake};

use tokio::task::coop::poll_proceed;

use super::{
    doubt::Seen,
    gate::Gate,
    hand_off::By,
    inner::{Grant, Inner, NEVER, Outcome, Place, Request},
    locked::{Locked, Next},
    wait_queue::{Unlink, WaitQueue},
    wake_batch::WakeBatch,
};
use crate::{
    clock::Clock,
    error::{Denied, InvalidPermits},
    permits::Permits,
    sync::{Mutex, MutexGuard},
};

/// Freezes the words of queues that have been locked.
pub(super) fn freeze<'a, C: Clock + 'a>(
    queues: impl Iterator<Item = &'a WaitQueue<C>>,
    guards: &'a mut [MutexGuard<'_, Inner>],
    now: &[u64],
) -> Vec<Locked<'a>> {
    let open = |((queue, inner), &now): ((&'a WaitQueue<C>, &'a mut MutexGuard<'_, _>), _)| {
        Locked::open(&queue.meter, inner, now)
    };
    queues.zip(guards).zip(now).map(open).collect()
}

/// One of the limits.
#[derive(Debug)]
struct Member<C> {
    queue: Arc<WaitQueue<C>>,
    permits: Permits,
    place: Pin<Box<Place>>,
}

#[derive(Debug)]
enum Stage {
    /// In no queue, unless it is just joining them.
    Start,
    /// In one queue, or in all.
    Waiting,
    /// Out of all queues, with what it was granted.
    Granted(Vec<Grant>),
    /// Out of all queues.
    Denied(Denied),
    /// Out of all queues, and reported.
    Over,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    task: Option<Waker>,
}

/// What a step comes to.
enum Step {
    /// There is more to do, by a new reading of the clocks.
    Again,
    /// It waits, or has just been settled; others may be affected.
    Done,
    /// It was settled before.
    Nothing,
}

/// Somebody who waits.
#[derive(Debug)]
struct Group<C> {
    members: Box<[Member<C>]>,
    state: Mutex<State>,
}

impl<C: Clock> Wake for Group<C> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = WakeTask(self);
        self.look(By::Other);
        drop(task);
    }
}

/// Wakes the task of a group that has been looked at. Also if it goes on waiting, for there may be a timer that
/// only the task can bring; and on the way out of a panic, which a clock may.
struct WakeTask<'a, C>(&'a Group<C>);

impl<C> Drop for WakeTask<'_, C> {
    fn drop(&mut self) {
        let mut batch = WakeBatch::new();
        batch.push(self.0.state.lock().task.take());
        batch.wake();
    }
}

impl<C: Clock> Group<C> {
    /// Takes all if all are due; else sees to it that it waits where it should.
    fn look(self: &Arc<Self>, by: By) {
        let alarm = Waker::from(Arc::clone(self));
        let mut seen = vec![None; self.members.len()];
        loop {
            let mut batch = WakeBatch::new();
            let step = self.step(&alarm, &mut batch, &mut seen);
            batch.wake();
            match step {
                Step::Again => {}
                Step::Done => return self.drive(by),
                Step::Nothing => return,
            }
        }
    }

    fn drive(&self, by: By) {
        for member in &self.members {
            member.queue.drive(by);
        }
    }

    /// One step, with everything locked.
    fn step(&self, alarm: &Waker, batch: &mut WakeBatch, seen: &mut [Option<Seen>]) -> Step {
        let now: Vec<_> = self.members.iter().map(|member| member.queue.clock.now()).collect();
        let mut state = self.state.lock();
        let first = match state.stage {
            Stage::Start => true,
            Stage::Waiting => false,
            _ => return Step::Nothing,
        };
        let mut guards: Vec<_> = self.members.iter().map(|member| member.queue.inner.lock()).collect();
        let mut all = freeze(self.members.iter().map(|member| &*member.queue), &mut guards, &now);
        let known = if first { self.join_all(&mut all, alarm) } else { self.not_turned_away() };
        if let Err(denied) = known {
            return self.turn_away(&mut state, &mut all, denied);
        }
        if !self.hand_off(&mut all, batch, seen) {
            return Step::Again;
        }
        let mut everywhere = self.is_everywhere(&mut all);
        let due = self.count_due(&mut all);
        if due > 0 && !everywhere {
            // It waits for one, and is due there.
            if let Err(denied) = self.join_all(&mut all, alarm) {
                return self.turn_away(&mut state, &mut all, denied);
            }
            if !self.hand_off(&mut all, batch, seen) {
                return Step::Again;
            }
            everywhere = true;
        }
        state.stage = Stage::Waiting;
        if self.count_due(&mut all) == self.members.len() {
            let take =
                |(locked, member): (&mut Locked<'_>, &Member<C>)| locked.take_gate(member.place.as_ref());
            state.stage = Stage::Granted(all.iter_mut().zip(&self.members).filter_map(take).collect());
        } else if first {
            self.stay_where_scarcest(&mut all);
        } else if everywhere {
            self.promise(&mut all);
        }
        Step::Done
    }

    /// Whether no queue has turned it away.
    fn not_turned_away(&self) -> Result<(), Denied> {
        self.members.iter().try_for_each(|member| match member.place.granted() {
            Some(Outcome::Denied(denied)) => Err(denied),
            _ => Ok(()),
        })
    }

    /// Leaves all queues for good.
    fn turn_away(&self, state: &mut State, all: &mut [Locked<'_>], denied: Denied) -> Step {
        for (locked, member) in all.iter_mut().zip(&self.members) {
            drop(locked.inner.remove(member.place.as_ref()));
        }
        state.stage = Stage::Denied(denied);
        Step::Done
    }

    /// Joins the queues that it is not in.
    fn join_all(&self, all: &mut [Locked<'_>], alarm: &Waker) -> Result<(), Denied> {
        for (locked, Member { place, permits, .. }) in all.iter_mut().zip(&self.members) {
            let place = place.as_ref();
            let cost = locked.cost(*permits)?;
            if locked.inner.list.entry_mut(place).is_none() {
                let gate = Some(Gate::default());
                let request = Request { permits: *permits, max_wait: None, thread: false, gate };
                locked.inner.join(place, request, cost, NEVER, alarm.clone());
            }
        }
        Ok(())
    }

    /// Runs the hand-off of those that it waits in. Whether it is complete.
    fn hand_off(&self, all: &mut [Locked<'_>], batch: &mut WakeBatch, seen: &mut [Option<Seen>]) -> bool {
        for ((locked, member), seen) in all.iter_mut().zip(&self.members).zip(seen) {
            let place = member.place.as_ref();
            if locked.inner.list.entry_mut(place).is_none() {
                continue;
            }
            match locked.look_for(place, batch, *seen) {
                Next::Empty | Next::At(_) => {}
                Next::More => return false,
                Next::Unsure(saw) => {
                    *seen = Some(saw);
                    return false;
                }
            }
        }
        true
    }

    /// In how many of the queues that it waits in it is due.
    fn count_due(&self, all: &mut [Locked<'_>]) -> usize {
        all.iter_mut()
            .zip(&self.members)
            .filter_map(|(l, m)| l.is_due(m.place.as_ref()).then_some(()))
            .count()
    }

    /// Whether it waits in all queues.
    fn is_everywhere(&self, all: &mut [Locked<'_>]) -> bool {
        all.iter_mut().zip(&self.members).all(|(l, m)| l.inner.list.entry_mut(m.place.as_ref()).is_some())
    }

    /// How long it is to its turn in each queue: in nanoseconds.
    fn waits(&self, all: &mut [Locked<'_>]) -> Vec<u64> {
        let wait = |(locked, member): (&mut Locked<'_>, &Member<C>)| {
            locked.turn_of(member.place.as_ref()).saturating_sub(locked.now_ns)
        };
        all.iter_mut().zip(&self.members).map(wait).collect()
    }

    /// Leaves all queues but one in which it is not due: that in which its turn comes last.
    fn stay_where_scarcest(&self, all: &mut [Locked<'_>]) {
        let waits = self.waits(all);
        let due: Vec<_> =
            all.iter_mut().zip(&self.members).map(|(l, m)| l.is_due(m.place.as_ref())).collect();
        let scarcest = (0..waits.len()).max_by_key(|&i| (!due[i], waits[i]));
        for (i, (locked, member)) in all.iter_mut().zip(&self.members).enumerate() {
            if Some(i) != scarcest {
                drop(locked.inner.remove(member.place.as_ref()));
            }
        }
    }

    /// Is promised the latest of its turns.
    fn promise(&self, all: &mut [Locked<'_>]) {
        let longest = self.waits(all).into_iter().max().unwrap_or(0).max(1);
        for (locked, member) in all.iter_mut().zip(&self.members) {
            locked.promise(member.place.as_ref(), locked.now_ns.saturating_add(longest));
        }
    }

    /// Leaves all queues, or gives back what came first.
    fn leave(&self) {
        let unlink_all = UnlinkAll(self);
        let now: Vec<_> = self.members.iter().map(|member| member.queue.clock.now()).collect();
        core::mem::forget(unlink_all);
        let mut state = self.state.lock();
        let task = state.task.take();
        match core::mem::replace(&mut state.stage, Stage::Over) {
            Stage::Start | Stage::Waiting => {
                for (Member { queue, place, .. }, now_ns) in self.members.iter().zip(now) {
                    drop(queue.locked_at(now_ns, |locked| locked.inner.remove(place.as_ref())));
                }
                drop(state);
                self.drive(By::Other);
            }
            Stage::Granted(grants) => {
                drop(state);
                for (member, grant) in self.members.iter().zip(grants) {
                    member.queue.give_back(grant);
                }
            }
            Stage::Denied(_) | Stage::Over => {}
        }
        drop(task);
    }
}

/// Takes a group out of all queues without looking at the clocks: on the way out of a panic.
struct UnlinkAll<'a, C>(&'a Group<C>);

impl<C> Drop for UnlinkAll<'_, C> {
    fn drop(&mut self) {
        self.0.state.lock().stage = Stage::Over;
        for Member { queue, place, .. } in &self.0.members {
            drop(Unlink(queue, place.as_ref()));
        }
    }
}

/// The future of [`AllOf::acquire`](crate::AllOf::acquire).
#[must_use = "futures do nothing unless polled or awaited"]
pub struct AcquireAll<C: Clock> {
    group: Arc<Group<C>>,
}

impl<C: Clock> AcquireAll<C> {
    /// Queues by the order in which they are locked.
    pub(super) fn new(limits: Vec<(Arc<WaitQueue<C>>, Permits)>, invalid: Option<InvalidPermits>) -> Self {
        let member = |(queue, permits): (Arc<WaitQueue<C>>, _)| {
            let place = Box::pin(queue.place());
            Member { queue, permits, place }
        };
        let stage = invalid.map_or(Stage::Start, |invalid| Stage::Denied(invalid.into()));
        let members = limits.into_iter().map(member).collect();
        Self { group: Arc::new(Group { members, state: Mutex::new(State { stage, task: None }) }) }
    }
}

impl<C: Clock> Future for AcquireAll<C> {
    type Output = Result<(), Denied>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let group = &self.group;
        // Before anything else, so that whatever comes in between wakes it.
        let task = cx.waker().clone();
        let replaced = group.state.lock().task.replace(task);
        drop(replaced);
        let alarm = Waker::from(Arc::clone(group));
        for Member { queue, place, .. } in &group.members {
            queue.refresh(place.as_ref(), &alarm);
        }
        group.look(By::Task);
        let mut state = group.state.lock();
        match state.stage {
            Stage::Start | Stage::Waiting => Poll::Pending,
            Stage::Granted(_) => {
                ready!(poll_proceed(cx)).made_progress();
                state.stage = Stage::Over;
                Poll::Ready(Ok(()))
            }
            Stage::Denied(denied) => {
                state.stage = Stage::Over;
                Poll::Ready(Err(denied))
            }
            Stage::Over => panic!("polled after completion"),
        }
    }
}

impl<C: Clock> Drop for AcquireAll<C> {
    fn drop(&mut self) {
        self.group.leave();
    }
}

impl<C: Clock> fmt::Debug for AcquireAll<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireAll").field("stage", &self.group.state.lock().stage).finish_non_exhaustive()
    }
}
