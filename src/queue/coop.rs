//! tokio's cooperative budget: a task that has used up its budget yields.

#[cfg(feature = "tokio")]
pub(crate) use tokio::task::coop::poll_proceed;

#[cfg(not(feature = "tokio"))]
mod without {
    use core::task::{Context, Poll};

    pub(crate) struct Unlimited;

    impl Unlimited {
        #[allow(clippy::unused_self, reason = "as tokio's")]
        pub(crate) const fn made_progress(&self) {}
    }

    /// Without tokio there is no budget.
    pub(crate) const fn poll_proceed(_: &mut Context<'_>) -> Poll<Unlimited> {
        Poll::Ready(Unlimited)
    }
}

#[cfg(not(feature = "tokio"))]
pub(crate) use self::without::poll_proceed;
