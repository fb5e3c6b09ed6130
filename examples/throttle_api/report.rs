//! The closing table and the verdict.

use std::time::Duration;

use crate::{
    cli::Options,
    client::{Call, Phase},
    server::Seen,
};

/// The result of a phase.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) name: &'static str,
    /// When each request was seen, and whether it was accepted: from the server's log, or else from its answers.
    pub(crate) seen: Vec<Seen>,
    judge: &'static str,
    waits: Vec<Duration>,
    in_order: bool,
    /// Accepted requests a second.
    achieved: f64,
    allowed: f64,
}

impl Verdict {
    pub(crate) fn new(phase: &Phase, calls: &[Call], log: Option<Vec<Seen>>, options: &Options) -> Self {
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
        // A limited phase counts in full: the time in which its tasks send nothing is unused allowance.
        let span = if phase.limiter.is_some() { phase.time.max(last) } else { last };
        let mut waits: Vec<_> = calls.iter().map(|call| call.waited).collect();
        waits.sort_unstable();
        Self {
            name: phase.name,
            judge,
            waits,
            in_order: calls.is_sorted_by_key(|call| call.arrival),
            achieved: (accepted(&seen) as f64) / span.max(Duration::from_millis(1)).as_secs_f64(),
            allowed: options.limit as f64 / options.window.as_secs_f64(),
            seen,
        }
    }

    fn refused(&self) -> u64 {
        self.seen.len() as u64 - accepted(&self.seen)
    }

    fn used(&self) -> f64 {
        self.achieved / self.allowed
    }

    fn wait(&self, share: f64) -> Duration {
        let last = self.waits.len().saturating_sub(1);
        self.waits.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }

    /// Whether nothing was refused, the allowance was used, and the order kept. Prints what is wrong.
    pub(crate) fn judge(&self) -> bool {
        let checks = [
            (self.refused() == 0, format!("the server refused {} requests", self.refused())),
            (self.used() >= 0.99, format!("{:.2} % of the allowance was used", 100.0 * self.used())),
            (self.in_order, "permits were granted out of order".to_owned()),
        ];
        for (_, wrong) in checks.iter().filter(|(right, _)| !right) {
            println!("FAILED: {wrong}");
        }
        let passed = checks.iter().all(|(right, _)| *right);
        if passed {
            println!(
                "passed: nothing refused, {:.2} % of the allowance used, order kept",
                100.0 * self.used()
            );
        }
        passed
    }
}

fn accepted(seen: &[Seen]) -> u64 {
    seen.iter().filter(|seen| seen.accepted).count() as u64
}

/// Prints one column for each phase.
pub(crate) fn print(phases: &[Verdict], options: &Options) {
    let row = |name: &str, cell: &dyn Fn(&Verdict) -> String| {
        print!("{name:<24}");
        for phase in phases {
            print!("{:>22}", cell(phase));
        }
        println!();
    };
    row("", &|phase| phase.name.to_owned());
    row("sent", &|phase| phase.seen.len().to_string());
    row("refused (429)", &|phase| phase.refused().to_string());
    row("accepted a second", &|phase| format!("{:.2}", phase.achieved));
    row("allowed a second", &|phase| format!("{:.2}", phase.allowed));
    row("allowance used", &|phase| format!("{:.2} %", 100.0 * phase.used()));
    row("waited, p50", &|phase| format!("{:.1?}", phase.wait(0.50)));
    row("waited, p99", &|phase| format!("{:.1?}", phase.wait(0.99)));
    row("order kept", &|phase| if phase.in_order { "yes" } else { "NO" }.to_owned());
    row("judged by", &|phase| phase.judge.to_owned());
    println!();
    if phases.len() > 1 {
        println!(
            "The API admits {} requests at once, so more than 100 % is possible without a limiter.",
            options.limit
        );
    }
}
