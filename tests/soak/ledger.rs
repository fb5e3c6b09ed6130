//! What was admitted, in order. What a waiter was granted counts from when it was granted, but only if it lives to
//! use it, so later entries wait until that is known.

use std::collections::VecDeque;

use tidegate::Quota;

use super::meter::Meters;

#[derive(Debug)]
enum Entry {
    /// By a try call.
    Tried(u64),
    /// By waiting.
    Waited(u64),
    /// Granted, and not known to be used.
    Open,
    /// Granted, and not used.
    Gone,
    Refunded(u64),
    /// The quota is about to change, while `Local`s hold so many permits.
    Announced(Quota, u64),
    Changed(Quota, u64),
}

/// Amounts are in millionths of a permit.
#[derive(Debug)]
pub(crate) struct Ledger {
    entries: VecDeque<(u64, Entry)>,
    /// The number of the first entry.
    first: u64,
    all: Meters,
    /// Calls that do not wait may not use the catch-up.
    tries: Meters,
    /// What was admitted and used, less what was refunded.
    pub(crate) taken: i128,
    /// How many calls were admitted and used.
    pub(crate) admitted: u64,
}

impl Ledger {
    pub(crate) fn new(quota: &Quota, now_ns: u64) -> Self {
        let [tries, all] = [false, true].map(|credit| Meters::new(quota, now_ns, credit));
        Self { entries: VecDeque::new(), first: 0, all, tries, taken: 0, admitted: 0 }
    }

    fn push(&mut self, now_ns: u64, entry: Entry) -> u64 {
        self.entries.push_back((now_ns, entry));
        self.first + self.entries.len() as u64 - 1
    }

    pub(crate) fn tried(&mut self, now_ns: u64, millionths: u64) {
        self.push(now_ns, Entry::Tried(millionths));
        self.settle();
    }

    pub(crate) fn waited(&mut self, now_ns: u64, millionths: u64) {
        self.push(now_ns, Entry::Waited(millionths));
        self.settle();
    }

    /// Something is granted now; its number.
    pub(crate) fn open(&mut self, now_ns: u64) -> u64 {
        self.push(now_ns, Entry::Open)
    }

    /// A grant was used, by a waiter or by a try call; or was not used.
    pub(crate) fn close(&mut self, number: u64, used: Option<u64>, waited: bool) {
        let entry = match used {
            Some(millionths) if waited => Entry::Waited(millionths),
            Some(millionths) => Entry::Tried(millionths),
            None => Entry::Gone,
        };
        self.entries[(number - self.first) as usize].1 = entry;
        self.settle();
    }

    pub(crate) fn refunded(&mut self, now_ns: u64, millionths: u64) {
        self.push(now_ns, Entry::Refunded(millionths));
    }

    pub(crate) fn announced(&mut self, now_ns: u64, quota: Quota, held: u64) {
        self.push(now_ns, Entry::Announced(quota, held));
    }

    pub(crate) fn changed(&mut self, now_ns: u64, quota: Quota, held: u64) {
        self.push(now_ns, Entry::Changed(quota, held));
    }

    /// Measures all up to the first grant that is open.
    fn settle(&mut self) {
        while let Some((at_ns, entry)) = self.entries.front() {
            if matches!(entry, Entry::Open) {
                break;
            }
            for (meters, tries) in [(&mut self.all, false), (&mut self.tries, true)] {
                meters.pass_to(*at_ns);
                match entry {
                    Entry::Waited(_) if tries => {}
                    Entry::Tried(millionths) | Entry::Waited(millionths) => meters.admit(*millionths),
                    Entry::Refunded(millionths) => meters.refund(*millionths),
                    Entry::Announced(quota, held) => meters.announce(quota, *held),
                    Entry::Changed(quota, held) => meters.change(quota, *held),
                    Entry::Open | Entry::Gone => {}
                }
            }
            match entry {
                Entry::Tried(millionths) | Entry::Waited(millionths) => {
                    self.taken += i128::from(*millionths);
                    self.admitted += u64::from(*millionths > 0);
                }
                Entry::Refunded(millionths) => self.taken -= i128::from(*millionths),
                _ => {}
            }
            self.entries.pop_front();
            self.first += 1;
        }
    }

    /// Nothing is open any more. Keeps no room for entries to come.
    pub(crate) fn drain(&mut self) {
        self.settle();
        assert!(self.entries.is_empty(), "somebody was granted something, and neither used it nor left");
        self.entries.shrink_to_fit();
    }
}
