//! What is asked of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use serde_json::Value;

use super::ApiError;
use crate::decide::changes::GroupState;
use crate::desired::DesiredRecord;
use crate::model::{GroupAddress, GroupId, GroupRange, Scope};
use crate::report::incident::Incident;

/// What the table holds about a group, read consistently.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// The desired-state item.
    pub desired: Option<Value>,
    /// The run-time state.
    pub state: Option<Value>,
    /// The settings for all groups.
    pub settings: Option<Value>,
}

/// What sweeps must know of groups besides their records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupMarks {
    /// Groups that are known to be gone.
    pub orphaned: BTreeSet<GroupId>,
    /// Groups about which something is to be judged even when nothing is missing.
    pub open: BTreeSet<GroupId>,
}

/// Some desired-state items.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredPage {
    /// The items by group id, in the order of the ids.
    pub items: Vec<(String, Value)>,
    /// The last id that was read, if there may be more behind it.
    pub last: Option<String>,
}

/// A record about to become current.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGeneration {
    /// The group.
    pub address: GroupAddress,
    /// Its new record, with generation, author, time and reason.
    pub record: DesiredRecord,
    /// The item as it was read, if there was one.
    pub replaces: Option<Value>,
    /// The run-time state to be written with it, on condition that it is still the one that was read.
    pub state: GroupState,
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody else wrote the record since it was read.
    #[error("the record of {group} changed since it was read")]
    LostRace {
        /// The group.
        group: GroupAddress,
    },
    /// Somebody else wrote the run-time state since it was read.
    #[error("the run-time state of {group} kept changing")]
    StateChanged {
        /// The group.
        group: GroupAddress,
    },
    /// The table refused.
    #[error("the record could not be written: {0}")]
    Api(#[source] ApiError),
}

/// The table.
pub trait Table {
    /// Everything about a group, in one call.
    fn load(&self, group: &GroupAddress) -> impl Future<Output = Result<Loaded, ApiError>>;

    /// The first desired-state items of a range of groups of an account and Region, in the order of their group ids; about 1 MB of
    /// them.
    fn desired_page(
        &self,
        scope: &Scope,
        range: &GroupRange,
    ) -> impl Future<Output = Result<DesiredPage, ApiError>>;

    /// Every desired-state item of an account and Region, by group id.
    fn all_desired(
        &self,
        scope: &Scope,
    ) -> impl Future<Output = Result<Vec<(String, Value)>, ApiError>> {
        async move {
            let (mut all, mut range) = (Vec::new(), GroupRange::default());
            loop {
                let page = self.desired_page(scope, &range).await?;
                all.extend(page.items);
                match page.last {
                    Some(last) => range = range.behind(&last),
                    None => return Ok(all),
                }
            }
        }
    }

    /// The groups in a range that need more than their record to be looked at.
    fn marks(
        &self,
        scope: &Scope,
        range: &GroupRange,
    ) -> impl Future<Output = Result<GroupMarks, ApiError>>;

    /// Notes that a group is gone. Doing it again changes nothing.
    fn mark_orphaned(
        &self,
        group: &GroupAddress,
        at: &str,
    ) -> impl Future<Output = Result<(), ApiError>>;

    /// Makes a record current and keeps what it replaces as history, on condition that nobody changed it meanwhile.
    /// Answers with the generation it was given: the record's own, unless history holds that number already.
    fn write(&self, change: &NewGeneration) -> impl Future<Output = Result<u64, WriteError>>;

    /// Writes the run-time state, counted one revision on; answers `false` when it is not the one that was read.
    fn save_state(
        &self,
        group: &GroupAddress,
        state: &GroupState,
    ) -> impl Future<Output = Result<bool, ApiError>>;

    /// Writes an incident, or merges it with what an earlier or concurrent handling of the same event wrote.
    fn record_incident(&self, incident: &Incident) -> impl Future<Output = Result<(), ApiError>>;
}

/// What the table knows of sweeps: which accounts and Regions have records, and where the last sweep of each stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownScopes {
    /// The last group that was looked at, where a sweep could not be finished and nobody else goes on with it.
    pub scopes: BTreeMap<Scope, Option<String>>,
}

/// The table's part in sweeps that one invocation cannot finish.
pub trait ScopeTable {
    /// Every scope that is known.
    fn known_scopes(&self) -> impl Future<Output = Result<KnownScopes, ApiError>>;

    /// Notes that a scope has records. Doing it again changes nothing.
    fn remember_scope(&self, scope: &Scope) -> impl Future<Output = Result<(), ApiError>>;

    /// Notes where the next sweep of a scope is to go on, or that it may begin at the beginning.
    fn go_on_after(
        &self,
        scope: &Scope,
        group: Option<&str>,
    ) -> impl Future<Output = Result<(), ApiError>>;
}
