//! The primitives that a model checker has to see: the only file that names loom.
//!
//! Under `--cfg tidegate_loom` the unit tests run on loom's versions of them.

#[cfg(not(all(test, tidegate_loom)))]
mod imp {
    pub(crate) use core::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};

    pub(crate) use parking_lot::{Mutex, MutexGuard};

    /// `core::cell::UnsafeCell` behind the interface that loom can check.
    #[derive(Debug, Default)]
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(all(test, tidegate_loom))]
mod imp {
    pub(crate) use loom::{
        cell::UnsafeCell,
        sync::{
            MutexGuard,
            atomic::{AtomicU8, AtomicU64, Ordering, fence},
        },
    };

    /// loom's mutex without the poisoning.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }
}

pub(crate) use imp::*;
