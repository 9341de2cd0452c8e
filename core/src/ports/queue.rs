//! The queue that feeds the function.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;

use super::ApiError;
use crate::model::{GroupAddress, GroupRange, Scope};

/// A sweep that another invocation makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepTask {
    /// The account and Region.
    pub scope: Scope,
    /// The range of groups.
    pub range: GroupRange,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The least wait before the sweep: up to 15 minutes, in whole seconds.
    pub delay: Duration,
}

impl SweepTask {
    /// Another look at one group at this time, or after the longest possible delay of a message if that is earlier.
    fn to_look_again(group: &GroupAddress, at: Timestamp, now: Timestamp) -> Self {
        const DELAY_MAX: Duration = Duration::from_secs(15 * 60);
        // Delays are whole seconds. One more second makes sure that the look is not too early.
        let delay = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        let delay = Duration::from_secs(delay.as_secs() + 1).min(DELAY_MAX);
        Self {
            scope: group.scope.clone(),
            range: GroupRange::around(group.id.as_str()),
            attempt: 1,
            delay,
        }
    }
}

/// The queue that feeds the function.
pub trait SweepQueue {
    /// About how many tasks wait or are in progress. Delayed tasks do not count, because they are about single groups.
    fn waiting(&self) -> impl Future<Output = Result<u64, ApiError>>;

    /// Puts tasks into the queue. After an error, some of them may be in the queue.
    fn send(&self, tasks: &[SweepTask]) -> impl Future<Output = Result<(), ApiError>>;

    /// Asks for another look at each of these groups at its time.
    fn look_again(
        &self,
        wakes: &[(GroupAddress, Timestamp)],
        now: Timestamp,
    ) -> impl Future<Output = Result<(), ApiError>> {
        async move {
            let looks = wakes.iter();
            let looks = looks.map(|(group, at)| SweepTask::to_look_again(group, *at, now));
            self.send(&looks.collect::<Vec<_>>()).await
        }
    }
}
