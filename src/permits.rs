//! Amounts of permits: whole numbers, or fractions down to a millionth.

use core::{
    error::Error,
    fmt,
    num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize},
};

const MILLION: u64 = 1_000_000;

/// An amount of permits: a whole number plus millionths of a permit.
///
/// Methods that take an amount accept any [`Amount`], so `Permits` is rarely needed.
///
/// # Examples
/// ```
/// use tidegate::Permits;
///
/// let weight = Permits::try_from(2.5).unwrap();
/// assert_eq!(weight.to_string(), "2.5");
/// assert!(weight > Permits::from(2));
/// assert_eq!((weight.whole(), weight.millionths()), (2, 500_000));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permits {
    whole: u64,
    millionths: u32,
}

impl Permits {
    /// No permits. Taking zero is always admitted and changes nothing.
    pub const ZERO: Self = Self { whole: 0, millionths: 0 };

    pub(crate) const MILLION: u64 = MILLION;

    /// The whole permits in this amount, rounded down. See the example of [`Permits`].
    pub const fn whole(self) -> u64 {
        self.whole
    }

    /// The millionths of a permit beyond [`whole`](Self::whole), below 1,000,000. See the example of [`Permits`].
    pub const fn millionths(self) -> u32 {
        self.millionths
    }

    pub(crate) fn plus(self, other: Self) -> Result<Self, InvalidPermits> {
        let millionths = u64::from(self.millionths) + u64::from(other.millionths);
        let whole = u128::from(self.whole) + u128::from(other.whole) + u128::from(millionths / MILLION);
        let Ok(whole) = u64::try_from(whole) else {
            return Err(InvalidPermits(Number::Beyond((whole - (1 << 64)) as u64)));
        };
        Ok(Self { whole, millionths: (millionths % MILLION) as u32 })
    }

    /// The product, rounded up to a millionth.
    pub(crate) fn times(self, n: Self) -> Result<Self, InvalidPermits> {
        let [this, n] = [self, n].map(Self::all_millionths);
        let product = this.checked_mul(n).map(|product| product.div_ceil(u128::from(MILLION)));
        let whole = product.and_then(|all| u64::try_from(all / u128::from(MILLION)).ok());
        let (Some(product), Some(whole)) = (product, whole) else {
            return Err(InvalidPermits(Number::Float(this as f64 / 1e6 * (n as f64 / 1e6))));
        };
        Ok(Self { whole, millionths: (product % u128::from(MILLION)) as u32 })
    }

    fn all_millionths(self) -> u128 {
        u128::from(self.whole) * u128::from(MILLION) + u128::from(self.millionths)
    }

    /// Half of the amount, rounded down to a millionth.
    pub(crate) fn half(self) -> Self {
        let half = self.all_millionths() / 2;
        Self { whole: (half / u128::from(MILLION)) as u64, millionths: (half % u128::from(MILLION)) as u32 }
    }

    /// The largest multiple of `grain` that is not more.
    pub(crate) fn in_grains(self, grain: Self) -> Self {
        let over = self.all_millionths() % grain.all_millionths().max(1);
        let all = self.all_millionths() - over;
        Self { whole: (all / u128::from(MILLION)) as u64, millionths: (all % u128::from(MILLION)) as u32 }
    }

    /// The difference of two amounts; `None` if it is negative.
    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        let [this, other] = [self, other].map(Self::all_millionths);
        let left = this.checked_sub(other)?;
        // No overflow: the difference is at most `self`.
        let whole = (left / u128::from(MILLION)) as u64;
        Some(Self { whole, millionths: (left % u128::from(MILLION)) as u32 })
    }

    /// The amount in millionths of a permit; `None` if it is more than `most`.
    #[inline]
    pub(crate) fn in_millionths(self, most: u64) -> Option<u64> {
        let all = self.whole.checked_mul(MILLION)?.checked_add(u64::from(self.millionths))?;
        (all <= most).then_some(all)
    }

    /// The whole permits, rounded up.
    pub(crate) const fn whole_up(self) -> u64 {
        self.whole.saturating_add((self.millionths > 0) as u64)
    }

    pub(crate) const fn of_millionths(millionths: u64) -> Self {
        Self { whole: millionths / MILLION, millionths: (millionths % MILLION) as u32 }
    }

    /// The cost in ticks at `per_permit` ticks to a permit, rounded up.
    #[inline]
    pub(crate) fn ticks(self, per_permit: u64) -> u128 {
        let whole = u128::from(self.whole) * u128::from(per_permit);
        if self.millionths == 0 {
            return whole;
        }
        let part = u128::from(self.millionths) * u128::from(per_permit);
        whole + part.div_ceil(u128::from(MILLION))
    }

    /// The ticks that go back in a refund, rounded down: no more than [`ticks`](Self::ticks).
    pub(crate) fn ticks_given_back(self, per_permit: u64) -> u128 {
        let [whole, part] =
            [self.whole, self.millionths.into()].map(|n| u128::from(n) * u128::from(per_permit));
        whole + part / u128::from(MILLION)
    }
}

impl From<u64> for Permits {
    fn from(whole: u64) -> Self {
        Self { whole, millionths: 0 }
    }
}

impl TryFrom<f64> for Permits {
    type Error = InvalidPermits;

    /// Rounds to the nearest millionth, but an amount above zero to at least one millionth.
    ///
    /// # Errors
    /// [`InvalidPermits`] if `amount` is negative, NaN, or 2^64 and above.
    fn try_from(amount: f64) -> Result<Self, InvalidPermits> {
        const LIMIT: f64 = u64::MAX as f64;
        // False for NaN as well.
        if !(0.0..LIMIT).contains(&amount) {
            return Err(InvalidPermits(Number::Float(amount)));
        }
        let whole = amount.trunc() as u64;
        let mut millionths = (amount.fract() * MILLION as f64).round() as u32;
        if whole == 0 && millionths == 0 && amount > 0.0 {
            millionths = 1;
        }
        if u64::from(millionths) == MILLION {
            // `amount` is below 2^53 here, or it would have no fraction.
            return Ok(Self::from(whole + 1));
        }
        Ok(Self { whole, millionths })
    }
}

impl fmt::Display for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.millionths == 0 {
            return write!(f, "{}", self.whole);
        }
        let digits = format!("{:06}", self.millionths);
        write!(f, "{}.{}", self.whole, digits.trim_end_matches('0'))
    }
}

/// An amount of permits that is negative, not a number, or too large for 64 bits.
///
/// # Examples
/// ```
/// use tidegate::Permits;
///
/// let invalid = Permits::try_from(-0.5).unwrap_err();
/// assert_eq!(invalid.to_string(), "invalid amount of -0.5 permits: write a number from 0 to below 2^64");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InvalidPermits(Number);

#[derive(Clone, Copy, Debug)]
enum Number {
    Float(f64),
    Negative(i64),
    /// The sum of two amounts, less 2^64.
    Beyond(u64),
}

impl PartialEq for InvalidPermits {
    fn eq(&self, other: &Self) -> bool {
        match (self.0, other.0) {
            // By bits, so that a NaN equals itself and `Eq` holds.
            (Number::Float(a), Number::Float(b)) => a.to_bits() == b.to_bits(),
            (Number::Negative(a), Number::Negative(b)) => a == b,
            (Number::Beyond(a), Number::Beyond(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for InvalidPermits {}

impl fmt::Display for InvalidPermits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid amount of ")?;
        match self.0 {
            Number::Float(value) => write!(f, "{value:?}")?,
            Number::Negative(value) => write!(f, "{value}")?,
            Number::Beyond(value) => write!(f, "{}", (1 << 64) + u128::from(value))?,
        }
        f.write_str(" permits: write a number from 0 to below 2^64")
    }
}

impl Error for InvalidPermits {}

mod sealed {
    pub trait Sealed {}
}

/// An amount of permits: an integer of up to 64 bits, an unsigned `NonZero` integer, a float, or [`Permits`].
///
/// Integers are exact. A float is rounded to the nearest millionth of a permit, but never from above zero to zero. A
/// method that is given a negative number or a NaN fails and takes nothing.
///
/// The trait is sealed: it cannot be implemented outside this crate.
///
/// # Examples
/// ```
/// use tidegate::{Amount, Permits};
///
/// assert_eq!(3.permits(), Ok(Permits::from(3)));
/// assert!((-1).permits().is_err());
/// assert!(f64::NAN.permits().is_err());
/// ```
pub trait Amount: sealed::Sealed {
    /// This amount as [`Permits`].
    ///
    /// # Errors
    /// [`InvalidPermits`] if it is negative, not a number, or too large for 64 bits.
    fn permits(self) -> Result<Permits, InvalidPermits>;
}

macro_rules! amounts {
    ($($t:ty: $self:ident => $permits:expr;)*) => {$(
        impl sealed::Sealed for $t {}
        impl Amount for $t {
            #[inline]
            fn permits($self) -> Result<Permits, InvalidPermits> {
                $permits
            }
        }
    )*};
}
amounts! {
    Permits: self => Ok(self);
    u8: self => Ok(Permits::from(u64::from(self)));
    u16: self => Ok(Permits::from(u64::from(self)));
    u32: self => Ok(Permits::from(u64::from(self)));
    u64: self => Ok(Permits::from(self));
    usize: self => Ok(Permits::from(self as u64));
    NonZeroU8: self => Ok(Permits::from(u64::from(self.get())));
    NonZeroU16: self => Ok(Permits::from(u64::from(self.get())));
    NonZeroU32: self => Ok(Permits::from(u64::from(self.get())));
    NonZeroU64: self => Ok(Permits::from(self.get()));
    NonZeroUsize: self => Ok(Permits::from(self.get() as u64));
    i8: self => i64::from(self).permits();
    i16: self => i64::from(self).permits();
    i32: self => i64::from(self).permits();
    i64: self => u64::try_from(self).map(Permits::from).map_err(|_| InvalidPermits(Number::Negative(self)));
    isize: self => (self as i64).permits();
    f32: self => Permits::try_from(f64::from(self));
    f64: self => Permits::try_from(self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_round_to_the_nearest_millionth_and_never_to_nothing() {
        let p = |x: f64| Permits::try_from(x).unwrap();
        assert_eq!(p(0.1), Permits { whole: 0, millionths: 100_000 });
        assert_eq!(p(0.3), Permits { whole: 0, millionths: 300_000 });
        assert_eq!(p(1e-12), Permits { whole: 0, millionths: 1 });
        assert_eq!(p(1.999_999_9), Permits::from(2));
        assert_eq!(p(0.0), Permits::ZERO);
        assert_eq!(p(-0.0), Permits::ZERO);
    }

    #[test]
    fn bad_amounts_are_named() {
        for (bad, shown) in [(-0.5, "-0.5"), (f64::NAN, "NaN"), (f64::INFINITY, "inf"), (1e300, "1e300")] {
            let message = Permits::try_from(bad).unwrap_err().to_string();
            assert!(message.contains(shown), "{message}");
        }
        assert!((-7).permits().unwrap_err().to_string().contains("-7"));
    }

    #[test]
    fn products_round_up_to_a_millionth_and_do_not_overflow() {
        let p = |x: f64| Permits::try_from(x).unwrap();
        assert_eq!(p(2.5).times(p(0.3)), Ok(p(0.75)));
        assert_eq!(p(1e-6).times(p(1e-6)), Ok(p(1e-6)));
        assert_eq!(Permits::from(u64::MAX).times(1.into()), Ok(Permits::from(u64::MAX)));
        for (a, b) in [(u64::MAX, u64::MAX), (1 << 63, 2), (u64::MAX, 2)] {
            assert!(Permits::from(a).times(b.into()).is_err());
        }
    }

    #[test]
    fn ticks_round_up_and_do_not_overflow() {
        assert_eq!(Permits::try_from(0.5).unwrap().ticks(3), 2);
        assert_eq!(Permits::from(u64::MAX).ticks(u64::MAX), u128::from(u64::MAX) * u128::from(u64::MAX));
    }

    #[test]
    fn what_comes_back_is_rounded_down() {
        assert_eq!([0.5, 2.5, 0.3].map(|p| Permits::try_from(p).unwrap().ticks_given_back(3)), [1, 7, 0]);
        assert_eq!(
            Permits::from(u64::MAX).ticks_given_back(u64::MAX),
            u128::from(u64::MAX) * u128::from(u64::MAX)
        );
    }

    #[test]
    fn display_drops_trailing_zeros() {
        assert_eq!(Permits::try_from(1.25).unwrap().to_string(), "1.25");
        assert_eq!(Permits::from(10).to_string(), "10");
    }
}
