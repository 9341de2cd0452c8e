//! The queue that feeds the function.

use std::future::Future;
use std::time::Duration;

use super::ApiError;
use crate::model::{GroupRange, Scope};

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

/// The queue that feeds the function.
pub trait SweepQueue {
    /// About how many tasks wait or are in progress.
    fn waiting(&self) -> impl Future<Output = Result<u64, ApiError>>;

    /// Puts tasks into the queue. After an error, some of them may be in the queue.
    fn send(&self, tasks: &[SweepTask]) -> impl Future<Output = Result<(), ApiError>>;
}
