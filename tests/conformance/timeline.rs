//! The format of the timelines, and how one is played.

use std::collections::BTreeMap;

use num_rational::BigRational;
use serde_json::Value;

use super::{
    expected::{Expected, check_exact},
    fields,
};

/// What an acquire came to when it was first polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    /// It has its permits.
    Ready,
    /// It waits.
    Pending,
    /// Its turn does not come within the time given.
    Late,
    /// It can never be.
    Error,
}

/// An amount of permits as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum N {
    /// A whole number.
    Whole(u64),
    /// A negative one.
    Negative(i64),
    /// A fraction, or a number beyond 64 bits.
    Float(f64),
}

impl N {
    /// In millionths of a permit; 0 if it is no amount.
    fn millionths(self) -> u64 {
        match self {
            Self::Whole(n) => n.saturating_mul(1_000_000),
            Self::Negative(_) => 0,
            Self::Float(n) => (n * 1e6).round() as u64,
        }
    }
}

/// What a timeline is played on. All calls happen at the time of the last `move_to`.
pub(crate) trait Subject: Sized {
    /// One with this quota, full; `Err` if it is rejected.
    fn create(n: u64, period_ns: u64, burst: u64, created_ns: u64) -> Result<Self, String>;
    fn move_to(&mut self, t_ns: u64);
    fn try_acquire(&mut self, n: N) -> Result<bool, String>;
    /// How many of `count` calls at one instant succeed.
    fn try_acquire_repeat(&mut self, n: N, count: u64) -> Result<u64, String> {
        let mut granted = 0;
        for _ in 0..count {
            granted += u64::from(self.try_acquire(n)?);
        }
        Ok(granted)
    }
    fn available(&mut self) -> i64;
    /// The exact level, if it is known.
    fn exact_level(&self) -> Option<BigRational>;
    /// In nanoseconds; `None` if never.
    fn wait_needed(&mut self, n: N) -> Option<u64>;
    fn time_to_full(&mut self) -> u64;
    fn take_up_to(&mut self, n: u64) -> u64;
    fn force_take(&mut self, n: N) -> Result<u64, String>;
    fn refund(&mut self, n: N) -> Result<(), String>;
    fn reset(&mut self);
    /// Another rate; the level stays.
    fn set_rate(&mut self, n: u64, period_ns: u64) -> Result<(), String>;
    /// Another burst; the level stays, up to it.
    fn set_burst(&mut self, burst: u64) -> Result<(), String>;
    fn acquire(&mut self, id: &str, n: N, max_wait_ns: Option<u64>) -> Acquired;
    /// Drops a waiter; `false` if there was none of that name.
    fn cancel(&mut self, id: &str) -> bool;
    /// The waiters that were granted since the last call, in order, and when.
    fn grants(&mut self) -> Vec<(String, u64)>;
}

/// What came of a timeline that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// So many steps came out right.
    Played(usize),
    /// The quota was rejected, as the timeline allows.
    Rejected,
}

/// What stands for a reservation of permits that are not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reserve {
    /// A charge into debt, if the wait is not too long; a refund cancels it.
    AsCharge,
    /// A waiter that waits no longer than allowed; it is dropped to cancel it.
    AsWaiter,
}

/// Plays one timeline.
pub(crate) fn play<S: Subject>(timeline: &Value, reserve: Reserve) -> Result<Outcome, String> {
    fields::check_timeline(timeline)?;
    let [n, period_ns, burst, created_ns] =
        ["n", "period_ns", "burst", "created_ns"].map(|name| unsigned(timeline, name));
    let created = S::create(n?, period_ns?, burst?, created_ns?);
    let subject = match created {
        Ok(subject) => subject,
        Err(_) if timeline["may_reject_config"] == true => return Ok(Outcome::Rejected),
        Err(error) => return Err(format!("the quota was rejected: {error}")),
    };
    let mut player =
        Player { subject, waiters: BTreeMap::new(), reserve, reservations: Vec::new(), unlisted: Vec::new() };
    let steps = timeline["steps"].as_array().ok_or("no steps")?;
    for (i, step) in steps.iter().enumerate() {
        player.step(step).map_err(|failure| format!("step {i}: {step}: {failure}"))?;
    }
    player.check_grants(&timeline["grants_ns"])?;
    Ok(Outcome::Played(steps.len()))
}

struct Reservation {
    id: Option<String>,
    n: N,
    /// When its permits are there; `None` once it is refused or cancelled.
    due_ns: Option<u64>,
}

impl Reservation {
    /// The name of the waiter that stands for the reservation of this number.
    fn waiter(number: usize) -> String {
        format!("reservation {number}")
    }
}

struct Player<S> {
    subject: S,
    /// Every waiter so far, and when it was granted.
    waiters: BTreeMap<String, Option<u64>>,
    reserve: Reserve,
    reservations: Vec<Reservation>,
    /// Grants that no step has listed yet.
    unlisted: Vec<String>,
}

impl<S: Subject> Player<S> {
    fn step(&mut self, step: &Value) -> Result<(), String> {
        fields::check_step(step)?;
        let t_ns = unsigned(step, "t_ns")?;
        let op = step["op"].as_str().ok_or("no operation")?;
        self.move_to(t_ns);
        let expect = Expected(&step["expect"]);
        match op {
            "try_acquire" => expect.boolean(self.subject.try_acquire(amount(step)?)?)?,
            "try_acquire_repeat" => {
                let granted = self.subject.try_acquire_repeat(amount(step)?, unsigned(step, "count")?)?;
                expect.count(granted)?;
            }
            "try_acquire_ramp" => {
                expect
                    .count(self.at_each(t_ns, step, |subject, n| Ok(u64::from(subject.try_acquire(n)?)))?)?;
            }
            "try_acquire_alternate" => expect.count(self.alternate(t_ns, step)?)?,
            "drain_loop" => {
                let granted = self.at_each(t_ns, step, |subject, n| {
                    let mut granted = 0;
                    while subject.try_acquire(n)? {
                        granted += 1;
                    }
                    Ok(granted)
                })?;
                expect.count(granted)?;
            }
            "available" => {
                expect.level(self.subject.available())?;
                check_exact(step, self.subject.exact_level())?;
            }
            "wait_needed" => expect.wait(self.subject.wait_needed(amount(step)?))?,
            "time_to_full" => expect.count(self.subject.time_to_full())?,
            "take_up_to" => {
                let most = match amount(step)? {
                    N::Whole(n) => n,
                    // Only whole permits are taken.
                    N::Float(n) if n >= 0.0 => n.floor() as u64,
                    n => return Err(format!("cannot take up to {n:?}")),
                };
                expect.count(self.subject.take_up_to(most))?;
            }
            "force_take" => expect.count(self.subject.force_take(amount(step)?)?)?,
            "refund" => {
                expect.nothing()?;
                self.subject.refund(amount(step)?)?;
            }
            "reset" => {
                expect.nothing()?;
                self.subject.reset();
            }
            "set_rate" => {
                expect.nothing()?;
                self.subject.set_rate(unsigned(step, "n")?, unsigned(step, "period_ns")?)?;
            }
            "set_burst" => {
                expect.nothing()?;
                self.subject.set_burst(unsigned(step, "burst")?)?;
            }
            "reserve" => expect.reservation(self.reserve(t_ns, step)?)?,
            "cancel" => expect.boolean(self.cancel(t_ns, &name(step)?)?)?,
            "acquire" => {
                let id = name(step)?;
                if self.waiters.insert(id.clone(), None).is_some() {
                    return Err(format!("two waiters named {id}"));
                }
                let acquired = self.subject.acquire(&id, amount(step)?, None);
                if acquired == Acquired::Ready {
                    self.waiters.insert(id, Some(t_ns));
                }
                expect.acquired(acquired)?;
            }
            "advance" => {
                let listed = std::mem::take(&mut self.unlisted);
                expect.ids(&listed)?;
            }
            "cancel_waiter" => {
                let id = name(step)?;
                let Some(granted) = self.waiters.get(&id) else { return Err(format!("unknown waiter {id}")) };
                // One that already had its permits has nothing to leave.
                if !self.subject.cancel(&id) && granted.is_none() {
                    return Err(format!("{id} does not wait"));
                }
                let before = self.unlisted.len();
                self.note_grants();
                let because = self.unlisted.split_off(before);
                expect.ids(&because)?;
            }
            _ => return Err("unknown operation".to_owned()),
        }
        self.note_grants();
        Ok(())
    }

    fn move_to(&mut self, t_ns: u64) {
        self.subject.move_to(t_ns);
        self.note_grants();
    }

    fn note_grants(&mut self) {
        for (id, time) in self.subject.grants() {
            // No step lists reservations.
            if let Some(granted) = self.waiters.get_mut(&id) {
                *granted = Some(time);
                self.unlisted.push(id);
            }
        }
    }

    /// How long until what is reserved is there; `None` if it is refused.
    fn reserve(&mut self, t_ns: u64, step: &Value) -> Result<Option<u64>, String> {
        let n = amount(step)?;
        let max_wait_ns = match &step["max_wait_ns"] {
            Value::Null => u64::MAX,
            _ => unsigned(step, "max_wait_ns")?,
        };
        let id = step["id"].as_str().map(str::to_owned);
        if id.is_some() && self.reservations.iter().any(|known| known.id == id) {
            return Err(format!("two reservations named {id:?}"));
        }
        let told = self.subject.wait_needed(n);
        let wait = told.filter(|wait| *wait <= max_wait_ns);
        match self.reserve {
            Reserve::AsCharge => {
                let paid = wait.map(|_| self.subject.force_take(n)).transpose()?;
                if paid != wait {
                    return Err(format!(
                        "the wait was told as {wait:?}, but the debt is paid after {paid:?}"
                    ));
                }
            }
            Reserve::AsWaiter => {
                let waiter = Reservation::waiter(self.reservations.len());
                let max_wait_ns = (max_wait_ns < u64::MAX).then_some(max_wait_ns);
                let acquired = self.subject.acquire(&waiter, n, max_wait_ns);
                let right = match (told, wait) {
                    (None, _) => Acquired::Error,
                    (_, None) => Acquired::Late,
                    (_, Some(0)) => Acquired::Ready,
                    (_, Some(_)) => Acquired::Pending,
                };
                if acquired != right {
                    return Err(format!("the wait was told as {told:?}, but the waiter is {acquired:?}"));
                }
            }
        }
        self.reservations.push(Reservation { id, n, due_ns: wait.map(|wait| t_ns.saturating_add(wait)) });
        Ok(wait)
    }

    /// Cancels a reservation; whether anything was restored.
    fn cancel(&mut self, t_ns: u64, id: &str) -> Result<bool, String> {
        let number = self.reservations.iter().position(|known| known.id.as_deref() == Some(id));
        let number = number.ok_or_else(|| format!("unknown reservation {id}"))?;
        let Some(due_ns) = self.reservations[number].due_ns.take() else { return Ok(false) };
        if self.reserve == Reserve::AsWaiter {
            // Something is restored if it still waited.
            return Ok(self.subject.cancel(&Reservation::waiter(number)));
        }
        if due_ns <= t_ns {
            return Ok(false);
        }
        // Later reservations keep their times, so the permits that they took are not restored.
        let later = self.reservations[number + 1..].iter().filter(|later| later.due_ns.is_some());
        let later: u64 = later.map(|later| later.n.millionths()).sum();
        let restored = self.reservations[number].n.millionths().saturating_sub(later);
        self.subject.refund(N::Float(restored as f64 / 1e6))?;
        Ok(restored > 0)
    }

    /// The sum over `count` instants from `t_ns`, `step_ns` apart.
    fn at_each(
        &mut self,
        t_ns: u64,
        step: &Value,
        call: impl Fn(&mut S, N) -> Result<u64, String>,
    ) -> Result<u64, String> {
        let (n, step_ns) = (amount(step)?, unsigned(step, "step_ns")?);
        let mut granted = 0;
        for i in 0..unsigned(step, "count")? {
            let later = i.checked_mul(step_ns).and_then(|by| t_ns.checked_add(by));
            self.move_to(later.ok_or("a time beyond 64 bits")?);
            granted += call(&mut self.subject, n)?;
        }
        Ok(granted)
    }

    /// The sum over `count` pairs of calls, at `t_ns` and at another time.
    fn alternate(&mut self, t_ns: u64, step: &Value) -> Result<u64, String> {
        let (n, t2_ns) = (amount(step)?, unsigned(step, "t2_ns")?);
        let mut granted = 0;
        for _ in 0..unsigned(step, "count")? {
            for t_ns in [t_ns, t2_ns] {
                self.move_to(t_ns);
                granted += u64::from(self.subject.try_acquire(n)?);
            }
        }
        Ok(granted)
    }

    fn check_grants(&self, grants_ns: &Value) -> Result<(), String> {
        let Some(grants_ns) = grants_ns.as_object() else {
            return if grants_ns.is_null() { Ok(()) } else { Err("grants_ns is no table".to_owned()) };
        };
        for (id, expected) in grants_ns {
            let expected = expected.as_u64().ok_or("a time of grants_ns is no number")?;
            let granted = self.waiters.get(id).ok_or_else(|| format!("grants_ns: unknown waiter {id}"))?;
            if *granted != Some(expected) {
                return Err(format!("{id} was granted at {granted:?}, right is {expected}"));
            }
        }
        Ok(())
    }
}

fn unsigned(value: &Value, name: &str) -> Result<u64, String> {
    value[name].as_u64().ok_or_else(|| format!("{name} is no number of 64 bits: {}", value[name]))
}

fn name(step: &Value) -> Result<String, String> {
    step["id"].as_str().map(str::to_owned).ok_or_else(|| "the waiter has no id".to_owned())
}

fn amount(step: &Value) -> Result<N, String> {
    let n = &step["n"];
    let whole = n.as_u64().map(N::Whole);
    whole
        .or_else(|| n.as_i64().map(N::Negative))
        .or_else(|| n.as_f64().map(N::Float))
        .ok_or_else(|| format!("`n` is no number: {n}"))
}
