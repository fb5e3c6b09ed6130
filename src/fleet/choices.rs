//! What members are made from: the choices of a builder, checked.

use core::time::Duration;

use super::{authority::Terms, books::Pace, outage::OnOutage};
use crate::quota::Quota;

/// A call to a server in the same data centre takes a few milliseconds at most.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
pub(super) struct Choices {
    /// Of all processes.
    pub(super) quota: Quota,
    /// What is left of the burst beside what is set aside.
    pub(super) burst: u64,
    pub(super) terms: Terms,
    pub(super) pace: Pace,
    pub(super) on_outage: OnOutage,
    pub(super) call_timeout: Duration,
}
