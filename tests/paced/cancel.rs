//! Random polls and drops of a weighing stream, beside other calls, against a plain model of the bucket: no item is lost but
//! the one that a dropped stream holds, none comes twice, and every permit is accounted for.

use std::{cell::Cell, pin::Pin};

use futures_util::StreamExt;
use proptest::prelude::*;
use tidegate::PacedBy;

use super::{Limiter, PacedExt, Poll, SECOND, next, seconds, stream};

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance,
    Poll,
    Drop,
    Try(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Advance),
        4 => Just(Step::Poll),
        1 => Just(Step::Drop),
        1 => (0_u64..4).prop_map(Step::Try),
    ];
    prop::collection::vec(step, 1..120)
}

/// A bucket that gains a permit with each step of time, and the payment of one item.
struct Model {
    burst: u64,
    level: u64,
    left: u64,
    part: Part,
}

enum Part {
    None,
    Waits(u64),
    /// Granted, but not polled. As time passes, the permits would have overflowed the bucket when it had no more room.
    Granted {
        part: u64,
        goes_back: u64,
        room: u64,
    },
}

impl Model {
    fn advance(&mut self) {
        self.level = (self.level + 1).min(self.burst);
        match &mut self.part {
            &mut Part::Waits(part) if self.level >= part => {
                self.part = Part::Granted { part, goes_back: part, room: self.burst - self.level };
                self.level -= part;
            }
            Part::Granted { room, .. } if *room > 0 => *room -= 1,
            Part::Granted { goes_back, .. } => *goes_back = goes_back.saturating_sub(1),
            _ => {}
        }
    }

    fn try_take(&mut self, n: u64) -> bool {
        if n > self.level || (n > 0 && matches!(self.part, Part::Waits(_))) {
            return n == 0;
        }
        self.level -= n;
        true
    }

    /// Whether all is paid.
    fn pay(&mut self) -> bool {
        loop {
            match self.part {
                Part::Granted { part, .. } => self.left -= part,
                Part::Waits(_) => return false,
                Part::None if self.left == 0 => return true,
                Part::None => {
                    let part = self.left.min(self.burst);
                    if part > self.level {
                        self.part = Part::Waits(part);
                        return false;
                    }
                    self.level -= part;
                    self.left -= part;
                }
            }
            self.part = Part::None;
        }
    }

    fn drop_item(&mut self) {
        if let Part::Granted { goes_back, .. } = self.part {
            self.level += goes_back;
        }
        self.part = Part::None;
        self.left = 0;
    }

    fn check(&self, limiter: &Limiter) {
        assert_eq!(limiter.available(), self.level as i64);
        assert_eq!(limiter.waiting(), usize::from(matches!(self.part, Part::Waits(_))));
    }
}

type Source<'a> = Pin<&'a mut dyn futures_util::Stream<Item = usize>>;

fn paced<'a, 'w>(
    source: Source<'a>,
    limiter: &Limiter,
    weights: &'w [u64],
) -> Pin<Box<PacedBy<Source<'a>, impl FnMut(&usize) -> u64 + use<'w>>>> {
    Box::pin(source.paced_by(limiter).weighing(|&item: &usize| weights[item]))
}

proptest! {
    #[test]
    fn no_item_is_lost_and_no_permit(
        burst in 1_u64..6,
        weights in prop::collection::vec(0_u64..15, 1..30),
        steps in steps(),
    ) {
        let (limiter, clock) = seconds(burst);
        let mut model = Model { burst, level: burst, left: 0, part: Part::None };
        // The items that have left the source, and the items that have come through or were dropped.
        let (taken, mut done) = (Cell::new(0), 0);
        let source = stream::iter(0..weights.len()).inspect(|item| {
            assert_eq!(*item, taken.get());
            taken.set(item + 1);
        });
        let mut source = std::pin::pin!(source);
        let mut items = paced(source.as_mut() as Source<'_>, &limiter, &weights);
        for step in steps {
            match step {
                Step::Advance => {
                    clock.advance(SECOND);
                    model.advance();
                }
                Step::Try(n) => prop_assert_eq!(limiter.try_acquire_n(n).is_ok(), model.try_take(n)),
                Step::Drop => {
                    drop(items);
                    items = paced(source.as_mut() as Source<'_>, &limiter, &weights);
                    model.drop_item();
                    prop_assert!(taken.get() <= done + 1);
                    done = taken.get();
                }
                Step::Poll => {
                    let holds = taken.get() > done;
                    if !holds && done == weights.len() {
                        prop_assert_eq!(next(items.as_mut()), Poll::Ready(None));
                        continue;
                    }
                    if !holds {
                        model.left = weights[done];
                    }
                    if model.pay() {
                        prop_assert_eq!(next(items.as_mut()), Poll::Ready(Some(done)));
                        done += 1;
                    } else {
                        prop_assert_eq!(next(items.as_mut()), Poll::Pending);
                    }
                    prop_assert!(taken.get() <= done + 1, "more than one item is held");
                }
            }
            model.check(&limiter);
        }
    }
}
