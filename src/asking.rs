//! One call under way to a limit, for as much as the limit can grant at once.

use core::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use crate::{
    all_of::{AcquireAny, AllOf, Limit},
    error::Denied,
    permits::Permits,
};

pub(crate) struct Asking {
    limit: AllOf,
    /// Stays between the polls of its owner, so that the call keeps its place in the queue.
    acquire: Pin<Box<Option<AcquireAny>>>,
    /// By that call.
    asked: Permits,
}

impl Asking {
    pub(crate) fn new(limit: &(impl Limit + ?Sized)) -> Self {
        Self { limit: AllOf::new().and(limit, 1), acquire: Box::pin(None), asked: Permits::ZERO }
    }

    /// Waits for `most` permits and returns how many were granted: fewer if the limit can never grant so many at once, but a
    /// multiple of `grain`. A call that is under way is ended first, whatever `most` is by now.
    pub(crate) fn poll(
        &mut self,
        most: Permits,
        grain: Permits,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permits, Denied>> {
        let mut ask = most;
        loop {
            if self.acquire.is_none() {
                self.asked = ask;
                self.acquire.set(Some(self.limit.acquire_n(ask)));
            }
            let Some(acquire) = self.acquire.as_mut().as_pin_mut() else { unreachable!("it was just set") };
            let granted = ready!(acquire.poll(cx));
            self.acquire.set(None);
            let denied = match granted {
                Ok(()) => return Poll::Ready(Ok(self.asked)),
                Err(denied) => denied,
            };
            let less = match denied {
                Denied::TooMany(too_many) if too_many.requested() == self.asked => too_many.largest().into(),
                // A limit of several may take more than one permit for one.
                Denied::TooMany(_) | Denied::Invalid(_) => self.asked.half(),
                _ => return Poll::Ready(Err(denied)),
            };
            ask = less.in_grains(grain);
            if ask == Permits::ZERO {
                return Poll::Ready(Err(denied));
            }
        }
    }

    /// Whether a call is under way.
    #[cfg(feature = "io")]
    pub(crate) fn is_under_way(&self) -> bool {
        self.acquire.is_some()
    }

    /// Gives up a call that is under way.
    #[cfg(feature = "io")]
    pub(crate) fn give_up(&mut self) {
        self.acquire.set(None);
    }

    /// The limit, with one permit for one.
    #[cfg(feature = "io")]
    pub(crate) const fn limit(&self) -> &AllOf {
        &self.limit
    }
}
