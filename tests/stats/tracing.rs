//! What a subscriber of tracing sees.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use tidegate::{ManualClock, Quota, RateLimiter, TracingListener};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Keeps each event as a line, down to a level.
#[derive(Clone)]
struct Lines(Level, Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "tidegate" && *metadata.level() <= self.0
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.1.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn lines(level: Level, run: impl FnOnce(&RateLimiter<ManualClock>)) -> Vec<String> {
    let lines = Lines(level, Arc::default());
    let limiter = RateLimiter::with_clock(Quota::per_second(1), ManualClock::new());
    let limiter = limiter.watched_by("api", TracingListener);
    tracing::subscriber::with_default(lines.clone(), || run(&limiter));
    std::mem::take(&mut *lines.1.lock().unwrap())
}

fn some_calls(limiter: &RateLimiter<ManualClock>) {
    limiter.try_acquire().unwrap();
    limiter.try_acquire().unwrap_err();
    limiter.refund(0.5).unwrap();
    limiter.pause_for(Duration::from_secs(2));
    limiter.set_quota(Quota::per_minute(30)).unwrap();
}

#[test]
fn events_have_levels_and_fields() {
    assert_eq!(
        lines(Level::TRACE, some_calls),
        [
            "DEBUG message=refused limiter=\"api\" denied=rate limited: retry after 1s",
            "TRACE message=given back limiter=\"api\" permits=0.5",
            "INFO message=paused limiter=\"api\" pause=2.0",
            "INFO message=quota set limiter=\"api\" quota=30/min",
        ]
    );
}

#[test]
fn refusals_are_below_info() {
    let lines = lines(Level::INFO, some_calls);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("INFO ")));
}
