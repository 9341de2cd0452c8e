//! Whether EC2 refuses calls because there are too many.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ports::Calls;

/// How long a throttled call is remembered. EC2 allows an account 20 reads a second, for all instances and all other callers
/// together (EC2 Developer Guide, "Request throttling").
const REMEMBERED: Duration = Duration::from_secs(10);

/// When EC2 last throttled a call of this instance.
#[derive(Debug, Default)]
pub(super) struct Throttled(Mutex<Option<Instant>>);

impl Throttled {
    /// Notes whether one of these calls was throttled.
    pub(super) fn note(&self, calls: &Calls) {
        if calls.throttled() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// Whether a call was throttled a short time ago.
    pub(super) fn lately(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_throttled_call_is_remembered_for_ten_seconds() {
        let (throttled, calls) = (Throttled::default(), Calls::default());
        throttled.note(&calls);
        assert!(!throttled.lately());
        calls.note_throttled();
        throttled.note(&calls);
        assert!(throttled.lately());
        tokio::time::advance(REMEMBERED).await;
        assert!(!throttled.lately());
    }
}
