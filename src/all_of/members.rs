//! The limiters of a call for several limits.

use core::ops::Deref;
use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use super::denied::{AllOfDenied, Which};
use crate::{
    error::Denied,
    lane::Lane,
    permits::{InvalidPermits, Permits},
    queue::{AnyDriver, NEVER},
};

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) driver: Arc<AnyDriver>,
    pub(super) permits: Permits,
    pub(super) which: Which,
    /// The latest acceptable reading of its clock, or `NEVER`.
    pub(super) deadline_ns: u64,
}

impl Member {
    /// Whether it is a part of the same limiter.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.driver.list_id() == other.driver.list_id()
    }

    pub(super) const fn denied(&self, denied: Denied) -> AllOfDenied {
        AllOfDenied::new(self.which, denied)
    }
}

/// Each limiter once, in lock order, without those from which nothing is asked.
#[derive(Clone, Debug)]
pub(super) struct Members {
    all: Vec<Member>,
    /// The lowest lane of the limits that were added.
    lane: Lane,
}

impl Members {
    pub(super) const fn new() -> Self {
        Self { all: Vec::new(), lane: Lane::Urgent }
    }

    pub(super) fn add(
        &mut self,
        driver: Arc<AnyDriver>,
        n: Permits,
        lane: Lane,
        which: Which,
    ) -> Result<(), InvalidPermits> {
        let place = self.all.binary_search_by_key(&driver.list_id(), |member| member.driver.list_id());
        let before = place.map_or(Permits::ZERO, |place| self.all[place].permits);
        let permits = before.plus(n)?;
        self.lane = self.lane.max(lane);
        match place {
            Ok(place) => {
                let member = &mut self.all[place];
                member.permits = permits;
                member.which = member.which.or_named(which.name);
            }
            Err(_) if permits == Permits::ZERO => {}
            Err(place) => self.all.insert(place, Member { driver, permits, which, deadline_ns: NEVER }),
        }
        Ok(())
    }

    pub(super) fn into_vec(self) -> Vec<Member> {
        self.all
    }

    /// The lane of a call for these limits. It is the same in all queues, so that two calls have the same order in every queue
    /// that they share.
    pub(super) const fn lane(&self) -> Lane {
        self.lane
    }
}

impl Deref for Members {
    type Target = [Member];

    fn deref(&self) -> &[Member] {
        &self.all
    }
}

/// Tells the watches of a call that was decided at once: of all limits if it was admitted, else of the one that refused.
pub(super) fn tell<T>(members: &[Member], decision: &Result<T, AllOfDenied>) {
    match decision {
        Ok(_) => members.iter().for_each(|member| member.driver.watch().admitted()),
        Err(refusal) => {
            if let Some(member) = members.iter().find(|member| member.which.index == refusal.limit()) {
                member.driver.watch().refused(&refusal.denied());
            }
        }
    }
}

/// Calls `f` for all items, also if a clock panics in one call. Resumes the first panic at the end.
pub(super) fn for_each<T>(all: impl Iterator<Item = T>, mut f: impl FnMut(T)) {
    let mut panicked = None;
    for one in all {
        // Unwind safe: `f` keeps no state from one item to the next.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| f(one))) {
            panicked.get_or_insert(payload);
        }
    }
    if let Some(payload) = panicked {
        resume_unwind(payload);
    }
}
