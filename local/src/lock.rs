//! Locking without poison.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks even after a holder panicked: every change behind our locks is a single step, so the value is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
