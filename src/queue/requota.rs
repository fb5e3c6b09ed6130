//! Another quota for a live limiter.
//!
//! 1. Under the lock, with the word frozen: whoever is due by the old quota is granted first, so that time
//!    that has passed counts at the old rate.
//!    Should the word show that the reading of the clock is older than itself, another is made.
//! 2. The level is converted, rounded down to a tick of the new scale, and the new frame published. A call
//!    that decided by the old one cannot get its word in, and none reads a part of either (see `published.rs`).
//! 3. With it those who wait are priced anew; who asks for more than the new burst is turned away, and so is, by the
//!    hand-off that follows, who can no longer be served in time.
//! 4. What may be parked at cores (see `shares.rs`) is taken off the new burst, and so it is when the first comes
//!    who parks permits; it goes back when the last has left. The word's burst is the smaller one before more
//!    may be parked, and what is parked goes back to the word before that is larger again. It goes back, too, if
//!    by the new burst less may be parked than has been claimed; a new start does away with it.
//! 5. A grant that was made before can still be given back if its cost is no more than the least slack since
//!    (see `slack.rs`), which is converted too. What the conversion itself cuts off is a slack like any other.

use super::{
    calls::never,
    hand_off::{By, release},
    inner::{Inner, Outcome},
    locked::{Locked, Next},
    wait_queue::{Unhold, WaitQueue},
    wake_batch::WakeBatch,
};
use crate::{
    clock::Clock,
    error::QuotaError,
    gcra::{MAX_TAT, Scale},
    published::Frame,
    quota::{Inherit, Quota},
};
use core::task::Waker;

impl<C: Clock> WaitQueue<C> {
    /// Replaces the quota.
    pub(crate) fn set_quota(&self, quota: Quota, inherit: Inherit) -> Result<(), QuotaError> {
        Scale::new(&quota)?;
        self.rescale(|_| quota, inherit, |users| users)
    }

    /// Somebody comes who parks permits at cores, or leaves.
    pub(super) fn change_users(&self, change: isize) {
        let changed = |users: usize| users.saturating_add_signed(change);
        {
            let mut inner = self.inner.lock();
            if inner.users > 0 && changed(inner.users) > 0 {
                inner.users = changed(inner.users);
                return;
            }
        }
        // The level stays what it is, and so does a debt: it takes up no more room than before. When the last
        // leaves, it may: then the part of the burst that was set aside stays so.
        let _ = self.rescale(|inner| inner.quota, Inherit::AsIs, changed);
    }

    /// Replaces the quota, and how many park permits, and so the scale.
    fn rescale(
        &self,
        quota: impl Fn(&Inner) -> Quota,
        inherit: Inherit,
        users: impl Fn(usize) -> usize,
    ) -> Result<(), QuotaError> {
        // As in `give_back`: no call without the lock is to have a later reading of the clock.
        self.locked(|locked| locked.inner.holds += 1);
        let mut unhold = Some(Unhold(self));
        let mut seen = None;
        let changed = loop {
            let now_ns = self.clock.now();
            let mut batch = WakeBatch::new();
            let mut turned_away = Vec::new();
            let mut inner = self.inner.lock();
            let mut locked = Locked::open(&self.meter, &mut inner, now_ns);
            // Nor held back, to be due by the new one.
            locked.inner.rounds.forget();
            let changed = match locked.grant_due(&mut batch, seen) {
                Next::Empty | Next::At(_) if locked.is_early() && seen != Some(locked.seen()) => {
                    seen = Some(locked.seen());
                    None
                }
                // Gates that are woken act on the spot.
                Next::Empty | Next::At(_) if locked.inner.sum.gates > 0 && !batch.is_empty() => None,
                Next::Empty | Next::At(_) => {
                    core::mem::forget(unhold.take());
                    locked.inner.holds -= 1;
                    let (quota, users) = (quota(locked.inner), users(locked.inner.users));
                    Some(locked.replace(quota, inherit, users, &mut turned_away))
                }
                Next::More => None,
                Next::Unsure(saw) => {
                    seen = Some(saw);
                    None
                }
            };
            drop(locked);
            release(inner, &mut batch);
            for waker in turned_away {
                batch.push(Some(waker));
                batch.wake();
            }
            if let Some(changed) = changed {
                break changed;
            }
        };
        self.drive(By::Other);
        changed
    }
}

impl Locked<'_> {
    /// Replaces the quota, and how many park permits.
    fn replace(
        &mut self,
        quota: Quota,
        inherit: Inherit,
        users: usize,
        turned_away: &mut Vec<Waker>,
    ) -> Result<(), QuotaError> {
        self.settle();
        self.inner.users = users;
        let slots = self.meter.slots.get();
        let set_aside =
            if users > 0 { slots.map_or(0, |slots| slots.capacity_of(quota.max_burst())) } else { 0 };
        self.set_scale(&quota, Scale::new(&quota)?.without(set_aside), inherit, turned_away)?;
        self.inner.quota = quota;
        match slots {
            Some(slots) if users > 0 => {
                slots.open(quota.max_burst());
                if inherit == Inherit::Reset {
                    slots.steal_up_to(u64::MAX);
                } else if slots.pool().is_overdrawn() {
                    let parked = slots.steal_up_to(u64::MAX);
                    self.refund(self.frame.scale.parked(parked));
                } else {
                    // A debt comes out of what is parked first.
                    self.gather(0);
                }
            }
            Some(slots) => {
                let parked = slots.close();
                self.refund(self.frame.scale.parked(parked));
            }
            None => {}
        }
        Ok(())
    }

    /// Converts the level to another scale and publishes that, and prices those who wait by it.
    fn set_scale(
        &mut self,
        quota: &Quota,
        scale: Scale,
        inherit: Inherit,
        turned_away: &mut Vec<Waker>,
    ) -> Result<(), QuotaError> {
        let old = self.frame.scale;
        let convert = |ticks| proportion(ticks, scale.per_permit, old.per_permit);
        let full = |quota: &Quota, scale: Scale| i128::from(quota.max_burst()) * i128::from(scale.per_permit);
        let inherited = |level: i128| match inherit {
            Inherit::AsIs => convert(level),
            // Of the whole burst: what is set aside may have been used before it was.
            Inherit::Additively => full(quota, scale) + convert(level - full(&self.inner.quota, old)),
            Inherit::Proportionally => proportion(level, scale.limit, old.limit),
            Inherit::Reset => i128::from(quota.initial_level()) * i128::from(scale.per_permit),
        };
        let tat = self.tat.max(self.floor);
        let ahead = i128::from(tat) - i128::from(self.now);
        let level = i128::from(old.limit) - ahead;
        let new = inherited(level);
        // What a clock that has stepped back makes look like debt is none.
        let rightful = inherited(level.max(-i128::from(self.meter.debt())));
        // Credit of a busy queue may go beyond a full burst.
        let credit = if ahead < 0 { scale.catch_up } else { 0 };
        let most = i128::from(scale.limit) + i128::from(credit);
        let (frame, now) = Frame::at(scale, self.present_ns());
        let at_level = |level: i128| i128::from(now) + i128::from(scale.limit) - level.min(most);
        if at_level(rightful) > i128::from(MAX_TAT) {
            let permits = -rightful / i128::from(scale.per_permit);
            let room = MAX_TAT.saturating_sub(now).saturating_sub(scale.limit);
            return Err(QuotaError::DebtTooDeep {
                permits: permits.try_into().unwrap_or(u64::MAX),
                max: room / scale.per_permit,
            });
        }
        let tat = at_level(new).min(i128::from(MAX_TAT));

        let exact = matches!(inherit, Inherit::AsIs | Inherit::Additively);
        // How much more it could have been with nothing cut off: of what goes beyond a full burst, which a queue that
        // is not busy has none of (the note below), all that is made up for, if a full burst is none too much.
        let more = ahead < 0 || inherited(old.limit.into()) <= scale.limit.into();
        let most_without = i128::from(scale.limit) + i128::from(if more { scale.catch_up } else { 0 });
        let slack = if exact { most_without - new } else { 0 };
        let deepest = i128::from(self.meter.debt());
        // Rounded up, as the level is rounded down: with no debt there is none.
        let debt = (-convert(-deepest)).max(-rightful).min(i128::from(u64::MAX));
        // A clock that has stepped back is taken to have done so when the bucket was deepest in debt.
        let come = self.come_in_doubt().map(|come| inherited(i128::from(come) - deepest) + debt);
        self.note(self.floor);
        // The clock was read while QUEUED was set.
        self.inner.slack.convert(self.now, |ticks| convert(i128::from(ticks)).try_into().unwrap_or(u64::MAX));
        self.inner.slack.note(slack.max(0).try_into().unwrap_or(u64::MAX));
        // Not negative: an origin lies at least a catch-up back, or at the clock's own zero.
        self.count_by(frame, now, tat.max(0) as u64, |meter, inner| {
            meter.set_debt(debt as u64);
            inner.price_anew(&frame, turned_away);
        });
        self.doubt_since(come.map(|come| come.clamp(0, i128::from(u64::MAX)) as u64));
        Ok(())
    }
}

impl Inner {
    /// Prices those who wait by another frame.
    fn price_anew(&mut self, frame: &Frame, turned_away: &mut Vec<Waker>) {
        self.sweep(|entry| {
            if let Some(cost) = frame.scale.cost(entry.permits) {
                entry.cost = cost;
                return None;
            }
            turned_away.extend(entry.waker.take());
            Some(Outcome::Denied(never(frame, entry.permits)))
        });
        self.recheck = true;
    }
}

/// `ticks * new / old`, rounded down. Nothing overflows: a price or a limit is of up to 62 bits, and `ticks` of up to 64.
fn proportion(ticks: i128, new: u64, old: u64) -> i128 {
    (ticks * i128::from(new)).div_euclid(i128::from(old))
}
