//! The service that a layer makes, and its future.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::sync::Arc;

use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::state::{Decision, State, Taken, Waiting};

/// The service of a [`LimitLayer`](super::LimitLayer).
pub struct LimitService<S, B> {
    inner: S,
    state: Arc<State<B>>,
}

impl<S, B> LimitService<S, B> {
    pub(super) const fn new(inner: S, state: Arc<State<B>>) -> Self {
        Self { inner, state }
    }
}

impl<S: Clone, B> Clone for LimitService<S, B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), state: Arc::clone(&self.state) }
    }
}

impl<S: fmt::Debug, B> fmt::Debug for LimitService<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<R>> for LimitService<S, B>
where
    S: Service<Request<R>, Response = Response<B>> + Clone,
    B: Default,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = LimitFuture<S, B, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        // The clone that is ready is called; the new one becomes ready for the next request.
        let clone = self.inner.clone();
        let inner = core::mem::replace(&mut self.inner, clone);
        let (head, body) = request.into_parts();
        LimitFuture {
            state: Arc::clone(&self.state),
            request: Some(Pending { inner, head, body }),
            waiting: None,
            taken: Taken::default(),
            call: None,
        }
    }
}

/// A request that has not reached the inner service.
struct Pending<S, R> {
    inner: S,
    head: Parts,
    body: R,
}

pin_project! {
    /// The response of a [`LimitService`].
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct LimitFuture<S, B, R>
    where
        S: Service<Request<R>>,
    {
        state: Arc<State<B>>,
        request: Option<Pending<S, R>>,
        waiting: Option<Waiting>,
        taken: Taken,
        #[pin]
        call: Option<S::Future>,
    }
}

impl<S, B, R> Future for LimitFuture<S, B, R>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: Default,
{
    type Output = Result<Response<B>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(call) = this.call.as_mut().as_pin_mut() {
                let response = ready!(call.poll(cx))?;
                return Poll::Ready(Ok(this.state.finish(this.taken, response)));
            }
            let Some(request) = &*this.request else { panic!("polled after completion") };
            let decision = match this.waiting.take() {
                None => this.state.decide(&request.head),
                Some(mut waiting) => match Pin::new(&mut waiting.all).poll(cx) {
                    Poll::Pending => {
                        *this.waiting = Some(waiting);
                        return Poll::Pending;
                    }
                    Poll::Ready(granted) => {
                        let granted = granted.map_err(|refused| (refused.limit(), refused.denied()));
                        this.state.decide_after(waiting, granted)
                    }
                },
            };
            match decision {
                Decision::Wait(waiting) => *this.waiting = Some(waiting),
                Decision::Refuse(refused) => {
                    let head = this.request.take().map(|request| request.head);
                    let Some(head) = head else { unreachable!("it was there just now") };
                    return Poll::Ready(Ok(this.state.respond(&refused, &head)));
                }
                Decision::Admit(taken) => {
                    *this.taken = taken;
                    if let Some(Pending { mut inner, head, body }) = this.request.take() {
                        let call = inner.call(Request::from_parts(head, body));
                        this.call.set(Some(call));
                    }
                }
            }
        }
    }
}

impl<S, B, R> fmt::Debug for LimitFuture<S, B, R>
where
    S: Service<Request<R>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitFuture").finish_non_exhaustive()
    }
}
