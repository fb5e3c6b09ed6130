//! What one request needs, from its permits to its response.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode, request};

use super::{
    adaptive::Epoch,
    feedback::Feedback,
    server::Server,
    state::{State, count},
    usage::{Estimate, Usage},
};
use crate::{
    all_of::{AllOf, AllOfDenied, ReservationAll, ReserveAll},
    error::Denied,
};

/// A request that waits for its permits.
pub(super) struct Plan {
    server: Option<Server>,
    /// The limits of the request, without the tokens.
    call: AllOf,
    estimate: Option<u64>,
}

impl State {
    pub(super) fn plan(&self, request: &request::Parts) -> Result<Plan, Denied> {
        let server = self.servers.find(request)?;
        let cost = self.cost.as_ref().map_or(1, |cost| cost(request));
        let mut call = AllOf::new();
        if let Some(server) = &server {
            call = call.and(server.limiter.as_limit(), cost);
        }
        let estimate = self.tokens.as_ref().map(|tokens| (tokens.estimate)(request));
        Ok(Plan { server, call: call.and(&self.also, cost), estimate })
    }

    /// Waits for the permits of a request.
    pub(super) fn reserve(&self, plan: &Plan) -> ReserveAll {
        let mut all = plan.call.clone();
        if let (Some(tokens), Some(estimate)) = (&self.tokens, plan.estimate) {
            all = all.and(&tokens.limit, estimate);
        }
        match self.max_wait {
            Some(max_wait) => all.reserve_within(max_wait),
            None => all.reserve(),
        }
    }

    /// A request has its permits, or was refused them.
    pub(super) fn send(
        &self,
        plan: Plan,
        reserved: Result<ReservationAll, AllOfDenied>,
    ) -> Result<Sent, Denied> {
        let reservation = reserved.map_err(|denied| {
            count(&self.counters.limited);
            denied.denied()
        })?;
        count(&self.counters.sent);
        let epoch =
            plan.server.as_ref().and_then(|server| server.learning.as_ref()).map(|learning| learning.epoch());
        let estimate = if let Some(tokens) = &self.tokens {
            Some(Estimate::new(reservation, plan.call, tokens.limit.clone()))
        } else {
            reservation.spend();
            None
        };
        Ok(Sent { server: plan.server, epoch: epoch.unwrap_or_default(), estimate })
    }
}

/// A request that was sent. If there is no response, all its permits stay used.
pub(super) struct Sent {
    server: Option<Server>,
    epoch: Epoch,
    estimate: Option<Estimate>,
}

impl Sent {
    /// Learns from the response. Returns the handle by which the tokens are settled, if its headers do not tell them.
    pub(super) fn respond(self, state: &State, status: StatusCode, headers: &HeaderMap) -> Option<Usage> {
        let feedback = Feedback::of(status, headers, SystemTime::now());
        state.note(&feedback);
        if let Some(server) = &self.server {
            if let Some(pause) = feedback.pause() {
                server.limiter.pause_gently(pause.min(state.max_pause));
            }
            let now = server.limiter.now();
            let learning = server.learning.as_ref();
            let rate = learning.and_then(|learning| learning.respond(self.epoch, feedback.is_refusal(), now));
            if let Some(rate) = rate {
                server.limiter.set_rate(rate);
            }
        }
        let estimate = self.estimate?;
        let used = state.tokens.as_ref().and_then(|tokens| tokens.used.as_ref());
        if let Some(used) = used.and_then(|used| used(status, headers)) {
            // A debt that is too deep stays at the estimate.
            let _ = estimate.settle(used);
            return None;
        }
        Some(Usage::new(estimate))
    }
}
