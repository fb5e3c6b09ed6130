//! A server in memory: what the script does, on the virtual clock.

use core::time::Duration;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use tokio::time::{sleep, timeout};

use super::random::Random;
use crate::{
    Clock, Fleet, FleetBuilder, Quota, TokioClock,
    fleet::{
        authority::{Answer, Exchange, Receipt, Terms},
        error::StoreError,
        store::{Pending, Store},
    },
};

#[derive(Clone, Debug)]
pub(super) struct Server {
    shared: Arc<Mutex<State>>,
    clock: TokioClock,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) terms: Terms,
    /// In parts since the clock's origin.
    tat: u128,
    booked: u128,
    lowered: u64,
    pause_us: u64,
    random: Random,
    /// Of a thousand calls, how many fail before, and how many after they are carried out.
    pub(super) fails: (u64, u64),
    /// No call is answered.
    pub(super) is_stopped: bool,
    /// Of one of many keys, which are counted together elsewhere.
    pub(super) is_of_many: bool,
    pub(super) calls: u64,
    pub(super) under_way: HashSet<u64>,
    pub(super) members: HashSet<u64>,
    pub(super) came_back: u64,
}

impl Server {
    pub(super) fn new(seed: u64, clock: &TokioClock) -> Self {
        let state = State {
            terms: Terms { cost: 1, parts: 1, burst: 1, furthest_us: 1 },
            tat: 0,
            booked: 0,
            lowered: 0,
            pause_us: 0,
            random: Random(seed),
            fails: (0, 0),
            is_stopped: false,
            is_of_many: false,
            calls: 0,
            under_way: HashSet::new(),
            members: HashSet::new(),
            came_back: 0,
        };
        Self { shared: Arc::new(Mutex::new(state)), clock: clock.clone() }
    }

    pub(super) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.shared.lock().unwrap())
    }

    pub(super) fn connect(&self, id: u64, call_timeout: Duration) -> Connection {
        Connection { server: self.clone(), id, call_timeout }
    }

    pub(super) async fn join(&self, id: u64, builder: FleetBuilder) -> Fleet<TokioClock> {
        let choices = builder.choices().unwrap();
        self.with(|state| state.terms = choices.terms);
        let store = Arc::new(self.connect(id, choices.call_timeout));
        Fleet::join_at(&choices, Arc::new(self.clock.clone()), store).await.unwrap()
    }

    /// Members with the default choices.
    pub(super) async fn join_many(&self, quota: Quota, count: u64) -> Vec<Fleet<TokioClock>> {
        let mut members = Vec::new();
        for id in 0..count {
            members.push(self.join(id, Fleet::builder("test", quota)).await);
        }
        members
    }

    /// A trip over the network.
    async fn travel(&self) {
        let us = self.with(|state| 100 + state.random.below(2_000));
        sleep(Duration::from_micros(us)).await;
    }

    async fn carry_out<T>(&self, id: u64, step: impl FnOnce(&mut State, u64) -> T) -> Result<T, StoreError> {
        self.with(|state| {
            state.calls += 1;
            assert!(state.under_way.insert(id), "one call at a time");
        });
        let _done = Done(self, id);
        self.travel().await;
        if self.with(|state| state.is_stopped) {
            sleep(Duration::from_secs(3600)).await;
        }
        let failed = || Err(StoreError::Failed("as the test wants".to_owned()));
        let (before, after) = self.with(|state| (state.fails.0, state.fails.1));
        let fate = self.with(|state| state.random.below(1000));
        if fate < before {
            return failed();
        }
        let now_us = self.clock.now() / 1000;
        let answer = self.with(|state| step(state, now_us));
        if fate < before + after {
            return failed();
        }
        self.travel().await;
        Ok(answer)
    }
}

struct Done<'a>(&'a Server, u64);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.under_way.remove(&self.1));
    }
}

impl State {
    fn exchange(&mut self, now_us: u64, exchange: &Exchange) -> Answer {
        let Terms { cost, parts, burst, furthest_us } = self.terms;
        let [cost, parts] = [cost, parts].map(u128::from);
        let full = u128::from(burst) * cost;
        if exchange.pause_us > 0 {
            let start = u128::from(now_us.max(self.pause_us)) * parts;
            let end_us = self.pause_us.max(now_us + exchange.pause_us);
            let longer = u128::from(end_us) * parts - start;
            self.tat = self.tat.max(start) + longer;
            self.booked += longer;
            self.pause_us = end_us;
        }
        let start_us = now_us.max(self.pause_us);
        let start = u128::from(start_us) * parts;
        self.tat = self.tat.max(start);
        self.booked = self.booked.max(self.tat.saturating_sub(full));
        if let Some((permits, receipt)) = exchange.back {
            let end = u128::from(receipt.end_us) * parts + u128::from(receipt.end_parts);
            let ahead = (end.saturating_sub(start.max(self.booked)) / cost) as u64;
            let back = permits.min(ahead.saturating_sub(self.lowered - receipt.lowered));
            self.tat -= u128::from(back) * cost;
            self.lowered += back;
            self.came_back += back;
        }
        let free = |tat: u128| (start + full).saturating_sub(tat);
        let booked = |tat: u128| tat.saturating_sub(start + full);
        let there = (free(self.tat) / cost) as u64;
        let furthest = u128::from(furthest_us) * parts;
        // Until `least` are there.
        let wait_us = |tat: u128| {
            let needed = u128::from(exchange.least) * cost + booked(tat);
            needed.saturating_sub(free(tat)).div_ceil(parts)
        };
        let in_time = booked(self.tat) <= furthest && wait_us(self.tat) <= exchange.patience_us.into();
        let granted = if start_us > now_us {
            0
        } else if there >= exchange.most {
            exchange.most
        } else {
            let horizon = u128::from(exchange.horizon_us) * parts;
            let half = (horizon + free(self.tat)).saturating_sub(booked(self.tat)) / (2 * cost);
            let size = match exchange.horizon_us {
                0 => exchange.least,
                _ => exchange.least.max(exchange.most.min(half as u64)),
            };
            if there >= size {
                there
            } else if exchange.horizon_us > 0 && in_time {
                size
            } else {
                0
            }
        };
        self.tat += u128::from(granted) * cost;
        let wait = if granted > 0 {
            booked(self.tat)
        } else if exchange.horizon_us > 0 {
            let late_us = wait_us(self.tat).saturating_sub(exchange.patience_us.into());
            booked(self.tat).saturating_sub(furthest).max(late_us * parts)
        } else {
            (u128::from(exchange.least) * cost + booked(self.tat)).saturating_sub(free(self.tat))
        };
        Answer {
            granted,
            wait: Duration::from_micros(start_us - now_us + wait.div_ceil(parts) as u64),
            level: (free(self.tat) / cost) as u64,
            receipt: Receipt {
                epoch: 0,
                end_us: (self.tat / parts) as u64,
                end_parts: (self.tat % parts) as u64,
                lowered: self.lowered,
            },
            paused: Duration::from_micros(start_us - now_us),
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    server: Server,
    id: u64,
    call_timeout: Duration,
}

impl Connection {
    fn bounded<'a, T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send + 'a,
    ) -> Pending<'a, T> {
        let limit = self.call_timeout;
        Box::pin(async move { timeout(limit, call).await.unwrap_or(Err(StoreError::TimedOut(limit))) })
    }
}

impl Store for Connection {
    #[cfg(feature = "tracing")]
    fn name(&self) -> &'static str {
        "test"
    }

    fn exchange(&self, exchange: Exchange) -> Pending<'_, Answer> {
        self.bounded(self.server.carry_out(self.id, move |state, now_us| state.exchange(now_us, &exchange)))
    }

    fn beat(&self) -> Option<Pending<'_, u64>> {
        if self.server.with(|state| state.is_of_many) {
            return None;
        }
        Some(self.bounded(self.server.carry_out(self.id, |state, _| {
            state.members.insert(self.id);
            state.members.len() as u64
        })))
    }
}

/// All admissions of all members, against the quota.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    clock: TokioClock,
    tally: Arc<Mutex<Tally>>,
}

#[derive(Debug)]
struct Tally {
    /// The rate, as permits per nanoseconds.
    rate: (u128, u128),
    /// The permits missing in a bucket that only admissions fill, times the period.
    missing: u128,
    worst: u128,
    at_ns: u64,
    count: u64,
}

impl Admitted {
    pub(super) fn new(quota: Quota, clock: &TokioClock) -> Self {
        let (permits, period_ns) = quota.rate();
        let rate = (u128::from(permits), period_ns);
        let tally = Tally { rate, missing: 0, worst: 0, at_ns: 0, count: 0 };
        Self { clock: clock.clone(), tally: Arc::new(Mutex::new(tally)) }
    }

    pub(super) fn note(&self, permits: u64) {
        let now_ns = self.clock.now();
        let mut tally = self.tally.lock().unwrap();
        let (rate, period_ns) = tally.rate;
        let passed = u128::from(now_ns - tally.at_ns) * rate;
        tally.at_ns = now_ns;
        tally.missing = tally.missing.saturating_sub(passed) + u128::from(permits) * period_ns;
        tally.worst = tally.worst.max(tally.missing);
        tally.count += permits;
    }

    pub(super) fn count(&self) -> u64 {
        self.tally.lock().unwrap().count
    }

    /// The burst that a bucket needs to admit what was admitted, rounded up to a permit.
    pub(super) fn burst_needed(&self) -> u64 {
        let tally = self.tally.lock().unwrap();
        tally.worst.div_ceil(tally.rate.1) as u64
    }
}
