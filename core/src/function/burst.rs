//! How many events an instance of the function had recently.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// This many events of one instance within [`BURST_WINDOW`] are a burst.
const BURST_EVENTS: usize = 4;

/// See [`BURST_EVENTS`].
const BURST_WINDOW: Duration = Duration::from_secs(10);

/// Whether events arrive faster than EC2 can answer a read for each. EC2 allows an account 20 reads a second (EC2
/// Developer Guide, "Request throttling"), for all instances and all other callers together.
#[derive(Debug, Default)]
pub(super) struct Burst(Mutex<VecDeque<Instant>>);

impl Burst {
    /// Notes an event. Returns whether it is part of a burst.
    pub(super) fn joined(&self) -> bool {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lately.push_back(Instant::now());
        while lately.len() > BURST_EVENTS {
            lately.pop_front();
        }
        let first = lately.front();
        lately.len() == BURST_EVENTS && first.is_some_and(|first| first.elapsed() < BURST_WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn four_events_in_ten_seconds_are_a_burst_and_it_goes_away() {
        let burst = Burst::default();
        let joined: Vec<bool> = (0..5).map(|_| burst.joined()).collect();
        assert_eq!(joined, [false, false, false, true, true]);
        tokio::time::advance(BURST_WINDOW).await;
        assert!(!burst.joined());
    }
}
