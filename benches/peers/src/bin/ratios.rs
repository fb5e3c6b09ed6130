//! Prints what a call costs: `cargo run --release --bin ratios`.

use tidegate_peers::ratios::{Effort, run};

fn main() {
    run(Effort::default()).print();
}
