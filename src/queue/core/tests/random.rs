//! Random histories against the model.

mod queue;

use core::time::Duration;

use super::{
    model::{Model, PERMIT},
    *,
};
use crate::{gcra::MIN_HORIZON_NS, quota::Inherit};

/// How many wakers a batch holds.
const BATCH: usize = 32;

struct History {
    random: Random,
    rig: Rig,
    model: Model,
    /// Whether calls without the lock have changed the word since the last step.
    changed: bool,
    /// Whether calls are in all lanes, or in the normal one.
    lanes: bool,
    trace: bool,
}

fn random_quota(random: &mut Random) -> Quota {
    let permits = random.one_of(&[1, 2, 7, 10, 100, 1000]);
    let burst = random.one_of(&[1, 1, 2, 3, 5, 12]);
    let catch_up = random.one_of(&[0, MS, 10 * MS, 10 * MS, 200 * MS, 2 * SECOND]);
    let quota = Quota::per_second(permits).with_burst(burst).with_initial(random.below(burst + 1));
    quota.with_catch_up(Duration::from_nanos(catch_up))
}

impl History {
    fn new(seed: u64, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let quota = random_quota(&mut random);
        let now_ns = random.one_of(&[0, 5 * MS, START, START, 1_000_000_000 * SECOND]);
        let rig = Rig::new(quota, now_ns);
        if trace {
            println!("{quota} at {now_ns}");
        }
        let lanes = random.chance(50);
        Self { random, rig, model: Model::new(quota, now_ns), changed: false, lanes, trace }
    }

    fn run(&mut self, steps: u64) {
        for step in 0..steps {
            self.move_clock();
            if self.random.chance(30) {
                self.take_fast();
                // The step comes a little later, or much.
                if self.random.chance(30) {
                    let much = if self.random.chance(5) { 950_000_000 * SECOND } else { SECOND };
                    let by = self.random.one_of(&[1, MS, SECOND / 10, much]);
                    self.rig.now_ns = self.rig.now_ns.saturating_add(by).min(15_000_000_000 * SECOND);
                }
            }
            if self.random.chance(10) {
                self.leave();
            }
            self.open();
            let op = self.random.below(100);
            if self.trace {
                println!(
                    "{step}: op {op} at {}, {} ahead, {:?}",
                    self.rig.now_ns, self.model.ahead, self.model.queue
                );
            }
            match op {
                0..20 => self.try_take(),
                20..50 => self.enter(),
                50..58 => self.charge_or_refund(),
                58..68 => self.give_back(),
                68..71 => self.reset(),
                71..80 => self.rescale(),
                80..86 => self.join_front(),
                86..92 => self.try_final_parts(),
                92..96 => self.renew(),
                _ => {}
            }
            // Most calls drive the queue afterwards.
            if self.random.chance(80) {
                while self.grant_due() == Next::More {
                    self.close();
                    self.open();
                }
            }
            self.close();
        }
        self.model.check_windows();
    }

    fn move_clock(&mut self) {
        let permit_ns = SECOND / self.rig.core.quota().permits();
        let burst_ns = permit_ns * self.rig.core.quota().burst();
        let mut some = |of: u64| self.random.below(of + 1);
        let choices = [
            0,
            0,
            1,
            1_000,
            permit_ns / 3,
            permit_ns,
            some(2 * permit_ns),
            some(3 * burst_ns),
            some(12 * MS),
        ];
        let by = self.random.one_of(&choices);
        self.rig.now_ns += by;
        if self.random.chance(1) && self.rig.now_ns < 10_000_000_000 * SECOND {
            self.rig.now_ns += self.random.one_of(&[3_600 * SECOND, 950_000_000 * SECOND]);
        } else if self.random.chance(6) {
            let choices = [1, MS / 2, MS, MS + 1, 2 * MS, burst_ns, 3 * burst_ns, 3_600 * SECOND, u64::MAX];
            self.rig.now_ns = self.rig.now_ns.saturating_sub(self.random.one_of(&choices));
        }
    }

    /// An amount in millionths: mostly whole permits, of up to a burst.
    fn amount(&mut self) -> Permits {
        let burst = self.rig.core.quota().burst();
        let whole = 1 + self.random.below(burst);
        match self.random.below(10) {
            0 => Permits::ZERO,
            1 => Permits::of_millionths(self.random.below(burst * Permits::MILLION)),
            2..7 => 1.into(),
            _ => whole.into(),
        }
    }

    fn lane(&mut self) -> Lane {
        if self.lanes { self.random.one_of(&Lane::ALL) } else { Lane::Normal }
    }

    fn atoms(permits: Permits) -> i128 {
        i128::from(permits.in_millionths(u64::MAX).unwrap()) * (PERMIT / i128::from(Permits::MILLION))
    }

    // === the word ===

    /// A call without the lock, with a reading that is not newer than the next step's.
    fn take_fast(&mut self) {
        if self.rig.word.is_owned() {
            return;
        }
        let frame = *self.rig.core.frame();
        let now_ns = self.rig.now_ns;
        let permits = self.amount();
        let (Some(now), cost) = (frame.tick(now_ns), frame.scale().cost(permits).unwrap()) else { return };
        // By a clock that has stepped back it is refused, or admitted by what is left.
        if cost == 0 {
            return;
        }
        let admitted = match decide(self.rig.word.tat(), now, now, cost, frame.scale().limit) {
            Decision::Admit(tat) => {
                self.rig.word = self.rig.word.with_tat(tat);
                self.changed = true;
                true
            }
            Decision::NotBefore(_) => false,
        };
        assert_eq!(self.model.take_fast(now_ns, Self::atoms(permits)), admitted);
    }

    fn open(&mut self) {
        self.rig.core.open(self.rig.word, self.rig.now_ns);
        self.model.open(self.rig.now_ns, self.changed);
        self.changed = false;
        let beyond_ns = self.rig.now_ns.saturating_sub(self.model.origin_ns);
        if self.rig.core.reframed && beyond_ns > MIN_HORIZON_NS {
            self.model.publish();
        }
        let core = &self.rig.core;
        assert!(core.frame.base() <= core.floor && core.floor <= core.now);
        assert_eq!(self.core_atoms(core.floor), self.model.floor);
        self.compare();
    }

    fn close(&mut self) {
        let thaw = self.rig.core.close();
        self.rig.check(&thaw);
        self.compare();
        self.model.close();
        assert_eq!(thaw.state.has_credit(), self.model.has_credit());
        assert_eq!(thaw.in_debt, self.model.ahead > self.model.limit);
        assert_eq!(thaw.credit_until_ns, self.model.credit_until_ns);
        self.rig.word = thaw.state;
        let mut order = Vec::new();
        self.rig.core.list.visit(|entry| {
            order.push((entry.lane, entry.deadline_ns, Self::atoms(entry.permits)));
            true
        });
        let expected =
            self.model.queue.iter().map(|waiting| (waiting.lane, waiting.deadline_ns, waiting.atoms));
        assert!(order.into_iter().eq(expected));
    }

    /// A tick of the present frame, from the present, in atoms.
    fn core_atoms(&self, tick: u64) -> i128 {
        let unit = PERMIT / i128::from(self.rig.core.frame.scale().per_permit);
        (i128::from(tick) - i128::from(self.rig.core.now)) * unit
    }

    /// The TAT is the model's.
    fn compare(&self) {
        let ahead = self.core_atoms(self.rig.core.tat);
        assert_eq!(self.model.matters(ahead), self.model.matters(self.model.ahead));
    }

    // === without waiting ===

    fn try_take(&mut self) {
        let permits = self.amount();
        let atoms = Self::atoms(permits);
        let unused = self.random.chance(40);
        let lane = self.lane();
        let core = &mut self.rig.core;
        let cost = core.cost(permits).unwrap();
        let caller = self.random.one_of(&[Caller::Try(lane), Caller::Waiter(lane)]);
        let conforms = core.conforms(cost, caller);
        let taken = core.take(cost, caller);
        assert_eq!(conforms.err(), taken.err());
        let expected = self.model.take(atoms, caller, unused);
        assert_eq!(taken.map(drop).map_err(|tick| core.frame().reading_at(tick)), expected);
        if let (Ok(grant), true) = (taken, unused && cost > 0) {
            self.model.name_latest(grant);
        }
    }

    fn charge_or_refund(&mut self) {
        let burst = self.rig.core.quota().burst();
        let permits = Permits::from(self.random.below(2 * burst + 1));
        let per_permit = self.rig.core.frame.scale().per_permit;
        let ticks = permits.ticks(per_permit) as u64;
        if self.random.chance(60) {
            self.rig.core.charge(ticks).unwrap();
            self.model.charge(Self::atoms(permits));
        } else {
            self.rig.core.refund(ticks);
            self.model.refund(Self::atoms(permits));
        }
    }

    fn reset(&mut self) {
        self.rig.core.reset();
        self.model.reset();
    }

    fn give_back(&mut self) {
        if self.model.held.is_empty() {
            return;
        }
        let which = self.random.below(self.model.held.len() as u64) as usize;
        let held = self.model.held[which];
        let (core, grant) = (&mut self.rig.core, held.grant.unwrap());
        let before = core.tat;
        let whole = core.is_whole(&grant);
        let any = core.give_back(grant);
        let good = i128::from(before - core.tat) * (PERMIT / i128::from(core.frame.scale().per_permit));
        assert_eq!((any, whole), (good > 0, good == self.model.all_of(&held)));
        self.model.give_back(which, good);
    }

    fn renew(&mut self) {
        if self.model.held.is_empty() {
            return;
        }
        let which = self.random.below(self.model.held.len() as u64) as usize;
        let core = &mut self.rig.core;
        let renewed = core.renew(self.model.held[which].grant.unwrap());
        let good = i128::from(renewed.cost) * (PERMIT / i128::from(core.frame.scale().per_permit));
        self.model.renew(which, good);
        if good > 0 {
            self.model.name_latest(renewed);
        }
    }

    // === another quota ===

    fn rescale(&mut self) {
        while self.grant_due() == Next::More {}
        let quota = random_quota(&mut self.random);
        let inherit = self.random.one_of(&[
            Inherit::AsIs,
            Inherit::AsIs,
            Inherit::Additively,
            Inherit::Proportionally,
            Inherit::Reset,
        ]);
        if self.trace {
            println!("  {quota} {inherit:?}");
        }
        self.model.check_windows();
        let mut refused = Vec::new();
        self.rig.core.rescale(quota, Scale::new(&quota).unwrap(), inherit, &mut refused).unwrap();
        let places = self.model.rescale(quota, inherit);
        assert_eq!(refused.len(), places.len());
        for place in places {
            let never = matches!(self.rig.granted(place), Some(Outcome::Denied(Denied::TooMany(_))));
            assert!(never, "{:?}", self.rig.granted(place));
        }
        assert!(self.rig.core.needs_hand_off());
    }
}

#[test]
fn histories_go_as_in_the_model() {
    let (histories, steps) = if cfg!(miri) { (30, 20) } else { (25_000, 24) };
    for seed in 0..histories {
        let run = |trace| History::new(seed, trace).run(steps);
        if std::panic::catch_unwind(|| run(false)).is_err() {
            println!("the history of seed {seed}:");
            run(true);
        }
    }
}
