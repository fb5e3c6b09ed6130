// First, so that it is where the README's link to the guide leads on these pages.
//! [guide]: crate::guide
#![doc = include_str!("../README.md")]

mod all_of;
mod asking;
#[cfg(feature = "client")]
pub mod client;
mod clock;
mod error;
mod frame;
mod gcra;
#[cfg(any(doc, doctest))]
pub mod guide;
#[cfg(feature = "io")]
mod io;
#[cfg(feature = "keyed")]
mod keyed;
mod lane;
mod limiter;
mod meter;
#[cfg(feature = "metrics")]
mod metrics;
mod paced;
mod payment;
mod per_core;
mod permits;
mod queue;
mod quota;
mod seq_lock;
mod shares;
mod sync;
mod throttle;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "tracing")]
mod tracing;
mod watch;
mod word;

#[cfg(all(test, tidegate_loom))]
mod models;

pub use self::{
    all_of::{
        AcquireAll, AcquireAny, AllOf, AllOfChargeError, AllOfDenied, Limit, ReservationAll, ReserveAll,
    },
    clock::{Clock, ManualClock, Monotonic, QuantaClock},
    error::{AcquireError, ChargeError, Denied, NotYet, QueueFull, QuotaError, TooMany},
    lane::Lane,
    limiter::{InvalidSavedState, Level, RateLimiter, SavedState},
    paced::{BlockingPacedBy, PacedBy, PacedExt, PacedIterExt},
    per_core::{Local, PerCore, PerCoreBuilder, PerCoreError, SlotReport},
    permits::{Amount, InvalidPermits, Permits},
    queue::{Acquire, AcquireN, AcquireNOwned, AcquireOwned, AcquireWithin, AcquireWithinOwned, Reservation},
    quota::{Inherit, Quota},
    throttle::{Throttle, throttle, throttle_stream},
};

#[cfg(feature = "io")]
pub use self::io::Paced;
#[cfg(feature = "io-body")]
pub use self::io::PacedBody;

#[cfg(feature = "keyed")]
pub use self::keyed::{Keyed, KeyedBuilder, Lookup, WhenFull};

#[cfg(feature = "sink")]
pub use self::paced::{PacedSink, PacedSinkExt};

#[cfg(feature = "metrics")]
pub use self::metrics::{MetricsError, MetricsPublisher};

#[cfg(feature = "tracing")]
pub use self::tracing::TracingListener;

#[cfg(feature = "stats")]
pub use self::watch::{Event, Listener, Stats, Waits};

#[cfg(feature = "tokio")]
pub use self::clock::TokioClock;

/// The target of the fuzzer for the list of waiters, which is private.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_list(bytes: &[u8]) {
    queue::against_a_deque(bytes);
}
