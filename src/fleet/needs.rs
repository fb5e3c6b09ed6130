//! Callers that lack permits and may wait for some time, but not for as long as their limiter would need by itself.
//!
//! Such a call is refused by the limiter at once, since the limiter knows only what is leased. So the caller asks the task
//! for a lease, and tries again when its need is answered. An answer is no grant: other callers may have been faster.

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
}

/// The needs that the next call to the server is for.
#[derive(Debug, Default)]
pub(super) struct Needs {
    open: Vec<Need>,
    /// Until the member may ask again.
    refusal: Option<Refusal>,
}

impl Needs {
    /// Adds needs, and answers those for which nothing can come in time. Returns whether one is worth a call although the server
    /// has just refused another.
    pub(super) fn gather(&mut self, new: Vec<Need>, now_ns: u64, ask_from_ns: u64) -> bool {
        let may_ask = now_ns >= ask_from_ns;
        self.refusal = self.refusal.filter(|_| !may_ask);
        self.open.extend(new);
        let refusal = self.refusal;
        self.open.retain(|need| {
            let in_time = match refusal {
                Some(Refusal { permits, from_ns }) => need.permits < permits || need.until_ns > from_ns,
                None => may_ask || need.until_ns > ask_from_ns,
            };
            in_time && need.is_open(now_ns)
        });
        refusal.is_some() && !self.open.is_empty()
    }

    /// The permits of all.
    pub(super) fn total(&self) -> u64 {
        self.open.iter().fold(0, |sum, need| sum.saturating_add(need.permits))
    }

    /// The permits of the first, and how long it waits.
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.open.first().map(|need| (need.permits, need.until_ns))
    }

    /// The server has refused so many permits; they could be there at this time.
    pub(super) fn refused(&mut self, permits: u64, from_ns: u64) {
        self.refusal = Some(Refusal { permits, from_ns });
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
