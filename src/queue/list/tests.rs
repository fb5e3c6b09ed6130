//! The intrusive list against `VecDeque`.

use super::{List, Node};
use crate::{lane::Lane, queue::deque::against_a_deque};

/// So many bytes of a small generator (`SplitMix64`), so that a failing run can be repeated by its seed.
fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn behaves_as_a_deque() {
    let (seeds, steps) = if cfg!(miri) { (4, 100) } else { (200, 400) };
    for seed in 0..seeds {
        against_a_deque(&random(seed, 2 * steps));
    }
}

/// What the fuzzer starts from, and what it has kept on this machine.
#[test]
#[cfg(not(miri))]
fn behaves_as_a_deque_on_all_that_was_kept() {
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut seeds = 0;
    for folder in ["seeds", "corpus", "artifacts"] {
        for input in fuzz.join(folder).join("list").read_dir().into_iter().flatten() {
            let path = input.unwrap().path();
            println!("{}", path.display());
            against_a_deque(&std::fs::read(path).unwrap());
            seeds += 1;
        }
    }
    // The package has none of it.
    assert!(seeds > 0 || !fuzz.exists(), "no seeds");
}

#[test]
#[should_panic(expected = "a node of another list")]
fn refuses_a_node_of_another_list() {
    let mut list = List::<u32, u32>::new(super::ListId::unique());
    let other = List::<u32, u32>::new(super::ListId::unique());
    let node = Box::pin(Node::new(other.id()));
    list.push(node.as_ref(), Lane::Normal, 1);
}

#[test]
fn does_not_remove_a_node_of_another_list() {
    let mut list = List::<u32, u32>::new(super::ListId::unique());
    let mut other = List::<u32, u32>::new(super::ListId::unique());
    let node = Box::pin(Node::new(list.id()));
    list.push(node.as_ref(), Lane::Normal, 1);
    assert_eq!(other.remove(node.as_ref()), None);
    assert_eq!(other.entry_mut(node.as_ref()), None);
    assert_eq!(list.remove(node.as_ref()), Some(1));
}

#[test]
fn refuses_a_node_twice() {
    let mut list = List::<u32, u32>::new(super::ListId::unique());
    let node = Box::pin(Node::new(list.id()));
    list.push(node.as_ref(), Lane::Normal, 1);
    let twice =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| list.push(node.as_ref(), Lane::Normal, 2)));
    assert!(twice.is_err());
    assert_eq!(list.remove(node.as_ref()), Some(1));
}

/// The order is kept on both sides, whether any lead or all do.
#[test]
fn a_node_is_put_behind_those_that_lead() {
    for (numbers, want) in [
        (&[][..], &[9][..]),
        (&[1, 3], &[9, 1, 3]),
        (&[2, 4], &[2, 4, 9]),
        (&[2, 4, 1, 3], &[2, 4, 9, 1, 3]),
        // An entry leads only if all entries before it lead, too.
        (&[2, 1, 4], &[2, 9, 1, 4]),
    ] {
        let mut list = List::<u32, u32>::new(super::ListId::unique());
        let nodes: Vec<_> = numbers.iter().map(|_| Box::pin(Node::new(list.id()))).collect();
        for (node, &number) in nodes.iter().zip(numbers) {
            list.push(node.as_ref(), Lane::Normal, number);
        }
        let node = Box::pin(Node::new(list.id()));
        list.push_after_leading(node.as_ref(), Lane::Normal, 9, |number| number % 2 == 0);
        assert_eq!(list.is_front(node.as_ref()), want[0] == 9);
        let granted: Vec<_> = core::iter::from_fn(|| list.resolve_front(0)).collect();
        assert_eq!(granted, want);
    }
}

#[test]
fn a_grant_crosses_threads() {
    let rounds = if cfg!(miri) { 10 } else { 1_000 };
    for round in 0..rounds {
        let list = std::sync::Arc::new(crate::sync::plain::Mutex::new(List::<u32, u32>::new(
            super::ListId::unique(),
        )));
        let node = Box::pin(Node::new(list.lock().id()));
        list.lock().push(node.as_ref(), Lane::Normal, round);
        let resolver = {
            let list = list.clone();
            std::thread::spawn(move || assert_eq!(list.lock().resolve_front(round + 7), Some(round)))
        };
        let grant = loop {
            if let Some(grant) = node.outcome() {
                break grant;
            }
            std::thread::yield_now();
        };
        assert_eq!(grant, round + 7);
        // Freed at once, without the lock.
        drop(node);
        resolver.join().unwrap();
    }
}

/// The list would be left with a pointer to nothing. It is another process that comes to this end.
#[test]
#[cfg(all(unix, not(miri)))]
fn a_node_that_goes_while_it_is_in_a_list_ends_the_process() {
    const CHILD: &str = "TIDEGATE_DROPS_A_QUEUED_NODE";
    if std::env::var_os(CHILD).is_some() {
        let mut list = List::<u32, u32>::new(super::ListId::unique());
        let node = Box::pin(Node::new(list.id()));
        list.push(node.as_ref(), Lane::Normal, 1);
        drop(node);
        std::process::exit(0);
    }
    let name = "queue::list::tests::a_node_that_goes_while_it_is_in_a_list_ends_the_process";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(CHILD, "")
        .output()
        .unwrap();
    assert!(!child.status.success(), "{child:?}");
    assert_eq!(child.status.code(), None, "not by a panic, which frees the node all the same: {child:?}");
}
