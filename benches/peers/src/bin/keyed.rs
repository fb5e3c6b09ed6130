//! Prints the section on keys alone.

fn main() {
    println!("{}", tidegate_peers::machine::describe());
    tidegate_peers::keyed::run(tidegate_peers::ratios::Effort::default()).print();
}
