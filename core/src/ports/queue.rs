//! The queue that feeds the function.

use std::future::Future;
use std::time::Duration;

use super::ApiError;
use crate::model::{GroupRange, Scope};

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

/// The queue that feeds the function.
pub trait SweepQueue {
    /// How many tasks wait or are under way, about.
    fn waiting(&self) -> impl Future<Output = Result<u64, ApiError>>;

    /// Puts tasks into the queue. After an error some of them may be there.
    fn send(&self, tasks: &[SweepTask]) -> impl Future<Output = Result<(), ApiError>>;
}
