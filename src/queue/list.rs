//! An intrusive doubly linked list: the nodes live where the waiters live, so waiting allocates nothing.
//!
//! The only unsafe code of the crate. The interface is safe: it cannot be used to reach a node that is
//! gone, nor a node of another list.
//!
//! ```text
//!  List                Node                Node
//! ┌──────┐  head      ┌──────┐  next      ┌──────┐
//! │      ├───────────►│      ├───────────►│      │
//! │      │            │      │◄───────────┤      │
//! │      │            └──────┘  previous  └──────┘
//! │      │  tail                              ▲
//! │      ├────────────────────────────────────┘
//! └──────┘
//! ```
//!
//! # States of a node
//! | state   | what gives access to the slot                     | next                              |
//! |---------|---------------------------------------------------|-----------------------------------|
//! | IDLE    | `&mut` of the list the node is made for           | QUEUED (`push_back`, `push_after_leading`) |
//! | QUEUED  | `&mut` of that list                               | GRANTED (`settle_front`, `sweep`), IDLE (`remove`) |
//! | GRANTED | being its owner, to read                          | none                              |
//!
//! # Invariants
//! 1. A node is linked into at most one list, the one whose number it was made with; numbers are never used
//!    twice in a process. Every method checks it.
//! 2. A node is QUEUED exactly while it is linked. The state becomes QUEUED or IDLE only with `&mut` of the
//!    list in hand.
//! 3. A pinned node stays where it is until it is dropped, and `Drop` aborts the process rather than let
//!    a QUEUED node go. So every pointer in a list leads to a live node. (The futures unlink first; the
//!    abort is unreachable from safe use of the crate.)
//! 4. The slot of a node that is not GRANTED is reached only through `&mut` of its list, or `&` of it to
//!    read; so there are never two at once, one of them writing.
//! 5. The store of GRANTED is the last touch of the granter. From then on the node is its owner's alone,
//!    who may free it at once, without any lock.
//!
//! # Orderings
//! GRANTED is stored with Release and loaded with Acquire: the owner that sees it sees the grant, and all
//! that the granter did to the node happened before the owner frees it. All else is ordered by the lock in
//! which the list lives.
#![allow(unsafe_code)]

use core::{marker::PhantomPinned, pin::Pin, ptr::NonNull};

use crate::sync::{AtomicU8, Ordering, UnsafeCell};

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const GRANTED: u8 = 2;

/// The number of a list, by which its nodes know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListId(u64);

impl ListId {
    pub(crate) fn unique() -> Self {
        // Not one of the modelled atomics: it guards nothing but the numbers themselves.
        use core::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Relaxed: only the uniqueness of the number matters.
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// One place in a list, owned by the waiter. `T` is what stands in the queue, `G` what a grant leaves.
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
    entry: Option<T>,
    grant: Option<G>,
}

// SAFETY: by invariants 4 and 5 the slot is reached by one thread at a time; what is inside may go from one
// thread to another by the bounds.
unsafe impl<T: Send, G: Send> Send for Node<T, G> {}
// SAFETY: as above; `granted` hands out copies of `G` through a shared reference, hence `Sync`.
unsafe impl<T: Send, G: Send + Sync> Sync for Node<T, G> {}

impl<T, G: Copy> Node<T, G> {
    /// A node for the list of that number.
    pub(crate) fn new(list: ListId) -> Self {
        Self {
            list,
            state: AtomicU8::new(IDLE),
            slot: UnsafeCell::new(Slot { previous: None, next: None, entry: None, grant: None }),
            _pinned: PhantomPinned,
        }
    }

    /// What the grant left, once there is one.
    pub(crate) fn outcome(&self) -> Option<G> {
        // Acquire: pairs with the Release of `grant`.
        if self.state.load(Ordering::Acquire) != GRANTED {
            return None;
        }
        // SAFETY: invariant 5: GRANTED is final and the granter is gone; nobody writes any more.
        self.slot.with(|slot| unsafe { (*slot).grant })
    }
}

impl<T, G> Drop for Node<T, G> {
    fn drop(&mut self) {
        // Acquire: pairs with the Release of `grant`, so that freeing comes after the granter's last
        // touch.
        if self.state.load(Ordering::Acquire) == QUEUED {
            // Invariant 3. Unwinding would free the node all the same.
            std::process::abort();
        }
    }
}

/// What becomes of an entry that is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict<G> {
    Stay,
    /// It goes, with this grant.
    Go(G),
    /// It stays, and no other is looked at.
    Stop,
}

/// The list. It lives behind a lock; `&mut` of it is what gives access to its nodes.
#[derive(Debug)]
pub(crate) struct List<T, G> {
    id: ListId,
    head: Option<NonNull<Node<T, G>>>,
    tail: Option<NonNull<Node<T, G>>>,
    len: usize,
}

// SAFETY: by invariant 3 the pointers lead to live nodes, and by invariant 4 having the list is what gives
// access to them; entries and grants may go from one thread to another by the bounds.
unsafe impl<T: Send, G: Send> Send for List<T, G> {}

impl<T, G: Copy> List<T, G> {
    pub(crate) const fn new(id: ListId) -> Self {
        Self { id, head: None, tail: None, len: 0 }
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

    /// Puts a node at the back.
    ///
    /// # Panics
    /// If it was made for another list, or has been used already.
    pub(crate) fn push_back(&mut self, node: Pin<&Node<T, G>>, entry: T) {
        // SAFETY: the tail is linked, by invariant 3.
        unsafe { self.link(node, entry, self.tail) };
    }

    /// Puts a node behind the entries at the front that `leads` holds for.
    ///
    /// # Panics
    /// As [`push_back`](Self::push_back).
    pub(crate) fn push_after_leading(
        &mut self,
        node: Pin<&Node<T, G>>,
        entry: T,
        leads: impl Fn(&T) -> bool,
    ) {
        let (mut previous, mut cursor) = (None, self.head);
        while let Some(leading) = cursor {
            let mut next = None;
            // SAFETY: invariant 3: it is linked, so it is live, and its slot is ours by invariant 4.
            unsafe {
                with_slot(leading, |slot| {
                    if slot.entry.as_ref().is_some_and(&leads) {
                        previous = Some(leading);
                        next = slot.next;
                    }
                });
            }
            cursor = next;
        }
        // SAFETY: the last of those is linked.
        unsafe { self.link(node, entry, previous) };
    }

    /// The entry at the front.
    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        let head = self.head?;
        // SAFETY: invariant 3: it is linked, so it is live.
        let node: &Node<T, G> = unsafe { head.as_ref() };
        // SAFETY: invariant 4: the borrow of the entry keeps the list borrowed.
        node.slot.with_mut(|slot| unsafe { (*slot).entry.as_mut() })
    }

    /// Whether this node is at the front.
    pub(crate) fn is_front(&self, node: Pin<&Node<T, G>>) -> bool {
        self.head == Some(NonNull::from(node.get_ref()))
    }

    /// Unlinks the node at the front, leaves it the grant, and returns what stood there.
    pub(crate) fn settle_front(&mut self, grant: G) -> Option<T> {
        let head = self.head?;
        // SAFETY: the head is linked.
        unsafe { self.grant(head, grant) }
    }

    /// Shows the entries to `judge`, from front to back, until it says stop. Those that it sends off are
    /// unlinked and left the grant, and what stood there is dropped.
    pub(crate) fn sweep(&mut self, mut judge: impl FnMut(&mut T) -> Verdict<G>) {
        let mut cursor = self.head;
        while let Some(node) = cursor {
            let mut verdict = Verdict::Stop;
            // SAFETY: invariant 3: it is linked, so it is live, and its slot is ours by invariant 4.
            unsafe {
                with_slot(node, |slot| {
                    cursor = slot.next;
                    verdict = slot.entry.as_mut().map_or(Verdict::Stop, &mut judge);
                });
            }
            match verdict {
                Verdict::Stay => {}
                // SAFETY: it is still linked: `judge` has no way to change that.
                Verdict::Go(grant) => drop(unsafe { self.grant(node, grant) }),
                Verdict::Stop => return,
            }
        }
    }

    /// Unlinks a node and returns what stood there; `None` if it is not in this list (any more).
    pub(crate) fn remove(&mut self, node: Pin<&Node<T, G>>) -> Option<T> {
        if !self.contains(node) {
            return None;
        }
        // SAFETY: it is linked, as was just checked.
        let entry = unsafe { self.unlink(NonNull::from(node.get_ref())) };
        // Relaxed: read only by the owner, who is here, and by holders of the list.
        node.state.store(IDLE, Ordering::Relaxed);
        entry
    }

    /// The entry of a node, if it is in this list.
    pub(crate) fn entry_mut(&mut self, node: Pin<&Node<T, G>>) -> Option<&mut T> {
        if !self.contains(node) {
            return None;
        }
        let node = node.get_ref();
        // SAFETY: invariant 4: it is linked here, and the borrow of the entry keeps the list borrowed. The
        // node outlives that borrow by invariant 3: to drop it, it has to be unlinked first.
        node.slot.with_mut(|slot| unsafe { (*slot).entry.as_mut() })
    }

    /// Shows every entry to `visit`, from front to back, until it says stop by returning `false`.
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

    /// Invariant 1 and 2: whether the node is linked here.
    fn contains(&self, node: Pin<&Node<T, G>>) -> bool {
        // Relaxed: with the list in hand, QUEUED cannot change, nor can anything become QUEUED here.
        node.list == self.id && node.state.load(Ordering::Relaxed) == QUEUED
    }

    /// Puts a node behind `previous`, or at the front.
    ///
    /// # Safety
    /// `previous` is linked into this list.
    unsafe fn link(&mut self, node: Pin<&Node<T, G>>, entry: T, previous: Option<NonNull<Node<T, G>>>) {
        assert_eq!(node.list, self.id, "a node of another list");
        // Relaxed: by invariant 2 it changes from IDLE only with this list in hand.
        assert_eq!(node.state.load(Ordering::Relaxed), IDLE, "a node that is in use");
        let pointer = NonNull::from(node.get_ref());
        let mut next = self.head;
        match previous {
            // SAFETY: linked by contract, so it is live, and its slot is ours by invariant 4.
            Some(previous) => unsafe { with_slot(previous, |slot| next = slot.next.replace(pointer)) },
            None => self.head = Some(pointer),
        }
        match next {
            // SAFETY: a neighbour is linked; invariants 3 and 4.
            Some(next) => unsafe { with_slot(next, |slot| slot.previous = Some(pointer)) },
            None => self.tail = Some(pointer),
        }
        node.slot.with_mut(|slot| {
            // SAFETY: invariant 4: the node is IDLE, and this list is in hand.
            let slot = unsafe { &mut *slot };
            slot.previous = previous;
            slot.next = next;
            slot.entry = Some(entry);
        });
        self.len += 1;
        // Relaxed: read only by the owner, who is here, and by holders of the list.
        node.state.store(QUEUED, Ordering::Relaxed);
    }

    /// Unlinks a node, leaves it the grant, and returns what stood there.
    ///
    /// # Safety
    /// It is linked into this list.
    unsafe fn grant(&mut self, node: NonNull<Node<T, G>>, grant: G) -> Option<T> {
        // SAFETY: it is linked, by contract.
        let entry = unsafe { self.unlink(node) };
        // SAFETY: invariant 3: it is live until the store below; its slot is ours by invariant 4.
        unsafe { with_slot(node, |slot| slot.grant = Some(grant)) };
        // SAFETY: as above.
        let node: &Node<T, G> = unsafe { node.as_ref() };
        // Release: pairs with the Acquire of `granted` and of `Drop`. Invariant 5: the last touch.
        node.state.store(GRANTED, Ordering::Release);
        entry
    }

    /// Takes a node out of the chain.
    ///
    /// # Safety
    /// It is linked into this list.
    unsafe fn unlink(&mut self, node: NonNull<Node<T, G>>) -> Option<T> {
        let (mut previous, mut next, mut entry) = (None, None, None);
        // SAFETY: invariant 3 for a linked node, which it is by contract; invariant 4 for the slot.
        unsafe {
            with_slot(node, |slot| {
                previous = slot.previous.take();
                next = slot.next.take();
                entry = slot.entry.take();
            });
        }
        match previous {
            // SAFETY: a neighbour is linked; invariants 3 and 4.
            Some(previous) => unsafe { with_slot(previous, |slot| slot.next = next) },
            None => self.head = next,
        }
        match next {
            // SAFETY: a neighbour is linked; invariants 3 and 4.
            Some(next) => unsafe { with_slot(next, |slot| slot.previous = previous) },
            None => self.tail = previous,
        }
        self.len -= 1;
        entry
    }
}

/// Lends out the slot of a node.
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
