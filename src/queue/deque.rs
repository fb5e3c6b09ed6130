//! The intrusive list against `VecDeque`: any sequence of operations, from bytes, for the unit tests and the fuzzer.

use core::pin::Pin;
use std::collections::VecDeque;

use super::list::{List, ListId, Node};
use crate::lane::Lane;

type TestNode = Node<u32, u32>;

/// What a number leaves when it is granted.
const fn grant_of(number: u32) -> u32 {
    number ^ 0x8000_0000
}

/// Which numbers lead, if they stand at the front.
const fn leads(number: u32) -> bool {
    number % 3 == 0
}

/// A list, the numbers that it should hold with their lanes, and the nodes that are in it.
struct Run {
    list: List<u32, u32>,
    model: VecDeque<(Lane, u32)>,
    nodes: Vec<(Pin<Box<TestNode>>, u32)>,
    next: u32,
}

/// Runs the operations that the bytes stand for, two bytes each.
pub(crate) fn against_a_deque(bytes: &[u8]) {
    let mut run =
        Run { list: List::new(ListId::unique()), model: VecDeque::new(), nodes: Vec::new(), next: 0 };
    for operation in bytes.chunks_exact(2) {
        run.step(operation[0], operation[1]);
        assert_eq!(run.list.len(), run.model.len());
        assert_eq!(run.list.is_empty(), run.model.is_empty());
        assert_eq!(run.list.front_mut().copied(), run.model.front().map(|&(_, number)| number));
    }
    run.look(usize::MAX);
    // From anywhere, until none is left.
    while !run.nodes.is_empty() {
        run.remove(run.nodes.len() / 2);
    }
    assert!(run.list.is_empty());
}

impl Run {
    fn step(&mut self, kind: u8, byte: u8) {
        let which = usize::from(byte) % self.nodes.len().max(1);
        match kind % 8 {
            0 | 1 => self.push(Lane::ALL[usize::from(byte) % Lane::COUNT]),
            2 => self.push_after_leading(Lane::ALL[usize::from(byte) % Lane::COUNT]),
            3 => self.grant(),
            4 if !self.nodes.is_empty() => self.remove(which),
            5 if !self.nodes.is_empty() => self.change(which),
            6 => self.sweep(byte),
            _ => self.look(byte.into()),
        }
    }

    fn push(&mut self, lane: Lane) {
        let node = Box::pin(Node::new(self.list.id()));
        assert_eq!(self.list.remove(node.as_ref()), None, "never in it");
        self.list.push(node.as_ref(), lane, self.next);
        let place = self.model.iter().take_while(|(other, _)| *other <= lane).count();
        self.model.insert(place, (lane, self.next));
        self.nodes.push((node, self.next));
        self.next += 1;
    }

    fn push_after_leading(&mut self, lane: Lane) {
        let node = Box::pin(Node::new(self.list.id()));
        self.list.push_after_leading(node.as_ref(), lane, self.next, |&number| leads(number));
        let before = |&&(other, number): &&(Lane, u32)| other < lane || (other == lane && leads(number));
        let place = self.model.iter().take_while(before).count();
        self.model.insert(place, (lane, self.next));
        self.nodes.push((node, self.next));
        self.next += 1;
    }

    fn grant(&mut self) {
        let number = self.model.pop_front().map(|(_, number)| number);
        let granted = self.list.resolve_front(grant_of(number.unwrap_or(0)));
        assert_eq!(granted, number);
        if let Some(number) = number {
            self.check_granted(number);
        }
    }

    /// The node that held this number is its owner's alone.
    fn check_granted(&mut self, number: u32) {
        let at = self.nodes.iter().position(|&(_, held)| held == number).expect("it was in the list");
        let (node, _) = self.nodes.swap_remove(at);
        assert_eq!(node.outcome(), Some(grant_of(number)));
        assert_eq!(self.list.remove(node.as_ref()), None, "granted and in it");
        assert_eq!(self.list.entry_mut(node.as_ref()), None, "granted and in it");
    }

    fn remove(&mut self, which: usize) {
        let (node, number) = self.nodes.swap_remove(which);
        assert_eq!(node.outcome(), None);
        assert_eq!(
            self.list.is_front(node.as_ref()),
            self.model.front().is_some_and(|&(_, first)| first == number)
        );
        assert_eq!(self.list.remove(node.as_ref()), Some(number));
        assert_eq!(self.list.remove(node.as_ref()), None, "removed twice");
        self.model.retain(|&(_, other)| other != number);
    }

    /// Writes another number into an entry.
    fn change(&mut self, which: usize) {
        let (node, number) = &mut self.nodes[which];
        let entry = self.list.entry_mut(node.as_ref()).expect("it is in the list");
        assert_eq!(entry, number);
        let place = self.model.iter_mut().find(|(_, other)| other == number).expect("it is in the model");
        (*entry, place.1, *number) = (self.next, self.next, self.next);
        self.next += 1;
    }

    /// Sends off some, by the bits of the byte.
    fn sweep(&mut self, byte: u8) {
        let goes = |seen: usize| byte.rotate_right(seen as u32 % 8) & 1 > 0;
        let mut shown = Vec::new();
        self.list.sweep(|&mut number| {
            shown.push(number);
            goes(shown.len() - 1).then_some(grant_of(number))
        });
        assert!(shown.iter().eq(self.model.iter().map(|(_, number)| number)));
        let mut seen = 0;
        self.model.retain(|_| {
            seen += 1;
            !goes(seen - 1)
        });
        let gone = shown.into_iter().enumerate().filter(|&(at, _)| goes(at));
        for (_, number) in gone {
            self.check_granted(number);
        }
    }

    /// Looks at the first few.
    fn look(&mut self, most: usize) {
        let mut seen = Vec::new();
        self.list.visit(|&mut number| {
            seen.push(number);
            seen.len() <= most
        });
        let all: Vec<_> = self.model.iter().map(|&(_, number)| number).take(most.saturating_add(1)).collect();
        assert_eq!(seen, all);
    }
}
