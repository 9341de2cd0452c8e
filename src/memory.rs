//! What an instance of the function remembers from one event to the next: references found missing, and how many events
//! there were.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{RuleKey, Scope, Source};

/// How long a reference that was found missing is taken to be missing without asking again. Ids are not given out
/// twice, so the only risk is a group or list created in this minute and referred to at once.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// References that do not exist, remembered for a minute so that the next event needs no lookup. What exists is never
/// remembered.
#[derive(Debug, Default)]
pub struct MissingReferences(Mutex<HashMap<(Scope, Source), Instant>>);

impl MissingReferences {
    /// Remembers that a source does not exist in a scope.
    pub fn remember(&self, scope: &Scope, source: &Source) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, since| since.elapsed() < REMEMBERED_FOR);
        known.insert((scope.clone(), source.clone()), Instant::now());
    }

    /// Whether the rule's source was found missing within the last minute.
    pub fn holds(&self, scope: &Scope, rule: &RuleKey) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&(scope.clone(), rule.source.clone()))
            .is_some_and(|since| since.elapsed() < REMEMBERED_FOR)
    }
}

/// So many events of one instance within [`CROWD_WITHIN`] are a crowd.
const CROWD: usize = 4;

/// See [`CROWD`].
const CROWD_WITHIN: Duration = Duration::from_secs(10);

/// Whether events come faster than EC2 can be asked about each: it grants an account 20 reads a second (EC2 Developer
/// Guide, "Request throttling"), to all instances and everybody else together.
#[derive(Debug, Default)]
pub struct Crowd(Mutex<VecDeque<Instant>>);

impl Crowd {
    /// Notes an event; says whether it is one of a crowd.
    pub fn joined(&self) -> bool {
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
