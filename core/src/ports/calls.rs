//! Counting API calls.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts API calls by operation, including repeated attempts. Clones share one count.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    of_operations: Mutex<BTreeMap<&'static str, u64>>,
    throttled: AtomicBool,
}

impl Calls {
    /// Counts one call.
    pub fn count(&self, operation: &'static str) {
        *self.lock().entry(operation).or_default() += 1;
    }

    /// The counts so far.
    pub fn counted(&self) -> BTreeMap<&'static str, u64> {
        self.lock().clone()
    }

    /// Notes that EC2 refused a call because there are too many.
    pub fn note_throttled(&self) {
        self.0.throttled.store(true, Ordering::Relaxed);
    }

    /// Whether EC2 refused a call because there are too many.
    pub fn throttled(&self) -> bool {
        self.0.throttled.load(Ordering::Relaxed)
    }

    /// The calls since an earlier count.
    pub fn since(&self, before: &BTreeMap<&'static str, u64>) -> BTreeMap<&'static str, u64> {
        let mut counts = self.counted();
        for (operation, count) in &mut counts {
            *count -= before.get(operation).copied().unwrap_or(0);
        }
        counts.retain(|_, count| *count > 0);
        counts
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        let counts = self.0.of_operations.lock();
        counts.unwrap_or_else(PoisonError::into_inner)
    }
}
