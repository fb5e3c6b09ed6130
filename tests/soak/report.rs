//! What a test has done, for `scripts/verify/soak.sh`.

use std::fmt;

/// How much of it; each test counts what it has.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rounds: u64,
    /// Calls that were admitted.
    pub(crate) admitted: u64,
    /// Waiters that left the queue.
    pub(crate) cancelled: u64,
    /// Changes of quota.
    pub(crate) changes: u64,
    /// Requests that the server has served.
    pub(crate) requests: Option<u64>,
    /// In bytes.
    pub(crate) memory: Option<Memory>,
}

/// What was in use after warming up, and in the end: by the heap, or by the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) what: &'static str,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Report {
    pub(crate) fn print(&self, test: &str, seconds: f64, time: &str) {
        println!("soak: {test} {seconds} {time} {self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, admitted, cancelled, changes, requests, memory } = self;
        write!(f, "{rounds} {admitted} {cancelled} {changes} ")?;
        match requests {
            Some(requests) => write!(f, "{requests} ")?,
            None => write!(f, "- ")?,
        }
        match memory {
            Some(Memory { what, first, last }) => write!(f, "{what} {first} {last}"),
            None => write!(f, "- - -"),
        }
    }
}
