//! Calls that do not wait: the floor, tidegate, governor.
//!
//! Every party is configured so that all its calls end the same way, and says whether they did.

use std::{
    future::Future,
    hint::black_box,
    num::NonZeroU32,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Waker},
};

use governor::{DefaultDirectRateLimiter, RateLimiter as Governor};
use tidegate::{PerCore, Quota, RateLimiter};

/// A kind of call to be measured.
pub trait Call: Sync {
    /// What every thread has of its own.
    type Own;

    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// What the calling thread has of its own.
    fn own(&self) -> Self::Own;

    /// Makes the call; `true` if it ended as it should.
    fn call(&self, own: &mut Self::Own) -> bool;
}

/// The least that a limiter without shares must do: read the clock, and change one word.
pub struct Floor {
    clock: quanta::Clock,
    word: AtomicU64,
}

impl Default for Floor {
    fn default() -> Self {
        Self { clock: quanta::Clock::new(), word: AtomicU64::new(0) }
    }
}

impl Call for Floor {
    type Own = ();

    fn name(&self) -> &'static str {
        "floor: clock read and CAS"
    }

    fn own(&self) {}

    #[inline]
    fn call(&self, (): &mut ()) -> bool {
        let now = black_box(self.clock.raw());
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            let new = seen.wrapping_add(now);
            match self.word.compare_exchange_weak(seen, new, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(changed) => seen = changed,
            }
        }
    }
}

/// The reading of the clock alone.
pub struct ClockRead(quanta::Clock);

impl Default for ClockRead {
    fn default() -> Self {
        Self(quanta::Clock::new())
    }
}

impl Call for ClockRead {
    type Own = ();

    fn name(&self) -> &'static str {
        "clock read alone"
    }

    fn own(&self) {}

    #[inline]
    fn call(&self, (): &mut ()) -> bool {
        black_box(self.0.raw()) != 0
    }
}

/// A call of tidegate that is always admitted.
pub struct Admit(RateLimiter);

impl Default for Admit {
    fn default() -> Self {
        Self(RateLimiter::new(Quota::per_second(1_000_000_000).with_burst(1_000_000_000_000)))
    }
}

impl Call for Admit {
    type Own = ();

    fn name(&self) -> &'static str {
        "tidegate, admitted"
    }

    fn own(&self) {}

    #[inline]
    fn call(&self, (): &mut ()) -> bool {
        self.0.try_acquire().is_ok()
    }
}

/// A call of tidegate for a weight that is always admitted.
pub struct AdmitWeight(RateLimiter);

impl Default for AdmitWeight {
    fn default() -> Self {
        Self(Admit::default().0)
    }
}

impl Call for AdmitWeight {
    type Own = ();

    fn name(&self) -> &'static str {
        "tidegate, admitted, n = 3"
    }

    fn own(&self) {}

    #[inline]
    fn call(&self, (): &mut ()) -> bool {
        self.0.try_acquire_n(black_box(3)).is_ok()
    }
}

/// A call of tidegate that is always refused.
pub struct Refuse(RateLimiter);

impl Default for Refuse {
    fn default() -> Self {
        Self(RateLimiter::new(Quota::per_day(1).with_initial(0)))
    }
}

impl Call for Refuse {
    type Own = ();

    fn name(&self) -> &'static str {
        "tidegate, refused"
    }

    fn own(&self) {}

    #[inline]
    fn call(&self, (): &mut ()) -> bool {
        self.0.try_acquire().is_err()
    }
}

/// A future of tidegate that is made and polled once, with the permit available.
pub struct Acquire(RateLimiter);

impl Default for Acquire {
    fn default() -> Self {
        Self(Admit::default().0)
    }
}

impl Call for Acquire {
    type Own = Context<'static>;

    fn name(&self) -> &'static str {
        "tidegate, `acquire().await` with a permit available"
    }

    fn own(&self) -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    #[inline]
    fn call(&self, own: &mut Context<'static>) -> bool {
        pin!(self.0.acquire()).poll(own).is_ready()
    }
}

/// A call of tidegate's `PerCore` that is always refused.
pub struct RefuseShared(PerCore);

impl Default for RefuseShared {
    fn default() -> Self {
        Self(PerCore::new(&RateLimiter::new(Quota::per_day(1000).with_initial(0))))
    }
}

impl Call for RefuseShared {
    type Own = ();

    fn name(&self) -> &'static str {
        "tidegate, refused through `PerCore`"
    }

    fn own(&self) {}

    #[inline]
    fn call(&self, (): &mut ()) -> bool {
        self.0.try_acquire().is_err()
    }
}

/// Makes a limiter of tidegate.
pub struct Make(Quota);

impl Default for Make {
    fn default() -> Self {
        Self(Quota::per_minute(7))
    }
}

impl Call for Make {
    type Own = ();

    fn name(&self) -> &'static str {
        "tidegate, `RateLimiter::new` and drop"
    }

    fn own(&self) {}

    #[inline]
    fn call(&self, (): &mut ()) -> bool {
        black_box(RateLimiter::new(self.0)).waiting() == 0
    }
}

/// A call of governor that is always admitted.
pub struct GovernorAdmit(DefaultDirectRateLimiter);

impl Default for GovernorAdmit {
    fn default() -> Self {
        // A permit a nanosecond, and the deepest burst it takes: more than any caller can use.
        Self(Governor::direct(
            governor::Quota::per_second(nonzero(1_000_000_000)).allow_burst(NonZeroU32::MAX),
        ))
    }
}

impl Call for GovernorAdmit {
    type Own = ();

    fn name(&self) -> &'static str {
        "governor, admitted"
    }

    fn own(&self) {}

    #[inline]
    fn call(&self, (): &mut ()) -> bool {
        self.0.check().is_ok()
    }
}

/// A call of governor that is always refused.
pub struct GovernorRefuse(DefaultDirectRateLimiter);

impl Default for GovernorRefuse {
    fn default() -> Self {
        let limiter = Governor::direct(governor::Quota::per_hour(nonzero(1)));
        let _ = limiter.check();
        Self(limiter)
    }
}

impl Call for GovernorRefuse {
    type Own = ();

    fn name(&self) -> &'static str {
        "governor, refused"
    }

    fn own(&self) {}

    #[inline]
    fn call(&self, (): &mut ()) -> bool {
        self.0.check().is_err()
    }
}

pub(crate) fn nonzero(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("a positive number")
}
