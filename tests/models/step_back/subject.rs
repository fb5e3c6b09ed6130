//! What a history is about: the limiter, or a model of it whose rules are known.

use std::{collections::VecDeque, task::Poll};

use tidegate::RateLimiter;

use super::{
    super::{
        clock::TestClock,
        tasks::{Call, Limiter},
    },
    rate::Rate,
    rules::{Model, Rules},
};
use crate::{Outcome, ensure};

pub(super) enum Subject {
    Limiter(Limiter, VecDeque<Call>),
    Model(Model),
}

impl Subject {
    /// The limiter, unless there are rules for a model.
    pub(super) fn new(rules: Option<Rules>, rate: Rate, catch_up_ns: u64, clock: TestClock) -> Self {
        match rules {
            Some(rules) => Self::Model(Model::new(rules, rate, catch_up_ns, clock)),
            None => Self::Limiter(RateLimiter::with_clock(rate.quota(catch_up_ns), clock), VecDeque::new()),
        }
    }

    pub(super) fn try_acquire(&self, n: i64) -> bool {
        match self {
            Self::Limiter(limiter, _) => limiter.try_acquire_n(n).is_ok(),
            Self::Model(model) => model.try_acquire(n),
        }
    }

    /// Whether it is granted at once; else it waits.
    pub(super) fn acquire(&mut self, n: i64) -> bool {
        match self {
            Self::Limiter(limiter, waiting) => {
                let mut call = Call::acquire(limiter, n);
                if call.poll().is_ready() {
                    return true;
                }
                waiting.push_back(call);
                false
            }
            Self::Model(model) => model.acquire(n),
        }
    }

    pub(super) fn waiting(&self) -> usize {
        match self {
            Self::Limiter(limiter, _) => limiter.waiting(),
            Self::Model(model) => model.waiting(),
        }
    }

    /// The first in the queue is not in it any more, and looks.
    pub(super) fn first_looks(&mut self) -> Outcome {
        if let Self::Limiter(_, waiting) = self {
            let polled = waiting.pop_front().map(|mut call| call.poll().map_ok(drop));
            ensure!(polled == Some(Poll::Ready(Ok(()))), "not in the queue, but {polled:?}");
        }
        Ok(())
    }

    pub(super) fn leave(&mut self, which: usize) {
        match self {
            Self::Limiter(_, waiting) => drop(waiting.remove(which)),
            Self::Model(model) => model.leave(which),
        }
    }

    pub(super) fn charge(&self, n: i64) {
        match self {
            Self::Limiter(limiter, _) => _ = limiter.charge(n).unwrap(),
            Self::Model(model) => model.charge(n),
        }
    }

    pub(super) fn refund(&self, n: i64) {
        match self {
            Self::Limiter(limiter, _) => limiter.refund(n).unwrap(),
            Self::Model(model) => model.refund(n),
        }
    }

    pub(super) fn set_rate(&self, rate: Rate, catch_up_ns: u64) {
        match self {
            Self::Limiter(limiter, _) => limiter.set_quota(rate.quota(catch_up_ns)).unwrap(),
            Self::Model(model) => model.set_rate(rate),
        }
    }

    /// Reads the level.
    pub(super) fn look(&self) {
        match self {
            Self::Limiter(limiter, _) => _ = limiter.available(),
            Self::Model(model) => model.look(),
        }
    }
}
