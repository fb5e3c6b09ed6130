//! tidegate beside its peers: what a call costs, alone and on every core, how much of an allowance hungry tasks get, and what a long
//! queue costs.

pub mod arena;
pub mod calls;
pub mod fairness;
pub mod keyed;
pub mod machine;
pub mod ratios;
pub mod shares;
mod stats;
pub mod waiters;

/// A part of the report.
#[derive(Debug, Default)]
pub struct Report {
    /// Markdown tables.
    pub tables: String,
    /// Where tidegate is not the best, or not as good as it promises: one line each.
    pub losses: Vec<String>,
}

impl Report {
    /// The whole part, with its losses at the end.
    pub fn print(&self) {
        println!("{}", self.tables);
        println!("Where tidegate loses:\n\n{}", self.losses());
    }

    /// The losses as a Markdown list.
    pub fn losses(&self) -> String {
        if self.losses.is_empty() {
            return "- nowhere in this run\n".to_owned();
        }
        self.losses.iter().map(|line| format!("- {line}\n")).collect()
    }
}
