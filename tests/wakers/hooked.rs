//! A waker whose cloning, waking and dropping can be made to run code of the test's own.

use std::{
    panic::resume_unwind,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{RawWaker, RawWakerVTable, Waker},
};

type Action = Box<dyn FnOnce() + Send>;

/// What a waker is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Clone,
    Wake,
    Drop,
}

#[derive(Default)]
struct State {
    alive: AtomicUsize,
    wakes: AtomicUsize,
    actions: Mutex<Vec<(On, Action)>>,
}

impl State {
    /// Runs the first action that is meant for this use; each runs once.
    fn run(&self, on: On) {
        let action = {
            let mut actions = self.actions.lock().unwrap_or_else(PoisonError::into_inner);
            let first = actions.iter().position(|&(meant, _)| meant == on);
            first.map(|first| actions.remove(first))
        };
        if let Some((_, action)) = action {
            action();
        }
    }
}

/// All there are, by number: a waker carries the number.
static ALL: Mutex<Vec<Arc<State>>> = Mutex::new(Vec::new());

fn state(number: *const ()) -> Arc<State> {
    Arc::clone(&ALL.lock().unwrap_or_else(PoisonError::into_inner)[number.addr()])
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, forget);

fn clone(number: *const ()) -> RawWaker {
    let state = state(number);
    state.run(On::Clone);
    state.alive.fetch_add(1, Ordering::SeqCst);
    RawWaker::new(number, &VTABLE)
}

fn wake(number: *const ()) {
    /// The waker is used up, also if it panics.
    struct Used(*const ());
    impl Drop for Used {
        fn drop(&mut self) {
            forget(self.0);
        }
    }
    let _used = Used(number);
    wake_by_ref(number);
}

fn wake_by_ref(number: *const ()) {
    let state = state(number);
    state.wakes.fetch_add(1, Ordering::SeqCst);
    state.run(On::Wake);
}

fn forget(number: *const ()) {
    let state = state(number);
    state.alive.fetch_sub(1, Ordering::SeqCst);
    state.run(On::Drop);
}

/// The test's view of one such waker and its clones.
pub(crate) struct Hooked {
    number: *const (),
    state: Arc<State>,
}

impl Hooked {
    pub(crate) fn new() -> Self {
        let state = Arc::new(State::default());
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        let number = std::ptr::without_provenance(all.len());
        all.push(Arc::clone(&state));
        Self { number, state }
    }

    /// One that does this, once.
    pub(crate) fn doing(on: On, action: impl FnOnce() + Send + 'static) -> Self {
        let this = Self::new();
        this.then(on, action);
        this
    }

    /// One that panics, once. The panic hook is spared.
    pub(crate) fn panicking(on: On) -> Self {
        Self::doing(on, || resume_unwind(Box::new("a waker that panics, on purpose")))
    }

    /// Adds an action that runs once, after the actions already added for the same use.
    pub(crate) fn then(&self, on: On, action: impl FnOnce() + Send + 'static) {
        self.state.actions.lock().unwrap().push((on, Box::new(action)));
    }

    #[allow(unsafe_code)]
    pub(crate) fn waker(&self) -> Waker {
        self.state.alive.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the functions of the table may be called with any number that is in the list, from any
        // thread and in any order; numbers stay in the list for good.
        unsafe { Waker::new(self.number, &VTABLE) }
    }

    /// How many wakers there are.
    pub(crate) fn alive(&self) -> usize {
        self.state.alive.load(Ordering::SeqCst)
    }

    pub(crate) fn wakes(&self) -> usize {
        self.state.wakes.load(Ordering::SeqCst)
    }

    /// How much is still to be done.
    pub(crate) fn left_to_do(&self) -> usize {
        self.state.actions.lock().unwrap().len()
    }
}
