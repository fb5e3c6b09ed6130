//! The futures of waiters.
//!
//! | stage   | what the future holds            | dropped then                                    |
//! |---------|----------------------------------|-------------------------------------------------|
//! | Start   | nothing                          | nothing                                         |
//! | Queued  | a place, perhaps granted already | leaves; a grant goes back and on to the next    |
//! | Held    | permits, not yet reported        | they go back and on to the next                 |
//! | Done    | nothing                          | nothing                                         |
//!
//! A task that has used up its cooperative budget keeps its place: it joins the queue first, and is asked
//! to yield only when it would be Ready (Held). One that is served without queueing while permits are short yields
//! once before it is Ready, so that others of its worker can come back first (`rounds.rs`). So does one that is served
//! as it joins, after others, so that those hear of it first.

use core::{
    fmt,
    future::Future,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use std::sync::Arc;

use pin_project_lite::pin_project;
use tokio::task::coop::poll_proceed;

use super::{
    inner::{Grant, Outcome, Place, Request},
    wait_queue::{Entered, WaitQueue},
};
use crate::{
    clock::Clock,
    error::{Denied, InvalidPermits},
    permits::Permits,
};

#[derive(Debug)]
enum Stage {
    Start(Result<Permits, InvalidPermits>, Option<Duration>),
    Queued,
    Held(Grant),
    Done,
}

pin_project! {
    /// A waiter, over a borrowed or an owned queue.
    #[derive(Debug)]
    pub(super) struct Waiter<Q, C>
    where
        Q: Deref<Target = WaitQueue<C>>,
        C: Clock,
    {
        queue: Q,
        stage: Stage,
        #[pin]
        place: Place,
    }

    impl<Q, C> PinnedDrop for Waiter<Q, C>
    where
        Q: Deref<Target = WaitQueue<C>>,
        C: Clock,
    {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            match this.stage {
                Stage::Start(..) | Stage::Done => {}
                Stage::Queued => this.queue.leave(this.place.into_ref()),
                Stage::Held(grant) => this.queue.give_back(*grant),
            }
        }
    }
}

impl<Q: Deref<Target = WaitQueue<C>>, C: Clock> Waiter<Q, C> {
    pub(super) fn new(
        queue: Q,
        permits: Result<Permits, InvalidPermits>,
        max_wait: Option<Duration>,
    ) -> Self {
        let place = queue.place();
        Self { queue, stage: Stage::Start(permits, max_wait), place }
    }
}

impl<Q: Deref<Target = WaitQueue<C>>, C: Clock> Waiter<Q, C> {
    /// Waits. If the grant has to be one that can be given back later, `hold`, it goes through the lock; else
    /// there may be none to show.
    pub(super) fn poll_grant(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        hold: bool,
    ) -> Poll<Result<Option<Grant>, Denied>> {
        let this = self.project();
        let place = this.place.into_ref();
        if let Stage::Start(permits, max_wait) = this.stage {
            let permits = match permits {
                Ok(permits) => *permits,
                Err(invalid) => {
                    let invalid = *invalid;
                    *this.stage = Stage::Done;
                    return Poll::Ready(Err(Denied::Invalid(invalid)));
                }
            };
            // Without the lock only if it can be reported at once: a grant that is held has to be one that
            // can be given back.
            let now_ns = this.queue.clock().now();
            if !hold
                && !this.queue.is_queued()
                && let Poll::Ready(budget) = poll_proceed(cx)
                && this.queue.take_at_once(permits, now_ns)
            {
                budget.made_progress();
                *this.stage = Stage::Done;
                return Poll::Ready(Ok(None));
            }
            let request = Request { permits, max_wait: *max_wait, thread: false, gate: None };
            // Set before the place is linked, so that a panic in there finds its way out.
            *this.stage = Stage::Queued;
            *this.stage = match this.queue.enter(place, request, cx.waker(), now_ns) {
                Ok(Entered::Granted(grant)) => Stage::Held(grant),
                Ok(Entered::Shared(grant)) => {
                    // Behind the others that the same worker has to run.
                    *this.stage = Stage::Held(grant);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(Entered::Behind) if place.granted().is_some() => {
                    // It has run the hand-off: behind those who have been served with it.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Ok(Entered::Waiting | Entered::Behind) => Stage::Queued,
                Err(denied) => {
                    *this.stage = Stage::Done;
                    return Poll::Ready(Err(denied));
                }
            };
        } else if matches!(this.stage, Stage::Queued) && place.granted().is_none() {
            this.queue.refresh(place, cx.waker());
        }
        if matches!(this.stage, Stage::Queued) {
            *this.stage = match place.granted() {
                None => return Poll::Pending,
                Some(Outcome::Granted(grant)) => Stage::Held(grant),
                Some(Outcome::Denied(denied)) => {
                    *this.stage = Stage::Done;
                    return Poll::Ready(Err(denied));
                }
            };
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
        $name:ident<$($life:lifetime,)? C>($queue:ty) -> $output:ty, $finish:expr;
    )*) => {$(
        pin_project! {
            $(#[$doc])*
            #[must_use = "futures do nothing unless polled or awaited"]
            pub struct $name<$($life,)? C: Clock> {
                #[pin]
                waiter: Waiter<$queue, C>,
            }
        }

        impl<$($life,)? C: Clock> $name<$($life,)? C> {
            pub(crate) fn new(
                queue: $queue,
                permits: Result<Permits, InvalidPermits>,
                max_wait: Option<Duration>,
            ) -> Self {
                Self { waiter: Waiter::new(queue, permits, max_wait) }
            }
        }

        impl<$($life,)? C: Clock> Future for $name<$($life,)? C> {
            type Output = $output;

            fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<$output> {
                self.project().waiter.poll_grant(cx, false).map(|granted| $finish(granted.map(|_| ())))
            }
        }

        impl<$($life,)? C: Clock> fmt::Debug for $name<$($life,)? C> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("stage", &self.waiter.stage).finish_non_exhaustive()
            }
        }
    )*};
}

/// One permit always fits: a burst is at least one.
fn one(granted: Result<(), Denied>) {
    debug_assert!(granted.is_ok(), "one permit was refused");
}

futures! {
    /// The future of [`RateLimiter::acquire`](crate::RateLimiter::acquire).
    ///
    /// It cannot be moved once polled:
    /// ```compile_fail
    /// fn unpin<T: Unpin>() {}
    /// unpin::<tidegate::Acquire<'static, tidegate::QuantaClock>>();
    /// ```
    Acquire<'a, C>(&'a WaitQueue<C>) -> (), one;

    /// The future of [`RateLimiter::acquire_n`](crate::RateLimiter::acquire_n) and
    /// [`acquire_within`](crate::RateLimiter::acquire_within).
    AcquireN<'a, C>(&'a WaitQueue<C>) -> Result<(), Denied>, core::convert::identity;

    /// The future of [`RateLimiter::acquire_owned`](crate::RateLimiter::acquire_owned).
    AcquireOwned<C>(Arc<WaitQueue<C>>) -> (), one;

    /// The future of [`RateLimiter::acquire_n_owned`](crate::RateLimiter::acquire_n_owned) and
    /// [`acquire_within_owned`](crate::RateLimiter::acquire_within_owned).
    AcquireNOwned<C>(Arc<WaitQueue<C>>) -> Result<(), Denied>, core::convert::identity;
}
