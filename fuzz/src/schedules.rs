//! Any schedule of waiters that come, look, and leave, granted or not, in virtual time, with calls and changes of quota
//! in between.
//!
//! Without catch-up, and as long as alarms ring in time, everything equals the exact model: which waiters are settled,
//! in which order, at which nanosecond and how, every answer, every level, and what a dropped grant gives back; but for
//! what has been taken without the lock meanwhile, for which it may be less. With catch-up, with alarms that are held
//! up, and in any case: waiters are granted in order of arrival, and no caller passes them; no waiter is forgotten, and
//! each is woken once, when it is settled; and what is used keeps to the bound in every window.

use std::{
    collections::HashSet,
    sync::Arc,
    task::{Poll, Waker},
    time::Duration,
};

use arbitrary::Arbitrary;
use tidegate::{Clock, Denied, ManualClock, Quota, RateLimiter};

use super::{
    Extended,
    alarms::Alarms,
    decode,
    line::{Line, Settled},
    model::Model,
    windows::Log,
};

mod more;
mod waiter;

use more::{Held, More};
use waiter::{Recorder, Waiter, Woken};

#[derive(Arbitrary, Debug)]
struct Input {
    permits: u8,
    period_ns: u32,
    burst: u8,
    initial: u8,
    catch_up: Option<u16>,
    steps: Vec<Extended<Step, More>>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Join(u8),
    /// With a deadline, in quarters of the time of one permit.
    JoinWithin(u8, u8),
    Look(u8),
    Drop(u8),
    Try(u8),
    UpTo(u8),
    Charge(u8),
    Refund(u8),
    Reset,
    /// In quarters of the time of one permit, and nanoseconds.
    Advance(u8, i8),
    /// To just before, at, or just after the time that the head is due.
    AdvanceToHead(i8),
}

struct Run {
    quota: Quota,
    /// In quarters of the time of one permit.
    catch_up: u64,
    limiter: RateLimiter<Alarms>,
    clock: ManualClock,
    /// None once there has been catch-up, or alarms have been held up.
    line: Option<Line>,
    waiters: Vec<Waiter>,
    reservations: Vec<Held>,
    woken: Woken,
    joined: usize,
    /// The waiters that were granted, as far as is known.
    granted: HashSet<usize>,
    log: Log,
}

/// So many quarters of the time of one permit.
fn quarters(quota: &Quota, quarters: u64) -> u64 {
    let one = quota.period().as_nanos() as u64 / quota.permits();
    quarters * one / 4
}

/// Up to fifty permits a period, and a burst of up to twelve.
fn quota(permits: u8, period_ns: u32, burst: u8, initial: u8, catch_up: u64) -> Quota {
    let quota = Quota::new(u64::from(permits) % 50 + 1, Duration::from_nanos(u64::from(period_ns) + 1));
    let burst = u64::from(burst) % 12 + 1;
    let quota = quota.with_burst(burst).with_initial(u64::from(initial) % (burst + 1));
    quota.with_catch_up(Duration::from_nanos(quarters(&quota, catch_up)))
}

/// Runs the schedule that these bytes stand for.
pub fn run(bytes: &[u8]) {
    let Some(input) = decode::<Input>(bytes) else { return };
    let mut run = Run::new(&input);
    for &step in input.steps.iter().take(200) {
        let done = match step {
            Extended::First(step) => run.step(step),
            Extended::Added(step) => run.more(step),
        };
        if done.is_none() {
            // Deeper in debt than the word can hold.
            return;
        }
        run.check();
    }
    run.finish();
}

impl Run {
    fn new(input: &Input) -> Self {
        let catch_up = input.catch_up.map_or(0, |quarters| u64::from(quarters % 40));
        let quota = quota(input.permits, input.period_ns, input.burst, input.initial, catch_up);
        let clock = ManualClock::starting_at(1_000_000_000);
        let limiter = RateLimiter::with_clock(quota, Alarms::new(clock.clone()));
        let exact = quota.catch_up().is_zero();
        let line = exact.then(|| Line::new(Model::new(&quota, clock.now()), clock.now()));
        Self {
            quota,
            catch_up,
            limiter,
            clock,
            line,
            waiters: Vec::new(),
            reservations: Vec::new(),
            woken: Woken::default(),
            joined: 0,
            granted: HashSet::new(),
            log: Log::new(quota),
        }
    }

    /// An amount that is mostly no more than a burst.
    fn amount(&self, byte: u8) -> u64 {
        u64::from(byte) % (self.quota.burst() + 2)
    }

    fn step(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Join(n) => self.join(self.amount(n), None),
            Step::JoinWithin(n, by) => self.join(self.amount(n), Some(quarters(&self.quota, by.into()))),
            Step::Look(i) if !self.waiters.is_empty() => self.look(usize::from(i) % self.waiters.len()),
            Step::Drop(i) if !self.waiters.is_empty() => self.leave(usize::from(i) % self.waiters.len()),
            Step::Try(n) => self.try_acquire(self.amount(n)),
            Step::UpTo(most) => self.up_to(most.into()),
            Step::Charge(n) => return self.charge(self.amount(n)),
            Step::Refund(n) => {
                let n = self.amount(n);
                self.log.refunded(self.clock.now(), n);
                self.limiter.refund(n).unwrap();
                self.model(|line| line.refund(n));
            }
            Step::Reset => {
                self.log.reset(self.clock.now());
                self.limiter.reset();
                self.model(Line::reset);
            }
            Step::Advance(by, off) => {
                let ns = quarters(&self.quota, by.into()).saturating_add_signed(off.into());
                self.advance_to(self.clock.now() + ns);
            }
            Step::AdvanceToHead(off) => {
                if let Some(due_ns) = self.line.as_ref().and_then(Line::due_ns) {
                    let then_ns = due_ns.saturating_add_signed(off.signum().into());
                    self.advance_to(then_ns.max(self.clock.now()));
                }
            }
            Step::Look(_) | Step::Drop(_) => {}
        }
        Some(())
    }

    fn woken(&self) -> HashSet<usize> {
        self.woken.lock().unwrap().iter().map(|&(id, _)| id).collect()
    }

    /// A caller was granted that had just come, and so was every waiter before it.
    fn served(&mut self, n: u64) {
        let woken = self.woken();
        let passed = self.waiters.iter().find(|waiter| !woken.contains(&waiter.id));
        if let Some(Waiter { id, .. }) = passed.filter(|_| n > 0) {
            panic!("{id} was passed by one who came later");
        }
    }

    fn model<T>(&mut self, f: impl FnOnce(&mut Line) -> T) -> Option<T> {
        self.line.as_mut().map(f)
    }

    fn advance_to(&mut self, then_ns: u64) {
        self.clock.advance(Duration::from_nanos(then_ns - self.clock.now()));
        self.model(|line| line.advance_to(then_ns));
    }

    fn join(&mut self, n: u64, within_ns: Option<u64>) {
        let now_ns = self.clock.now();
        let id = self.joined;
        self.joined += 1;
        let recorder = Recorder { id, clock: self.clock.clone(), woken: self.woken.clone() };
        let future = match within_ns {
            Some(ns) => self.limiter.acquire_within_owned(n, Duration::from_nanos(ns)),
            None => self.limiter.acquire_within_owned(n, Duration::MAX),
        };
        let waker = Waker::from(Arc::new(recorder));
        let patient = within_ns.is_none();
        let mut waiter = Waiter { id, permits: n, patient, waker, future: Box::pin(future) };
        let outcome = waiter.poll();
        if let Some(line) = &mut self.line {
            let wait_ns = line.time_until(n);
            let never = line.is_never(n);
            let late_ns = within_ns.map_or(0, |within_ns| wait_ns.saturating_sub(within_ns));
            match outcome {
                Poll::Ready(Ok(())) => assert!(line.take(n), "granted, and it is not there"),
                Poll::Ready(Err(Denied::TooMany(_))) => assert!(never, "it is never"),
                Poll::Ready(Err(Denied::NotYet(not_yet))) => {
                    let retry_after = not_yet.retry_after();
                    assert!(!never, "not yet, and it is never");
                    assert_eq!(retry_after.as_nanos(), late_ns.into(), "too late by another time");
                    assert!(late_ns > 0, "refused, and it is in time");
                }
                Poll::Ready(Err(other)) => panic!("{other}"),
                Poll::Pending => {
                    assert!(!never && late_ns == 0, "it waits in vain: {never}, {late_ns} ns late");
                    assert!(wait_ns > 0 || line.waiting() > 0, "it waits for what is there");
                    line.join(id, n, within_ns.map_or(u64::MAX, |ns| now_ns + ns));
                }
            }
        }
        match outcome {
            Poll::Ready(Ok(())) => {
                self.served(n);
                self.granted.insert(id);
                self.log.used(now_ns, n);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.waiters.push(waiter),
        }
    }

    fn settled(&self, id: usize) -> Option<(u64, Settled)> {
        let line = self.line.as_ref()?;
        line.settled.iter().find_map(|&(by, at, outcome)| (by == id).then_some((at, outcome)))
    }

    fn look(&mut self, i: usize) {
        let outcome = self.waiters[i].poll();
        let Waiter { id, permits, .. } = self.waiters[i];
        let woken_ns = self.woken_at(id);
        assert_eq!(outcome.is_ready(), woken_ns.is_some(), "{id}: {outcome:?}, woken at {woken_ns:?}");
        if self.line.is_some() {
            match (outcome, self.settled(id)) {
                (Poll::Pending, None)
                | (Poll::Ready(Ok(())), Some((_, Settled::Granted)))
                | (Poll::Ready(Err(Denied::TooMany(_))), Some((_, Settled::Never))) => {}
                (Poll::Ready(Err(Denied::NotYet(not_yet))), Some((_, Settled::Late(ns)))) => {
                    assert_eq!(not_yet.retry_after().as_nanos(), ns.into(), "late by another time");
                }
                (outcome, settled) => panic!("{id}: {outcome:?}, and by right {settled:?}"),
            }
        }
        if let (Poll::Ready(outcome), Some(at_ns)) = (outcome, woken_ns) {
            if outcome.is_ok() {
                self.granted.insert(id);
                self.log.used(at_ns, permits);
            }
            drop(self.waiters.remove(i));
        }
    }

    fn woken_at(&self, id: usize) -> Option<u64> {
        self.woken.lock().unwrap().iter().find_map(|&(by, at)| (by == id).then_some(at))
    }

    fn leave(&mut self, i: usize) {
        let Waiter { id, patient, .. } = self.waiters[i];
        if patient && self.woken_at(id).is_some() {
            self.granted.insert(id);
        }
        let outcome = self.settled(id);
        drop(self.waiters.remove(i));
        match outcome {
            None => {
                self.model(|line| line.leave(id));
            }
            Some((_, Settled::Late(_) | Settled::Never)) => {}
            Some((_, Settled::Granted)) => self.given_back(id),
        }
    }

    /// Whether the limiter is as the model says, as far as one can see.
    fn is_as(&self, line: &Line) -> bool {
        i128::from(self.limiter.available()) == line.available()
            && self.limiter.time_until_full().as_nanos() as i128 == line.time_until_full()
            && self.limiter.waiting() == line.waiting()
    }

    fn try_acquire(&mut self, n: u64) {
        let outcome = self.limiter.try_acquire_n(n);
        if let Some(line) = &mut self.line {
            let wait_ns = line.time_until(n);
            match outcome {
                Ok(()) => assert!(line.take(n), "taken, and it is not there"),
                Err(Denied::TooMany(_)) => assert!(line.is_never(n)),
                Err(denied) => {
                    assert!(!line.is_never(n), "{denied}, and it is never");
                    let told = denied.retry_after().expect("not yet").as_nanos();
                    assert_eq!(told, wait_ns.into(), "another time to retry after");
                    assert!(wait_ns > 0, "refused, and it is there");
                }
            }
        }
        if outcome.is_ok() {
            self.served(n);
            self.log.used(self.clock.now(), n);
        }
    }

    fn up_to(&mut self, most: u64) {
        let taken = self.limiter.try_acquire_up_to(most);
        if let Some(line) = &mut self.line {
            let there = if line.waiting() > 0 { 0 } else { line.available().max(0) as u64 };
            assert_eq!(taken, there.min(most), "taken, of {there}");
            assert!(line.take(taken));
        }
        self.served(taken);
        self.log.used(self.clock.now(), taken);
    }

    fn charge(&mut self, n: u64) -> Option<()> {
        let paid = self.limiter.charge(n).ok()?;
        if let Some(line) = &mut self.line {
            assert_eq!(paid.as_nanos() as i128, line.charge(n), "another time until it is paid");
        }
        Some(())
    }

    /// Compares all that can be seen without taking anything.
    fn check(&self) {
        let woken = self.woken.lock().unwrap();
        let mut once: Vec<_> = woken.iter().map(|(id, _)| id).collect();
        once.sort_unstable();
        assert!(once.windows(2).all(|two| two[0] != two[1]), "woken twice");
        let Some(line) = &self.line else { return };
        assert!(self.is_as(line), "{:?}, and by right {line:?}", self.limiter);
        let settled: Vec<_> = line.settled.iter().map(|&(id, at_ns, _)| (id, at_ns)).collect();
        assert_eq!(*woken, settled, "others were woken, or at other times");
    }

    /// In the end every waiter is granted, in order, and the bound was kept.
    fn finish(&mut self) {
        self.limiter.clock().let_go();
        // Far more than all of them need: each asks for a burst at most.
        let burst_ns = self.quota.period().as_nanos() as u64 * self.quota.burst() / self.quota.permits() + 1;
        let all_ns = burst_ns * self.limiter.waiting() as u64;
        self.advance_to(self.clock.now() + self.limiter.time_until_full().as_nanos() as u64 + all_ns);
        assert_eq!(self.limiter.waiting(), 0, "somebody is forgotten");
        self.check();
        while !self.waiters.is_empty() {
            let before = self.waiters.len();
            self.look(0);
            assert!(self.waiters.len() < before, "out of the queue, and not told");
        }
        for held in std::mem::take(&mut self.reservations) {
            held.spend(&mut self.log);
        }
        let woken: Vec<_> = self.woken.lock().unwrap().iter().map(|&(id, _)| id).collect();
        let granted: Vec<_> = woken.into_iter().filter(|id| self.granted.contains(id)).collect();
        assert!(granted.is_sorted(), "granted out of order: {granted:?}");
        self.log.check();
    }
}
