//! The task of a member: it looks at the limiter, asks the server, and books the answer. One call at a time.

use core::{pin::pin, time::Duration};
use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
};

use futures_util::future::{Either, select};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    authority::{Answer, Exchange},
    books::{Books, GivenUp, NANOS, Pace, Seen, Want},
    error::StoreError,
    ledger::Ledger,
    outage::Outage,
    report::Counters,
    store::{Pending, Store},
};
use crate::{clock::Clock, sync::plain::Mutex};

/// How often a member reports that it is there.
const BEAT_NS: u64 = 2_000_000_000;

const MOST_BACKOFF_NS: u64 = 1_000_000_000;

/// Between two looks because a caller wants permits.
const LEAST_LOOK_NS: u64 = 500_000;

/// For how long the time of waiters goes on at the start of a call. Later it goes on by as much as the call has taken.
const FIRST_STEP_NS: u64 = 1_000_000;

/// A pause that a caller has asked for, in microseconds, and the channel by which the caller learns how it went.
type PauseAsked = (u64, oneshot::Sender<Result<(), StoreError>>);

/// What callers and the task share.
#[derive(Debug)]
pub(super) struct Mail {
    /// `None` once the task has ended.
    pauses: Mutex<Option<Vec<PauseAsked>>>,
    pub(super) counters: Counters,
    is_leaving: AtomicBool,
}

impl Mail {
    pub(super) fn new() -> Self {
        Self {
            pauses: Mutex::new(Some(Vec::new())),
            counters: Counters::default(),
            is_leaving: AtomicBool::new(false),
        }
    }

    /// Asks for a pause. Returns whether the task is there to carry it out.
    pub(super) fn ask_for_pause(&self, asked: PauseAsked) -> bool {
        self.pauses.lock().as_mut().map(|pauses| pauses.push(asked)).is_some()
    }

    /// The longest pause that is asked for, in microseconds.
    fn longest_pause_us(&self) -> u64 {
        self.pauses.lock().iter().flatten().map(|(pause_us, _)| *pause_us).max().unwrap_or(0)
    }

    /// Takes the pauses that one of this length covers.
    fn take_pauses(&self, pause_us: u64) -> Vec<PauseAsked> {
        let mut pauses = self.pauses.lock();
        let Some(all) = pauses.as_mut() else { return Vec::new() };
        let (covered, longer) = core::mem::take(all).into_iter().partition(|asked| asked.0 <= pause_us);
        *all = longer;
        covered
    }

    /// Asks the task to end. The caller notifies it.
    pub(super) fn leave(&self) {
        // Release: pairs with the Acquire below, though nothing but the mark itself is read.
        self.is_leaving.store(true, Ordering::Release);
    }

    fn is_leaving(&self) -> bool {
        // Acquire: as above.
        self.is_leaving.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
pub(super) struct Member<C: Clock> {
    pub(super) ledger: Ledger<C>,
    pub(super) base: Arc<C>,
    pub(super) store: Arc<dyn Store>,
    pub(super) mail: Arc<Mail>,
    pub(super) books: Books,
    pub(super) outage: Outage<C>,
    pub(super) pace: Pace,
    pub(super) call_timeout: Duration,
    /// The most that the member may hold, in permits.
    pub(super) most: u64,
    given_up: VecDeque<GivenUp>,
    failures: u32,
    ask_from_ns: u64,
    /// When to ask for permits in advance.
    advance_from_ns: u64,
    beat_ns: u64,
    random: u64,
}

/// What a look found.
struct Look {
    exchange: Option<Exchange>,
    asked_ns: u64,
    wake_ns: u64,
}

impl<C: Clock> Member<C> {
    #[allow(clippy::too_many_arguments, reason = "the parts of a member, put together once")]
    pub(super) fn new(
        ledger: Ledger<C>,
        base: Arc<C>,
        store: Arc<dyn Store>,
        mail: Arc<Mail>,
        outage: Outage<C>,
        pace: Pace,
        call_timeout: Duration,
        most: u64,
    ) -> Self {
        let now_ns = base.now();
        let books = Books::new(pace, now_ns);
        Self {
            ledger,
            base,
            store,
            mail,
            books,
            outage,
            pace,
            call_timeout,
            most,
            given_up: VecDeque::new(),
            failures: 0,
            ask_from_ns: now_ns,
            advance_from_ns: now_ns,
            beat_ns: now_ns,
            random: RandomState::new().hash_one("") | 1,
        }
    }

    /// Joins the fleet: the first calls. If they fail, the outage begins.
    pub(super) async fn join(&mut self) {
        self.beat().await;
        if self.failures == 0 {
            self.exchange(Exchange::take(1), self.base.now()).await;
        }
    }

    /// Until the fleet's last handle is dropped.
    pub(super) async fn run(mut self) {
        while !self.mail.is_leaving() {
            let Look { exchange, asked_ns, wake_ns } = self.look();
            if let Some(exchange) = exchange {
                self.exchange(exchange, asked_ns).await;
                continue;
            }
            if self.base.now() >= self.beat_ns {
                self.beat().await;
                continue;
            }
            let pause = wake_ns.saturating_sub(self.base.now()).max(LEAST_LOOK_NS);
            let cover = Arc::clone(self.ledger.cover());
            // Either one only leads to another look.
            let _ = timeout(Duration::from_nanos(pause), cover.wanted()).await;
            if self.base.now().saturating_sub(asked_ns) < LEAST_LOOK_NS {
                sleep(Duration::from_nanos(LEAST_LOOK_NS)).await;
            }
        }
        self.leave().await;
    }

    /// Looks at the limiter, and gives up what is too old.
    fn see(&mut self) -> Seen {
        let mut seen = self.ledger.see();
        let (excess, given_up) = self.books.expire(&seen);
        if excess > 0 {
            self.ledger.withdraw(excess);
            seen.level -= excess;
            self.given_up.extend(given_up);
        }
        seen
    }

    /// Looks at the limiter, and finds what to ask for.
    fn look(&mut self) -> Look {
        let seen = self.see();
        let now_ns = seen.now_ns;
        let Want { most, least, is_missing } = self.books.want(&seen, self.most);
        let active = seen.queued > 0 || is_missing || self.books.is_active();
        let mut wake_ns =
            if active { now_ns + self.jitter(self.pace.look_ns) } else { self.next_idle_look_ns() };
        let may_ask = now_ns >= self.ask_from_ns;
        if self.failures > 0 && !may_ask {
            self.given_up.clear();
            let permits = self.outage.permits(most, self.mail.counters.members.get());
            if permits > 0 {
                self.mail.counters.unleased.add(permits);
                self.books.grant_unleased(permits);
                self.ledger.book(permits, 0);
            }
        }
        let pause_us = self.mail.longest_pause_us();
        let back = if may_ask { self.given_up.pop_front() } else { None };
        if most > 0 || !self.given_up.is_empty() {
            wake_ns = wake_ns.min(self.ask_from_ns);
        }
        let may_take = may_ask && (is_missing || now_ns >= self.advance_from_ns);
        let most = if may_take { most } else { 0 };
        if seen.queued > 0 && most == 0 {
            self.keep_time(&seen, self.ask_from_ns.saturating_sub(now_ns).min(self.pace.look_ns));
            wake_ns = wake_ns.min(now_ns + self.ledger.covered_ns());
        }
        let exchange = (most > 0 || back.is_some() || pause_us > 0).then(|| Exchange {
            most,
            // In advance, a member takes what is there, or nothing: what it holds could not be used while it waits for more.
            least: if is_missing { least } else { most.max(1) },
            horizon_us: if is_missing { 2 * self.pace.lease_ns / 1000 } else { 0 },
            back: back.map(|GivenUp { permits, receipt }| (permits, receipt)),
            pause_us,
        });
        if most > 0 {
            self.keep_time(&seen, FIRST_STEP_NS);
        }
        Look { exchange, asked_ns: now_ns, wake_ns }
    }

    fn next_idle_look_ns(&self) -> u64 {
        self.books.next_expiry_ns().unwrap_or(u64::MAX).min(self.beat_ns)
    }

    /// Has the time of waiters go on for `ahead_ns` while nothing comes, as their deadlines go by it. Not while the limiter
    /// is still to accrue a whole permit, which that would put off.
    fn keep_time(&mut self, seen: &Seen, ahead_ns: u64) {
        let whole = |nanos: i128| nanos.div_euclid(NANOS);
        if seen.queued > 0 && whole(seen.level) >= whole(seen.level + seen.pending) {
            self.ledger.book(0, ahead_ns.max(LEAST_LOOK_NS));
        }
    }

    async fn exchange(&mut self, exchange: Exchange, asked_ns: u64) {
        let pauses = self.mail.take_pauses(exchange.pause_us);
        let store = Arc::clone(&self.store);
        let answer = self.attend(store.exchange(exchange)).await;
        let told = answer.as_ref().map(|_| ()).map_err(Clone::clone);
        self.note(&told);
        // A call that failed may have been carried out: what it took is lost, and what it gave back is not given again.
        if let Ok(answer) = answer {
            if let Some((back, _)) = exchange.back {
                self.mail.counters.given_back.add(back);
            }
            if exchange.most > 0 {
                self.granted(exchange.horizon_us > 0, asked_ns, &answer);
            }
            if !answer.paused.is_zero() {
                self.ledger.pause(nanos(answer.paused));
            }
        }
        for (_, asked) in pauses {
            // The caller may have gone.
            let _ = asked.send(told.clone());
        }
    }

    /// Waits for a call. Meanwhile goes on giving up what is too old, and keeping the time of waiters.
    async fn attend<T>(&mut self, call: Pending<'_, T>) -> Result<T, StoreError> {
        let limit = self.call_timeout;
        let mut call = pin!(timeout(limit, call));
        let mut step_ns = FIRST_STEP_NS;
        loop {
            let look = pin!(sleep(Duration::from_nanos(step_ns)));
            match select(call.as_mut(), look).await {
                Either::Left((answer, _)) => return answer.unwrap_or(Err(StoreError::TimedOut(limit))),
                Either::Right(_) => {
                    step_ns = (2 * step_ns).min(self.pace.look_ns);
                    let seen = self.see();
                    self.keep_time(&seen, step_ns);
                }
            }
        }
    }

    fn granted(&mut self, is_missing: bool, asked_ns: u64, answer: &Answer) {
        let Answer { granted, wait, receipt, paused, .. } = *answer;
        let (now_ns, wait_ns) = (self.base.now(), nanos(wait));
        self.mail.counters.leased.add(granted);
        if granted > 0 {
            self.books.grant(asked_ns, wait_ns, granted, receipt);
            self.ledger.book(granted, wait_ns);
            // One lease at a time: the next one is asked for when all of this one is there.
            self.ask_from_ns = now_ns + wait_ns;
        } else if !paused.is_zero() {
            // Nothing ends a pause early.
            self.ask_from_ns = now_ns.saturating_add(wait_ns) + self.jitter(self.pace.look_ns);
        } else if is_missing {
            self.ask_from_ns = now_ns + self.jitter(wait_ns.clamp(self.pace.look_ns, MOST_BACKOFF_NS));
        } else {
            self.advance_from_ns = now_ns + self.jitter(self.pace.look_ns);
        }
    }

    async fn beat(&mut self) {
        let store = Arc::clone(&self.store);
        let counted = self.attend(store.beat()).await;
        self.beat_ns = self.base.now() + self.jitter(BEAT_NS);
        match counted {
            Ok(members) => {
                self.mail.counters.calls.add(1);
                self.mail.counters.members.set(members.max(1));
                // It tells whether leases are back after a failure, and whether the fleet is paused.
                self.exchange(Exchange::take(0), 0).await;
            }
            Err(error) => self.note(&Err(error)),
        }
    }

    /// Notes whether a call succeeded.
    fn note(&mut self, told: &Result<(), StoreError>) {
        self.mail.counters.calls.add(1);
        if told.is_ok() {
            self.failures = 0;
            if self.mail.counters.set_away(false) {
                self.ask_from_ns = self.base.now();
                self.log(told);
            }
            return;
        }
        self.mail.counters.failed.add(1);
        if self.mail.counters.set_away(true) {
            self.mail.counters.outages.add(1);
            self.log(told);
        }
        self.failures += 1;
        let backoff_ns = self.pace.look_ns.saturating_mul(1 << self.failures.min(16)).min(MOST_BACKOFF_NS);
        self.ask_from_ns = self.base.now() + self.jitter(backoff_ns);
        self.beat_ns = self.beat_ns.max(self.ask_from_ns);
    }

    /// Logs that the server is away, or back.
    #[cfg(feature = "tracing")]
    fn log(&self, told: &Result<(), StoreError>) {
        let fleet = self.store.name();
        match told {
            Ok(()) => tracing::info!(target: "tidegate", fleet, "the server is back"),
            Err(error) => tracing::warn!(target: "tidegate", fleet, %error, "the server is away"),
        }
    }

    #[cfg(not(feature = "tracing"))]
    #[allow(clippy::unused_self, reason = "as with the feature")]
    const fn log(&self, _: &Result<(), StoreError>) {}

    /// Closes the limiter, and gives back what is left.
    async fn leave(mut self) {
        self.ledger.limiter().close();
        let held = self.ledger.see().held();
        self.given_up.extend(self.books.give_up_all(held));
        while let Some(GivenUp { permits, receipt }) = self.given_up.pop_front() {
            if self.failures > 0 {
                break;
            }
            self.exchange(Exchange { back: Some((permits, receipt)), ..Exchange::take(0) }, 0).await;
        }
    }

    /// Between seven eighths and nine eighths, so that members do not call in step.
    fn jitter(&mut self, ns: u64) -> u64 {
        // Xorshift.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let quarter = ns / 4;
        ns - quarter / 2 + if quarter > 0 { self.random % quarter } else { 0 }
    }
}

/// When the task ends, also because its runtime is shut down or because it panics: nothing is leased any more, so no caller waits
/// for it.
impl<C: Clock> Drop for Member<C> {
    fn drop(&mut self) {
        self.ledger.limiter().close();
        // Dropping them tells the callers.
        drop(self.mail.pauses.lock().take());
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
