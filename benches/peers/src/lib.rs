//! tidegate beside its rivals. [`rivals`] has a module for each, [`questions`] one for each thing that is measured.

pub mod machine;
mod measure;
pub mod plot;
pub mod questions;
mod report;
pub mod rivals;
mod server;
pub mod stats;

pub use self::{measure::Effort, report::Report};
