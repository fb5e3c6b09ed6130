//! Prints how much of an allowance hungry tasks get: `cargo run --release --bin full_use [-- --full]`.

fn main() {
    let full = std::env::args().any(|argument| argument == "--full");
    tidegate_peers::arena::run(full).print();
}
