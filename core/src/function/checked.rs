//! When this instance last looked which rules could not come back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{GroupRange, Scope};

/// How often that is worth a look. References are deleted rarely, and a look costs a describe for 200 of them.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// The looks of the last hour, by account and Region and by where the swept range begins. A new instance looks again.
#[derive(Debug, Default)]
pub(super) struct Checked(Mutex<HashMap<(Scope, Option<String>), Instant>>);

impl Checked {
    /// Whether a sweep of this range is to look, which then counts as done.
    pub(super) fn is_due(&self, scope: &Scope, range: &GroupRange) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|_, at| at.elapsed() < EVERY);
        let place = (scope.clone(), range.after.clone());
        let is_due = !last.contains_key(&place);
        last.entry(place).or_insert_with(Instant::now);
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::group;

    #[tokio::test(start_paused = true)]
    async fn each_range_is_due_once_an_hour() {
        let (checked, scope, all) = (Checked::default(), group().scope, GroupRange::default());
        assert!(checked.is_due(&scope, &all));
        tokio::time::advance(EVERY - Duration::from_secs(1)).await;
        assert!(!checked.is_due(&scope, &all));
        assert!(checked.is_due(&scope, &all.behind("sg-0a")));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(checked.is_due(&scope, &all));
    }
}
