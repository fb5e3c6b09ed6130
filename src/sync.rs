//! The synchronization primitives that loom has to see: under `--cfg tidegate_loom` the unit tests run on loom's. Under
//! Miri the mutex is std's: `parking_lot` keeps pointers in integers under contention, which strict provenance forbids.

/// The mutex of the named module with `parking_lot`'s interface, which has no poisoning.
#[cfg(any(miri, all(test, tidegate_loom)))]
macro_rules! unpoisoned {
    ($($sync:ident)::+ $(, $is_const:ident)?) => {
        pub(crate) use $($sync)::+::MutexGuard;

        #[derive(Debug)]
        pub(crate) struct Mutex<T>($($sync)::+::Mutex<T>);

        impl<T> Mutex<T> {
            pub(crate) $($is_const)? fn new(value: T) -> Self {
                Self($($sync)::+::Mutex::new(value))
            }

            pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
                self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
            }
        }

        impl<T: Default> Default for Mutex<T> {
            fn default() -> Self {
                Self::new(T::default())
            }
        }
    };
}

/// Runs `run` while a flag of this thread is set. The flag is as before afterwards, also if `run` panics.
#[cfg(feature = "tokio")]
pub(crate) fn with_flag<T>(
    flag: &'static std::thread::LocalKey<core::cell::Cell<bool>>,
    run: impl FnOnce() -> T,
) -> T {
    struct Restore(&'static std::thread::LocalKey<core::cell::Cell<bool>>, bool);

    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }

    let _restore = Restore(flag, flag.replace(true));
    run()
}

pub(crate) mod plain {
    // With a lock where the processor has no such atomics.
    #[cfg(target_has_atomic = "64")]
    pub(crate) use core::sync::atomic::AtomicU64;
    #[cfg(not(target_has_atomic = "64"))]
    pub(crate) use portable_atomic::AtomicU64;

    #[cfg(not(miri))]
    #[cfg_attr(tidegate_loom, allow(unused_imports, reason = "the models lock what is loom's"))]
    pub(crate) use parking_lot::{Mutex, MutexGuard};

    #[cfg(miri)]
    unpoisoned!(std::sync, const);

    #[cfg(feature = "keyed")]
    pub(crate) use parking_lot::{RwLock, RwLockReadGuard};
}

#[cfg(not(all(test, tidegate_loom)))]
mod imp {
    pub(crate) use super::plain::{AtomicU64, Mutex, MutexGuard};
    pub(crate) use core::sync::atomic::{AtomicU8, Ordering, fence};
    pub(crate) use crossbeam_utils::sync::{Parker, Unparker};
    pub(crate) use std::thread_local;

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
        sync::atomic::{AtomicU8, AtomicU64, Ordering, fence},
    };

    /// std's macro, for one constant. To std all threads of a model are one thread.
    macro_rules! one_thread_local {
        ($(#[$attribute:meta])* static $name:ident: $type:ty = const $value:block;) => {
            loom::thread_local! { $(#[$attribute])* static $name: $type = $value; }
        };
    }
    pub(crate) use one_thread_local as thread_local;

    unpoisoned!(loom::sync);

    /// The part of crossbeam's parker that is used here.
    #[derive(Debug)]
    pub(crate) struct Parker(Unparker);

    #[derive(Clone, Debug)]
    pub(crate) struct Unparker(std::sync::Arc<Token>);

    #[derive(Debug)]
    struct Token {
        there: loom::sync::Mutex<bool>,
        changed: loom::sync::Condvar,
    }

    impl Parker {
        pub(crate) fn new() -> Self {
            let token = Token { there: loom::sync::Mutex::new(false), changed: loom::sync::Condvar::new() };
            Self(Unparker(std::sync::Arc::new(token)))
        }

        pub(crate) const fn unparker(&self) -> &Unparker {
            &self.0
        }

        pub(crate) fn park(&self) {
            let token = &*self.0.0;
            let mut there = token.there.lock().unwrap();
            while !*there {
                there = token.changed.wait(there).unwrap();
            }
            *there = false;
        }
    }

    impl Unparker {
        pub(crate) fn unpark(&self) {
            *self.0.there.lock().unwrap() = true;
            self.0.changed.notify_one();
        }
    }
}

pub(crate) use imp::*;
