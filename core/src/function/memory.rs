//! How many events an instance of the function had lately.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many events of one instance within [`CROWD_WITHIN`] are a crowd.
const CROWD: usize = 4;

/// See [`CROWD`].
const CROWD_WITHIN: Duration = Duration::from_secs(10);

/// Whether events come faster than EC2 can be asked about each: it grants an account 20 reads a second (EC2 Developer
/// Guide, "Request throttling"), to all instances and everybody else together.
#[derive(Debug, Default)]
pub(super) struct Crowd(Mutex<VecDeque<Instant>>);

impl Crowd {
    /// Notes an event; says whether it is one of a crowd.
    pub(super) fn joined(&self) -> bool {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lately.push_back(Instant::now());
        while lately.len() > CROWD {
            lately.pop_front();
        }
        let first = lately.front();
        lately.len() == CROWD && first.is_some_and(|first| first.elapsed() < CROWD_WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn four_events_in_ten_seconds_are_a_crowd_and_it_goes_away() {
        let crowd = Crowd::default();
        let joined: Vec<bool> = (0..5).map(|_| crowd.joined()).collect();
        assert_eq!(joined, [false, false, false, true, true]);
        tokio::time::advance(CROWD_WITHIN).await;
        assert!(!crowd.joined());
    }
}
