//! The default clock: a fast counter kept to the system's clock. Only this file uses quanta.

use core::fmt;
use std::sync::OnceLock;

use crossbeam_utils::CachePadded;

use super::{
    Clock,
    discipline::{Discipline, Sources},
};

/// The default clock: the processor's time stamp counter, kept to the operating system's monotonic clock.
///
/// A counter alone may differ between virtual processors, restart after a suspend, and drift. So this clock also reads
/// the system's clock, about once a millisecond if it is in constant use. A reading lies less than 1 ms ahead of the
/// system's clock, and less than 1 ms behind any earlier reading on any thread; limiters allow for that. Where the
/// processor has no steady counter, every reading is one of the system's clock. Time while the machine is suspended
/// counts as far as it does for [`std::time::Instant`]. On `wasm32-unknown-unknown` the system's clock is `performance.now()`, which
/// browsers round to up to a millisecond.
///
/// All clocks of this type show the same time, in nanoseconds since an origin of the process, not since
/// [`new`](Self::new). The first `new` of a process calibrates the counter. It blocks the thread for up to 200 ms, and
/// no other thread should fork meanwhile. Every other `new` and every clone costs about a nanosecond. There is no lock,
/// so a later fork does no harm.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use tidegate::{Clock, QuantaClock};
///
/// let clock = QuantaClock::new();
/// let start = clock.now();
/// std::thread::sleep(Duration::from_millis(20));
/// assert!(clock.now() - start >= 18_000_000);
/// ```
#[derive(Clone)]
pub struct QuantaClock(&'static Process);

/// Shared by all clocks of the process. Padded, so that no other data lies on the cache line of its words.
static PROCESS: OnceLock<CachePadded<Process>> = OnceLock::new();

struct Process {
    machine: Machine,
    discipline: Discipline,
}

struct Machine {
    counter: quanta::Clock,
    /// Nanoseconds per tick of the counter, as a fraction of 2^64: one multiplication is faster than quanta's
    /// multiplication and shift. Zero if a tick is a nanosecond or longer.
    per_tick: u64,
    system: System,
}

impl Machine {
    fn new() -> Self {
        let counter = quanta::Clock::new();
        let per_tick = per_tick(|ticks| counter.delta_as_nanos(0, ticks));
        let system = System::new(&counter);
        Self { counter, per_tick, system }
    }
}

/// The system's monotonic clock, since the start of the process's clock.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
struct System(std::time::Instant);

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
impl System {
    fn new(_counter: &quanta::Clock) -> Self {
        Self(std::time::Instant::now())
    }

    fn elapsed_ns(&self, _counter: &quanta::Clock) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// The system's monotonic clock, as a reading of quanta's: std has none here, and panics.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
struct System(u64);

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl System {
    fn new(counter: &quanta::Clock) -> Self {
        Self(counter.raw())
    }

    fn elapsed_ns(&self, counter: &quanta::Clock) -> u64 {
        counter.delta_as_nanos(self.0, counter.raw())
    }
}

/// The fraction of [`Machine`], to a part in 2^44. quanta's `nanos` returns its result modulo 2^64, which is exact for so
/// many ticks of up to a millisecond.
pub(super) fn per_tick(nanos: impl FnOnce(u64) -> u64) -> u64 {
    (u128::from(nanos(1 << 44)) << 20).try_into().unwrap_or(0)
}

impl QuantaClock {
    /// The time of the first reading of the process: 36 years in nanoseconds, so that no burst or debt reaches back
    /// before zero.
    pub(super) const START: u64 = 1 << 60;

    /// The clock of the process. See the example of [`QuantaClock`].
    pub fn new() -> Self {
        Self(PROCESS.get_or_init(|| {
            let machine = Machine::new();
            let discipline = Discipline::new(&machine);
            CachePadded::new(Process { machine, discipline })
        }))
    }
}

impl Sources for Machine {
    #[inline]
    fn counter(&self) -> u64 {
        // Since zero: quanta turns negative differences into zero, which would stop the clock after a counter has gone
        // back. The discipline takes differences itself.
        let raw = self.counter.raw();
        if self.per_tick == 0 {
            return self.counter.delta_as_nanos(0, raw);
        }
        ((u128::from(raw) * u128::from(self.per_tick)) >> 64) as u64
    }

    fn system(&self) -> u64 {
        // 2^63 ns are 292 years of uptime.
        QuantaClock::START + self.system.elapsed_ns(&self.counter)
    }
}

impl Default for QuantaClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for QuantaClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuantaClock").finish_non_exhaustive()
    }
}

impl Clock for QuantaClock {
    #[inline]
    fn now(&self) -> u64 {
        self.0.discipline.now(&self.0.machine)
    }
}
