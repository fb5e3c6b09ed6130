//! The rivals. A module each shows how it is set up and called, and says what puts it at a disadvantage.

mod async_speed_limit;
pub mod floor;
mod gcra_script;
mod governor;
mod leaky_bucket;
mod mutex;
mod ratelimit;
mod redis_cell;
mod script;
mod semaphore;
mod tidegate;
mod tower;

use std::{
    error::Error,
    future::Future,
    time::{Duration, Instant},
};

pub use self::{
    async_speed_limit::AsyncSpeedLimit,
    gcra_script::GcraScript,
    governor::{Governor, GovernorKeys, GovernorSplit},
    leaky_bucket::LeakyBucket,
    mutex::MutexBucket,
    ratelimit::Ratelimit,
    redis_cell::RedisCell,
    semaphore::Ticker,
    tidegate::{Tidegate, TidegateFleet, TidegateKeys},
    tower::Tower,
};

/// A limiter, as every question uses it. What a rival cannot do it leaves out, and its cell stays empty.
pub trait Rival: Send + Sync + Sized + 'static {
    /// What it is called in reports.
    const NAME: &'static str;

    /// What a reader has to know to judge its numbers.
    const NOTE: &'static str;

    /// Why the rate that it delivers is not the rate that it is given, where that is so.
    const INEXACT: &'static str = "its timer wakes it late";

    /// Why its calls may be faster than tidegate's, where that is known.
    const FASTER: &'static str = "";

    /// Whether it has a call that does not wait.
    const TRIES: bool = true;

    /// Makes one.
    fn new(setting: &Setting) -> Self;

    /// Makes one that tasks of the current runtime wait for, and tells from when on permits flow.
    fn starting(setting: &Setting) -> (Self, Instant) {
        (Self::new(setting), Instant::now())
    }

    /// Takes a permit if there is one.
    fn try_acquire(&self) -> bool {
        unreachable!("{} has no such call", Self::NAME)
    }

    /// Waits for a permit.
    fn wait(&self) -> impl Future<Output = ()> + Send;

    /// What a hungry caller gets in virtual time, as a multiple of what is due; `None` if its clock cannot be driven.
    fn driven(_: &Setting, _: Steps) -> Option<f64> {
        None
    }
}

/// The rivals in the order of the tables: an array of what a generic function makes of each.
macro_rules! each_rival {
    ($function:ident $arguments:tt) => {{
        use $crate::rivals::*;
        [
            $function::<Tidegate> $arguments,
            $function::<Governor> $arguments,
            $function::<LeakyBucket> $arguments,
            $function::<Ratelimit> $arguments,
            $function::<AsyncSpeedLimit> $arguments,
            $function::<Tower> $arguments,
            $function::<Ticker> $arguments,
            $function::<MutexBucket> $arguments,
        ]
    }};
}
pub(crate) use each_rival;

/// The names of all rivals.
pub fn names() -> Vec<&'static str> {
    fn name<R: Rival>() -> &'static str {
        R::NAME
    }
    each_rival!(name()).to_vec()
}

/// A limiter for each key.
pub trait Table: Send + Sync + Sized + 'static {
    /// What it is called in reports.
    const NAME: &'static str;

    /// A table for so many keys, whose limiters admit all calls of a measurement, but do not get full again by it.
    fn new(keys: usize) -> Self;

    /// The first call for a key, after which the table has to remember it.
    fn first(&self, key: u64) -> bool;

    /// Takes a permit of the key if there is one.
    fn try_acquire(&self, key: u64) -> bool;
}

/// One of several processes that share a quota.
pub trait Member: Send + Sync + Sized + 'static {
    /// What it is called in reports.
    const NAME: &'static str;

    /// What a reader has to know to judge its numbers.
    const NOTE: &'static str;

    /// Joins, as one of so many processes, those that share the quota of this name. `server` is the address of a Redis
    /// server, and the name is new to it when the first process joins. The bucket is full at first.
    fn join(
        server: &str,
        name: &str,
        setting: &Setting,
        processes: u32,
    ) -> impl Future<Output = Result<Self, Box<dyn Error>>>;

    /// Waits for a permit.
    fn wait(&self) -> impl Future<Output = ()> + Send;

    /// The calls to the server that failed without a word to the caller.
    fn failed(&self) -> u64 {
        0
    }
}

/// So many permits in so much time.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Permits.
    pub permits: u64,
    /// The time in which they come.
    pub per: Duration,
    /// The burst, for rivals that can be given one.
    pub burst: u64,
    /// Whether the bucket is full at first. Else it is empty.
    pub full: bool,
}

impl Setting {
    /// More than any caller can use.
    pub const ABUNDANT: Self =
        Self { permits: 1_000_000_000, per: Duration::from_secs(1), burst: 1_000_000_000_000, full: true };

    /// Nothing, for as long as a measurement takes.
    pub const EXHAUSTED: Self =
        Self { permits: 1, per: Duration::from_secs(24 * 60 * 60), burst: 1, full: false };

    /// So many permits a second, from an empty bucket.
    pub const fn per_second(permits: u64, burst: u64) -> Self {
        Self { permits, per: Duration::from_secs(1), burst, full: false }
    }

    /// Permits a second.
    pub fn rate(&self) -> f64 {
        self.permits as f64 / self.per.as_secs_f64()
    }

    /// The time in which so many permits come, in whole nanoseconds.
    pub fn time_of(&self, permits: u64) -> Duration {
        let ns = self.per.as_nanos() * u128::from(permits) / u128::from(self.permits);
        Duration::from_nanos(ns.try_into().expect("less than 500 years"))
    }

    /// The whole permits that come in a time.
    pub fn due(&self, time: Duration) -> u64 {
        let due = time.as_nanos() * u128::from(self.permits) / self.per.as_nanos();
        due.try_into().expect("not so many permits")
    }
}

/// How a hungry caller comes in virtual time: after each step it takes all it can get.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// The time between two visits.
    pub step: Duration,
    /// The number of visits.
    pub count: u32,
    /// Whether it comes many times for each permit. A caller that waits cannot.
    pub often: bool,
}

impl Steps {
    /// The whole time.
    pub fn time(&self) -> Duration {
        self.step * self.count
    }

    /// What the caller takes, as a multiple of what is due.
    pub fn take(
        &self,
        setting: &Setting,
        mut advance: impl FnMut(Duration),
        mut try_acquire: impl FnMut() -> bool,
    ) -> f64 {
        let mut taken = 0_u64;
        for _ in 0..self.count {
            advance(self.step);
            while try_acquire() {
                taken += 1;
            }
        }
        taken as f64 / setting.due(self.time()) as f64
    }
}

/// What a waiting task gets under the paused time of tokio, as a multiple of what is due.
fn in_paused_time<R: Rival>(setting: &Setting, steps: Steps) -> Option<f64> {
    if steps.often {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let (rival, _) = R::starting(setting);
        let (began, mut grants) = (tokio::time::Instant::now(), Grants::default());
        while !grants.are_enough(steps.time()) {
            rival.wait().await;
            grants.add(began.elapsed());
        }
        Some(grants.share(setting))
    })
}

/// The grants of a caller that waits, from one after a pause to the last one after a pause. So it does not count where a burst,
/// or a step of a timer, begins or ends.
#[derive(Default)]
struct Grants {
    taken: u64,
    last: Duration,
    /// How many grants there were before the first and before the last pause, and when each pause ended.
    pauses: Option<[(u64, Duration); 2]>,
}

impl Grants {
    /// A grant at this time.
    fn add(&mut self, now: Duration) {
        if now > self.last {
            let pause = (self.taken, now);
            self.pauses = Some([self.pauses.map_or(pause, |pauses| pauses[0]), pause]);
            self.last = now;
        }
        self.taken += 1;
    }

    /// Whether so much time is over, and there were two pauses.
    fn are_enough(&self, time: Duration) -> bool {
        self.last >= time && self.pauses.is_some_and(|[first, last]| first != last)
    }

    /// What was granted, as a multiple of what is due.
    fn share(&self, setting: &Setting) -> f64 {
        let [(before, from), (until, to)] = self.pauses.expect("pauses");
        (until - before) as f64 / ((to - from).as_secs_f64() * setting.rate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_in_bursts_count_from_one_pause_to_the_last() {
        let mut grants = Grants::default();
        // Three at each of 1 s, 2 s and 3 s.
        for second in [1, 2, 3] {
            assert!(!grants.are_enough(Duration::from_secs(3)));
            for _ in 0..3 {
                grants.add(Duration::from_secs(second));
            }
        }
        assert!(grants.are_enough(Duration::from_secs(3)));
        assert_eq!(grants.share(&Setting::per_second(3, 3)), 1.0);
        assert_eq!(grants.share(&Setting::per_second(4, 3)), 0.75);
    }

    #[test]
    fn permits_that_are_due_are_not_rounded_up() {
        let setting = Setting { permits: 7, per: Duration::from_secs(60), burst: 1, full: false };
        assert_eq!(setting.time_of(1), Duration::from_nanos(8_571_428_571));
        assert_eq!(setting.due(setting.time_of(1)), 0);
        assert_eq!(setting.due(Duration::from_secs(600)), 70);
    }

    #[test]
    fn a_hungry_caller_takes_all_it_can_get_after_each_step() {
        let steps = Steps { step: Duration::from_millis(500), count: 4, often: false };
        let left = std::cell::Cell::new(0);
        let take = || {
            left.get() > 0 && {
                left.set(left.get() - 1);
                true
            }
        };
        // Three a step, where two are due.
        assert_eq!(steps.take(&Setting::per_second(4, 9), |_| left.set(3), take), 1.5);
    }
}
