//! Waiters and calls that do not wait, while the clock moves: alarms, grants, returned permits, waiters that leave, and
//! calls that do not wait race.
//!
//! Two things stay out: waiting for real time, since the thread that moves the clock may have gone by then; and a
//! change of quota, which may charge a call twice that it overtakes (`plain.rs` keeps the two apart), where nothing
//! keeps an alarm from ringing in the middle of one.

use std::{
    cell::RefCell,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Wake, Waker},
    time::Duration,
};

use tidegate::{AcquireWithin, Clock, Denied, ManualClock, Quota, RateLimiter};

use super::{
    checker::{Entry, History},
    random::Random,
    record::{Actor, Slow, Tickets, length, poll, record, wait_ns},
    timed_spec::{Answer, Call, Spec},
};

/// Where the clock stands at first: far enough from its zero for every late grant to have a date.
const BEGIN_NS: u64 = 1_000_000;

thread_local! {
    /// Where alarms have rung on the way of the clock that this thread moves.
    static STOPS: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// A clock whose alarms are noted by the thread in which they ring.
#[derive(Debug)]
struct Noted {
    clock: Slow,
    /// The limiter's alarm: there is one.
    bell: OnceLock<Waker>,
}

struct Bell {
    clock: ManualClock,
    alarm: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        STOPS.with_borrow_mut(|stops| stops.push(self.clock.now()));
        self.alarm.wake_by_ref();
    }
}

impl Clock for Noted {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn wake_at(&self, deadline: u64, alarm: &Waker) -> bool {
        let bell = || Arc::new(Bell { clock: self.clock.0.clone(), alarm: alarm.clone() }).into();
        self.clock.wake_at(deadline, self.bell.get_or_init(bell))
    }
}

/// A thread with its plan, and its future.
struct Caller<'a> {
    limiter: &'a RateLimiter<Noted>,
    /// Half of what a permit takes to come.
    half: u64,
    future: Option<Pin<Box<AcquireWithin<'a, Noted>>>>,
    plan: std::vec::IntoIter<Call>,
}

impl Caller<'_> {
    fn make(&mut self, call: Call) -> Answer {
        match call {
            Call::Try(n) => told(self.limiter.try_acquire_n(n)),
            Call::UpTo(most) => Answer::Count(self.limiter.try_acquire_up_to(most) as i64),
            Call::Charge(n) => Answer::Wait(self.limiter.charge(n).expect("a small debt").as_nanos() as u64),
            Call::Refund(n) => told(self.limiter.refund(n)),
            Call::Reset => {
                self.limiter.reset();
                Answer::Done
            }
            Call::Within(n) => told(self.limiter.blocking_acquire_within(n, Duration::ZERO)),
            Call::Join(n, wait) => {
                let wait = wait.map_or(Duration::MAX, Duration::from_nanos);
                self.future = Some(Box::pin(self.limiter.acquire_within(n, wait)));
                self.poll()
            }
            Call::Poll => self.poll(),
            Call::Leave => {
                self.future = None;
                Answer::Done
            }
            Call::Available => Answer::Count(self.limiter.available()),
            Call::Advance(ns) => {
                let clock = &self.limiter.clock().clock.0;
                let from = clock.now();
                STOPS.take();
                clock.advance(Duration::from_nanos(ns));
                let stops = STOPS.take().into_iter().map(|stop| 1 << ((stop - from) / self.half));
                Answer::Stops(stops.fold(0, |all, stop| all | stop))
            }
        }
    }

    fn poll(&mut self) -> Answer {
        poll(&mut self.future).map_or(Answer::Pending, told)
    }
}

/// What came of a call that takes all or nothing.
pub(crate) fn told(taken: Result<(), impl Into<Denied>>) -> Answer {
    match taken.map_err(Into::into) {
        Ok(()) => Answer::Done,
        Err(denied) => wait_ns(&denied).map_or(Answer::Never, Answer::Wait),
    }
}

impl Actor for Caller<'_> {
    type Spec = Spec;

    fn act(&mut self, tickets: &Tickets) -> Option<Entry<Call, Answer>> {
        let call = match self.plan.next()? {
            // One future at a time.
            Call::Join(1, _) if self.future.is_some() => Call::Leave,
            Call::Join(..) if self.future.is_some() => Call::Poll,
            Call::Poll | Call::Leave if self.future.is_none() => Call::Join(1, None),
            call => call,
        };
        Some(tickets.note(call, || self.make(call)))
    }
}

/// The calls of one thread. The first thread moves the clock, and does nothing else.
fn plan(random: &mut Random, thread: usize, permit: u64) -> Vec<Call> {
    let call = |random: &mut Random| {
        let n = 1 + random.below(3);
        match random.below(20) {
            _ if thread == 0 => Call::Advance(random.below(7) * permit / 2),
            0..=1 => Call::Try(n),
            2 => Call::UpTo(n),
            3..=4 => Call::Charge(n),
            5..=6 => Call::Refund(n),
            7 if n == 1 => Call::Reset,
            7 => Call::Available,
            8 => Call::Within(n),
            9..=11 => Call::Join(n, Some(random.below(9) * permit / 2)),
            12..=15 => Call::Join(n, None),
            16..=18 => Call::Poll,
            _ => Call::Leave,
        }
    };
    let count = length(random, 2, 3);
    (0..count).map(|_| call(random)).collect()
}

/// Several threads make random calls at once. Then the test checks which waiters are granted, moves the clock until all
/// are, and checks the level.
pub(crate) fn run(random: &mut Random) -> (Spec, History<Call, Answer>) {
    let permit = [1_000, 600, 4_000][random.below(3) as usize];
    let (burst, catch_up) = (1 + random.below(4), random.below(4) * permit);
    let level = random.below(burst.min(2) + 1);
    let quota = Quota::new(1, Duration::from_nanos(permit)).with_burst(burst).with_initial(level);
    let quota = quota.with_catch_up(Duration::from_nanos(catch_up));
    let clock = Noted { clock: Slow(ManualClock::starting_at(BEGIN_NS)), bell: OnceLock::new() };
    let limiter = RateLimiter::with_clock(quota, clock);
    let threads = 3 + random.below(2) as usize;
    let mut caller = |i| Caller {
        limiter: &limiter,
        half: permit / 2,
        future: None,
        plan: plan(random, i, permit).into_iter(),
    };
    let mut callers: Vec<_> = (0..threads).map(&mut caller).collect();
    let tickets = Tickets::default();
    let mut history = record(&tickets, &mut callers);
    // Twice: before the clock goes on, and after.
    for next in [Call::Advance(24 * permit), Call::Available] {
        for (calls, caller) in history.iter_mut().zip(&mut callers).skip(1) {
            caller.plan =
                vec![if caller.future.is_some() { Call::Poll } else { Call::Available }].into_iter();
            calls.extend(caller.act(&tickets));
        }
        callers[0].plan = vec![next].into_iter();
        history[0].extend(callers[0].act(&tickets));
    }
    (Spec { permit, burst, level, catch_up }, history)
}
