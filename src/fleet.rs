//! One quota for many processes, on one key of a Redis or Valkey server.
//!
//! This is about leases. [`StoreLimits`] does without: the authority decides each of its calls (`direct.rs`).
//!
//! # Parts
//! The *authority* is exact GCRA in a script on the server (`authority.rs`, `script.lua`). Each process has a *member*: a
//! [`RateLimiter`] that serves its callers, and a task that leases permits for it (`member.rs`). Callers never wait for the
//! server as such: they use, or wait in, the limiter.
//!
//! # Leases
//! A member asks for permits in two ways. *In advance*, when less than half of the demand of a tenth of a second is there:
//! it gets all that it asks for at once, or nothing. And *when a caller lacks permits*: then the server grants what is
//! there, or *books ahead*. The answer tells how many permits there are for the member, and the wait until the last of
//! them; they come at the full rate, one after the other, just before that. Members are served in the order of their calls,
//! each has one call or one lease that is still to come, and each books half of what is left of a short horizon
//! (`authority.rs`). So members that always want more get the same, whatever their number, and the largest request takes
//! its turn.
//!
//! # How leases reach the limiter
//! A limiter has due times and deadlines because its permits come at a rate. If it ran on the time of day, it would make
//! permits that nobody leased. So it has the rate of the quota, and a clock that shows only time that has been paid for
//! (`clock.rs`). The clock stands still at the *cover*, the reading up to which the accrual has been paid. To book a lease
//! of n permits (`ledger.rs`), the member moves the cover and the level together:
//!
//! ```text
//! level += n - rate * (new cover - old cover)        a refund; or a charge, which comes before the cover moves
//! ```
//!
//! Whatever the cover, the limiter gets exactly n permits. With a wait, the cover moves by the wait: the level falls below
//! zero, and the accrual brings the n permits just in time. Without, the cover stays, and they are there at once. While
//! there are waiters and nothing comes, the member books zero permits, so that time goes on, and deadlines with it. While
//! nobody calls, the clock stands, which costs nothing. The first reading of it wakes the member.
//!
//! So waiters, lanes, deadlines, calls for several limits, shares of cores and layers work as with any limiter. Due times
//! are those of a process that is alone: a request is refused at once if it could not be granted in time even then.
//!
//! # The bound
//! Let the quota be a burst B and a rate R. S permits of the burst are set aside: the server's bucket has a burst b = B -
//! S, and a lease ends `ttl = S / R` after its last permit is there. *In any window of length w, all processes together
//! admit at most B + R w permits.*
//!
//! 1. A permit is *there* when the server's bucket has it: at once, or if it is booked ahead, when the TAT after it is no
//!    more than `b / R` ahead. Choose a time for each permit, from when it is there to when the last one of its lease is.
//!    Then any window from s to t has the times of at most `b + R (t - s)` permits. For the TAT moves by one interval for
//!    each permit. After the last one in the window it is at most `t + b / R`. Before the first lease in the window it was
//!    at least s, as that lease has at most b permits, and the last of them is there at s or later.
//! 2. What comes back would not have overflowed, and moves no time of another permit, so the permits that are used keep
//!    this bound without those that came back (`authority.rs`).
//! 3. A limiter admits no permit before it is there: the member counts the wait from when it has the answer, the server
//!    from when it had the call. It accrues nothing beyond the cover, however late the member is, since its clock does not
//!    show later times. (Late timers are no exception: a catch-up dates grants back, but makes no permits.)
//! 4. It admits no permit later than a ttl after the lease is there. The member counts from before it sent the call, by its
//!    own clock, and gives up an eighth of the ttl early, which is two looks. What is used counts to the lease that ends
//!    first, so a limiter that holds more than the leases that have not ended gives up the rest.
//! 5. So each permit has a time, as in step 1, at most a ttl before it is used, and not after. What is admitted in a window
//!    of length w has its times in a window of length w + ttl: at most `B - S + R (w + ttl)` permits, which is `B + R w`.
//!
//! A permit that goes back to a limiter later than a ttl after it was taken, from a reservation, is beyond step 4.
//!
//! Step 4 needs the member's task to run. If it is held up for longer than two looks, or the machine sleeps, its process
//! may admit what it holds later than it should: one lease, once. Nothing else depends on it. A call that failed may have
//! been carried out, so what it took counts as granted and is lost; nothing is asked for twice.
//!
//! With S = 0 the burst is whole, a lease lasts a second, and a window may see up to one second's permits more.
//!
//! Beyond the bound: a failover to a replica that lacks the last grants, a server that restarts empty, or a clock of the
//! server that jumps forward admits up to B - S more, and what was booked ahead, once each. A clock that jumps back takes
//! all times with it, so nobody waits longer. While the server is away, [`OnOutage`] says what is admitted.

mod authority;
mod books;
mod builder;
mod choices;
mod clock;
mod connection;
mod direct;
mod error;
mod keyed;
mod ledger;
mod link;
mod mail;
mod member;
mod needs;
mod outage;
mod redis;
mod report;
mod store;

#[cfg(all(test, not(tidegate_loom)))]
mod tests;

use core::{fmt, time::Duration};
use std::sync::Arc;

use tokio::sync::oneshot;

pub use self::{
    builder::FleetBuilder,
    clock::LeaseClock,
    connection::FleetStore,
    direct::{StoreLimits, StoreLimitsError},
    error::{FleetError, StoreError},
    keyed::KeyedFleet,
    outage::OnOutage,
    report::FleetReport,
};

use self::{
    authority::pause_us, choices::Choices, clock::Cover, mail::Mail, member::Member, report::Counters,
    store::Store,
};
use crate::{
    all_of::{AcquireAny, Limit, Parts, Whole},
    clock::{Clock, QuantaClock},
    error::{AcquireError, Denied},
    limiter::RateLimiter,
    permits::{Amount, InvalidPermits, Permits},
    queue::{Acquire, AcquireN, AcquireWithin},
    quota::Quota,
};

/// One quota for all processes that join by the same name on the same Redis or Valkey server.
///
/// Each process has a limiter that serves its callers, and a task that leases permits for it from the server. A call is as
/// fast as one on a [`RateLimiter`]: it never waits for the server itself. A busy process makes some five to forty calls to
/// the server in a second, however many permits it uses, and up to some two hundred while calls that do not wait are refused all
/// the time; an idle one makes two calls every two seconds, to say that it is there, and to learn of pauses.
///
/// Cloning it gives another handle on the same member. When the last handle is dropped, the limiter is
/// [closed](RateLimiter::close), and unused permits go back. When the runtime on which it was joined ends, the limiter is closed, too.
///
/// # What is admitted
/// In any window of length `w`, all processes together admit at most `burst + rate * w` permits. Part of the burst is
/// [set aside](FleetBuilder::set_aside) for that, so one request can take at most the rest:
/// [`largest_request`](RateLimiter::largest_request). A failover of the server to a replica that lacks its last writes, or a
/// restart without data, can admit one burst more. A process that is killed loses what it has leased, a tenth of a second's
/// permits, once.
///
/// The bound is that of permits that are used when they are granted. Permits of a [reservation](RateLimiter::reserve) that goes
/// back after more than `set aside / rate` come back on top of it, so settle reservations sooner. Nor does it hold while processes
/// of one name have different quotas.
///
/// A call that does not wait, such as [`try_acquire`](Self::try_acquire), sees only what its process has leased. After some
/// idle time that is nothing, so the first such call is refused, and one a few milliseconds later is admitted. Calls that
/// may wait for some milliseconds are better: [`acquire_within`](Self::acquire_within). If the process may not have their
/// permits in time, they wait for an answer of the server first.
///
/// # Fairness
/// Within a process as [`RateLimiter::acquire`]. Processes whose callers lack permits are served in the order in which they
/// ask the server. They get the same, a tenth of a second's permits or less at a time; a process whose first waiter needs
/// more gets what that waiter needs. So large requests take their turn, and single ones of other processes wait meanwhile.
///
/// # When the server is away
/// Each call to it ends after a [timeout](FleetBuilder::call_timeout). If one fails, the process uses what it has leased, and
/// then what [`OnOutage`] says; it goes on calling, and goes back to leases by itself. [`report`](Self::report) counts
/// that. A waiter with a longest wait is refused when it is over.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use tidegate::{Fleet, Quota};
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let quota = Quota::per_second(1000).with_burst(500);
/// let fleet = Fleet::builder("api", quota).join("redis://localhost:6379").await?;
/// match fleet.acquire_within(1, Duration::from_millis(50)).await {
///     Ok(()) => { /* make the call */ }
///     Err(denied) => println!("{denied}"),
/// }
/// # Ok(())
/// # }
/// ```
pub struct Fleet<C: Clock = QuantaClock> {
    handle: Arc<Handle<C>>,
}

struct Handle<C: Clock> {
    limiter: RateLimiter<LeaseClock<Arc<C>>>,
    cover: Arc<Cover>,
    mail: Arc<Mail>,
    quota: Quota,
}

impl<C: Clock> Handle<C> {
    /// The handle on a member, whose task the caller has to run.
    fn new(
        choices: &Choices,
        base: Arc<C>,
        store: Arc<dyn Store>,
        counters: Arc<Counters>,
    ) -> Result<(Self, Member<C>), FleetError> {
        let mail = Arc::new(Mail::new(counters));
        let member = Member::new(choices, base, store, Arc::clone(&mail))?;
        let limiter = member.limiter().clone();
        let cover = Arc::clone(member.cover());
        Ok((Self { limiter, cover, mail, quota: choices.quota }, member))
    }
}

impl<C: Clock> Drop for Handle<C> {
    fn drop(&mut self) {
        self.mail.leave();
        self.cover.notify();
    }
}

impl<C: Clock> Fleet<C> {
    /// Joins, and spawns the task of the member.
    async fn join_at(choices: &Choices, base: Arc<C>, store: Arc<dyn Store>) -> Result<Self, FleetError> {
        let counters = Arc::new(Counters::default());
        counters.members.set(1);
        let (handle, mut member) = Handle::new(choices, base, store, counters)?;
        member.join().await;
        tokio::spawn(member.run());
        Ok(Self { handle: Arc::new(handle) })
    }

    /// The limiter of this process, for all that a limiter can do: lanes, calls for several limits, reservations, layers.
    ///
    /// A [pause](RateLimiter::pause_for) of it pauses the whole fleet, but does not tell the caller whether it reached the server.
    /// Do not pause it [until a reading](RateLimiter::pause_until): its own time stands while no caller waits. Do not change its
    /// quota, nor its level by [`refund`](RateLimiter::refund), [`reset`](RateLimiter::reset) and
    /// [`set_available`](RateLimiter::set_available): what that adds is not leased. Do not
    /// [resume](RateLimiter::resume) it from a pause of the fleet. Its quota has the rate of the fleet, and what is left of
    /// the burst beside what is [set aside](FleetBuilder::set_aside).
    ///
    /// ```no_run
    /// use tidegate::{Fleet, Lane, Quota};
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let fleet = Fleet::builder("api", Quota::per_second(1000)).join("redis://localhost").await?;
    /// let batch = fleet.limiter().lane(Lane::Background);
    /// batch.acquire_n(20).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn limiter(&self) -> &RateLimiter<LeaseClock<Arc<C>>> {
        &self.handle.limiter
    }

    /// The quota of the whole fleet.
    pub fn quota(&self) -> Quota {
        self.handle.quota
    }

    /// Takes one permit if this process has leased one and no caller waits. See [`Fleet`] for its first calls.
    ///
    /// # Errors
    /// As [`RateLimiter::try_acquire`]. `retry_after` is what it would be if no other process wanted permits.
    pub fn try_acquire(&self) -> Result<(), Denied> {
        self.limiter().try_acquire()
    }

    /// As [`try_acquire`](Self::try_acquire), for `n` permits.
    ///
    /// # Errors
    /// As [`RateLimiter::try_acquire_n`].
    pub fn try_acquire_n(&self, n: impl Amount) -> Result<(), Denied> {
        self.limiter().try_acquire_n(n)
    }

    /// Waits for one permit, as [`RateLimiter::acquire`].
    pub fn acquire(&self) -> Acquire<'_, LeaseClock<Arc<C>>> {
        self.limiter().acquire()
    }

    /// Waits for `n` permits, as [`RateLimiter::acquire_n`].
    ///
    /// # Errors
    /// As [`RateLimiter::acquire_n`].
    pub fn acquire_n(&self, n: impl Amount) -> AcquireN<'_, LeaseClock<Arc<C>>> {
        self.limiter().acquire_n(n)
    }

    /// Waits for `n` permits for at most `max_wait`, as [`RateLimiter::acquire_within`]. If the process may not have them in time,
    /// it asks the server first, and fails as soon as the server has nothing in time.
    ///
    /// # Errors
    /// As [`RateLimiter::acquire_within`].
    ///
    /// # Fairness
    /// A call joins the queue of its process when the server has answered, so another one that comes meanwhile may be faster.
    pub fn acquire_within(
        &self,
        n: impl Amount,
        max_wait: Duration,
    ) -> AcquireWithin<'_, LeaseClock<Arc<C>>> {
        self.limiter().acquire_within(n, max_wait)
    }

    /// Blocks the thread until it has `n` permits, as [`RateLimiter::blocking_acquire_n`].
    ///
    /// # Errors
    /// As [`RateLimiter::blocking_acquire_n`].
    ///
    /// # Panics
    /// As [`RateLimiter::blocking_acquire_n`].
    pub fn blocking_acquire_n(&self, n: impl Amount) -> Result<(), AcquireError> {
        self.limiter().blocking_acquire_n(n)
    }

    /// Pauses the whole fleet for `pause`, as a server asks for by `Retry-After`: see [`RateLimiter::pause_for`]. The later
    /// end counts. This process is paused when the call returns, also if it fails, and others when they next call the server: within
    /// some two seconds, or when a lease that is still to come has come.
    ///
    /// # Errors
    /// If the pause is too long, or the server could not be reached; it may have got the call nevertheless.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the pause back.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use tidegate::{Fleet, Quota};
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let fleet = Fleet::builder("api", Quota::per_second(1000)).join("redis://localhost").await?;
    /// // The API has answered 429, with "Retry-After: 60".
    /// fleet.pause_for(Duration::from_secs(60)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn pause_for(&self, pause: Duration) -> Result<(), FleetError> {
        let us = pause_us(pause)?;
        if us > 0 {
            self.ask(us).await?;
        }
        Ok(())
    }

    /// The permits that are left at the server, beside those that processes have leased: one call to the server. A negative level,
    /// as while permits are booked ahead, reads as zero. For what this process holds, see [`RateLimiter::available`].
    ///
    /// # Errors
    /// If the server could not be reached.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    ///
    /// ```no_run
    /// use tidegate::{Fleet, Quota};
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let fleet = Fleet::builder("api", Quota::per_second(1000)).join("redis://localhost").await?;
    /// println!("{} of {} are left", fleet.peek().await?, fleet.quota().burst());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn peek(&self) -> Result<u64, FleetError> {
        self.ask(0).await
    }

    /// Has the task pause the fleet for so many microseconds. Returns the level at the server.
    async fn ask(&self, pause_us: u64) -> Result<u64, FleetError> {
        let (told, done) = oneshot::channel();
        // The task ends only with the last handle, or with its runtime.
        let gone = || StoreError::Failed("the runtime of the fleet's task has ended".to_owned());
        if !self.handle.mail.ask_for_pause((pause_us, told)) {
            return Err(FleetError::Store(gone()));
        }
        self.handle.cover.notify();
        done.await.unwrap_or_else(|_| Err(gone())).map_err(FleetError::Store)
    }

    /// What this process has done so far, and whether it reaches the server.
    ///
    /// ```no_run
    /// use tidegate::{Fleet, Quota};
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let fleet = Fleet::builder("api", Quota::per_second(1000)).join("redis://localhost").await?;
    /// let report = fleet.report();
    /// println!("{} permits in {} calls, {} outages", report.leased(), report.calls(), report.outages());
    /// # Ok(())
    /// # }
    /// ```
    pub fn report(&self) -> FleetReport {
        self.handle.mail.counters.report()
    }

    /// A function that tells the report of the time at which it is called. Unlike a handle, it does not keep the process in the fleet.
    #[cfg(feature = "metrics")]
    pub(crate) fn reporter(&self) -> impl Fn() -> FleetReport + use<C> {
        Counters::reporter(&self.handle.mail.counters)
    }
}

impl<C: Clock> Limit for Fleet<C> {
    fn try_acquire_n(&self, n: Permits) -> Result<(), Denied> {
        Limit::try_acquire_n(self.limiter(), n)
    }
}

impl<C: Clock> Whole for Fleet<C> {
    fn add_to(&self, parts: &mut Parts<'_>, n: Permits) -> Result<(), InvalidPermits> {
        self.limiter().add_to(parts, n)
    }

    fn wait(&self, n: Permits, max_wait: Option<Duration>) -> AcquireAny {
        self.limiter().wait(n, max_wait)
    }
}

impl<C: Clock> Clone for Fleet<C> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<C: Clock> fmt::Debug for Fleet<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet")
            .field("quota", &format_args!("{}", self.handle.quota))
            .field("limiter", self.limiter())
            .field("report", &self.report())
            .finish()
    }
}
