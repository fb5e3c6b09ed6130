//! Later additions to the steps: other quotas, reservations, and alarms that are held up.

use arbitrary::Arbitrary;
use tidegate::{Clock, Denied, Quota, QuotaError, Reservation};

use super::super::inherit;
use super::{Alarms, Log, Run, quota};

#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum More {
    /// Another quota: how the level goes on, the permits, the period, the burst, and the initial level.
    Change(u8, u8, u32, u8, u8),
    /// As before, with another burst.
    ChangeBurst(u8, u8),
    Reserve(u8),
    EndReservation(u8),
    Spend(u8),
    /// From now on alarms are held up.
    HoldUp,
    /// The one that is due rings at last.
    Ring,
    LetGo,
}

/// Permits that may go back.
pub(super) struct Held {
    id: usize,
    at_ns: u64,
    reservation: Reservation<Alarms>,
}

impl Held {
    /// They are used, and count from when they were taken.
    pub(super) fn spend(self, log: &mut Log) {
        log.used(self.at_ns, self.reservation.permits().whole());
        self.reservation.spend();
    }
}

impl Run {
    pub(super) fn more(&mut self, step: More) -> Option<()> {
        let which = |i: u8| usize::from(i) % self.reservations.len().max(1);
        match step {
            More::Change(how, permits, period_ns, burst, initial) => {
                return self.change(quota(permits, period_ns, burst, initial, self.catch_up), how);
            }
            More::ChangeBurst(how, burst) => {
                let burst = u64::from(burst) % 12 + 1;
                return self.change(self.quota.with_initial(0).with_burst(burst), how);
            }
            More::Reserve(n) => self.reserve(self.amount(n)),
            More::EndReservation(i) if !self.reservations.is_empty() => {
                let Held { id, reservation, .. } = self.reservations.remove(which(i));
                drop(reservation);
                self.given_back(id);
            }
            More::Spend(i) if !self.reservations.is_empty() => {
                self.reservations.remove(which(i)).spend(&mut self.log);
            }
            More::HoldUp => {
                self.line = None;
                self.limiter.clock().hold_up();
            }
            More::Ring => self.limiter.clock().ring(),
            More::LetGo => self.limiter.clock().let_go(),
            More::EndReservation(_) | More::Spend(_) => {}
        }
        Some(())
    }

    fn change(&mut self, to: Quota, how: u8) -> Option<()> {
        let (from, inherit) = (self.quota, inherit(how));
        self.log.changed(self.clock.now(), to, inherit);
        let outcome = self.limiter.set_quota_with(to, inherit);
        self.model(|line| line.change(from, to, inherit));
        if let Err(error) = outcome {
            assert!(matches!(error, QuotaError::DebtTooDeep { .. }), "{error}");
            let debt = self.line.as_ref().is_none_or(|line| line.available() < 0);
            assert!(debt, "{error}, and it is none");
            return None;
        }
        self.quota = to;
        if !to.catch_up().is_zero() {
            // A quarter of a permit may have been no time at all under the one before.
            self.line = None;
        }
        assert_eq!(self.limiter.quota(), to);
        // A waiter that asks for too much has gone: granted, if it was due by then.
        let woken = self.woken();
        for waiter in &mut self.waiters {
            if waiter.permits > to.burst() {
                assert!(woken.contains(&waiter.id), "{} waits for more than a burst", waiter.id);
                waiter.patient = false;
            }
        }
        Some(())
    }

    fn reserve(&mut self, n: u64) {
        let id = self.joined;
        self.joined += 1;
        let outcome = self.limiter.try_reserve(n);
        if let Some(line) = &mut self.line {
            let (wait_ns, never) = (line.time_until(n), line.is_never(n));
            match &outcome {
                Ok(_) => assert!(line.reserve(id, n), "reserved, and it is not there"),
                Err(Denied::TooMany(_)) => assert!(never, "it is never"),
                Err(denied) => {
                    let told = denied.retry_after().map(|wait| wait.as_nanos());
                    assert!(!never && told == Some(wait_ns.into()), "{denied}, not {wait_ns} ns");
                    assert!(wait_ns > 0, "refused, and it is there");
                }
            }
        }
        if let Ok(reservation) = outcome {
            self.served(n);
            self.reservations.push(Held { id, at_ns: self.clock.now(), reservation });
        }
    }

    /// One has dropped what it was granted.
    pub(super) fn given_back(&mut self, id: usize) {
        let Some(mut line) = self.line.take() else { return };
        let (least, most) = line.given_back(id);
        let exact = least == most;
        let [least, most] = [least, most].map(|units| line.with_given_back(id, units));
        if exact {
            assert!(
                self.is_as(&most),
                "{id} gives back another part: {:?}, and by right {most:?}",
                self.limiter
            );
            self.line = Some(most);
            return;
        }
        // Something in between, which cannot be seen exactly: the line is given up.
        let told = i128::from(self.limiter.available());
        // Levels can be compared only where as many waiters are left: a grant lowers the level.
        let right = self.limiter.waiting() != most.waiting()
            || (told <= most.available() && (least.waiting() != most.waiting() || told >= least.available()));
        assert!(
            right && self.limiter.waiting() >= most.waiting(),
            "{id} gives back too much or too little: {line:?}"
        );
    }
}
