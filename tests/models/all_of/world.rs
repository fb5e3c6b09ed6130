//! Limits, and callers that ask again as soon as they are served, on one thread.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tidegate::{AllOf, Denied, Quota, RateLimiter};

use super::super::{clock::TestClock, tasks::Limiter, window::Window};
use crate::{Outcome, ensure};

/// More polls at one time than any caller needs.
const TOO_MANY: u32 = 20_000;

/// A limit, and what has been used of it. A nanosecond is the unit of its window.
pub(super) struct Limit {
    pub(super) limiter: Limiter,
    pub(super) permit_ns: u64,
    pub(super) burst: u64,
    used: Window,
}

/// How a caller asks for the permits of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By `AllOf::acquire`, or if it is one limit, by `acquire_n`.
    Waits,
    /// Wrong: it waits for one limit after the other, and uses what it has at the end.
    OneByOne,
    /// Wrong: it tries all at once, again and again, and stands in no queue.
    Tries,
}

type Asked = Pin<Box<dyn Future<Output = Result<(), Denied>>>>;

pub(super) struct Caller {
    /// Which limits, and how many permits of each.
    parts: Vec<(usize, u64)>,
    how: How,
    /// None after it was cancelled.
    asked: Option<Asked>,
    /// It is not going to look any more, and is cancelled later.
    pub(super) doomed: bool,
    pub(super) served: u64,
    waker: Waker,
}

impl Caller {
    pub(super) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    pub(super) fn is_single(&self) -> bool {
        self.parts.len() == 1
    }
}

/// Notes which callers have been woken.
#[derive(Debug)]
struct Woken {
    number: usize,
    queue: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.queue.lock().unwrap().push_back(self.number);
    }
}

pub(super) struct World {
    pub(super) clock: TestClock,
    pub(super) limits: Vec<Limit>,
    pub(super) callers: Vec<Caller>,
    woken: Arc<Mutex<VecDeque<usize>>>,
    catch_up_ns: u64,
}

impl World {
    /// Limits by the time of a permit and the burst.
    pub(super) fn new(limits: &[(u64, u64)], catch_up_ns: u64) -> Self {
        let clock = TestClock::starting_at(3_600_000_000_000);
        let limit = |&(permit_ns, burst)| {
            let quota = Quota::new(1, Duration::from_nanos(permit_ns))
                .with_burst(burst)
                .with_catch_up(Duration::from_nanos(catch_up_ns));
            let limiter = RateLimiter::with_clock(quota, clock.clone());
            Limit { limiter, permit_ns, burst, used: Window::new(1) }
        };
        let limits = limits.iter().map(limit).collect();
        Self { clock, limits, callers: Vec::new(), woken: Arc::default(), catch_up_ns }
    }

    /// Another caller, which asks on and on.
    pub(super) fn join(&mut self, how: How, parts: &[(usize, u64)]) -> Outcome {
        let number = self.callers.len();
        let waker = Waker::from(Arc::new(Woken { number, queue: Arc::clone(&self.woken) }));
        let parts = parts.to_vec();
        self.callers.push(Caller { parts, how, asked: None, doomed: false, served: 0, waker });
        self.ask(number)
    }

    pub(super) fn all_of(&self, parts: &[(usize, u64)]) -> AllOf {
        parts.iter().fold(AllOf::new(), |all, &(limit, n)| all.and(&self.limits[limit].limiter, n))
    }

    /// The caller asks anew.
    pub(super) fn ask(&mut self, number: usize) -> Outcome {
        self.set_asked(number);
        self.poll(number)
    }

    fn set_asked(&mut self, number: usize) {
        let caller = &self.callers[number];
        let asked: Asked = match (caller.how, &*caller.parts) {
            (_, &[(limit, n)]) => {
                let call = self.limits[limit].limiter.acquire_n_owned(n);
                Box::pin(async move { call.await.map_err(Denied::from) })
            }
            (How::Waits, parts) => {
                let call = self.all_of(parts).acquire();
                Box::pin(async move { call.await.map_err(|denied| denied.denied()) })
            }
            (How::Tries, parts) => {
                let all = self.all_of(parts);
                Box::pin(poll_fn(move |_| match all.try_acquire() {
                    Ok(()) => Poll::Ready(Ok(())),
                    Err(_) => Poll::Pending,
                }))
            }
            (How::OneByOne, parts) => {
                let asked = |&(limit, n): &(usize, u64)| self.limits[limit].limiter.acquire_n_owned(n);
                let asked: Vec<_> = parts.iter().map(asked).collect();
                Box::pin(async move {
                    for asked in asked {
                        asked.await?;
                    }
                    Ok(())
                })
            }
        };
        self.callers[number].asked = Some(asked);
        self.callers[number].doomed = false;
    }

    /// The caller looks whether it is served. If so it uses its permits, and asks again.
    fn poll(&mut self, number: usize) -> Outcome {
        for _ in 0..TOO_MANY {
            let caller = &mut self.callers[number];
            let Some(asked) = caller.asked.as_mut().filter(|_| !caller.doomed) else { return Ok(()) };
            match asked.as_mut().poll(&mut Context::from_waker(&caller.waker)) {
                Poll::Pending => return Ok(()),
                Poll::Ready(outcome) => outcome.map_err(|denied| format!("caller {number}: {denied}"))?,
            }
            caller.served += 1;
            let parts = caller.parts.clone();
            self.used(&parts);
            self.set_asked(number);
        }
        Err(format!("caller {number} is served again and again at {} ns", self.clock.steady()))
    }

    /// Permits are used now.
    pub(super) fn used(&mut self, parts: &[(usize, u64)]) {
        let now = self.clock.steady();
        for &(limit, n) in parts {
            let limit = &mut self.limits[limit];
            limit.used.admit(now, (n * limit.permit_ns) as i64);
        }
    }

    pub(super) fn cancel(&mut self, number: usize) {
        self.callers[number].asked = None;
    }

    /// The next caller that has been woken.
    fn next_woken(&self) -> Option<usize> {
        self.woken.lock().unwrap().pop_front()
    }

    /// Polls all callers that were woken, except the callers that are `doomed`.
    pub(super) fn run(&mut self, mut doomed: impl FnMut() -> bool) -> Outcome {
        for number in 0..self.callers.len() {
            if self.callers[number].how == How::Tries {
                self.poll(number)?;
            }
        }
        let mut polls = 0;
        while let Some(number) = self.next_woken() {
            polls += 1;
            ensure!(
                polls < TOO_MANY,
                "callers wake each other again and again at {} ns",
                self.clock.steady()
            );
            if doomed() {
                self.callers[number].doomed = true;
            }
            self.poll(number)?;
        }
        Ok(())
    }

    /// Time passes; callers look as soon as they are woken.
    pub(super) fn advance(&mut self, ns: u64, mut doomed: impl FnMut() -> bool) -> Outcome {
        let mut outcome = Ok(());
        self.clock.clone().advance(ns, || {
            if outcome.is_ok() {
                outcome = self.run(&mut doomed);
            }
        });
        outcome?;
        self.run(doomed)
    }

    /// What was used of each limit in any window is at most what the bound says.
    pub(super) fn keeps_the_bound(&self) -> Outcome {
        for (i, limit) in self.limits.iter().enumerate() {
            let bound = (limit.burst * limit.permit_ns + self.catch_up_ns) as i64;
            let over = limit.used.highest() - bound;
            ensure!(over <= 0, "limit {i}, {} ns and burst {}: {over} ns over", limit.permit_ns, limit.burst);
        }
        Ok(())
    }

    /// After all callers have left, nothing is lost: each limit is full when its bucket has had the time to fill.
    pub(super) fn fills_again(&mut self) -> Outcome {
        for number in 0..self.callers.len() {
            self.cancel(number);
        }
        let fills_in = self.limits.iter().map(|limit| limit.burst * limit.permit_ns).max();
        self.clock.advance(fills_in.unwrap_or(0), || {});
        for (i, Limit { limiter, burst, .. }) in self.limits.iter().enumerate() {
            ensure!(limiter.waiting() == 0, "{} wait in limit {i}", limiter.waiting());
            let (available, full) = (limiter.available(), limiter.time_until_full());
            ensure!(
                available == *burst as i64 && full.is_zero(),
                "limit {i} has {available} of {burst}, the rest in {full:?}"
            );
            ensure!(limiter.try_acquire_n(*burst).is_ok(), "limit {i} does not admit its burst");
        }
        Ok(())
    }
}
