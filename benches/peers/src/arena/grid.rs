//! Which cells there are: rate, tasks, burst.

use std::fmt;

/// One setting in which all parties are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Permits a second.
    pub rate: u32,
    /// Hungry tasks.
    pub tasks: usize,
    /// The burst, for parties that have one.
    pub burst: u32,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:e}x{}x{}", self.rate, self.tasks, self.burst)
    }
}

/// Every cell: the bursts are 1, 100 and a hundredth of the rate, but 100 is left out at the highest rate.
pub fn full() -> Vec<Cell> {
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

/// The cells that say most, for a report in a few minutes.
pub fn short() -> Vec<Cell> {
    let mut cells = Vec::new();
    for rate in [10_000, 1_000_000] {
        cells.extend([100, 1000].map(|tasks| Cell { rate, tasks, burst: 1 }));
    }
    cells.push(Cell { rate: 1_000_000, tasks: 1000, burst: 10_000 });
    cells.push(Cell { rate: 10_000_000, tasks: 1000, burst: 100_000 });
    cells
}

/// A few cells, for a try.
pub fn quick() -> Vec<Cell> {
    vec![
        Cell { rate: 100_000, tasks: 100, burst: 1 },
        Cell { rate: 1_000_000, tasks: 1000, burst: 1 },
        Cell { rate: 10_000_000, tasks: 1000, burst: 100_000 },
    ]
}

/// The cells that one of `patterns` names: `1e6x1000x1`, with `*` for any number, and what is left out at
/// the end for any too; several are separated by commas.
///
/// # Errors
/// If a pattern makes no sense, or names no cell.
pub fn select(cells: &[Cell], patterns: &str) -> Result<Vec<Cell>, String> {
    let mut chosen = Vec::new();
    for pattern in patterns.split(',') {
        let fields = pattern.split('x').map(field).collect::<Result<Vec<_>, _>>()?;
        if fields.len() > 3 {
            return Err(format!("{pattern:?} is not of the form RATExTASKSxBURST"));
        }
        let fits = |cell: &&Cell| {
            let numbers = [f64::from(cell.rate), cell.tasks as f64, f64::from(cell.burst)];
            fields.iter().zip(numbers).all(|(field, number)| field.is_none_or(|wanted| wanted == number))
        };
        let found: Vec<Cell> = cells.iter().filter(fits).copied().collect();
        if found.is_empty() {
            let all: Vec<String> = cells.iter().map(Cell::to_string).collect();
            return Err(format!("{pattern:?} fits no cell; there are {}", all.join(" ")));
        }
        chosen.extend(found);
    }
    Ok(chosen)
}

fn field(text: &str) -> Result<Option<f64>, String> {
    if text == "*" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("{text:?} is neither a number nor *"))
}
