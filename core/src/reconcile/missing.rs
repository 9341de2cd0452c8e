//! References that were recently found missing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{RuleKey, Scope, Source};

/// How long a missing reference counts as missing without a new lookup. Ids are not reused. A group or list that was made
/// a moment ago may be missing in one read and present in the next, which forgets it here.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// References that do not exist, remembered for a minute so that the next event needs no lookup. Existing references
/// are never remembered.
#[derive(Debug, Default)]
pub struct MissingReferences(Mutex<HashMap<(Scope, Source), Instant>>);

impl MissingReferences {
    /// Remembers that a source does not exist in a scope.
    pub fn remember(&self, scope: &Scope, source: &Source) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, since| since.elapsed() < REMEMBERED_FOR);
        known.insert((scope.clone(), source.clone()), Instant::now());
    }

    /// Forgets a source that a later lookup shows.
    pub fn forget(&self, scope: &Scope, source: &Source) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&(scope.clone(), source.clone()));
    }

    /// Whether the rule's source was found missing within the last minute.
    pub fn holds(&self, scope: &Scope, rule: &RuleKey) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&(scope.clone(), rule.source.clone()))
            .is_some_and(|since| since.elapsed() < REMEMBERED_FOR)
    }
}
