//! What only operators ask of the table: history, incidents, the settings, and taking a record out.

use std::future::Future;

use jiff::Timestamp;
use serde_json::Value;

use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::desired::SharedSettings;
use rulekeeper_core::model::{GroupAddress, Scope};
use rulekeeper_core::ports::{ApiError, Table, WriteError};

/// A record about to be taken out.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenOut {
    /// The group.
    pub address: GroupAddress,
    /// The generation that says so: one more than the record's.
    pub generation: u64,
    /// Its attributes, but for the generation.
    pub tombstone: Value,
    /// The record's item as it was read.
    pub replaces: Value,
    /// The run-time state to be written with it, on condition that it is still the one that was read.
    pub state: GroupState,
}

/// Settings about to become current.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSettings {
    /// The settings, with generation, author, time and reason.
    pub settings: SharedSettings,
    /// The item as it was read, if there was one.
    pub replaces: Option<Value>,
}

/// The table's verbs for operators.
pub trait Archive: Table {
    /// Every earlier generation of a group's record by number, oldest first.
    fn history(
        &self,
        group: &GroupAddress,
    ) -> impl Future<Output = Result<Vec<(u64, Value)>, ApiError>>;

    /// Every run-time state of an account and Region, by group id.
    fn all_states(
        &self,
        scope: &Scope,
    ) -> impl Future<Output = Result<Vec<(String, Value)>, ApiError>>;

    /// The incidents of a group by key, in the order of the keys, from this time on, to the second.
    fn incidents(
        &self,
        group: &GroupAddress,
        since: Timestamp,
    ) -> impl Future<Output = Result<Vec<(String, Value)>, ApiError>>;

    /// Takes a record out: it and the generation that says so go into history, on condition that nobody changed it
    /// meanwhile. Answers with that generation: the one asked for, unless history holds that number already.
    fn take_out(&self, change: &TakenOut) -> impl Future<Output = Result<u64, WriteError>>;

    /// The settings item.
    fn settings(&self) -> impl Future<Output = Result<Option<Value>, ApiError>>;

    /// Every earlier generation of the settings by number, oldest first.
    fn settings_history(&self) -> impl Future<Output = Result<Vec<(u64, Value)>, ApiError>>;

    /// Makes settings current and keeps what they replace as history. Answers with the generation they were given, or
    /// `None` when somebody else wrote the settings since they were read.
    fn write_settings(
        &self,
        change: &NewSettings,
    ) -> impl Future<Output = Result<Option<u64>, ApiError>>;
}
