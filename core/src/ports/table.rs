//! What we ask of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use serde_json::Value;

use super::ApiError;
use crate::decide::changes::GroupState;
use crate::desired::{DesiredRecord, RECORD_ATTRIBUTES, stays};
use crate::model::{GroupAddress, GroupId, GroupRange, Scope};
use crate::report::incident::Incident;

/// The table's items of a group, read consistently.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// The desired-state item.
    pub desired: Option<Value>,
    /// The run-time state.
    pub state: Option<Value>,
    /// The settings for all groups.
    pub settings: Option<Value>,
}

/// What sweeps need to know about groups besides their records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupMarks {
    /// Groups that were found not to exist.
    pub orphaned: BTreeSet<GroupId>,
    /// Groups that must be judged even if nothing is missing.
    pub open: BTreeSet<GroupId>,
}

/// A page of desired-state items.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredPage {
    /// The items by group id, in the order of the ids.
    pub items: Vec<(String, Value)>,
    /// The last id that was read, if more may follow it.
    pub last: Option<String>,
}

/// A record to be written as the next generation.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGeneration {
    /// The group.
    pub address: GroupAddress,
    /// The new record, with generation, author, time and reason.
    pub record: DesiredRecord,
    /// The item that was read, if there was one.
    pub replaces: Option<Value>,
    /// The run-time state to write with it. The write fails if the state has changed since it was read.
    pub state: GroupState,
}

impl NewGeneration {
    /// The item that is there once this is written: the record, and attributes of the replaced item that this version
    /// does not know.
    pub fn item(&self) -> Value {
        let replaced = self.replaces.as_ref().and_then(Value::as_object);
        let mut item = replaced.cloned().unwrap_or_default();
        item.retain(|name, _| stays(name, &RECORD_ATTRIBUTES));
        item.extend(self.record.to_json());
        Value::Object(item)
    }
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
    /// The call to the table failed.
    #[error("the record could not be written: {0}")]
    Api(#[source] ApiError),
}

/// The table.
pub trait Table {
    /// All items of a group, in one call.
    fn load(&self, group: &GroupAddress) -> impl Future<Output = Result<Loaded, ApiError>>;

    /// The first desired-state items of a range, sorted by group id; about 1 MB of them.
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

    /// The groups of a range that have a mark.
    fn marks(
        &self,
        scope: &Scope,
        range: &GroupRange,
    ) -> impl Future<Output = Result<GroupMarks, ApiError>>;

    /// Notes that a group does not exist. It counts as a write of the state, so that a writer that read before reads
    /// again. Repeating it keeps the first time.
    fn mark_orphaned(
        &self,
        group: &GroupAddress,
        at: &str,
    ) -> impl Future<Output = Result<(), ApiError>>;

    /// Makes a record current and moves the replaced one into history. It fails if the record changed since it was
    /// read. Returns the new generation: the record's own, unless history holds that number already.
    fn write(&self, change: &NewGeneration) -> impl Future<Output = Result<u64, WriteError>>;

    /// Writes the run-time state with the next revision. Returns `false` if the state changed since it was read.
    fn save_state(
        &self,
        group: &GroupAddress,
        state: &GroupState,
    ) -> impl Future<Output = Result<bool, ApiError>>;

    /// Writes an incident. If another handling of the same event wrote one, the two are merged.
    fn record_incident(&self, incident: &Incident) -> impl Future<Output = Result<(), ApiError>>;
}

/// The accounts and Regions that have records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownScopes {
    /// For each scope, the last group of a sweep that did not finish and was not handed over.
    pub scopes: BTreeMap<Scope, Option<String>>,
    /// Where the role was refused an authorize when it was last tried, and what EC2 said.
    pub refused: BTreeMap<Scope, String>,
}

/// The table's operations for sweeps that need more than one invocation.
pub trait ScopeTable {
    /// Every scope that is known.
    fn known_scopes(&self) -> impl Future<Output = Result<KnownScopes, ApiError>>;

    /// Notes that a scope has records. Repeating it changes nothing.
    fn remember_scope(&self, scope: &Scope) -> impl Future<Output = Result<(), ApiError>>;

    /// Notes what EC2 said when it refused the role a dry run of an authorize; with `None` it refused nothing.
    fn note_refused(
        &self,
        scope: &Scope,
        said: Option<&str>,
    ) -> impl Future<Output = Result<(), ApiError>>;

    /// Notes after which group the next sweep of a scope begins; with `None` it begins with the first.
    fn go_on_after(
        &self,
        scope: &Scope,
        group: Option<&str>,
    ) -> impl Future<Output = Result<(), ApiError>>;
}
