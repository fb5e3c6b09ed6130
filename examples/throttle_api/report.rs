//! The closing table and the verdicts.

use std::time::Duration;

use crate::{
    client::{Call, Pace, Phase},
    server::Seen,
};

/// The time in which a client that is not told the limit may learn it.
pub(crate) const LEARNING: Duration = Duration::from_secs(10);

/// What a phase has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Unlimited,
    Limited,
    Learned,
}

/// The result of a phase.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) limit: u64,
    pub(crate) window: Duration,
    /// From the first request to the end of the phase.
    pub(crate) span: Duration,
    /// When each request was seen, and whether it was accepted: from the server's log, or else from its answers.
    pub(crate) seen: Vec<Seen>,
    pub(crate) waits: Vec<Duration>,
    /// The rate of the limiter when requests were sent, in permits a second.
    pub(crate) rates: Vec<(Duration, f64)>,
    judge: &'static str,
    in_order: bool,
}

impl Verdict {
    pub(crate) fn new(
        phase: &Phase,
        calls: &[Call],
        log: Option<Vec<Seen>>,
        limit: u64,
        window: Duration,
    ) -> Self {
        let judge = if log.is_some() { "the server's log" } else { "the answers" };
        let answers = || calls.iter().map(|call| Seen { at: call.sent, accepted: call.accepted }).collect();
        let mut seen: Vec<Seen> = log.unwrap_or_else(answers);
        seen.sort_by_key(|seen| seen.at);
        // Times count from the first request.
        let first = seen.first().map_or(Duration::ZERO, |first| first.at);
        for seen in &mut seen {
            seen.at -= first;
        }
        let last = seen.last().map_or(Duration::ZERO, |last| last.at);
        let kind = match phase.pace {
            Pace::Unlimited => Kind::Unlimited,
            Pace::Limited(_) => Kind::Limited,
            #[cfg(feature = "client")]
            Pace::Learned(..) => Kind::Learned,
        };
        // A limited phase counts in full: the time in which its tasks send nothing is unused allowance.
        let span = if kind == Kind::Unlimited { last } else { phase.time.max(last) };
        let mut waits: Vec<_> = calls.iter().map(|call| call.waited).collect();
        waits.sort_unstable();
        Self {
            name: phase.name,
            kind,
            limit,
            window,
            span: span.max(Duration::from_millis(1)),
            seen,
            waits,
            rates: calls.iter().filter_map(|call| Some((call.sent, call.rate?))).collect(),
            judge,
            in_order: calls.is_sorted_by_key(|call| call.arrival),
        }
    }

    /// Requests that the server admits, a second.
    pub(crate) fn allowed(&self) -> f64 {
        self.limit as f64 / self.window.as_secs_f64()
    }

    /// The requests that the server saw from then on.
    fn seen_from(&self, from: Duration) -> &[Seen] {
        &self.seen[self.seen.partition_point(|seen| seen.at < from)..]
    }

    fn refused(&self) -> u64 {
        refused(&self.seen)
    }

    fn refused_share(&self, from: Duration) -> f64 {
        let seen = self.seen_from(from);
        refused(seen) as f64 / seen.len().max(1) as f64
    }

    /// Accepted requests a second.
    fn achieved(&self, from: Duration) -> f64 {
        let seen = self.seen_from(from);
        let span = self.span.saturating_sub(from).max(Duration::from_millis(1));
        (seen.len() as u64 - refused(seen)) as f64 / span.as_secs_f64()
    }

    fn used(&self, from: Duration) -> f64 {
        self.achieved(from) / self.allowed()
    }

    pub(crate) fn wait(&self, share: f64) -> Duration {
        let last = self.waits.len().saturating_sub(1);
        self.waits.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    /// Whether the phase shows what it has to. Prints that, or what is wrong.
    pub(crate) fn judge(&self) -> bool {
        let (from, least) = match self.kind {
            Kind::Unlimited => return true,
            Kind::Limited => (Duration::ZERO, 0.99),
            Kind::Learned => (LEARNING, 0.90),
        };
        let (used, share) = (self.used(from), self.refused_share(from));
        let (when, refusals, refused) = match self.kind {
            Kind::Learned => (
                format!("after the first {LEARNING:?}, "),
                format!("{:.2} % of the requests refused", 100.0 * share),
                share < 0.02,
            ),
            _ => (String::new(), format!("{} requests refused", self.refused()), self.refused() == 0),
        };
        let used_text = format!("{:.2} % of the allowance used", 100.0 * used);
        let checks = [
            (refused, &*refusals),
            (used >= least, &*used_text),
            (self.in_order, "permits granted out of order"),
        ];
        let passed = checks.iter().all(|(right, _)| *right);
        if passed {
            println!("passed: {}: {when}{refusals}, {used_text}, order kept", self.name);
        }
        for (_, wrong) in checks.iter().filter(|(right, _)| !right) {
            println!("FAILED: {}: {when}{wrong}", self.name);
        }
        passed
    }
}

fn refused(seen: &[Seen]) -> u64 {
    seen.iter().filter(|seen| !seen.accepted).count() as u64
}

/// Prints one column for each phase.
pub(crate) fn print(phases: &[Verdict]) {
    let row = |name: &str, cell: &dyn Fn(&Verdict) -> String| {
        print!("{name:<24}");
        for phase in phases {
            print!("{:>22}", cell(phase));
        }
        println!();
    };
    let whole = Duration::ZERO;
    row("", &|phase| phase.name.to_owned());
    row("the API admits", &|phase| format!("{} in {:?}", phase.limit, phase.window));
    row("sent", &|phase| phase.seen.len().to_string());
    row("refused (429)", &|phase| phase.refused().to_string());
    row("accepted a second", &|phase| format!("{:.2}", phase.achieved(whole)));
    row("allowed a second", &|phase| format!("{:.2}", phase.allowed()));
    row("allowance used", &|phase| format!("{:.2} %", 100.0 * phase.used(whole)));
    if phases.iter().any(|phase| phase.kind == Kind::Learned) {
        let later = |share: &dyn Fn(&Verdict) -> f64, phase: &Verdict| match phase.kind {
            Kind::Learned => format!("{:.2} %", 100.0 * share(phase)),
            _ => String::new(),
        };
        row("  after 10 s", &|phase| later(&|phase| phase.used(LEARNING), phase));
        row("refused after 10 s", &|phase| later(&|phase| phase.refused_share(LEARNING), phase));
    }
    row("waited, p50", &|phase| format!("{:.1?}", phase.wait(0.50)));
    row("waited, p99", &|phase| format!("{:.1?}", phase.wait(0.99)));
    row("order kept", &|phase| if phase.in_order { "yes" } else { "NO" }.to_owned());
    row("judged by", &|phase| phase.judge.to_owned());
    println!();
    if let Some(first) = phases.iter().find(|phase| phase.kind == Kind::Unlimited) {
        let limit = first.limit;
        println!(
            "The API admits {limit} requests at once, so more than 100 % is possible without a limiter."
        );
    }
}
