//! A histogram of waits. A bucket is a quarter of a power of two wide, so its bounds differ by a quarter at most.

use core::{fmt, sync::atomic::Ordering::Relaxed, time::Duration};

use crate::sync::plain::AtomicU64;

/// Waits below 2^10 ns are one bucket, and those from 2^46 ns (19.5 hours) on are another.
const FIRST_POWER: u32 = 10;
const LAST_POWER: u32 = 46;
const BUCKETS: usize = 4 * (LAST_POWER - FIRST_POWER) as usize + 2;

const fn bucket_of(wait_ns: u64) -> usize {
    if wait_ns < 1 << FIRST_POWER {
        return 0;
    }
    let power = wait_ns.ilog2();
    if power >= LAST_POWER {
        return BUCKETS - 1;
    }
    let quarter = (wait_ns >> (power - 2)) & 3;
    1 + 4 * (power - FIRST_POWER) as usize + quarter as usize
}

/// The first wait above a bucket.
const fn end_ns(bucket: usize) -> u64 {
    if bucket + 1 == BUCKETS {
        return u64::MAX;
    }
    // The bucket before the first quarter ends where that begins.
    let (power, quarter) = (bucket as u32 / 4 + FIRST_POWER, bucket as u64 % 4);
    (4 + quarter) << (power - 2)
}

/// The histogram of a limiter. All accesses are Relaxed, as those of the other counters.
#[derive(Debug)]
pub(super) struct WaitCounters {
    buckets: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
    longest_ns: AtomicU64,
}

impl WaitCounters {
    pub(super) fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum_ns: AtomicU64::new(0),
            longest_ns: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self, wait: Duration) {
        let wait_ns = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(wait_ns)].fetch_add(1, Relaxed);
        self.sum_ns.fetch_add(wait_ns, Relaxed);
        self.longest_ns.fetch_max(wait_ns, Relaxed);
    }

    pub(super) fn snapshot(&self) -> Waits {
        Waits {
            buckets: self.buckets.iter().map(|count| count.load(Relaxed)).collect(),
            sum_ns: self.sum_ns.load(Relaxed),
            longest_ns: self.longest_ns.load(Relaxed),
        }
    }
}

/// How long granted waiters have waited: a histogram whose buckets are a quarter of a power of two wide.
///
/// A wait begins when the caller joins the queue, and ends when the task or thread runs with its permits. So it includes the
/// time for which the executor or the operating system lets it wait. Calls that are admitted at once are not in it.
///
/// # Examples
/// ```
/// use tidegate::{ManualClock, Quota, RateLimiter};
/// # use std::time::Duration;
/// # let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # rt.block_on(async {
/// let clock = ManualClock::new();
/// let limiter = RateLimiter::with_clock(Quota::per_second(10).with_burst(1), clock.clone()).watched("api");
/// limiter.acquire().await;
/// let (_, _) = tokio::join!(limiter.acquire(), async { clock.advance(Duration::from_millis(100)) });
/// let waits = limiter.stats().unwrap().waits;
/// assert_eq!((waits.count(), waits.longest()), (1, Duration::from_millis(100)));
/// assert_eq!(waits.quantile(0.5), Some(Duration::from_millis(100)));
/// # });
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Waits {
    buckets: Box<[u64]>,
    sum_ns: u64,
    longest_ns: u64,
}

impl Waits {
    /// How many waiters were granted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum: u64, count| sum.wrapping_add(*count))
    }

    /// All waits together. It wraps around after 584 years.
    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// The mean wait; `None` if there was none.
    pub fn mean(&self) -> Option<Duration> {
        self.sum_ns.checked_div(self.count()).map(Duration::from_nanos)
    }

    /// The longest wait; zero if there was none.
    pub const fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest_ns)
    }

    /// The wait that the part `q` of the waiters did not exceed: 0.5 for the median. It is up to a quarter too long, and never
    /// too short. `None` if there was no wait. A `q` below 0 counts as 0, one above 1 as 1.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let end_ns = bucket.map_or(u64::MAX, end_ns);
        Some(Duration::from_nanos(end_ns.min(self.longest_ns)))
    }

    /// The waits since an earlier snapshot of the same limiter. The [`longest`](Self::longest) of them is known by its bucket, and
    /// so up to a quarter too long.
    ///
    /// ```
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    /// # use std::time::Duration;
    /// # let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # rt.block_on(async {
    /// let clock = ManualClock::new();
    /// let quota = Quota::per_second(10).with_burst(1).with_initial(0);
    /// let limiter = RateLimiter::with_clock(quota, clock.clone()).watched("api");
    /// let wait = async || tokio::join!(limiter.acquire(), async { clock.advance(Duration::from_millis(100)) });
    /// wait().await;
    /// let first = limiter.stats().unwrap().waits;
    /// wait().await;
    /// wait().await;
    /// let later = limiter.stats().unwrap().waits.since(&first);
    /// assert_eq!((first.count(), later.count()), (1, 2));
    /// # });
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.buckets.iter().zip(&*earlier.buckets);
        let buckets: Box<[u64]> = counts.map(|(now, before)| now.wrapping_sub(*before)).collect();
        // The longest of these waits is known by its bucket, unless it is the longest of all.
        let last = buckets.iter().rposition(|count| *count > 0);
        let longest_ns = last.map_or(0, |bucket| end_ns(bucket).min(self.longest_ns));
        Self { buckets, sum_ns: self.sum_ns.wrapping_sub(earlier.sum_ns), longest_ns }
    }

    /// The buckets that are not empty, from short waits to long ones: the first wait that is too long for the bucket, and the
    /// number of waits.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    /// let stats = RateLimiter::new(Quota::per_second(10)).watched("api").stats().unwrap();
    /// for (end, count) in stats.waits.buckets() {
    ///     println!("{count} waits below {end:?}");
    /// }
    /// ```
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let all = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        all.map(|(bucket, count)| (Duration::from_nanos(end_ns(bucket)), *count))
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits")
            .field("count", &self.count())
            .field("median", &self.quantile(0.5))
            .field("longest", &self.longest())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests {
    use super::{BUCKETS, bucket_of, end_ns};

    #[test]
    fn a_wait_is_below_the_end_of_its_bucket_and_at_least_the_end_of_the_bucket_before() {
        let ends = (0..BUCKETS - 1).map(end_ns);
        for wait_ns in ends.flat_map(|end| [end - 1, end, end + 1]).chain([0, 1, u64::MAX - 1]) {
            let bucket = bucket_of(wait_ns);
            assert!(wait_ns < end_ns(bucket), "{wait_ns} in {bucket}");
            assert!(bucket == 0 || wait_ns >= end_ns(bucket - 1), "{wait_ns} in {bucket}");
        }
    }

    #[test]
    fn the_ends_of_a_bucket_differ_by_a_quarter_at_most() {
        for bucket in 1..BUCKETS - 1 {
            let (begin, end) = (end_ns(bucket - 1), end_ns(bucket));
            assert!(begin < end && end - begin <= begin / 4, "{begin} to {end}");
        }
    }
}
