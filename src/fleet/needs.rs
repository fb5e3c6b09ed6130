//! Callers that lack permits and may wait for some time, but not for as long as their limiter would need by itself.
//!
//! The limiter would refuse such a call at once, since it knows only what is leased. So the caller first asks the task for a
//! lease, and asks the limiter when its need is answered. An answer is no grant: other callers may have been faster.

use tokio::sync::oneshot;

/// A caller that waits for an answer. Dropping the need is the answer.
#[derive(Debug)]
pub(super) struct Need {
    permits: u64,
    /// By the base clock.
    until_ns: u64,
    caller: oneshot::Sender<()>,
}

impl Need {
    /// The receiver returns, with an error, when the need is answered.
    pub(super) fn new(permits: u64, until_ns: u64) -> (Self, oneshot::Receiver<()>) {
        let (caller, answered) = oneshot::channel();
        (Self { permits, until_ns, caller }, answered)
    }

    /// Whether the caller still waits.
    pub(super) fn is_open(&self, now_ns: u64) -> bool {
        now_ns < self.until_ns && !self.caller.is_closed()
    }
}

/// What the server said when it had nothing for a need.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    permits: u64,
    /// When so many could be there.
    from_ns: u64,
    /// Until when it counts. Others may give back.
    until_ns: u64,
}

/// The needs that the next call to the server is for.
#[derive(Debug, Default)]
pub(super) struct Needs {
    open: Vec<Need>,
    refusal: Option<Refusal>,
}

impl Needs {
    /// Adds needs, and answers those for which nothing can come in time: as the server has said, or as the member may not
    /// ask before `ask_from_ns`.
    pub(super) fn gather(&mut self, new: Vec<Need>, now_ns: u64, ask_from_ns: u64) {
        self.refusal = self.refusal.filter(|refusal| now_ns < refusal.until_ns);
        self.open.extend(new);
        let refusal = self.refusal;
        self.open.retain(|need| {
            let is_refused = refusal
                .is_some_and(|refusal| need.permits >= refusal.permits && need.until_ns <= refusal.from_ns);
            let can_ask = now_ns >= ask_from_ns || need.until_ns > ask_from_ns;
            !is_refused && can_ask && need.is_open(now_ns)
        });
    }

    /// The permits of all.
    pub(super) fn total(&self) -> u64 {
        self.open.iter().fold(0, |sum, need| sum.saturating_add(need.permits))
    }

    /// The permits of the first, and until when it waits.
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.open.first().map(|need| (need.permits, need.until_ns))
    }

    /// The server has nothing for a need of so many permits, which could be there at `from_ns`. It is not asked for as many in less time
    /// before `until_ns`.
    pub(super) fn refused(&mut self, permits: u64, from_ns: u64, until_ns: u64) {
        self.refusal = Some(Refusal { permits, from_ns, until_ns });
    }

    /// Answers all.
    pub(super) fn answer(&mut self) {
        self.open.clear();
    }

    /// Answers those whose time is over.
    pub(super) fn drop_late(&mut self, now_ns: u64) {
        self.open.retain(|need| need.is_open(now_ns));
    }
}
