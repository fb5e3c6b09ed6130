//! Prints what a call costs with shares, and how they are shared out: `cargo run --release --bin shares`.

use tidegate_peers::{fairness, ratios::Effort, shares};

fn main() {
    shares::run(Effort::default()).print();
    fairness::run().print();
}
