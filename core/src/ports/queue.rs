//! The queue that feeds the function.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;

use super::ApiError;
use crate::model::{GroupAddress, GroupRange, Scope};

/// A sweep that somebody else is to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepTask {
    /// Where.
    pub scope: Scope,
    /// Which groups.
    pub range: GroupRange,
    /// How often this was tried, from 1.
    pub attempt: u32,
    /// Not before so long from now; up to 15 minutes, in whole seconds.
    pub delay: Duration,
}

impl SweepTask {
    /// Another look at one group at this time, or after the longest delay of a message if that is sooner.
    pub fn to_look_again(group: &GroupAddress, at: Timestamp, now: Timestamp) -> Self {
        const DELAY_MAX: Duration = Duration::from_secs(15 * 60);
        // Delays are whole seconds; one more makes it not too early.
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
    /// How many tasks wait or are under way, about. Those that are delayed do not count: they are about single groups.
    fn waiting(&self) -> impl Future<Output = Result<u64, ApiError>>;

    /// Puts tasks into the queue. After an error some of them may be there.
    fn send(&self, tasks: &[SweepTask]) -> impl Future<Output = Result<(), ApiError>>;
}
