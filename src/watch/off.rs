//! The watch without the feature: nothing.

use core::time::Duration;

use crate::{clock::Clock, error::Denied, permits::Permits, quota::Quota};

/// When a waiter joined.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Began(());

#[derive(Debug)]
pub(crate) struct Watch;

#[allow(clippy::unused_self, reason = "as with the feature")]
impl Watch {
    pub(crate) const fn new() -> Self {
        Self
    }

    #[inline]
    pub(crate) const fn admitted(&self) {}

    #[inline]
    pub(crate) const fn refused(&self, _: &Denied) {}

    pub(crate) const fn found_none(&self) {}

    #[inline]
    pub(crate) const fn decided<T>(&self, _: &Result<T, Denied>) {}

    pub(crate) const fn joined<C: Clock + ?Sized>(&self, _: &C) -> Began {
        Began(())
    }

    pub(crate) const fn granted<C: Clock + ?Sized>(&self, _: Began, _: &C) {}

    pub(crate) const fn too_late<C: Clock + ?Sized>(&self, _: Began, _: &Denied, _: &C) {}

    pub(crate) const fn cancelled(&self, _: Began) {}

    pub(crate) const fn given_back(&self, _: Permits) {}

    pub(crate) const fn charged(&self, _: Permits) {}

    pub(crate) const fn paused(&self, _: Option<Duration>) {}

    pub(crate) const fn paused_until<C: Clock + ?Sized>(&self, _: u64, _: &C) {}

    pub(crate) const fn resumed(&self) {}

    pub(crate) const fn quota_set(&self, _: Quota) {}

    pub(crate) const fn closed(&self) {}
}
