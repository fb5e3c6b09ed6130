//! An hour in virtual time, if it is asked for.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tidegate::{Clock, Inherit, Permits, Quota, RateLimiter};

use super::{
    super::{late_clock::LateClock, random::Random, seconds},
    ledger::Ledger,
    population::{Held, MILLION, User, Waiter},
    report::{Memory, Report},
};

const SECOND: u64 = 1_000_000_000;

struct Soak {
    random: Random,
    clock: LateClock,
    limiter: RateLimiter<LateClock>,
    ledger: Arc<Mutex<Ledger>>,
    waiters: Vec<Waiter>,
    held: Vec<Held>,
    users: Vec<User>,
    /// The runtime neither rings nor polls until then.
    stalled_until: u64,
    /// In permits. What is charged is not admitted.
    charged: u64,
    /// What time has brought, in billionths of a permit.
    earned: i128,
    /// The waiters that left the queue, and the changes of quota.
    cancelled: u64,
    changes: u64,
    quotas: Box<dyn Fn(&mut Random) -> Quota>,
    inherit: Inherit,
}

fn permits(millionths: u64) -> Permits {
    // The nearest millionth is the one that was meant.
    Permits::try_from(millionths as f64 / MILLION as f64).unwrap()
}

impl Soak {
    fn new(seed: u64, inherit: Inherit, initial: Option<u64>, quotas: fn(&mut Random) -> Quota) -> Self {
        let mut random = Random(seed);
        let quota = quotas(&mut random);
        let quota = initial.map_or(quota, |initial| quota.with_initial(initial));
        let clock = LateClock::default();
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        // The slots are made here.
        drop(User::new(&limiter, false));
        Self {
            random,
            ledger: Arc::new(Mutex::new(Ledger::new(&quota, clock.now()))),
            clock,
            limiter,
            waiters: Vec::new(),
            held: Vec::new(),
            users: Vec::new(),
            stalled_until: 0,
            charged: 0,
            earned: 0,
            cancelled: 0,
            changes: 0,
            quotas: Box::new(quotas),
            inherit,
        }
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// For whole microseconds, so that what time brings is a whole number of millionths of a permit.
    fn advance(&mut self, by_us: u64) {
        self.clock.advance(by_us * 1_000);
        self.earned += i128::from(self.limiter.quota().permits()) * i128::from(by_us * 1_000);
    }

    /// The turn of the runtime: alarms ring, and woken waiters that are not forgotten are polled.
    fn run_ready(&mut self) {
        if self.clock.now() < self.stalled_until {
            return;
        }
        self.clock.ring();
        let mut i = 0;
        while i < self.waiters.len() {
            let waiter = &mut self.waiters[i];
            if !waiter.forgotten && waiter.is_woken() && waiter.poll() {
                self.waiters.swap_remove(i);
            } else {
                i += 1;
            }
        }
    }

    /// Mostly few, sometimes a part of one, sometimes as many as can be.
    fn amount(&mut self) -> u64 {
        let few = 1 + self.random.below(5);
        match self.random.below(20) {
            0 => (1 + self.random.below(self.limiter.quota().burst().min(2_000))) * MILLION,
            1 | 2 => few * MILLION / 2,
            _ => few * MILLION,
        }
    }

    fn try_something(&mut self) {
        let (now, millionths) = (self.clock.now(), self.amount());
        match self.random.below(8) {
            0 => {
                let most = if self.random.one_in(4) { u64::MAX } else { 10 };
                let taken = self.limiter.try_acquire_up_to(most.min(1 << 20));
                self.ledger().tried(now, taken * MILLION);
            }
            1 if self.held.len() < 10 => {
                if let Ok(reservation) = self.limiter.try_reserve(permits(millionths)) {
                    let entry = self.ledger().open(now);
                    self.held.push(Held { reservation, entry });
                }
            }
            2..=5 if !self.users.is_empty() => {
                let i = self.random.below(self.users.len() as u64) as usize;
                let n = millionths.div_ceil(MILLION);
                if self.users[i].try_acquire(n) {
                    self.ledger().tried(now, n * MILLION);
                }
            }
            _ => {
                if self.limiter.try_acquire_n(permits(millionths)).is_ok() {
                    self.ledger().tried(now, millionths);
                }
            }
        }
    }

    fn join(&mut self) {
        if self.waiters.len() >= 64 {
            return;
        }
        let millionths = self.amount();
        let within = if self.random.one_in(5) {
            Duration::from_millis(self.random.below(2_000))
        } else {
            Duration::MAX
        };
        let future = self.limiter.acquire_within_owned(permits(millionths), within);
        let forgotten = self.random.one_in(6);
        let mut waiter = Waiter::new(&self.clock, &self.ledger, future, millionths, forgotten);
        if !waiter.poll() {
            self.waiters.push(waiter);
        }
    }

    /// A waiter leaves, or a forgotten waiter is polled at last.
    fn leave(&mut self) {
        if !self.waiters.is_empty() {
            let i = self.random.below(self.waiters.len() as u64) as usize;
            if self.random.one_in(2) {
                self.waiters.swap_remove(i).leave();
                self.cancelled += 1;
            } else if self.waiters[i].poll() {
                self.waiters.swap_remove(i);
            }
        }
    }

    fn end_reservation(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let i = self.random.below(self.held.len() as u64) as usize;
        let Held { reservation, entry } = self.held.swap_remove(i);
        let used = if self.random.one_in(2) {
            let permits = reservation.permits();
            reservation.spend();
            Some(permits.whole() * MILLION + u64::from(permits.millionths()))
        } else {
            drop(reservation);
            None
        };
        self.ledger().close(entry, used, false);
    }

    fn charge_or_refund(&mut self) {
        let n = 1 + self.random.below(10);
        if self.random.one_in(2) {
            self.limiter.charge(n).unwrap();
            self.charged += n;
        } else {
            // Recorded before the refund: the waiters that it grants come after.
            self.ledger().refunded(self.clock.now(), n * MILLION);
            self.limiter.refund(n).unwrap();
        }
    }

    fn change_quota(&mut self) {
        let quota = (self.quotas)(&mut self.random);
        let held = self.users.iter().map(User::held).sum();
        let now = self.clock.now();
        self.ledger().announced(now, quota, held);
        self.limiter.set_quota_with(quota, self.inherit).unwrap();
        self.ledger().changed(now, quota, held);
        self.changes += 1;
    }

    fn users_come_and_go(&mut self) {
        if self.users.len() < 4 && self.random.one_in(2) {
            let by_hand = self.random.one_in(2);
            self.users.push(User::new(&self.limiter, by_hand));
        } else if !self.users.is_empty() {
            let i = self.random.below(self.users.len() as u64) as usize;
            self.users.swap_remove(i);
        }
    }

    fn step(&mut self) {
        match self.random.below(1_000) {
            0..400 => {
                let by_us = if self.random.one_in(2) { 3_000 } else { 100 };
                let by_us = self.random.below(by_us);
                self.advance(by_us);
            }
            400..402 => self.stalled_until = self.clock.now() + self.random.below(5 * SECOND),
            402..650 => self.try_something(),
            650..820 => self.join(),
            820..900 => self.leave(),
            900..940 => self.end_reservation(),
            940..960 => self.charge_or_refund(),
            960..965 => self.change_quota(),
            965..975 => self.users_come_and_go(),
            // The others go on without the runtime.
            _ => return,
        }
        self.run_ready();
    }

    /// Runs for so long, and until all waiters have left.
    fn run(&mut self, for_ns: u64) {
        let until = self.clock.now() + for_ns;
        while self.clock.now() < until {
            self.step();
        }
        self.users.clear();
        while !self.held.is_empty() {
            self.end_reservation();
        }
        self.stalled_until = 0;
        let patience = self.clock.now() + 100_000 * SECOND;
        while self.limiter.waiting() > 0 {
            assert!(self.clock.now() < patience, "{} wait for ever", self.limiter.waiting());
            self.advance(100_000);
            self.run_ready();
        }
        for mut waiter in std::mem::take(&mut self.waiters) {
            assert!(waiter.poll(), "left in the queue");
        }
        (self.users, self.held) = (Vec::new(), Vec::new());
        self.ledger().drain();
    }

    /// Two halves. Between the one's end and the other's, no memory is kept.
    fn run_in_halves(&mut self, report: &mut Report) {
        let half = (lasts() * 1e9) as u64 / 2;
        let first = allocation_counter::measure(|| self.run(half)).bytes_current;
        let memory = allocation_counter::measure(|| self.run(half));
        report.rounds += 2;
        report.admitted += self.ledger().admitted;
        report.cancelled += self.cancelled;
        report.changes += self.changes;
        let last = first + memory.bytes_current;
        report.memory = Some(Memory { what: "heap", first, last });
        assert_eq!((memory.count_current, memory.bytes_current), (0, 0), "kept");
    }
}

fn lasts() -> f64 {
    seconds("TIDEGATE_SOAK_SECONDS", 60.0)
}

fn small(random: &mut Random) -> Quota {
    let rate = [10, 100, 333, 997, 5_000][random.below(5) as usize];
    let burst = [1, 3, 8, 40, 200, 1_500][random.below(6) as usize];
    let catch_up = [0, 1, 10, 50][random.below(4) as usize];
    Quota::per_second(rate).with_burst(burst).with_catch_up(Duration::from_millis(catch_up))
}

fn never_full(random: &mut Random) -> Quota {
    small(random).with_burst((1 << 30) + random.below(100))
}

#[test]
fn no_window_sees_more_than_the_bound() {
    let mut report = Report::default();
    for (seed, inherit) in [(1, Inherit::AsIs), (2, Inherit::Additively)] {
        Soak::new(seed, inherit, None, small).run_in_halves(&mut report);
    }
    report.print("no_window_sees_more_than_the_bound", 2.0 * lasts(), "virtual");
}

#[test]
fn the_books_balance_to_the_millionth() {
    let mut soak = Soak::new(3, Inherit::AsIs, Some(0), never_full);
    let mut report = Report::default();
    soak.run_in_halves(&mut report);
    report.print("the_books_balance_to_the_millionth", lasts(), "virtual");
    // Out of any debt.
    soak.advance(100 * 1_000_000);
    let taken = soak.ledger().taken + i128::from(soak.charged * MILLION);
    let left = soak.earned - taken * 1_000;
    let found = i128::from(soak.limiter.available());
    assert_eq!(found, left.div_euclid(i128::from(SECOND)));
    // To the millionth: the next whole permit is as far off as it should be.
    let missing = (found + 1) * i128::from(SECOND) - left;
    let rate = i128::from(soak.limiter.quota().permits());
    let wait = soak.limiter.time_until(u64::try_from(found + 1).unwrap()).unwrap();
    assert_eq!(wait.as_nanos() as i128, (missing + rate - 1) / rate);
}
