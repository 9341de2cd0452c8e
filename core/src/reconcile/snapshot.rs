//! What is known of a group when work on it begins: what the table says, and a read of its live rules.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::World;
use super::error::WorkError;
use crate::decide::changes::GroupState;
use crate::decide::plan::Hold;
use crate::desired::{DesiredRecord, Mode, Principals, SharedSettings, Unreadable};
use crate::model::{ActualRules, GroupAddress};
use crate::ports::{ApiError, Budget, Loaded, SecurityGroups, Table};

/// What the table says of a group, parsed.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) group: GroupAddress,
    pub(super) item: Value,
    pub(super) record: DesiredRecord,
    shared: SharedSettings,
    /// The settings cannot be understood, so it is not known who is trusted.
    pub(super) trust_is_unknown: bool,
    pub(super) state: GroupState,
    pub(super) warnings: Vec<String>,
}

impl Snapshot {
    /// A state that cannot be understood is left out, with a warning; rules are restored all the same. Settings that
    /// cannot be understood make rules wait: nobody knows who is trusted.
    pub(super) fn read(
        group: &GroupAddress,
        item: Value,
        loaded: Loaded,
    ) -> Result<Self, Unreadable> {
        let reading = DesiredRecord::from_json(&item, &group.scope.account)?;
        let mut warnings: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
        let mut trust_is_unknown = false;
        let shared = match loaded.settings.as_ref().map(SharedSettings::from_json) {
            None => SharedSettings::default(),
            Some(Ok((shared, doubts))) => {
                warnings.extend(doubts.iter().map(|doubt| format!("settings: {doubt}")));
                shared
            }
            Some(Err(unreadable)) => {
                let findings = unreadable.findings.iter().map(ToString::to_string);
                let findings = findings.collect::<Vec<_>>().join("; ");
                trust_is_unknown = true;
                warnings.push(format!(
                    "the settings item cannot be understood, so it is not known who is trusted, and missing rules wait: {findings}"
                ));
                SharedSettings::default()
            }
        };
        let state = match loaded.state.as_ref().map(GroupState::from_json) {
            None => GroupState::default(),
            Some(Ok(state)) => state,
            Some(Err(unreadable)) => {
                let (empty, error) = *unreadable;
                warnings.push(format!(
                    "the run-time state cannot be understood and begins anew: {error}"
                ));
                empty
            }
        };
        Ok(Self {
            group: group.clone(),
            item,
            record: reading.record,
            shared,
            trust_is_unknown,
            state,
            warnings,
        })
    }

    /// Why nothing is restored at this time, if so.
    pub(super) fn hold(&self, function_mode: Mode, now: Timestamp) -> Option<Hold> {
        Hold::of(&self.record, &self.shared, function_mode, now)
    }

    pub(super) fn principals(&self) -> Principals<'_> {
        Principals {
            of_record: &self.record.principals,
            settle_of_record: self.record.settle_seconds,
            of_all: &self.shared.principals,
            settle_of_all: self.shared.settle_seconds,
            cause_wait_of_record: self.record.cause_wait_seconds,
            cause_wait_of_all: self.shared.cause_wait_seconds,
        }
    }

    /// Reads everything anew.
    ///
    /// # Errors
    /// When the table cannot be read, or the record is gone or cannot be understood any more.
    pub(super) async fn reload<T: Table>(&mut self, table: &T) -> Result<(), WorkError> {
        let mut loaded = table.load(&self.group).await?;
        let item = loaded.desired.take().ok_or(WorkError::RecordGone)?;
        let group = self.group.clone();
        *self = Self::read(&group, item, loaded).map_err(WorkError::RecordUnreadable)?;
        Ok(())
    }
}

/// A read of the group's live rules.
#[derive(Debug, Clone)]
pub(super) struct LiveRead {
    pub(super) actual: ActualRules,
    /// When it was begun. It need not show later changes.
    pub(super) at: Timestamp,
}

impl LiveRead {
    pub(super) async fn of<E: SecurityGroups, T>(
        world: &World<'_, E, T>,
        group: &GroupAddress,
    ) -> Result<Self, ApiError> {
        let at = (world.now)();
        let actual = world.ec2.rules_of(&group.id).await?;
        Ok(Self { actual, at })
    }

    /// The same after a wait; `None` when there is no time for it, or EC2 does not answer.
    pub(super) async fn after<E: SecurityGroups, T>(
        wait: Duration,
        world: &World<'_, E, T>,
        group: &GroupAddress,
        budget: Budget,
    ) -> Option<Self> {
        if !budget.allows(wait) {
            return None;
        }
        if !wait.is_zero() {
            // A timer of no time still takes a millisecond.
            tokio::time::sleep(wait).await;
        }
        Self::of(world, group).await.ok()
    }
}
