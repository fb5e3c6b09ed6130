//! Prints what a call costs with shares: `cargo run --release --bin shares`.

use tidegate_peers::{ratios::Effort, shares::run};

fn main() {
    run(Effort::default()).print();
}
