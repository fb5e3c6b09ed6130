//! The state of a layer, and the decision on a request.

use core::{fmt, time::Duration};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request};

use super::{
    headers::HeaderStyle,
    policy::{Found, Policy, Subject},
    refusal::{Reason, Refusal},
};
use crate::{
    all_of::{AcquireAll, AllOf},
    error::{Denied, QueueFull},
    limiter::Level,
    permits::Permits,
    quota::Quota,
    sync::plain::AtomicU64,
};

/// How many requests a [`LimitLayer`](super::LimitLayer) has seen. Malformed headers of proxies are counted by
/// [`ClientAddress::malformed`](super::ClientAddress::malformed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Counts {
    /// Requests that all policies in force admitted.
    pub admitted: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Of the admitted requests, those that a policy in [`shadow`](super::Policy::shadow) would have refused.
    pub shadowed: u64,
    /// Requests to which no policy applied.
    pub skipped: u64,
    /// Requests of which a policy gave permits back because of their response.
    pub refunded: u64,
}

type Skip = dyn Fn(&request::Parts) -> bool + Send + Sync;
type OnRefusal<B> = dyn Fn(&Refusal<'_>, &request::Parts) -> Response<B> + Send + Sync;

pub(super) struct State<B> {
    pub(super) policies: Vec<Policy>,
    pub(super) max_wait: Option<Duration>,
    pub(super) style: HeaderStyle,
    pub(super) max_waiting: usize,
    pub(super) skip: Option<Box<Skip>>,
    pub(super) on_refusal: Option<Box<OnRefusal<B>>>,
    waiting: Arc<AtomicUsize>,
    admitted: AtomicU64,
    refused: AtomicU64,
    shadowed: AtomicU64,
    skipped: AtomicU64,
    refunded: AtomicU64,
}

impl<B> Default for State<B> {
    fn default() -> Self {
        Self {
            policies: Vec::new(),
            max_wait: None,
            style: HeaderStyle::default(),
            max_waiting: usize::MAX,
            skip: None,
            on_refusal: None,
            waiting: Arc::default(),
            admitted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            shadowed: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            refunded: AtomicU64::new(0),
        }
    }
}

/// The limit of a request by one policy, and what the request takes of it.
pub(super) struct Part {
    policy: usize,
    subject: Box<dyn Subject>,
    cost: Permits,
}

/// The limits of a request.
#[derive(Default)]
struct Limits {
    in_force: Vec<Part>,
    shadows: Shadows,
}

/// The limits of a request that are tried.
#[derive(Default)]
struct Shadows {
    parts: Vec<Part>,
    /// Whether one would refuse the request for want of a key.
    refuse: bool,
}

/// What clients are told of one policy.
#[derive(Clone, Copy)]
struct Seen {
    policy: usize,
    quota: Quota,
    level: Level,
}

/// A request on its way through the inner service.
#[derive(Default)]
pub(super) struct Taken {
    parts: Vec<Part>,
    seen: Vec<Seen>,
}

/// The decision on a request.
pub(super) enum Decision {
    Admit(Taken),
    Wait(Waiting),
    Refuse(Refused),
}

pub(super) struct Waiting {
    pub(super) all: AcquireAll,
    parts: Vec<Part>,
    shadows: Shadows,
    _place: Place,
}

/// One of the places for requests that wait.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn new(waiting: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let one_more = |waiting: usize| (waiting < most).then(|| waiting + 1);
        // Relaxed, here and below: the number stands alone.
        let taken = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok().then(|| Self(Arc::clone(waiting)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) struct Refused {
    policy: usize,
    reason: Reason,
    seen: Vec<Seen>,
}

fn count(counter: &AtomicU64) {
    // Relaxed: a number for reports.
    counter.fetch_add(1, Ordering::Relaxed);
}

impl<B> State<B> {
    pub(super) fn counts(&self) -> Counts {
        // Relaxed: as in `count`.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            admitted: read(&self.admitted),
            refused: read(&self.refused),
            shadowed: read(&self.shadowed),
            skipped: read(&self.skipped),
            refunded: read(&self.refunded),
        }
    }

    /// Takes the permits of all policies, or decides that the request has to wait or is refused.
    pub(super) fn decide(&self, request: &request::Parts) -> Decision {
        let Limits { in_force: parts, shadows } = match self.limits(request) {
            Ok(limits) => limits,
            Err((policy, reason)) => return self.refused(policy, reason, &[]),
        };
        if parts.is_empty() && shadows.parts.is_empty() && !shadows.refuse {
            count(&self.skipped);
            return Decision::Admit(Taken::default());
        }
        let mut seen = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            match part.take(self.max_wait.is_some()) {
                Ok(level) if self.style.tells_levels() => seen.push(part.seen(level)),
                Ok(_) => {}
                Err(reason) => {
                    parts[..i].iter().for_each(Part::give_back);
                    let policy = part.policy;
                    return match (self.max_wait, reason) {
                        (Some(max_wait), Reason::Denied(Denied::NotYet(not_yet))) => {
                            let place = Place::new(&self.waiting, self.max_waiting);
                            if let Some(place) = place {
                                return self.wait(parts, shadows, max_wait, place);
                            }
                            let full = QueueFull::new(self.max_waiting, not_yet);
                            self.refused(policy, Reason::Denied(full.into()), &parts)
                        }
                        (_, Reason::Panicked) => self.refused(policy, reason, &[]),
                        _ => self.refused(policy, reason, &parts),
                    };
                }
            }
        }
        self.admit(parts, seen, shadows)
    }

    /// Admits a request of which the policies in force have taken their permits.
    fn admit(&self, mut parts: Vec<Part>, seen: Vec<Seen>, shadows: Shadows) -> Decision {
        count(&self.admitted);
        let Shadows { parts: shadows, refuse } = shadows;
        let refusing =
            if refuse { Some(0) } else { shadows.iter().position(|part| part.take(false).is_err()) };
        if let Some(refusing) = refusing {
            shadows[..refusing].iter().for_each(Part::give_back);
            count(&self.shadowed);
        } else {
            parts.extend(shadows);
        }
        Decision::Admit(Taken { parts, seen })
    }

    /// The limits that apply to a request. The error is the policy that refuses it without one.
    fn limits(&self, request: &request::Parts) -> Result<Limits, (usize, Reason)> {
        let mut limits = Limits::default();
        for (i, policy) in self.policies.iter().enumerate() {
            let found = || {
                if i == 0 && self.skip.as_ref().is_some_and(|skip| skip(request)) {
                    return None;
                }
                Some((policy.subject(request), policy.cost_of(request)))
            };
            // Unwind safe: nothing of ours is changed in there.
            let reason = match catch_unwind(AssertUnwindSafe(found)) {
                Ok(Some((Found::Subject(subject), cost))) => {
                    let part = Part { policy: i, subject, cost };
                    let parts =
                        if policy.is_shadow() { &mut limits.shadows.parts } else { &mut limits.in_force };
                    parts.push(part);
                    continue;
                }
                Ok(Some((Found::Skipped, _))) => continue,
                Ok(None) => break,
                Ok(Some((Found::Missing, _))) => Reason::MissingKey,
                Err(_) => Reason::Panicked,
            };
            if !policy.is_shadow() {
                return Err((i, reason));
            }
            limits.shadows.refuse = true;
        }
        Ok(limits)
    }

    fn wait(&self, parts: Vec<Part>, shadows: Shadows, max_wait: Duration, place: Place) -> Decision {
        let mut all = AllOf::new();
        for part in &parts {
            match part.subject.join(all, part.cost) {
                Ok(joined) => all = joined,
                Err(denied) => return self.refused(part.policy, Reason::Denied(denied), &parts),
            }
        }
        Decision::Wait(Waiting { all: all.acquire_within(max_wait), parts, shadows, _place: place })
    }

    /// The decision after a wait.
    pub(super) fn decide_after(&self, waiting: Waiting, granted: Result<(), (usize, Denied)>) -> Decision {
        let Waiting { parts, shadows, .. } = waiting;
        match granted {
            Ok(()) => {
                let seen = self.levels(&parts);
                self.admit(parts, seen, shadows)
            }
            Err((i, denied)) => {
                let policy = parts.get(i).map_or(0, |part| part.policy);
                self.refused(policy, Reason::Denied(denied), &parts)
            }
        }
    }

    /// The present levels, if clients are told.
    fn levels(&self, parts: &[Part]) -> Vec<Seen> {
        let told = if self.style.tells_levels() { parts } else { &[] };
        told.iter().map(|part| part.seen(part.subject.level())).collect()
    }

    fn refused(&self, policy: usize, reason: Reason, parts: &[Part]) -> Decision {
        let seen = self.levels(parts);
        count(&self.refused);
        Decision::Refuse(Refused { policy, reason, seen })
    }

    /// The response to a refused request.
    pub(super) fn respond(&self, refused: &Refused, request: &request::Parts) -> Response<B>
    where
        B: Default,
    {
        let name = self.policies.get(refused.policy).map_or("", |policy| policy.name());
        let refusal = Refusal { policy: name, reason: refused.reason };
        let mut response = match &self.on_refusal {
            Some(respond) => respond(&refusal, request),
            None => default_response(&refusal, request),
        };
        self.write(response.headers_mut(), &refused.seen, refusal.retry_after());
        response
    }

    /// Ends an admitted request: gives its permits back if its response says so, and adds the headers.
    pub(super) fn finish(&self, taken: &Taken, response: Response<B>) -> Response<B> {
        let (mut head, body) = response.into_parts();
        let mut refunded = false;
        for part in &taken.parts {
            // Unwind safe: the response is not changed. A function that panics refunds nothing.
            let refunds = || self.policies[part.policy].refunds(&head);
            if catch_unwind(AssertUnwindSafe(refunds)).unwrap_or(false) {
                part.give_back();
                refunded = true;
            }
        }
        if refunded {
            count(&self.refunded);
        }
        self.write(&mut head.headers, &taken.seen, None);
        Response::from_parts(head, body)
    }

    fn write(&self, headers: &mut HeaderMap, seen: &[Seen], retry_after: Option<Duration>) {
        // Of an unlimited or blocked quota there are no numbers to tell.
        let told = seen.iter().filter(|seen| !seen.quota.is_fixed());
        let told: Vec<_> =
            told.map(|seen| self.policies[seen.policy].told(&seen.quota, seen.level)).collect();
        self.style.write(headers, &told, retry_after.filter(|&wait| wait < SOME_DAY));
    }
}

impl Part {
    /// With `waits`, for a request that waits if it is refused.
    fn take(&self, waits: bool) -> Result<Level, Reason> {
        // Unwind safe: a key may panic when it is hashed or compared, and a limiter can be used after a panic.
        match catch_unwind(AssertUnwindSafe(|| self.subject.take(self.cost, waits))) {
            Ok(taken) => taken.map_err(Reason::Denied),
            Err(_) => Err(Reason::Panicked),
        }
    }

    fn give_back(&self) {
        self.subject.give_back(self.cost);
    }

    fn seen(&self, level: Level) -> Seen {
        Seen { policy: self.policy, quota: self.subject.quota(), level }
    }
}

/// A wait that is as long, such as that of a blocked quota, is not told.
const SOME_DAY: Duration = Duration::from_secs(10 * 365 * 86_400);

const GRPC: &[u8] = b"application/grpc";

/// Whether a request is gRPC, and not gRPC-Web or other types that begin alike.
fn is_grpc(request: &request::Parts) -> bool {
    let content_type = request.headers.get(header::CONTENT_TYPE);
    let split = content_type.and_then(|value| value.as_bytes().split_at_checked(GRPC.len()));
    split.is_some_and(|(name, rest)| {
        name.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// The status of a refusal, and gRPC's code for it.
const fn status(reason: Reason) -> (StatusCode, &'static str) {
    match reason {
        Reason::Denied(Denied::Closed | Denied::TooManyKeys) => (StatusCode::SERVICE_UNAVAILABLE, "14"),
        Reason::Denied(_) => (StatusCode::TOO_MANY_REQUESTS, "8"),
        Reason::MissingKey => (StatusCode::BAD_REQUEST, "3"),
        Reason::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "13"),
    }
}

fn default_response<B: Default>(refusal: &Refusal<'_>, request: &request::Parts) -> Response<B> {
    let mut response = Response::new(B::default());
    let (http, grpc) = status(refusal.reason);
    if is_grpc(request) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(grpc));
        headers.insert("grpc-message", HeaderValue::from_static("refused by a rate limit"));
    } else {
        *response.status_mut() = http;
    }
    response
}

impl<B> fmt::Debug for State<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("policies", &self.policies).finish_non_exhaustive()
    }
}
