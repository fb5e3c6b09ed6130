//! What each fuzz target starts from, and what it has kept on this machine, run once more without the fuzzer.
//! (That of the list, which is not public, is replayed by the unit tests.)

use std::path::Path;

#[allow(unreachable_pub, reason = "a library of its own")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

/// So many bytes of a small generator (`SplitMix64`).
fn random(state: &mut u64, len: usize) -> Vec<u8> {
    let mut next = || {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Runs all inputs of a target that are kept, and some at random.
fn replay(target: &str, run: fn(&[u8])) {
    let mut seeds = 0;
    for folder in ["seeds", "corpus", "artifacts"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(folder).join(target);
        for input in folder.read_dir().into_iter().flatten() {
            let path = input.unwrap().path();
            // Shown if it fails.
            println!("{}", path.display());
            run(&std::fs::read(&path).unwrap());
            seeds += 1;
        }
    }
    assert!(seeds > 0, "no seeds of {target}");
    let inputs = std::env::var("TIDEGATE_RANDOM_INPUTS").map_or(300, |n| n.parse().unwrap());
    for number in 0..inputs {
        println!("the random input {number}");
        run(&random(&mut { number }, 20 + number as usize % 500));
    }
}

#[test]
fn decisions_at_any_rate() {
    replay("decision", targets::decision::run);
}

#[test]
fn calls_that_do_not_wait() {
    replay("ops", targets::ops::run);
}

#[test]
fn texts_of_quotas() {
    replay("quota_text", targets::quota_text::run);
}

#[test]
fn schedules_of_waiters() {
    replay("schedules", targets::schedules::run);
}
