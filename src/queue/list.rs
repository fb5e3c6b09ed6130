//! An intrusive doubly linked list: the nodes live where the waiters live, so waiting allocates nothing. The nodes of a
//! lane stand together, and the lanes one after the other.
//!
//! The only unsafe code of the crate. The interface is safe: it reaches no node that is gone, and no node of another
//! list.
//!
//! ```text
//!  List                Node                Node
//! ┌──────┐  head      ┌──────┐  next      ┌──────┐
//! │      ├───────────►│      ├───────────►│      │
//! │      │            │      │◄───────────┤      │
//! │      │            └──────┘  previous  └──────┘
//! │      │  last of a lane                    ▲
//! │      ├────────────────────────────────────┘
//! └──────┘
//! ```
//!
//! # States of a node
//! | state    | what gives access to the slot | next                                                 |
//! |----------|-------------------------------|------------------------------------------------------|
//! | IDLE     | `&mut` of the node's list     | QUEUED (`push`, `push_after_leading`)                |
//! | QUEUED   | `&mut` of that list           | RESOLVED (`resolve_front`, `sweep`), IDLE (`remove`) |
//! | RESOLVED | owning the node, to read      | none                                                 |
//!
//! RESOLVED: the waiter has been granted or refused, as its outcome says.
//!
//! # Invariants
//! 1. A node is linked into at most one list: the one whose number it was made with. Every method checks that. No
//!    number is used twice in a process.
//! 2. A node is QUEUED exactly while it is linked. Only `&mut` of the list changes the state to QUEUED or IDLE.
//! 3. A pinned node stays where it is until it is dropped, and `Drop` aborts the process rather than free a QUEUED
//!    node. So every pointer in a list leads to a live node. (The futures unlink first, so safe use of the crate never
//!    aborts.)
//! 4. The slot of a node that is not RESOLVED is reached only through `&mut` of its list. So no two accesses overlap.
//! 5. The store of RESOLVED is the list holder's last access. From then on the node is its owner's alone, which may free it
//!    at once, without a lock.
//! 6. The lanes of the linked nodes ascend from front to back. `last` of a lane leads to its last node, or nowhere if the lane
//!    has none.
//!
//! # Orderings
//! RESOLVED is stored with Release and loaded with Acquire. An owner that sees RESOLVED sees the outcome, and all that
//! the list holder did to the node happened before the owner frees it. All else is ordered by the lock in which the list
//! lives.
#![allow(unsafe_code)]

use core::{marker::PhantomPinned, pin::Pin, ptr::NonNull};

use crate::{
    lane::Lane,
    sync::{AtomicU8, Ordering, UnsafeCell},
};

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RESOLVED: u8 = 2;

/// The number of a list, which its nodes are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListId(u64);

impl ListId {
    pub(crate) fn unique() -> Self {
        // Not a modelled atomic: it guards nothing but the numbers.
        use crate::sync::plain::AtomicU64;
        use core::sync::atomic::Ordering;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Relaxed: only the uniqueness of the number matters.
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A place in a list, owned by the waiter. `T` is the entry in the queue, `G` its outcome.
#[derive(Debug)]
pub(crate) struct Node<T, G> {
    list: ListId,
    state: AtomicU8,
    slot: UnsafeCell<Slot<T, G>>,
    _pinned: PhantomPinned,
}

#[derive(Debug)]
struct Slot<T, G> {
    previous: Option<NonNull<Node<T, G>>>,
    next: Option<NonNull<Node<T, G>>>,
    /// The list's own copy: safe code may change an entry, and invariant 6 must not depend on that code.
    lane: Lane,
    entry: Option<T>,
    outcome: Option<G>,
}

// SAFETY: by invariants 4 and 5 one thread at a time reaches the slot; the bounds let its contents change threads.
unsafe impl<T: Send, G: Send> Send for Node<T, G> {}
// SAFETY: as above; `outcome` copies `G` through a shared reference, hence `Sync`.
unsafe impl<T: Send, G: Send + Sync> Sync for Node<T, G> {}

impl<T, G: Copy> Node<T, G> {
    pub(crate) fn new(list: ListId) -> Self {
        Self {
            list,
            state: AtomicU8::new(IDLE),
            slot: UnsafeCell::new(Slot {
                previous: None,
                next: None,
                lane: Lane::LAST,
                entry: None,
                outcome: None,
            }),
            _pinned: PhantomPinned,
        }
    }

    /// The outcome, once there is one.
    pub(crate) fn outcome(&self) -> Option<G> {
        // Acquire: pairs with the Release of `resolve`.
        if self.state.load(Ordering::Acquire) != RESOLVED {
            return None;
        }
        // SAFETY: invariant 5: RESOLVED is final, and no list holder writes any more.
        self.slot.with(|slot| unsafe { (*slot).outcome })
    }
}

impl<T, G> Drop for Node<T, G> {
    fn drop(&mut self) {
        // Acquire: pairs with the Release of `resolve`, so that freeing comes after the list holder's last access.
        if self.state.load(Ordering::Acquire) == QUEUED {
            // Invariant 3. A panic would free the node all the same.
            std::process::abort();
        }
    }
}

/// `&mut` of the list gives access to its nodes.
#[derive(Debug)]
pub(crate) struct List<T, G> {
    id: ListId,
    head: Option<NonNull<Node<T, G>>>,
    last: [Option<NonNull<Node<T, G>>>; Lane::COUNT],
    len: usize,
}

// SAFETY: by invariant 3 the pointers lead to live nodes, and by invariant 4 the list gives access to them; the bounds
// let entries and outcomes change threads.
unsafe impl<T: Send, G: Send> Send for List<T, G> {}

impl<T, G: Copy> List<T, G> {
    pub(crate) const fn new(id: ListId) -> Self {
        Self { id, head: None, last: [None; Lane::COUNT], len: 0 }
    }

    #[cfg(any(all(test, not(tidegate_loom)), fuzzing))]
    pub(crate) const fn id(&self) -> ListId {
        self.id
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Links a node at the back of a lane.
    ///
    /// # Panics
    /// If the node was made for another list, is linked, or has been resolved.
    pub(crate) fn push(&mut self, node: Pin<&Node<T, G>>, lane: Lane, entry: T) {
        let previous = self.last_before(lane.index() + 1);
        // SAFETY: `previous` is linked by invariants 6 and 3, and is the last of its lane, which is not lower.
        unsafe { self.link(node, lane, entry, previous) };
    }

    /// As [`push`](Self::push), but behind the leading entries of the lane for which `leads` holds.
    pub(crate) fn push_after_leading(
        &mut self,
        node: Pin<&Node<T, G>>,
        lane: Lane,
        entry: T,
        leads: impl Fn(&T) -> bool,
    ) {
        let mut previous = self.last_before(lane.index());
        loop {
            let mut next = self.head;
            if let Some(previous) = previous {
                // SAFETY: invariant 3: it is linked, so it is live, and its slot is ours by invariant 4.
                unsafe { with_slot(previous, |slot| next = slot.next) };
            }
            let Some(next) = next else { break };
            let mut is_leading = false;
            // SAFETY: as above.
            unsafe {
                with_slot(next, |slot| {
                    is_leading = slot.lane == lane && slot.entry.as_ref().is_some_and(&leads);
                });
            }
            if !is_leading {
                break;
            }
            previous = Some(next);
        }
        // SAFETY: `previous` is linked, and is the last of a higher lane or of those of this lane that lead.
        unsafe { self.link(node, lane, entry, previous) };
    }

    /// The last node of the first `lanes` lanes.
    fn last_before(&self, lanes: usize) -> Option<NonNull<Node<T, G>>> {
        self.last[..lanes].iter().rev().find_map(|last| *last)
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        let head = self.head?;
        // SAFETY: invariant 3: it is linked, so it is live.
        let node: &Node<T, G> = unsafe { head.as_ref() };
        // SAFETY: invariant 4: the borrow of the entry keeps the list borrowed.
        node.slot.with_mut(|slot| unsafe { (*slot).entry.as_mut() })
    }

    pub(crate) fn is_front(&self, node: Pin<&Node<T, G>>) -> bool {
        self.head == Some(NonNull::from(node.get_ref()))
    }

    /// Unlinks the node at the front, stores its outcome, and returns its entry.
    pub(crate) fn resolve_front(&mut self, outcome: G) -> Option<T> {
        let head = self.head?;
        // SAFETY: the head is linked.
        unsafe { self.resolve(head, outcome) }
    }

    /// Shows the entries to `judge` from front to back. An entry for which it returns an outcome is unlinked, resolved, and
    /// dropped.
    pub(crate) fn sweep(&mut self, mut judge: impl FnMut(&mut T) -> Option<G>) {
        let mut cursor = self.head;
        while let Some(node) = cursor {
            let mut outcome = None;
            // SAFETY: invariant 3: it is linked, so it is live, and its slot is ours by invariant 4.
            unsafe {
                with_slot(node, |slot| {
                    cursor = slot.next;
                    outcome = slot.entry.as_mut().and_then(&mut judge);
                });
            }
            if let Some(outcome) = outcome {
                // SAFETY: it is still linked: `judge` has no way to change that.
                drop(unsafe { self.resolve(node, outcome) });
            }
        }
    }

    /// Unlinks a node and returns its entry; `None` if the node is not in this list (any more).
    pub(crate) fn remove(&mut self, node: Pin<&Node<T, G>>) -> Option<T> {
        if !self.contains(node) {
            return None;
        }
        // SAFETY: it is linked, as was just checked.
        let entry = unsafe { self.unlink(NonNull::from(node.get_ref())) };
        // Relaxed: read by its owner and by holders of the list; a change of owner synchronizes.
        node.state.store(IDLE, Ordering::Relaxed);
        entry
    }

    pub(crate) fn entry_mut(&mut self, node: Pin<&Node<T, G>>) -> Option<&mut T> {
        if !self.contains(node) {
            return None;
        }
        let node = node.get_ref();
        // SAFETY: invariant 4: it is linked here, and the borrow of the entry keeps the list borrowed. The node
        // outlives that borrow by invariant 3: it is dropped only after it has been unlinked.
        node.slot.with_mut(|slot| unsafe { (*slot).entry.as_mut() })
    }

    /// Shows every entry to `visit`, from front to back, until it returns `false`.
    pub(crate) fn visit(&mut self, mut visit: impl FnMut(&mut T) -> bool) {
        let mut cursor = self.head;
        while let Some(node) = cursor {
            let mut go_on = false;
            // SAFETY: invariant 3: it is linked, so it is live, and its slot is ours by invariant 4.
            unsafe {
                with_slot(node, |slot| {
                    go_on = slot.entry.as_mut().is_some_and(&mut visit);
                    cursor = slot.next;
                });
            }
            if !go_on {
                return;
            }
        }
    }

    /// Whether the node is linked here (invariants 1 and 2).
    fn contains(&self, node: Pin<&Node<T, G>>) -> bool {
        // Relaxed: only holders of this list change the state to or from QUEUED.
        node.list == self.id && node.state.load(Ordering::Relaxed) == QUEUED
    }

    /// Links a node behind `previous`, or at the front.
    ///
    /// # Safety
    /// `previous` is linked into this list, and the lane of the node may stand there by invariant 6.
    unsafe fn link(
        &mut self,
        node: Pin<&Node<T, G>>,
        lane: Lane,
        entry: T,
        previous: Option<NonNull<Node<T, G>>>,
    ) {
        assert_eq!(node.list, self.id, "a node of another list");
        // Relaxed: by invariant 2 only a holder of this list changes it from IDLE.
        assert_eq!(node.state.load(Ordering::Relaxed), IDLE, "a node that is in use");
        let pointer = NonNull::from(node.get_ref());
        let mut next = self.head;
        match previous {
            // SAFETY: linked by contract, so it is live, and its slot is ours by invariant 4.
            Some(previous) => unsafe { with_slot(previous, |slot| next = slot.next.replace(pointer)) },
            None => self.head = Some(pointer),
        }
        if let Some(next) = next {
            // SAFETY: a neighbour is linked; invariants 3 and 4.
            unsafe { with_slot(next, |slot| slot.previous = Some(pointer)) };
        }
        let last = &mut self.last[lane.index()];
        if last.is_none() || *last == previous {
            *last = Some(pointer);
        }
        node.slot.with_mut(|slot| {
            // SAFETY: invariant 4: the node is IDLE, and this is `&mut` of its list.
            let slot = unsafe { &mut *slot };
            slot.previous = previous;
            slot.next = next;
            slot.lane = lane;
            slot.entry = Some(entry);
        });
        self.len += 1;
        // Relaxed: as in `remove`.
        node.state.store(QUEUED, Ordering::Relaxed);
    }

    /// Unlinks a node, stores its outcome, and returns its entry.
    ///
    /// # Safety
    /// It is linked into this list.
    unsafe fn resolve(&mut self, node: NonNull<Node<T, G>>, outcome: G) -> Option<T> {
        // SAFETY: it is linked, by contract.
        let entry = unsafe { self.unlink(node) };
        // SAFETY: invariant 3: it is live until the store below; its slot is ours by invariant 4.
        unsafe { with_slot(node, |slot| slot.outcome = Some(outcome)) };
        // SAFETY: as above.
        let node: &Node<T, G> = unsafe { node.as_ref() };
        // Release: pairs with the Acquire of `outcome` and of `Drop`. Invariant 5: the last access.
        node.state.store(RESOLVED, Ordering::Release);
        entry
    }

    /// # Safety
    /// The node is linked into this list.
    unsafe fn unlink(&mut self, node: NonNull<Node<T, G>>) -> Option<T> {
        let (mut previous, mut next, mut entry, mut lane) = (None, None, None, Lane::LAST);
        // SAFETY: invariant 3 for a linked node, which it is by contract; invariant 4 for the slot.
        unsafe {
            with_slot(node, |slot| {
                previous = slot.previous.take();
                next = slot.next.take();
                entry = slot.entry.take();
                lane = slot.lane;
            });
        }
        let mut last = None;
        match previous {
            // SAFETY: a neighbour is linked; invariants 3 and 4.
            Some(previous) => unsafe {
                with_slot(previous, |slot| {
                    slot.next = next;
                    last = (slot.lane == lane).then_some(previous);
                });
            },
            None => self.head = next,
        }
        if let Some(next) = next {
            // SAFETY: a neighbour is linked; invariants 3 and 4.
            unsafe { with_slot(next, |slot| slot.previous = previous) };
        }
        if self.last[lane.index()] == Some(node) {
            self.last[lane.index()] = last;
        }
        self.len -= 1;
        entry
    }
}

/// Calls `f` with the slot of a node.
///
/// # Safety
/// The node is live, and the caller has `&mut` of the list that gives access to its slot (invariant 4).
unsafe fn with_slot<T, G>(node: NonNull<Node<T, G>>, f: impl FnOnce(&mut Slot<T, G>)) {
    // SAFETY: live by contract.
    let node = unsafe { node.as_ref() };
    // SAFETY: the only access, by contract.
    node.slot.with_mut(|slot| f(unsafe { &mut *slot }));
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
