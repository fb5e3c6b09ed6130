//! The origin that time is counted from, and what follows it when it moves.
//!
//! The word holds ticks since an origin. Beyond the horizon of the scale, or for a debt that there is no room for any
//! more, the origin moves up to the present; the level stays as it is. Readings of the clock from before it are taken
//! for it.

use super::{inner::Inner, locked::Locked};
use crate::{
    gcra::MAX_TAT,
    meter::Meter,
    published::Frame,
    word::{Mode, State},
};

impl Locked<'_> {
    /// Where time goes on from: a reading from before the origin was taken for the origin.
    pub(super) fn present_ns(&self) -> u64 {
        self.now_ns.max(self.frame.origin_ns)
    }

    /// Counts from another origin, a while before the present, with an arrival time so many ticks ahead of
    /// the present.
    pub(super) fn restart(&mut self, present_ns: u64, ahead: i64) {
        let (frame, now) = Frame::at(self.frame.scale, present_ns);
        self.count_by(frame, now, now.saturating_add_signed(ahead).min(MAX_TAT), |_, _| {});
    }

    /// Counts by another frame from here on, of which the present is `now`, with that arrival time. What else counts in
    /// its ticks is for `convert` to change.
    pub(super) fn count_by(
        &mut self,
        frame: Frame,
        now: u64,
        tat: u64,
        convert: impl FnOnce(&Meter, &mut Inner),
    ) {
        let (meter, inner) = (self.meter, &mut *self.inner);
        meter.published.publish(frame, || {
            convert(meter, inner);
            meter.word.thaw(State::new(tat, Mode::Queued));
            inner.report_queued(meter);
        });
        (self.frame, self.now, self.floor, self.tat) = (frame, now, now, tat);
        (self.gathered, self.spill) = (0, 0);
    }

    /// Moves the origin up to the present; the level stays as it is, and so does a doubt. Where the scale is not exact,
    /// what either origin cuts off of the present differs by less than a tick.
    pub(super) fn move_origin(&mut self) {
        let present_ns = self.present_ns();
        let now = self.frame.scale.wide_tick(present_ns - self.frame.origin_ns);
        // Both are below 2^127.
        let ahead = i128::from(self.tat) - now as i128;
        let lowest = -i128::from(MAX_TAT);
        self.keep_doubting(|this| this.restart(present_ns, ahead.max(lowest) as i64));
        self.inner.slack.count_from(now, self.now);
    }

    /// How many ticks can be charged, by the origin there is or by a fresh one.
    pub(super) fn chargeable(&self) -> u64 {
        let (_, fresh) = Frame::at(self.frame.scale, self.present_ns());
        let moved = fresh.saturating_add(self.tat.saturating_sub(self.now));
        MAX_TAT.saturating_sub(self.tat.max(self.now).min(moved))
    }
}
