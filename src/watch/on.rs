//! The watch with the feature.

use core::{fmt, time::Duration};
use std::sync::OnceLock;

use super::{
    counters::{Counters, count, read},
    event::{Event, Listener},
    stats::{Now, Stats},
};
use crate::{clock::Clock, error::Denied, permits::Permits, quota::Quota};

/// When a waiter joined: the reading of the limiter's clock. `None` if it has not joined, or the limiter was not watched then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Began(Option<u64>);

/// The watch of a limiter, which may have none.
#[derive(Debug)]
pub(crate) struct Watch(OnceLock<Box<Watched>>);

struct Watched {
    name: Box<str>,
    listener: Option<Box<dyn Listener>>,
    counters: Counters,
}

impl Watched {
    // Not inlined, so that a refusal is not copied if nobody listens.
    #[inline(never)]
    fn tell_refused(&self, denied: &Denied) {
        self.tell(Event::Refused(*denied));
    }

    fn tell(&self, event: Event) {
        if let Some(listener) = &self.listener {
            listener.on_event(&self.name, &event);
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("name", &self.name).finish_non_exhaustive()
    }
}

fn since<C: Clock + ?Sized>(began_ns: u64, clock: &C) -> Duration {
    Duration::from_nanos(clock.now().saturating_sub(began_ns))
}

impl Watch {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Begins to count. Returns whether nobody watched before.
    pub(crate) fn begin(&self, name: String, listener: Option<Box<dyn Listener>>) -> bool {
        let watched = Watched { name: name.into(), listener, counters: Counters::new() };
        self.0.set(Box::new(watched)).is_ok()
    }

    #[inline]
    fn watched(&self) -> Option<&Watched> {
        self.0.get().map(|watched| &**watched)
    }

    #[inline]
    pub(crate) fn admitted(&self) {
        if let Some(watched) = self.watched() {
            watched.counters.count_call(|calls| &calls.admitted);
        }
    }

    #[inline]
    pub(crate) fn refused(&self, denied: &Denied) {
        if let Some(watched) = self.watched() {
            watched.counters.count_call(|calls| &calls.refused);
            if watched.listener.is_some() {
                watched.tell_refused(denied);
            }
        }
    }

    /// A call for as many permits as are available got none.
    pub(crate) fn found_none(&self) {
        if let Some(watched) = self.watched() {
            watched.counters.count_call(|calls| &calls.refused);
        }
    }

    /// A call was decided at once.
    #[inline]
    pub(crate) fn decided<T>(&self, decision: &Result<T, Denied>) {
        match decision {
            Ok(_) => self.admitted(),
            Err(denied) => self.refused(denied),
        }
    }

    pub(crate) fn joined<C: Clock + ?Sized>(&self, clock: &C) -> Began {
        Began(self.watched().map(|watched| {
            let now_ns = clock.now();
            count(&watched.counters.events.joined);
            watched.tell(Event::Joined);
            now_ns
        }))
    }

    /// The watch, and when the waiter joined; `None` if nobody watches, or did not watch then.
    fn waiter(&self, began: Began) -> Option<(&Watched, u64)> {
        Some((self.watched()?, began.0?))
    }

    pub(crate) fn granted<C: Clock + ?Sized>(&self, began: Began, clock: &C) {
        if let Some((watched, began_ns)) = self.waiter(began) {
            let waited = since(began_ns, clock);
            count(&watched.counters.events.granted);
            watched.counters.waits.record(waited);
            watched.tell(Event::Granted { waited });
        }
    }

    pub(crate) fn too_late<C: Clock + ?Sized>(&self, began: Began, denied: &Denied, clock: &C) {
        if let Some((watched, began_ns)) = self.waiter(began) {
            let waited = since(began_ns, clock);
            count(&watched.counters.events.too_late);
            watched.tell(Event::TooLate { waited, denied: *denied });
        }
    }

    pub(crate) fn cancelled(&self, began: Began) {
        if let Some((watched, _)) = self.waiter(began) {
            count(&watched.counters.events.cancelled);
            watched.tell(Event::Cancelled);
        }
    }

    pub(crate) fn given_back(&self, permits: Permits) {
        if let Some(watched) = self.watched() {
            count(&watched.counters.events.given_back);
            watched.tell(Event::GivenBack(permits));
        }
    }

    pub(crate) fn charged(&self, permits: Permits) {
        if let Some(watched) = self.watched() {
            count(&watched.counters.events.charged);
            watched.tell(Event::Charged(permits));
        }
    }

    pub(crate) fn paused(&self, pause: Option<Duration>) {
        if let Some(watched) = self.watched() {
            count(&watched.counters.events.pauses);
            watched.tell(Event::Paused { pause });
        }
    }

    pub(crate) fn paused_until<C: Clock + ?Sized>(&self, until_ns: u64, clock: &C) {
        if self.watched().is_some() {
            self.paused(Some(Duration::from_nanos(until_ns.saturating_sub(clock.now()))));
        }
    }

    pub(crate) fn resumed(&self) {
        self.tell(Event::Resumed);
    }

    pub(crate) fn quota_set(&self, quota: Quota) {
        self.tell(Event::QuotaSet(quota));
    }

    pub(crate) fn closed(&self) {
        self.tell(Event::Closed);
    }

    fn tell(&self, event: Event) {
        if let Some(watched) = self.watched() {
            watched.tell(event);
        }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.watched().map(|watched| &*watched.name)
    }

    pub(crate) fn stats(&self, now: impl FnOnce() -> Now) -> Option<Stats> {
        let counters = &self.watched()?.counters;
        let Counters { events, waits, .. } = counters;
        let Now { waiting, available, parked, stolen } = now();
        Some(Stats {
            admitted: counters.calls(|calls| &calls.admitted),
            refused: counters.calls(|calls| &calls.refused),
            waited: read(&events.joined),
            granted: read(&events.granted),
            too_late: read(&events.too_late),
            cancelled: read(&events.cancelled),
            given_back: read(&events.given_back),
            charged: read(&events.charged),
            pauses: read(&events.pauses),
            waiting,
            available,
            parked,
            stolen,
            waits: waits.snapshot(),
        })
    }
}
