//! A record that is planned and not yet written, so that an operator can look at it first.

use super::{Archive, Author, Difference, OperatorError, Written, generation_of};
use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::desired::DesiredRecord;
use rulekeeper_core::model::{ActualRules, GroupAddress};
use rulekeeper_core::ports::{Loaded, NewGeneration};
use rulekeeper_core::reconcile::write_decision;

/// A record as it should become. Nothing is written until [`Draft::write`], and then only if the record is still the one
/// from which this was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub(super) group: GroupAddress,
    pub(super) record: DesiredRecord,
    /// The present record, as far as there is one that can be understood.
    pub(super) before: Option<DesiredRecord>,
    pub(super) loaded: Loaded,
    pub(super) reason: String,
}

impl Draft {
    /// The group.
    pub fn group(&self) -> &GroupAddress {
        &self.group
    }

    /// The record as it should become.
    pub fn record(&self) -> &DesiredRecord {
        &self.record
    }

    /// Whether the present record asks for the same.
    pub fn changes_nothing(&self) -> bool {
        let before = self.before.as_ref();
        before.is_some_and(|before| before.same_content(&self.record))
    }

    /// What will differ from the present record.
    pub fn difference(&self) -> Difference {
        let before = self.before.clone().unwrap_or_default();
        Difference::of_records(&before, &self.record)
    }

    /// Writes the record as the next generation, unless it asks for what the present one asks for.
    ///
    /// # Errors
    /// When the record was changed since it was read, or the table cannot be read or written.
    pub async fn write(
        self,
        table: &impl Archive,
        author: &Author,
    ) -> Result<Written, OperatorError> {
        self.write_seeing(&ActualRules::default(), table, author)
            .await
    }

    /// The same, with the live rules at hand: some events name a rule only by the id that it had.
    pub(super) async fn write_seeing(
        self,
        live: &ActualRules,
        table: &impl Archive,
        author: &Author,
    ) -> Result<Written, OperatorError> {
        self.write_after(None, live, table, author).await
    }

    /// The same, with the latest generation of the history at hand, which is asked for only where there is no record.
    pub(super) async fn write_after(
        mut self,
        in_history: Option<u64>,
        live: &ActualRules,
        table: &impl Archive,
        author: &Author,
    ) -> Result<Written, OperatorError> {
        let Difference { added, removed, .. } = self.difference();
        let unchanged = self.changes_nothing();
        let written = |group, generation| Written {
            group,
            generation,
            changed: !unchanged,
            unpinned: false,
            added: added.clone(),
            removed: removed.clone(),
        };
        if let Some(before) = self.before.filter(|_| unchanged) {
            return Ok(written(self.group, before.generation));
        }
        let present = match (&self.loaded.desired, in_history) {
            (Some(item), _) => generation_of(item),
            // A record that was taken out has left its generations behind.
            (None, Some(latest)) => latest,
            (None, None) => latest(&table.history(&self.group).await?),
        };
        self.record.generation = present + 1;
        self.record.updated_at = Some(author.now);
        self.record.updated_by = Some(author.arn.clone());
        self.record.reason = Some(self.reason);
        let change = NewGeneration {
            address: self.group.clone(),
            record: self.record,
            replaces: self.loaded.desired,
            state: GroupState::default(),
        };
        let (group, state) = (&self.group, self.loaded.state);
        let decided = added.iter().chain(&removed);
        let write = async |mut state: GroupState| {
            state.note_ids(&change.record.rules, live, author.now);
            let change = NewGeneration {
                state,
                ..change.clone()
            };
            table.write(&change).await
        };
        let generation = write_decision(table, group, state, decided, author.now, write).await?;
        Ok(written(self.group, generation))
    }
}

/// The latest generation of a history, 0 when there is none.
pub(super) fn latest<T>(history: &[(u64, T)]) -> u64 {
    history.iter().map(|(number, _)| *number).max().unwrap_or(0)
}
