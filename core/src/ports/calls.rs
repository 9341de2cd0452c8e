//! Counting API calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts API calls by operation, including repeated attempts. Clones share one count.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Calls {
    /// Counts one call.
    pub fn count(&self, operation: &'static str) {
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(operation)
            .or_default() += 1;
    }

    /// The counts so far.
    pub fn counted(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
}
