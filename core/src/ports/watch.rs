//! What the watch asks of the table: which groups it reads, and who watches.

use std::future::Future;

use jiff::Timestamp;
use serde_json::Value;

use super::ApiError;
use crate::model::Scope;

/// Who watches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lease {
    /// Counts the writes; 0 when there was none.
    pub revision: u64,
    /// The run that watches, if one does.
    pub holder: Option<String>,
    /// Until when it may, without another write.
    pub until: Option<Timestamp>,
    /// The run that waits to go on.
    pub heir: Option<String>,
}

/// The table's operations for the watch.
pub trait WatchTable {
    /// The desired-state items of a scope that ask to be watched, by sort key. A change of the last second may not show.
    fn watched(
        &self,
        scope: &Scope,
    ) -> impl Future<Output = Result<Vec<(String, Value)>, ApiError>>;

    /// Who watches, read consistently.
    fn lease(&self) -> impl Future<Output = Result<Lease, ApiError>>;

    /// Writes a lease with the next revision. Returns `false` if it changed since this revision was read.
    fn write_lease(&self, lease: &Lease) -> impl Future<Output = Result<bool, ApiError>>;
}
