//! What all services of a layer share.

use core::{sync::atomic::Ordering, time::Duration};

use http::{HeaderMap, StatusCode, request::Parts};

use super::{feedback::Feedback, server::Servers};
use crate::{all_of::AllOf, sync::plain::AtomicU64};

/// A function of a request that tells an amount.
type Amounts = Box<dyn Fn(&Parts) -> u64 + Send + Sync>;
/// A function of a response that tells the tokens that were used.
type Used = Box<dyn Fn(StatusCode, &HeaderMap) -> Option<u64> + Send + Sync>;

pub(super) struct State {
    pub(super) servers: Box<dyn Servers>,
    /// Further limits, with one permit each.
    pub(super) also: AllOf,
    pub(super) cost: Option<Amounts>,
    pub(super) tokens: Option<Tokens>,
    pub(super) max_wait: Option<Duration>,
    pub(super) max_pause: Duration,
    pub(super) counters: Counters,
}

pub(super) struct Tokens {
    /// With one permit.
    pub(super) limit: AllOf,
    pub(super) estimate: Amounts,
    pub(super) used: Option<Used>,
}

impl State {
    pub(super) fn note(&self, feedback: &Feedback) {
        if feedback.is_refusal() {
            count(&self.counters.refused);
        }
        if feedback.pause().is_some() {
            count(&self.counters.pauses);
        }
        if feedback.is_malformed() {
            count(&self.counters.malformed);
        }
    }
}

/// What a [`ClientLayer`](super::ClientLayer) has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCounts {
    /// Requests that had their permits and were sent.
    pub sent: u64,
    /// Requests that a limiter refused, and that were not sent.
    pub limited: u64,
    /// Responses by which the server refused a request because of its limits.
    pub refused: u64,
    /// Responses that asked for a pause.
    pub pauses: u64,
    /// Responses with a header about limits that cannot be read.
    pub malformed: u64,
}

pub(super) fn count(counter: &AtomicU64) {
    // Relaxed: a number for reports.
    counter.fetch_add(1, Ordering::Relaxed);
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) limited: AtomicU64,
    refused: AtomicU64,
    pauses: AtomicU64,
    malformed: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> ClientCounts {
        // Relaxed: as in `count`.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ClientCounts {
            sent: read(&self.sent),
            limited: read(&self.limited),
            refused: read(&self.refused),
            pauses: read(&self.pauses),
            malformed: read(&self.malformed),
        }
    }
}
