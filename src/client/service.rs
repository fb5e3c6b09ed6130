//! The service that a layer makes, and its future.

use core::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::sync::Arc;

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    plan::{Plan, Sent},
    state::State,
};
use crate::{all_of::ReserveAll, error::Denied};

/// Why a request has no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError<E> {
    /// A limiter refused the request. It was not sent.
    Limited(Denied),
    /// The error of the inner service.
    Inner(E),
}

impl<E: fmt::Display> fmt::Display for ClientError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limited(denied) => denied.fmt(f),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for ClientError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Limited(denied) => Some(denied),
            Self::Inner(error) => Some(error),
        }
    }
}

/// The service of a [`ClientLayer`](super::ClientLayer).
#[derive(Clone)]
pub struct ClientService<S> {
    inner: S,
    state: Arc<State>,
}

impl<S> ClientService<S> {
    pub(super) const fn new(inner: S, state: Arc<State>) -> Self {
        Self { inner, state }
    }
}

impl<S: fmt::Debug> fmt::Debug for ClientService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for ClientService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<R>;
    type Error = ClientError<S::Error>;
    type Future = ClientFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(ClientError::Inner)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone that is ready is called; the new one becomes ready for the next request.
        let clone = self.inner.clone();
        let inner = core::mem::replace(&mut self.inner, clone);
        ClientFuture {
            state: Arc::clone(&self.state),
            request: Some((inner, request)),
            waiting: None,
            sent: None,
            call: None,
        }
    }
}

pin_project! {
    /// The future of a [`ClientService`]: waits for the permits of a request, sends it, and learns from the response.
    #[must_use = "futures do nothing unless polled or awaited"]
    pub struct ClientFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        state: Arc<State>,
        // Until it is sent.
        request: Option<(S, Request<B>)>,
        waiting: Option<(Plan, ReserveAll)>,
        sent: Option<Sent>,
        #[pin]
        call: Option<S::Future>,
    }
}

impl<S, B, R> Future for ClientFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<R>, ClientError<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(call) = this.call.as_mut().as_pin_mut() {
                let outcome = ready!(call.poll(cx));
                this.call.set(None);
                let sent = this.sent.take();
                return Poll::Ready(match outcome {
                    Ok(mut response) => {
                        let (status, headers) = (response.status(), response.headers());
                        let usage = sent.and_then(|sent| sent.respond(this.state, status, headers));
                        if let Some(usage) = usage {
                            response.extensions_mut().insert(usage);
                        }
                        Ok(response)
                    }
                    Err(error) => Err(ClientError::Inner(error)),
                });
            }
            if let Some((_, reserve)) = this.waiting {
                let reserved = ready!(Pin::new(reserve).poll(cx));
                let waiting = this.waiting.take();
                let (Some((plan, _)), Some((mut inner, request))) = (waiting, this.request.take()) else {
                    unreachable!("they were there just now")
                };
                match this.state.send(plan, reserved) {
                    Ok(sent) => *this.sent = Some(sent),
                    Err(denied) => return Poll::Ready(Err(ClientError::Limited(denied))),
                }
                this.call.set(Some(inner.call(request)));
                continue;
            }
            let Some((inner, request)) = this.request.take() else { panic!("polled after completion") };
            let (head, body) = request.into_parts();
            let plan = this.state.plan(&head);
            *this.request = Some((inner, Request::from_parts(head, body)));
            match plan {
                Ok(plan) => {
                    let reserve = this.state.reserve(&plan);
                    *this.waiting = Some((plan, reserve));
                }
                Err(denied) => {
                    *this.request = None;
                    return Poll::Ready(Err(ClientError::Limited(denied)));
                }
            }
        }
    }
}

impl<S, B> fmt::Debug for ClientFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFuture").finish_non_exhaustive()
    }
}
