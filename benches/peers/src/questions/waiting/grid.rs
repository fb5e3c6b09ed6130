//! Which cells there are: rate, tasks, burst.

use std::fmt;

use crate::rivals::Setting;

/// One setting in which all rivals are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Cell {
    /// Permits a second.
    pub(in super::super) rate: u32,
    /// Hungry tasks.
    pub(in super::super) tasks: usize,
    /// The burst, for rivals that have one.
    pub(in super::super) burst: u32,
}

impl Cell {
    /// What the limiter is set to.
    pub(in super::super) fn setting(&self) -> Setting {
        Setting::per_second(self.rate.into(), self.burst.into())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:e}x{}x{}", self.rate, self.tasks, self.burst)
    }
}

/// Every cell: the bursts are 1, 100 and a hundredth of the rate, but 100 is left out at the highest rate.
pub(super) fn full() -> Vec<Cell> {
    let mut cells = Vec::new();
    for rate in [1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
        let mut bursts = vec![1, 100, rate / 100];
        bursts.sort_unstable();
        bursts.dedup();
        bursts.retain(|&burst| rate < 10_000_000 || burst != 100);
        for tasks in [100, 1000] {
            cells.extend(bursts.iter().map(|&burst| Cell { rate, tasks, burst }));
        }
    }
    cells
}

/// The cells that say most, for the page in a few minutes.
pub(super) fn short() -> Vec<Cell> {
    let mut cells = Vec::new();
    for rate in [10_000, 1_000_000] {
        cells.extend([100, 1000].map(|tasks| Cell { rate, tasks, burst: 1 }));
    }
    cells.push(Cell { rate: 1_000_000, tasks: 1000, burst: 10_000 });
    cells.push(Cell { rate: 10_000_000, tasks: 1000, burst: 100_000 });
    cells
}
