//! The futures of waiters.
//!
//! | stage  | the future holds                       | on drop                                          |
//! |--------|----------------------------------------|--------------------------------------------------|
//! | Start  | nothing                                | nothing                                          |
//! | Queued | a place in the queue, maybe granted    | leaves; a grant returns, and due waiters get it  |
//! | Held   | permits that it has not reported yet   | the permits return, and due waiters get them     |
//! | Closed | nothing: the limiter was closed        | nothing                                          |
//! | Done   | nothing                                | nothing                                          |
//!
//! A task without cooperative budget joins the queue first. It yields only when it could return Ready (Held).

use core::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use std::sync::Arc;

use pin_project_lite::pin_project;

use super::{
    alarm::Home,
    coop::poll_proceed,
    core::{Caller, after, not_yet, wait},
    driver::{Driver, Step},
    entry::{Ask, Grant, NEVER, Outcome, Place},
    virtual_time::Since,
};
use crate::{
    clock::{Clock, Fetch, QuantaClock},
    error::{AcquireError, Denied, QueueFull},
    permits::{InvalidPermits, Permits},
    watch::Began,
};

impl<C: Clock + ?Sized> Driver<C> {
    fn take_in_budget(&self, permits: Permits, cx: &mut Context<'_>) -> bool {
        if self.meter().is_owned_beyond_a_step() {
            return false;
        }
        let Poll::Ready(budget) = poll_proceed(cx) else { return false };
        let taken = self.meter().take_as_waiter(permits, self.clock().now());
        if taken {
            budget.made_progress();
            self.watch().admitted();
        }
        taken
    }

    /// Takes the permits if they are available and no waiter goes first. Otherwise joins the queue, and returns `None`.
    pub(super) fn enter(
        &self,
        place: Pin<&Place>,
        ask: Ask,
        waker: &mut Option<Waker>,
    ) -> Result<Option<Grant>, Denied> {
        self.drive_if_overtaking(ask.lane);
        let caller = Home::of_caller();
        let mut step = self.step();
        let first = step.is_empty();
        let entered = match self.take_or_join(&mut step, place, ask, waker) {
            Ok(Entered::Joined(tick)) => {
                self.join_ends(step, caller, first, tick);
                return Ok(None);
            }
            Ok(Entered::Granted(grant)) => Ok(Some(grant)),
            Err(denied) => Err(denied),
        };
        // The step may have found that the clock stepped back, or have taken permits before waiters of lower lanes.
        self.end(step);
        entered
    }

    fn take_or_join(
        &self,
        step: &mut Step<'_>,
        place: Pin<&Place>,
        ask: Ask,
        waker: &mut Option<Waker>,
    ) -> Result<Entered, Denied> {
        let Ask { permits, lane, max_wait } = ask;
        let cost = step.cost(permits)?;
        self.reclaim_parked(step, cost, lane);
        let tick = match step.take(cost, Caller::Waiter(lane)) {
            Ok(grant) => return Ok(Entered::Granted(grant)),
            Err(tick) => tick,
        };
        let mut deadline_ns = NEVER;
        if let Some(max_wait) = max_wait {
            deadline_ns = after(step.now_ns(), max_wait);
            let due_ns = step.frame().reading_at(tick);
            if due_ns > deadline_ns {
                return Err(not_yet(due_ns, deadline_ns));
            }
            if step.waiters_before(lane) >= step.max_waiters() {
                return Err(QueueFull::new(step.max_waiters(), wait(due_ns, step.now_ns())).into());
            }
        }
        if let Some(waker) = waker.take() {
            step.join(place, permits, cost, deadline_ns, lane, waker);
        }
        Ok(Entered::Joined(tick))
    }

    /// Leaves the queue, or gives the grant back if the place was granted before.
    pub(crate) fn leave(&self, place: Pin<&Place>) {
        // Without the clock: if the clock panicked, the place would stay linked.
        let (removed, first) = self.without_clock(|core| {
            let first = core.is_front(place);
            (core.leave(place), first)
        });
        if removed.is_none() {
            if let Some(Outcome::Granted(grant)) = place.outcome() {
                self.give_back(grant);
            }
        } else if first {
            self.drive();
        }
    }

    /// Returns an unused grant to the bucket, then grants the waiters that this makes due.
    pub(crate) fn give_back(&self, grant: Grant) {
        self.with(|core| core.give_back(grant));
    }
}

/// What became of a caller at the lock.
#[derive(Clone, Copy, Debug)]
enum Entered {
    Granted(Grant),
    /// It waits, and is due at this tick.
    Joined(u64),
}

#[derive(Debug)]
enum Stage {
    Start(Result<Ask, InvalidPermits>),
    Queued(Since, Began),
    Held(Grant),
    /// The limiter has been closed.
    Closed,
    Done,
}

impl Stage {
    /// The stage after a refusal.
    const fn after(denied: &Denied) -> Self {
        // A future that cannot fail stays pending, and may be polled again.
        if matches!(denied, Denied::Closed) { Self::Closed } else { Self::Done }
    }
}

pin_project! {
    #[derive(Debug)]
    pub(crate) struct Waiter<D, C>
    where
        D: Deref<Target = Driver<C>>,
        C: Clock,
        C: ?Sized,
    {
        driver: D,
        stage: Stage,
        // Until it ends, the stage is `Start`. Not a part of the stage, which needs no drop so.
        fetch: Option<Fetch>,
        #[pin]
        place: Place,
    }

    impl<D, C> PinnedDrop for Waiter<D, C>
    where
        D: Deref<Target = Driver<C>>,
        C: Clock,
        C: ?Sized,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            match this.stage {
                Stage::Start(_) | Stage::Closed | Stage::Done => {}
                Stage::Queued(_, began) => {
                    let began = *began;
                    this.driver.leave(this.place.into_ref());
                    this.driver.watch().cancelled(began);
                }
                Stage::Held(grant) => this.driver.give_back(*grant),
            }
        }
    }
}

impl<D: Deref<Target = Driver<C>>, C: Clock + ?Sized> Waiter<D, C> {
    pub(crate) fn new(driver: D, ask: Result<Ask, InvalidPermits>) -> Self {
        let place = driver.place();
        Self { driver, stage: Stage::Start(ask), fetch: None, place }
    }

    /// With `hold`, always takes the lock, so that the caller gets a [`Grant`] that it can return. Without `hold`, the
    /// fast path may succeed and give `None`.
    // Inlined with the fast path alone, so that a call that need not wait does not pay for the rest.
    #[inline]
    pub(crate) fn poll_grant(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        hold: bool,
    ) -> Poll<Result<Option<Grant>, Denied>> {
        let this = self.as_mut().project();
        if let Stage::Start(Ok(ask)) = *this.stage {
            if !hold && this.driver.take_in_budget(ask.permits, cx) {
                *this.stage = Stage::Done;
                return Poll::Ready(Ok(None));
            }
        }
        self.poll_queue(cx)
    }

    fn poll_queue(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Option<Grant>, Denied>> {
        let this = self.project();
        let place = this.place.into_ref();
        if let Stage::Start(Ok(ask)) = this.stage {
            if this.fetch.is_none() {
                *this.fetch = this.driver.fetch(*ask);
            }
            if let Some(fetch) = this.fetch {
                ask.max_wait = Some(ready!(Pin::new(fetch).poll(cx)));
                *this.fetch = None;
            }
        }
        match this.stage {
            Stage::Start(ask) => {
                let ask = match ask {
                    Ok(ask) => *ask,
                    Err(invalid) => {
                        let invalid = *invalid;
                        *this.stage = Stage::Done;
                        this.driver.watch().refused(&Denied::Invalid(invalid));
                        return Poll::Ready(Err(Denied::Invalid(invalid)));
                    }
                };
                // Cloned before the lock is taken: cloning runs foreign code.
                let mut waker = Some(cx.waker().clone());
                // Set before the place is linked: if `enter` panics, drop unlinks the place.
                let since = Since::now();
                *this.stage = Stage::Queued(since, Began::default());
                match this.driver.enter(place, ask, &mut waker) {
                    Ok(None) => {
                        let began = this.driver.watch().joined(this.driver.clock());
                        *this.stage = Stage::Queued(since, began);
                    }
                    Ok(Some(grant)) => {
                        *this.stage = Stage::Held(grant);
                        this.driver.watch().admitted();
                    }
                    Err(denied) => {
                        *this.stage = Stage::after(&denied);
                        this.driver.watch().refused(&denied);
                        return Poll::Ready(Err(denied));
                    }
                }
            }
            Stage::Closed => return Poll::Ready(Err(Denied::Closed)),
            Stage::Queued(..) if place.outcome().is_none() => this.driver.refresh(place, cx.waker()),
            _ => {}
        }
        if let Stage::Queued(since, began) = this.stage {
            let began = *began;
            match place.outcome() {
                None => return Poll::Pending,
                Some(Outcome::Granted(grant)) => {
                    since.check(&**this.driver);
                    *this.stage = Stage::Held(grant);
                    this.driver.watch().granted(began, this.driver.clock());
                }
                Some(Outcome::Denied(denied)) => {
                    *this.stage = Stage::after(&denied);
                    this.driver.watch().too_late(began, &denied, this.driver.clock());
                    return Poll::Ready(Err(denied));
                }
            }
        }
        let Stage::Held(grant) = *this.stage else { panic!("polled after completion") };
        ready!(poll_proceed(cx)).made_progress();
        *this.stage = Stage::Done;
        Poll::Ready(Ok(Some(grant)))
    }
}

macro_rules! futures {
    ($(
        $(#[$doc:meta])*
        $name:ident<$($life:lifetime,)? C>($driver:ty) -> $output:ty, $finish:expr;
    )*) => {$(
        pin_project! {
            $(#[$doc])*
            #[must_use = "futures do nothing unless polled or awaited"]
            pub struct $name<$($life,)? C: Clock = QuantaClock> {
                #[pin]
                waiter: Waiter<$driver, C>,
            }
        }

        impl<$($life,)? C: Clock> $name<$($life,)? C> {
            pub(crate) fn new(driver: $driver, ask: Result<Ask, InvalidPermits>) -> Self {
                Self { waiter: Waiter::new(driver, ask) }
            }
        }

        impl<$($life,)? C: Clock> Future for $name<$($life,)? C> {
            type Output = $output;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<$output> {
                let granted = ready!(self.project().waiter.poll_grant(cx, false));
                $finish(granted.map(|_| ()))
            }
        }

        impl<$($life,)? C: Clock> fmt::Debug for $name<$($life,)? C> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("stage", &self.waiter.stage).finish_non_exhaustive()
            }
        }
    )*};
}

/// One permit is only refused by a closed limiter, since a burst is at least one. Then the future never completes.
fn one(granted: Result<(), Denied>) -> Poll<()> {
    debug_assert!(matches!(granted, Ok(()) | Err(Denied::Closed)), "one permit was refused");
    if granted.is_ok() { Poll::Ready(()) } else { Poll::Pending }
}

fn without_deadline(granted: Result<(), Denied>) -> Poll<Result<(), AcquireError>> {
    Poll::Ready(granted.map_err(AcquireError::of))
}

futures! {
    /// The future of [`RateLimiter::acquire`](crate::RateLimiter::acquire).
    ///
    /// It is not `Unpin`:
    /// ```compile_fail
    /// fn unpin<T: Unpin>() {}
    /// unpin::<tidegate::Acquire<'static, tidegate::QuantaClock>>();
    /// ```
    Acquire<'a, C>(&'a Driver<C>) -> (), one;

    /// The future of [`RateLimiter::acquire_n`](crate::RateLimiter::acquire_n).
    AcquireN<'a, C>(&'a Driver<C>) -> Result<(), AcquireError>, without_deadline;

    /// The future of [`RateLimiter::acquire_within`](crate::RateLimiter::acquire_within).
    AcquireWithin<'a, C>(&'a Driver<C>) -> Result<(), Denied>, Poll::Ready;

    /// The future of [`RateLimiter::acquire_owned`](crate::RateLimiter::acquire_owned).
    AcquireOwned<C>(Arc<Driver<C>>) -> (), one;

    /// The future of [`RateLimiter::acquire_n_owned`](crate::RateLimiter::acquire_n_owned).
    AcquireNOwned<C>(Arc<Driver<C>>) -> Result<(), AcquireError>, without_deadline;

    /// The future of [`RateLimiter::acquire_within_owned`](crate::RateLimiter::acquire_within_owned).
    AcquireWithinOwned<C>(Arc<Driver<C>>) -> Result<(), Denied>, Poll::Ready;
}
