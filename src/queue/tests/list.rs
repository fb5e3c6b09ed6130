//! The intrusive list against `VecDeque`.

use core::pin::Pin;
use std::collections::VecDeque;

use crate::queue::list::{List, Node};

type TestNode = Node<u32, u32>;

/// A small generator (`SplitMix64`), so that a failing run can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// A node and what it was given, kept together with the model's view.
struct Waiter {
    node: Pin<Box<TestNode>>,
    number: u32,
}

fn run(seed: u64, steps: usize) {
    let mut random = Random(seed);
    let mut list = List::<u32, u32>::new();
    let mut model: VecDeque<u32> = VecDeque::new();
    let mut waiters: Vec<Waiter> = Vec::new();
    let mut number = 0;
    for _ in 0..steps {
        match random.below(5) {
            0 | 1 => {
                let node = Box::pin(Node::new(list.id()));
                list.push_back(node.as_ref(), number);
                model.push_back(number);
                waiters.push(Waiter { node, number });
                number += 1;
            }
            2 => {
                let granted = list.grant_front(1000 + number);
                assert_eq!(granted, model.pop_front());
                if let Some(granted) = granted {
                    let at = waiters.iter().position(|waiter| waiter.number == granted).unwrap();
                    let waiter = waiters.swap_remove(at);
                    assert_eq!(waiter.node.granted(), Some(1000 + number));
                }
            }
            3 if !waiters.is_empty() => {
                let waiter = waiters.swap_remove(random.below(waiters.len()));
                assert_eq!(waiter.node.granted(), None);
                assert_eq!(list.is_front(waiter.node.as_ref()), model.front() == Some(&waiter.number));
                assert_eq!(list.remove(waiter.node.as_ref()), Some(waiter.number));
                assert_eq!(list.remove(waiter.node.as_ref()), None, "removed once");
                model.retain(|&number| number != waiter.number);
            }
            _ => {
                let mut seen = Vec::new();
                list.visit(|&mut number| {
                    seen.push(number);
                    true
                });
                assert_eq!(seen, Vec::from(model.clone()));
                assert_eq!(list.front_mut().copied(), model.front().copied());
            }
        }
        assert_eq!(list.len(), model.len());
        assert_eq!(list.is_empty(), model.is_empty());
    }
    for waiter in &waiters {
        let mut entry = list.entry_mut(waiter.node.as_ref()).copied();
        assert_eq!(entry.take(), Some(waiter.number));
        assert_eq!(list.remove(waiter.node.as_ref()), Some(waiter.number));
    }
    assert!(list.is_empty());
}

#[test]
fn behaves_as_a_deque() {
    let (seeds, steps) = if cfg!(miri) { (4, 100) } else { (200, 400) };
    for seed in 0..seeds {
        run(seed, steps);
    }
}

#[test]
#[should_panic(expected = "a node of another list")]
fn refuses_a_node_of_another_list() {
    let mut list = List::<u32, u32>::new();
    let other = List::<u32, u32>::new();
    let node = Box::pin(Node::new(other.id()));
    list.push_back(node.as_ref(), 1);
}

#[test]
fn does_not_remove_a_node_of_another_list() {
    let mut list = List::<u32, u32>::new();
    let mut other = List::<u32, u32>::new();
    let node = Box::pin(Node::new(list.id()));
    list.push_back(node.as_ref(), 1);
    assert_eq!(other.remove(node.as_ref()), None);
    assert_eq!(other.entry_mut(node.as_ref()), None);
    assert_eq!(list.remove(node.as_ref()), Some(1));
}

#[test]
fn refuses_a_node_twice() {
    let mut list = List::<u32, u32>::new();
    let node = Box::pin(Node::new(list.id()));
    list.push_back(node.as_ref(), 1);
    let twice = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| list.push_back(node.as_ref(), 2)));
    assert!(twice.is_err());
    assert_eq!(list.remove(node.as_ref()), Some(1));
}

#[test]
fn a_grant_crosses_threads() {
    let rounds = if cfg!(miri) { 10 } else { 1_000 };
    for round in 0..rounds {
        let list = std::sync::Arc::new(crate::sync::plain::Mutex::new(List::<u32, u32>::new()));
        let node = Box::pin(Node::new(list.lock().id()));
        list.lock().push_back(node.as_ref(), round);
        let granter = {
            let list = list.clone();
            std::thread::spawn(move || assert_eq!(list.lock().grant_front(round + 7), Some(round)))
        };
        let grant = loop {
            if let Some(grant) = node.granted() {
                break grant;
            }
            std::thread::yield_now();
        };
        assert_eq!(grant, round + 7);
        // Freed at once, without the lock.
        drop(node);
        granter.join().unwrap();
    }
}
