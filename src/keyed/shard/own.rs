//! A key with a limiter of its own, and what its class has to do with it.

use std::sync::Arc;

use super::class::Class;
use crate::{
    clock::Clock,
    limiter::RateLimiter,
    queue::{Later, Missing},
    quota::Quota,
};

/// A key with a limiter of its own, and its class.
pub(super) struct Own<K, C: Clock> {
    pub(super) key: K,
    pub(super) class: usize,
    pub(super) limiter: RateLimiter<C>,
}

impl Class {
    /// Gives the quota of this class to a limiter that has the quota `old`. Others have a quota of their own.
    pub(super) fn give<C: Clock>(&self, limiter: &RateLimiter<C>, old: &Quota) -> Option<Later<C>> {
        limiter.driver().follow_quota(old, self.quota_of_frame(), self.is_blocked())
    }
}

/// Whether the limiter of a key has a handle or a waiter outside the table.
pub(super) fn is_in_use<C: Clock>(limiter: &RateLimiter<C>) -> bool {
    Arc::strong_count(limiter.driver()) > 1
}

/// The TAT of a key that no longer needs its limiter: without a handle or waiter, the credit of a late timer, a pause, a debt,
/// or a quota of its own.
pub(super) fn unused<C: Clock>(limiter: &RateLimiter<C>, class: &Class) -> Option<u64> {
    if is_in_use(limiter) {
        return None;
    }
    let (own, Missing { ticks, per_permit, paused_ns }, now_ns) = limiter.driver().save();
    let has_credit = limiter.driver().has_credit(now_ns);
    // A blocked limiter may still have the scale of the class that it was in.
    let is_plain = own == class.quota()
        && per_permit == class.scale().per_permit
        && paused_ns == 0
        && ticks <= class.scale().limit
        && !has_credit;
    Some(class.frame().tick(now_ns)? + ticks).filter(|_| is_plain)
}
