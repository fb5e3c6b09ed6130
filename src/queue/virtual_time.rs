//! In debug builds, a wait panics if its limiter uses real time while the runtime's time is paused. Such a test would
//! measure nonsense: the limiter waits for real time, and the runtime's virtual time stands still or jumps ahead.

#[cfg(all(feature = "tokio", debug_assertions))]
mod checked {
    use std::time::Instant;

    use tokio::runtime::Handle;

    use crate::{clock::Clock, queue::driver::Driver};

    /// When a wait began, by real time and by the runtime's clock.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Since {
        before: Instant,
        runtime: Instant,
        after: Instant,
    }

    impl Since {
        pub(crate) fn now() -> Self {
            let before = Instant::now();
            let runtime = tokio::time::Instant::now().into_std();
            Self { before, runtime, after: Instant::now() }
        }

        /// Compares the time that has passed by both clocks.
        ///
        /// # Panics
        /// If the times differ, and the limiter uses real time.
        pub(crate) fn check<C: Clock + ?Sized>(self, driver: &Driver<C>) {
            let now = Self::now();
            let least = now.before.saturating_duration_since(self.after);
            let most = now.after.saturating_duration_since(self.before);
            let passed = now.runtime.saturating_duration_since(self.runtime);
            let differs = passed < least || most < passed;
            assert!(
                !(differs && Handle::try_current().is_ok() && driver.is_real_time()),
                "a limiter that goes by real time has waited in a runtime whose time is paused: {passed:?} have passed there, \
                 and {least:?} in real time; make it with `RateLimiter::with_clock(quota, TokioClock::new())`",
            );
        }
    }
}

#[cfg(not(all(feature = "tokio", debug_assertions)))]
mod unchecked {
    use crate::{clock::Clock, queue::driver::Driver};

    /// Compares nothing in this build.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Since;

    impl Since {
        pub(crate) const fn now() -> Self {
            Self
        }

        #[allow(clippy::unused_self, reason = "as in the other build")]
        pub(crate) const fn check<C: Clock + ?Sized>(self, _: &Driver<C>) {}
    }
}

#[cfg(all(feature = "tokio", debug_assertions))]
pub(crate) use self::checked::Since;
#[cfg(not(all(feature = "tokio", debug_assertions)))]
pub(crate) use self::unchecked::Since;
