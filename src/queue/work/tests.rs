//! Jobs that wake jobs.

use std::sync::Mutex;

use super::*;

/// Notes its number, and wakes the next ones.
struct Numbered {
    number: usize,
    next: Vec<Arc<dyn Job>>,
    log: Arc<Mutex<Vec<usize>>>,
}

impl Job for Numbered {
    fn run(&self) {
        for next in &self.next {
            run(Arc::clone(next));
        }
        // After what it has woken, if wakes nested.
        self.log.lock().unwrap().push(self.number);
    }
}

/// Counts down, from job to job.
struct Counts(usize, Arc<Mutex<Vec<usize>>>);

impl Job for Counts {
    fn run(&self) {
        if self.0 > 0 {
            run(Arc::new(Self(self.0 - 1, Arc::clone(&self.1))));
        }
        self.1.lock().unwrap().push(self.0);
    }
}

/// Runs a job on another thread.
struct Elsewhere(Arc<dyn Job>);

impl Job for Elsewhere {
    fn run(&self) {
        let job = Arc::clone(&self.0);
        std::thread::spawn(move || run(job)).join().unwrap();
    }
}

fn chain(len: usize, log: &Arc<Mutex<Vec<usize>>>) -> Arc<dyn Job> {
    let job = |number, next| Arc::new(Numbered { number, next, log: Arc::clone(log) });
    let last: Arc<dyn Job> = job(len, Vec::new());
    (0..len).rev().fold(last, |next, number| job(number, vec![next]))
}

/// By recursion it would use up the stack.
#[test]
fn a_long_chain_runs_one_after_the_other() {
    let len = if cfg!(miri) { 100 } else { 20_000 };
    let log = Arc::default();
    run(Arc::new(Counts(len, Arc::clone(&log))));
    assert!(log.lock().unwrap().iter().copied().eq((0..=len).rev()));
}

#[test]
fn jobs_run_in_the_order_in_which_they_were_woken() {
    let log = Arc::default();
    let job = |number, next| -> Arc<dyn Job> { Arc::new(Numbered { number, next, log: Arc::clone(&log) }) };
    let (three, four) = (job(3, Vec::new()), job(4, Vec::new()));
    let (one, two) = (job(1, vec![three]), job(2, vec![four]));
    run(job(0, vec![one, two]));
    assert_eq!(*log.lock().unwrap(), [0, 1, 2, 3, 4]);
    // And anew.
    run(chain(3, &log));
    assert_eq!(log.lock().unwrap()[5..], [0, 1, 2, 3]);
}

#[test]
fn a_job_that_panics_keeps_no_other_from_being_run() {
    struct Panics;

    impl Job for Panics {
        fn run(&self) {
            panic!("a job that panics, on purpose");
        }
    }

    let log = Arc::default();
    let job = |number, next| -> Arc<dyn Job> { Arc::new(Numbered { number, next, log: Arc::clone(&log) }) };
    let first = job(0, vec![Arc::new(Panics), job(1, Vec::new())]);
    run(first);
    run(Arc::new(Panics));
    run(job(2, Vec::new()));
    assert_eq!(*log.lock().unwrap(), [0, 1, 2]);
}

/// A panic of what a job panicked with, when it is dropped, ends there as well.
#[test]
fn a_panic_whose_payload_panics_keeps_no_other_from_being_run() {
    struct Payload;

    impl Drop for Payload {
        fn drop(&mut self) {
            // A payload of no size: it is leaked.
            std::panic::panic_any(());
        }
    }

    struct Panics;

    impl Job for Panics {
        fn run(&self) {
            std::panic::panic_any(Payload);
        }
    }

    let log = Arc::default();
    run(Arc::new(Panics));
    run(Arc::new(Numbered { number: 7, next: Vec::new(), log: Arc::clone(&log) }));
    assert_eq!(*log.lock().unwrap(), [7], "the list of this thread is not left behind");
}

#[test]
fn every_thread_has_a_list_of_its_own() {
    let log: Arc<Mutex<Vec<usize>>> = Arc::default();
    let inner: Arc<dyn Job> = Arc::new(Numbered { number: 1, next: Vec::new(), log: Arc::clone(&log) });
    run(Arc::new(Elsewhere(inner)));
    assert_eq!(*log.lock().unwrap(), [1], "it has not waited for the other thread");
}
