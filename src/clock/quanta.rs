//! The default clock: a fast counter that is kept to the system's clock.
//!
//! This is the only file that names quanta.

use core::fmt;
use std::{sync::OnceLock, time::Instant};

use crossbeam_utils::CachePadded;

use super::{
    Clock,
    discipline::{Discipline, Sources},
};

/// The default clock: the processor's time stamp counter where it is steady, through [`quanta`], kept to the
/// operating system's monotonic clock.
///
/// A counter alone is not to be trusted: it may differ between virtual processors, start again after a suspend,
/// and drift. So the clock reads the system's clock as well, about once a millisecond if it is in constant use,
/// and goes on from there. A reading lies less than 1 ms ahead of the system's clock. A reading lies less than
/// 1 ms behind any earlier reading, on whatever thread; a limiter makes allowance for that. Where the processor
/// has no steady counter, both clocks are the system's.
///
/// All clocks of this type are one: they show the same time, in nanoseconds since an origin that the process has
/// chosen, which is not the time of [`new`](Self::new). The first clock of a process calibrates the counter, which
/// takes up to 200 ms and blocks the thread; call `new` early if that matters. Every other `new` and every clone
/// costs about a nanosecond. Time while the machine is suspended counts as far as it does for
/// [`std::time::Instant`].
///
/// There is no lock, and nothing to repair after a fork. (The first `new` of a process is the exception: no
/// other thread should fork meanwhile.)
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

/// What all clocks of the process share. Padded, so that the counter's words lie on no cache line that other
/// data of the process keeps busy.
static PROCESS: OnceLock<CachePadded<Process>> = OnceLock::new();

struct Process {
    machine: Machine,
    discipline: Discipline,
}

/// The clocks of the machine.
struct Machine {
    counter: quanta::Clock,
    /// Nanoseconds to a tick of the counter, as a fraction of 2^64: one multiplication takes less time than quanta's
    /// multiplication and shift. Zero if a tick is a nanosecond or longer.
    per_tick: u64,
    start: Instant,
}

impl Machine {
    fn new() -> Self {
        let counter = quanta::Clock::new();
        // 2^64 ticks in nanoseconds, to a part in 2^60.
        let per_tick = u128::from(counter.delta_as_nanos(0, 1 << 60)) << 4;
        Self { counter, per_tick: per_tick.try_into().unwrap_or(0), start: Instant::now() }
    }
}

impl QuantaClock {
    /// The time, in nanoseconds, at the process's first reading. It is 36 years, so that no burst or debt reaches
    /// back before zero.
    pub(super) const START: u64 = 1 << 60;

    /// The clock of the process.
    ///
    /// See the example of [`QuantaClock`].
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
        // Since zero: quanta takes a negative difference for none, which would stop the clock where a counter has
        // gone back. The discipline takes differences itself.
        let raw = self.counter.raw();
        if self.per_tick == 0 {
            return self.counter.delta_as_nanos(0, raw);
        }
        ((u128::from(raw) * u128::from(self.per_tick)) >> 64) as u64
    }

    fn system(&self) -> u64 {
        // 2^63 ns are 292 years of uptime.
        QuantaClock::START + self.start.elapsed().as_nanos() as u64
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
