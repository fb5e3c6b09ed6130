//! What a member has done so far, and whether it reaches the server.

use core::sync::atomic::Ordering;
#[cfg(feature = "metrics")]
use std::sync::Arc;

use crate::sync::plain::AtomicU64;

/// Counters that members write and callers read. The members of many keys share them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) calls: Counter,
    pub(super) failed: Counter,
    pub(super) leased: Counter,
    pub(super) given_back: Counter,
    pub(super) unleased: Counter,
    pub(super) outages: Counter,
    pub(super) members: Counter,
    /// The members whose last call failed.
    away: AtomicU64,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

// Relaxed, all of them: each is a number of its own, for reports.
impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// The calls of a member fail. Returns whether it is the first such member.
    pub(super) fn went_away(&self) -> bool {
        // Relaxed, here and below: as above.
        self.away.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// The calls of a member no longer fail, or it ends. Returns whether it was the last such member.
    pub(super) fn came_back(&self) -> bool {
        self.away.fetch_sub(1, Ordering::Relaxed) == 1
    }

    pub(super) fn report(&self) -> FleetReport {
        FleetReport {
            is_away: self.away.load(Ordering::Relaxed) > 0,
            members: self.members.get(),
            outages: self.outages.get(),
            calls: self.calls.get(),
            failed: self.failed.get(),
            leased: self.leased.get(),
            given_back: self.given_back.get(),
            unleased: self.unleased.get(),
        }
    }

    #[cfg(feature = "metrics")]
    pub(super) fn reporter(this: &Arc<Self>) -> impl Fn() -> FleetReport + use<> {
        let this = Arc::clone(this);
        move || this.report()
    }
}

/// What one process of a [`Fleet`](crate::Fleet) has done since it joined. With a key of a
/// [`KeyedFleet`](crate::KeyedFleet), it is about all keys.
///
/// See the example of [`Fleet::report`](crate::Fleet::report).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetReport {
    is_away: bool,
    members: u64,
    outages: u64,
    calls: u64,
    failed: u64,
    leased: u64,
    given_back: u64,
    unleased: u64,
}

impl FleetReport {
    /// With these counts, in the order of the fields.
    #[cfg(all(test, feature = "metrics"))]
    pub(crate) const fn of(
        is_away: bool,
        [members, outages, calls, failed, leased, given_back, unleased]: [u64; 7],
    ) -> Self {
        Self { is_away, members, outages, calls, failed, leased, given_back, unleased }
    }

    /// Whether the last call to the server failed, of any key, so that [`OnOutage`](crate::OnOutage) is in force.
    pub const fn is_away(&self) -> bool {
        self.is_away
    }

    /// The processes of the fleet, as last counted by the server; at least one.
    pub const fn members(&self) -> u64 {
        self.members
    }

    /// How often calls began to fail while none had failed, however long they went on failing.
    pub const fn outages(&self) -> u64 {
        self.outages
    }

    /// The calls to the server.
    pub const fn calls(&self) -> u64 {
        self.calls
    }

    /// The calls that failed or timed out.
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// The permits that the server has granted.
    pub const fn leased(&self) -> u64 {
        self.leased
    }

    /// The permits that went back unused. The server accepts those that would not have overflowed.
    pub const fn given_back(&self) -> u64 {
        self.given_back
    }

    /// The permits that were taken without the server while it was away.
    pub const fn unleased(&self) -> u64 {
        self.unleased
    }
}
