//! The task of a member: it looks at the limiter, asks the server, and books the answer. One call at a time.

use core::{pin::pin, time::Duration};
use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use futures_util::future::{Either, select};
use tokio::time::{sleep, timeout};

use super::{
    authority::{Answer, Exchange, Terms},
    books::{Books, GivenUp, NANOS, Pace, Seen, Want, whole_up},
    choices::Choices,
    clock::{Cover, LeaseClock},
    error::{FleetError, StoreError},
    ledger::Ledger,
    mail::Mail,
    needs::Needs,
    outage::Outage,
    store::{Pending, Store},
};
use crate::{clock::Clock, limiter::RateLimiter};

/// How often a process reports that it is there.
pub(super) const BEAT: Duration = Duration::from_secs(2);

const MOST_BACKOFF_NS: u64 = 1_000_000_000;

/// Between two looks because a caller wants permits.
const LEAST_LOOK_NS: u64 = 500_000;

/// For how long the time of waiters goes on at the start of a call. Later it goes on by as much as the call has taken.
const FIRST_STEP_NS: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Member<C: Clock> {
    ledger: Ledger<C>,
    base: Arc<C>,
    store: Arc<dyn Store>,
    mail: Arc<Mail>,
    books: Books,
    outage: Outage<C>,
    pace: Pace,
    /// The most that the member may hold, in permits.
    most: u64,
    terms: Terms,
    given_up: VecDeque<GivenUp>,
    needs: Needs,
    failures: u32,
    ask_from_ns: u64,
    /// When to ask for permits in advance.
    advance_from_ns: u64,
    beat_ns: u64,
    random: u64,
}

/// What a look found.
struct Look {
    /// To be asked for.
    exchange: Option<Exchange>,
    asked_ns: u64,
    /// Whether a caller lacks permits.
    is_missing: bool,
    wake_ns: u64,
}

impl<C: Clock> Member<C> {
    pub(super) fn new(
        choices: &Choices,
        base: Arc<C>,
        store: Arc<dyn Store>,
        mail: Arc<Mail>,
    ) -> Result<Self, FleetError> {
        let Choices { quota, burst, terms, pace, on_outage, call_timeout } = *choices;
        let now_ns = base.now();
        Ok(Self {
            ledger: Ledger::new(
                &quota,
                burst,
                terms.latest_us(),
                Arc::clone(&base),
                Arc::clone(&mail),
                call_timeout,
            )?,
            outage: Outage::new(on_outage, quota, burst, Arc::clone(&base))?,
            base,
            store,
            mail,
            books: Books::new(pace, now_ns),
            pace,
            most: burst,
            terms,
            given_up: VecDeque::new(),
            needs: Needs::default(),
            failures: 0,
            ask_from_ns: now_ns,
            advance_from_ns: now_ns,
            beat_ns: now_ns,
            random: RandomState::new().hash_one("") | 1,
        })
    }

    pub(super) const fn limiter(&self) -> &RateLimiter<LeaseClock<Arc<C>>> {
        self.ledger.limiter()
    }

    pub(super) const fn cover(&self) -> &Arc<Cover> {
        self.ledger.cover()
    }

    /// Joins the fleet: the first calls. If they fail, the outage begins.
    pub(super) async fn join(&mut self) {
        self.beat().await;
        if self.failures == 0 {
            self.exchange(Exchange::take(1), self.base.now(), false).await;
        }
    }

    /// Has the first report wait for its time, if the calls for the first permits come before.
    pub(super) fn put_off_beat(&mut self) {
        self.beat_ns += self.jitter(nanos(BEAT));
    }

    /// Until the fleet's last handle is dropped.
    pub(super) async fn run(mut self) {
        while !self.mail.is_leaving() {
            let Look { exchange, asked_ns, is_missing, wake_ns } = self.look();
            if let Some(exchange) = exchange {
                self.exchange(exchange, asked_ns, is_missing).await;
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
        // Before the look, so that a call which comes between the two leads to another look.
        self.ledger.cover().take_wanted();
        let refused = self.mail.take_refused();
        let seen = self.see();
        let now_ns = seen.now_ns;
        let is_away = self.failures > 0;
        // While the server is away, what comes is not asked for.
        let answered_ns = if is_away { now_ns } else { self.ask_from_ns };
        self.needs.gather(self.mail.take_needs(), now_ns, answered_ns);
        let mut asked_for = seen;
        let mut patience_us = u64::MAX;
        if let Some((permits, until_ns)) = self.needs.first() {
            asked_for.queued += i128::from(self.needs.total()) * NANOS;
            if seen.queued == 0 {
                asked_for.first = i128::from(permits) * NANOS;
                patience_us = until_ns.saturating_sub(now_ns) / 1000;
            }
        }
        let Want { most, least, is_missing } =
            self.books.want(&asked_for, refused, self.most, patience_us < self.pace.ttl_ns / 2_000);
        let active = seen.queued > 0 || is_missing || self.books.is_active();
        let mut wake_ns =
            if active { now_ns + self.jitter(self.pace.look_ns) } else { self.next_idle_look_ns() };
        let may_ask = now_ns >= self.ask_from_ns;
        let is_outage = is_away && !may_ask;
        if is_outage {
            self.given_up.clear();
            let permits = self.outage.permits(most, self.mail.counters.members.get());
            if permits > 0 {
                self.mail.counters.unleased.add(permits);
                self.books.grant_unleased(permits);
                self.ledger.book(permits, 0);
            }
        }
        let asked_us = self.mail.longest_pause_us();
        let back = if may_ask { self.given_up.pop_front() } else { None };
        if most > 0 || !self.given_up.is_empty() {
            let is_advance = !is_missing && self.given_up.is_empty();
            let from_ns =
                if is_advance { self.ask_from_ns.max(self.advance_from_ns) } else { self.ask_from_ns };
            wake_ns = wake_ns.min(from_ns);
        }
        let may_take = may_ask && (is_missing || now_ns >= self.advance_from_ns);
        if is_outage || most == 0 {
            // Nothing can be told to them but what is known.
            self.needs.answer();
        }
        let most = if may_take { most } else { 0 };
        if seen.queued > 0 && most == 0 {
            self.keep_time(&seen, self.ask_from_ns.saturating_sub(now_ns).min(self.pace.look_ns));
            wake_ns = wake_ns.min(now_ns + self.ledger.covered_ns());
        }
        let exchange = (most > 0 || back.is_some() || asked_us.is_some()).then(|| Exchange {
            most,
            // In advance, a member takes what is there, or nothing: what it holds could not be used while it waits for more.
            least: if is_missing { least } else { most.max(1) },
            horizon_us: if is_missing { 2 * self.pace.lease_ns / 1000 } else { 0 },
            patience_us,
            back: back.map(|GivenUp { permits, receipt }| (permits, receipt)),
            pause_us: asked_us.unwrap_or(0),
        });
        if most > 0 {
            self.keep_time(&seen, FIRST_STEP_NS);
        }
        Look { exchange, asked_ns: now_ns, is_missing, wake_ns }
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

    /// Makes a call, and books the answer.
    async fn exchange(&mut self, exchange: Exchange, asked_ns: u64, is_missing: bool) {
        let asked = self.mail.take_pauses(exchange.pause_us);
        let store = Arc::clone(&self.store);
        let answer = self.attend(store.exchange(exchange)).await;
        let told = answer.as_ref().map(|answer| answer.level).map_err(Clone::clone);
        self.note(told.as_ref().err());
        // A call that failed may have been carried out: what it took is lost, and what it gave back is not given again.
        if let Ok(answer) = answer {
            if let Some((back, _)) = exchange.back {
                self.mail.counters.given_back.add(back);
            }
            if exchange.most > 0 {
                self.granted(&exchange, is_missing, asked_ns, &answer);
            }
            if !answer.paused.is_zero() {
                self.ledger.pause(nanos(answer.paused));
            }
        } else if exchange.pause_us > 0 {
            // At least here.
            self.ledger.pause(exchange.pause_us.saturating_mul(1000));
        }
        for (_, caller) in asked {
            // It may have gone.
            let _ = caller.send(told.clone());
        }
    }

    /// Waits for a call. Meanwhile goes on giving up what is too old, and keeping the time of waiters.
    async fn attend<T>(&mut self, call: Pending<'_, T>) -> Result<T, StoreError> {
        let mut call = pin!(call);
        let mut step_ns = FIRST_STEP_NS;
        loop {
            let look = pin!(sleep(Duration::from_nanos(step_ns)));
            match select(call.as_mut(), look).await {
                Either::Left((answer, _)) => return answer,
                Either::Right(_) => {
                    step_ns = (2 * step_ns).min(self.pace.look_ns);
                    let seen = self.see();
                    self.needs.drop_late(seen.now_ns);
                    self.mail.drop_late_needs(seen.now_ns);
                    self.keep_time(&seen, step_ns);
                }
            }
        }
    }

    fn granted(&mut self, exchange: &Exchange, is_missing: bool, asked_ns: u64, answer: &Answer) {
        let Answer { granted, wait, receipt, paused, .. } = *answer;
        let (now_ns, wait_ns) = (self.base.now(), nanos(wait));
        self.mail.counters.leased.add(granted);
        if granted > 0 {
            self.books.grant(asked_ns, wait_ns, granted, receipt);
            self.ledger.book(granted, wait_ns);
            self.needs.answer();
            // One lease at a time: the next one is asked for when all of this one is there.
            self.ask_from_ns = now_ns + wait_ns;
        } else if !paused.is_zero() {
            // Nothing ends a pause early.
            self.ask_from_ns = now_ns.saturating_add(wait_ns) + self.jitter(self.pace.look_ns);
        } else if is_missing {
            let again_ns = now_ns + self.jitter(wait_ns.clamp(self.pace.look_ns, MOST_BACKOFF_NS));
            let furthest_us = self.terms.furthest_us.saturating_add(self.terms.duration_us(exchange.least));
            if exchange.patience_us < furthest_us {
                // Of a caller that does not wait for so long. Others may.
                let wait_us = exchange.patience_us.saturating_add(1).saturating_mul(1000);
                let from_ns = now_ns.saturating_add(wait_ns).saturating_add(wait_us);
                self.needs.refused(exchange.least, from_ns, again_ns);
            } else {
                self.ask_from_ns = again_ns;
            }
        } else {
            self.advance_from_ns = now_ns + self.jitter(self.pace.look_ns);
        }
    }

    async fn beat(&mut self) {
        self.beat_ns = self.base.now() + self.jitter(nanos(BEAT));
        let store = Arc::clone(&self.store);
        if let Some(call) = store.beat() {
            match self.attend(call).await {
                Ok(members) => {
                    self.mail.counters.calls.add(1);
                    self.mail.counters.members.set(members.max(1));
                }
                Err(error) => return self.note(Some(&error)),
            }
        }
        // It tells whether leases are back after a failure, and whether the fleet is paused.
        self.exchange(Exchange::take(0), 0, false).await;
    }

    /// Notes a call, and why it failed.
    fn note(&mut self, error: Option<&StoreError>) {
        self.mail.counters.calls.add(1);
        self.mail.set_away(error.is_some());
        if error.is_none() {
            if self.failures > 0 {
                self.failures = 0;
                self.ask_from_ns = self.base.now();
                if self.mail.counters.came_back() {
                    self.log(error);
                }
            }
            return;
        }
        self.mail.counters.failed.add(1);
        if self.failures == 0 && self.mail.counters.went_away() {
            self.mail.counters.outages.add(1);
            self.log(error);
        }
        self.failures = self.failures.saturating_add(1);
        let backoff_ns = self.pace.look_ns.saturating_mul(1 << self.failures.min(16)).min(MOST_BACKOFF_NS);
        self.ask_from_ns = self.base.now() + self.jitter(backoff_ns);
        self.beat_ns = self.beat_ns.max(self.ask_from_ns);
    }

    /// Logs that the server is away, or back.
    #[cfg(feature = "tracing")]
    fn log(&self, error: Option<&StoreError>) {
        let fleet = self.store.name();
        match error {
            None => tracing::info!(target: "tidegate", fleet, "the server is back"),
            Some(error) => tracing::warn!(target: "tidegate", fleet, %error, "the server is away"),
        }
    }

    #[cfg(not(feature = "tracing"))]
    #[allow(clippy::unused_self, reason = "as with the feature")]
    const fn log(&self, _: Option<&StoreError>) {}

    /// Closes the limiter, and gives back what is left, or has the server book what is owed.
    async fn leave(mut self) {
        self.ledger.limiter().close();
        let held = self.ledger.see().held();
        let owed = whole_up(-held).min(self.most);
        if owed > 0 && self.failures == 0 {
            let horizon_us = 2 * self.pace.lease_ns / 1000;
            let book = Exchange { least: owed, horizon_us, ..Exchange::take(owed) };
            self.exchange(book, self.base.now(), true).await;
        }
        self.given_up.extend(self.books.give_up_all(held));
        while let Some(GivenUp { permits, receipt }) = self.given_up.pop_front() {
            if self.failures > 0 {
                break;
            }
            let back = Exchange { back: Some((permits, receipt)), ..Exchange::take(0) };
            self.exchange(back, 0, false).await;
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
        if self.failures > 0 {
            self.mail.counters.came_back();
        }
        self.mail.end();
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
