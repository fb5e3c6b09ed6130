//! Any schedule of waiters that come, look, and leave, granted or not, in virtual time, with calls in between.
//!
//! Without catch-up everything equals the exact model: who is settled, in which order, at which nanosecond and how,
//! every answer, and every level. What a dropped grant gives back is more than nothing only if that makes no second
//! burst. With catch-up, and in any case: those who wait are served in their order, nobody is forgotten, each is
//! woken once, and what is used keeps to the bound in every window.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use arbitrary::Arbitrary;
use tidegate::{AcquireNOwned, Clock, Denied, ManualClock, Quota, RateLimiter};

use super::{
    decode,
    line::{Line, Settled},
    model::Model,
};

#[derive(Arbitrary, Debug)]
struct Input {
    permits: u8,
    period_ns: u32,
    burst: u8,
    initial: u8,
    catch_up: Option<u16>,
    steps: Vec<Step>,
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

/// Who was woken, and when.
type Woken = Arc<Mutex<Vec<(usize, u64)>>>;

struct Recorder {
    id: usize,
    clock: ManualClock,
    woken: Woken,
}

impl Wake for Recorder {
    fn wake(self: Arc<Self>) {
        let now_ns = self.clock.now();
        self.woken.lock().unwrap().push((self.id, now_ns));
    }
}

struct Waiter {
    id: usize,
    permits: u64,
    waker: Waker,
    future: Pin<Box<AcquireNOwned<ManualClock>>>,
}

impl Waiter {
    fn poll(&mut self) -> Poll<Result<(), Denied>> {
        self.future.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}

struct Run {
    quota: Quota,
    limiter: RateLimiter<ManualClock>,
    clock: ManualClock,
    /// None with catch-up.
    line: Option<Line>,
    waiters: Vec<Waiter>,
    woken: Woken,
    joined: usize,
    /// What was used, and when.
    used: Vec<(u64, u64)>,
    /// Whether permits came by other ways than by time.
    extra: bool,
}

/// Runs the schedule that these bytes stand for.
pub fn run(bytes: &[u8]) {
    let Some(input) = decode::<Input>(bytes) else { return };
    let mut run = Run::new(&input);
    for &step in input.steps.iter().take(200) {
        if run.step(step).is_none() {
            // Deeper in debt than the word can hold.
            return;
        }
        run.check();
    }
    run.finish();
}

impl Run {
    fn new(input: &Input) -> Self {
        let permits = u64::from(input.permits) % 50 + 1;
        let burst = u64::from(input.burst) % 12 + 1;
        let initial = u64::from(input.initial) % (burst + 1);
        let period_ns = u64::from(input.period_ns) + 1;
        let quarter_ns = period_ns / permits / 4;
        let catch_up_ns = input.catch_up.map_or(0, |quarters| u64::from(quarters % 40) * quarter_ns);
        let quota = Quota::new(permits, Duration::from_nanos(period_ns));
        let quota = quota.burst(burst).initial(initial).catch_up(Duration::from_nanos(catch_up_ns));
        let clock = ManualClock::starting_at(1_000_000_000);
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let model = Model::new(permits, period_ns, burst, initial, clock.now());
        let line = (catch_up_ns == 0).then(|| Line::new(model, clock.now()));
        let (woken, used) = (Woken::default(), Vec::new());
        Self { quota, limiter, clock, line, waiters: Vec::new(), woken, joined: 0, used, extra: false }
    }

    fn quarters(&self, quarters: u8) -> u64 {
        let one = self.quota.period().as_nanos() as u64 / self.quota.permits();
        u64::from(quarters) * one / 4
    }

    /// An amount that is mostly no more than a burst.
    fn amount(&self, byte: u8) -> u64 {
        u64::from(byte) % (self.quota.max_burst() + 2)
    }

    fn step(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Join(n) => self.join(self.amount(n), None),
            Step::JoinWithin(n, quarters) => self.join(self.amount(n), Some(self.quarters(quarters))),
            Step::Look(i) if !self.waiters.is_empty() => self.look(usize::from(i) % self.waiters.len()),
            Step::Drop(i) if !self.waiters.is_empty() => self.leave(usize::from(i) % self.waiters.len()),
            Step::Try(n) => self.try_acquire(self.amount(n)),
            Step::UpTo(most) => self.up_to(most.into()),
            Step::Charge(n) => return self.charge(self.amount(n)),
            Step::Refund(n) => {
                let n = self.amount(n);
                self.extra = true;
                self.limiter.refund(n).unwrap();
                self.model(|line| line.refund(n));
            }
            Step::Reset => {
                self.extra = true;
                self.limiter.reset();
                self.model(Line::reset);
            }
            Step::Advance(quarters, off) => {
                let ns = self.quarters(quarters).saturating_add_signed(off.into());
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
            None => self.limiter.acquire_n_owned(n),
        };
        let waker = Waker::from(Arc::new(recorder));
        let mut waiter = Waiter { id, permits: n, waker, future: Box::pin(future) };
        let outcome = waiter.poll();
        if let Some(line) = &mut self.line {
            let wait_ns = line.time_until(n);
            let never = line.is_never(n);
            let late_ns = within_ns.map_or(0, |within_ns| wait_ns.saturating_sub(within_ns));
            match outcome {
                Poll::Ready(Ok(())) => assert!(line.take(n), "granted, and it is not there"),
                Poll::Ready(Err(Denied::Never { .. })) => assert!(never, "it is never"),
                Poll::Ready(Err(Denied::NotYet { retry_after })) => {
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
            Poll::Ready(Ok(())) => self.used.push((now_ns, n)),
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
        if self.line.is_some() {
            match (outcome, self.settled(id)) {
                (Poll::Pending, None) | (Poll::Ready(Ok(())), Some((_, Settled::Granted))) => {}
                (Poll::Ready(Err(Denied::NotYet { retry_after })), Some((_, Settled::Late(ns)))) => {
                    assert_eq!(retry_after.as_nanos(), ns.into(), "late by another time");
                }
                (outcome, settled) => panic!("{id}: {outcome:?}, and by right {settled:?}"),
            }
        }
        if outcome.is_ready() {
            if outcome == Poll::Ready(Ok(())) {
                let at_ns = self.woken_at(id).unwrap_or(self.clock.now());
                self.used.push((at_ns, permits));
            }
            drop(self.waiters.remove(i));
        }
    }

    fn woken_at(&self, id: usize) -> Option<u64> {
        self.woken.lock().unwrap().iter().find_map(|&(by, at)| (by == id).then_some(at))
    }

    fn leave(&mut self, i: usize) {
        let Waiter { id, .. } = self.waiters[i];
        let outcome = self.settled(id);
        drop(self.waiters.remove(i));
        match outcome {
            None => {
                self.model(|line| line.leave(id));
            }
            Some((_, Settled::Late(_))) => {}
            Some((_, Settled::Granted)) => {
                let line = self.line.as_ref().expect("it has settled somebody");
                let given_back = line.with_given_back(id);
                if self.is_as(line) && !self.is_as(&given_back) {
                    assert!(!line.has_to_give_back(id), "{id} gives back nothing: {line:?}");
                } else {
                    assert!(
                        line.may_give_back(id) || self.is_as(line),
                        "{id} makes a second burst: {line:?}"
                    );
                    self.line = Some(given_back);
                }
            }
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
                Err(Denied::Never { .. }) => assert!(line.is_never(n)),
                Err(denied) => {
                    assert!(!line.is_never(n), "{denied}, and it is never");
                    let told = denied.retry_after().expect("not yet").as_nanos();
                    assert_eq!(told, wait_ns.into(), "another time to retry after");
                    assert!(wait_ns > 0, "refused, and it is there");
                }
            }
        }
        if outcome.is_ok() {
            self.used.push((self.clock.now(), n));
        }
    }

    fn up_to(&mut self, most: u64) {
        let taken = self.limiter.try_acquire_up_to(most);
        if let Some(line) = &mut self.line {
            let there = if line.waiting() > 0 { 0 } else { line.available().max(0) as u64 };
            assert_eq!(taken, there.min(most), "taken, of {there}");
            assert!(line.take(taken));
        }
        self.used.push((self.clock.now(), taken));
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

    /// Everybody is served in the end, in order, and the bound was kept.
    fn finish(&mut self) {
        // Far more than all of them need: each asks for a burst at most.
        let burst_ns =
            self.quota.period().as_nanos() as u64 * self.quota.max_burst() / self.quota.permits() + 1;
        let all_ns = burst_ns * self.limiter.waiting() as u64;
        self.advance_to(self.clock.now() + self.limiter.time_until_full().as_nanos() as u64 + all_ns);
        assert_eq!(self.limiter.waiting(), 0, "somebody is forgotten");
        self.check();
        while !self.waiters.is_empty() {
            let before = self.waiters.len();
            self.look(0);
            assert!(self.waiters.len() < before, "out of the queue, and not told");
        }
        if self.extra {
            return;
        }
        self.used.sort_unstable();
        let period_ns = self.quota.period().as_nanos();
        let catch_up_ns = self.quota.max_catch_up().as_nanos();
        for (i, (from_ns, _)) in self.used.iter().enumerate() {
            let mut sum = 0;
            for (to_ns, n) in &self.used[i..] {
                sum += u128::from(*n);
                let earned = (u128::from(to_ns - from_ns) + catch_up_ns) * u128::from(self.quota.permits());
                let bound = u128::from(self.quota.max_burst()) * period_ns + earned;
                assert!(sum * period_ns <= bound, "{sum} from {from_ns} to {to_ns} ns");
            }
        }
    }
}
