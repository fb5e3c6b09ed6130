//! What an item costs, paid to a limit before the item passes.

use core::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

use crate::{all_of::Limit, asking::Asking, error::Denied, permits::Permits, queue::block_on};

/// How many parts are paid before other work of the task gets a turn.
const PARTS_AT_ONCE: usize = 32;

/// The smallest part of a cost.
const SMALLEST: Permits = Permits::of_millionths(1);

/// The cost of one item after the other.
pub(crate) struct Payment {
    asking: Asking,
    /// What is still to pay for the present item.
    left: Permits,
    /// The most that the limit grants at once.
    part: Permits,
    in_parts: bool,
}

/// The limiter has been closed.
#[derive(Debug)]
pub(crate) struct Closed;

impl Payment {
    /// Each cost is paid by one call.
    pub(crate) fn new(limit: &(impl Limit + ?Sized)) -> Self {
        Self { asking: Asking::new(limit), left: Permits::ZERO, part: Permits::ZERO, in_parts: false }
    }

    /// A cost above the largest request is paid by several calls.
    pub(crate) fn in_parts(self) -> Self {
        Self { in_parts: true, ..self }
    }

    /// The cost of the next item. The last one has been paid.
    pub(crate) const fn owe(&mut self, cost: Permits) {
        self.left = cost;
        self.part = cost;
    }

    /// Waits until all is paid; for ever if a limiter is closed.
    ///
    /// # Panics
    /// If the limit can never admit a call.
    pub(crate) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.poll(cx)) {
            Ok(()) => Poll::Ready(()),
            // No waker is needed: a closed limiter stays closed.
            Err(Closed) => Poll::Pending,
        }
    }

    /// Blocks the thread until all is paid. Panics as [`poll_open`](Self::poll_open), and inside a task.
    #[track_caller]
    pub(crate) fn block(&mut self) -> Result<(), Closed> {
        block_on(poll_fn(|cx| self.poll(cx)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let mut paid = 0;
        while self.left > Permits::ZERO {
            if paid == PARTS_AT_ONCE {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let part = self.part.min(self.left);
            let grain = if self.in_parts { SMALLEST } else { part };
            match ready!(self.asking.poll(part, grain, cx)) {
                Ok(granted) => {
                    // No underflow: no more was asked for than is left.
                    self.left = self.left.minus(granted).unwrap_or_default();
                    // A smaller grant is the most that the limit grants at once.
                    self.part = granted;
                }
                Err(Denied::Closed) => return Poll::Ready(Err(Closed)),
                Err(denied) => panic!("paced by a limit that can never admit a call: {denied}"),
            }
            paid += 1;
        }
        Poll::Ready(Ok(()))
    }
}
