//! Writes a record that a person decided on, while the function may write at the same moment.

use jiff::Timestamp;
use serde_json::Value;

use crate::decide::changes::GroupState;
use crate::model::{ActualRules, RuleKey};
use crate::ports::{NewGeneration, Table, WriteError};

/// How many tries a write gets when the function keeps writing the group's run-time state at the same moment.
pub const STATE_TRIES_MAX: usize = 5;

/// Writes the next generation of a record. In the new state, nothing known about the `decided` rules before `at` counts
/// any more.
///
/// `state` is the state item that was read. If the function wrote another one since, it is read again. `live` shows
/// which rules the ids belong to. Returns the generation that the record got.
///
/// # Errors
/// [`WriteError::LostRace`] when the record changed since it was read, [`WriteError::StateChanged`] when the state
/// changed at each try, or the table's own error.
pub async fn write_decision(
    table: &impl Table,
    mut change: NewGeneration,
    mut state: Option<Value>,
    decided: &[&RuleKey],
    live: &ActualRules,
    at: Timestamp,
) -> Result<u64, WriteError> {
    for tries_left in (0..STATE_TRIES_MAX).rev() {
        change.state = state.as_ref().map_or_else(GroupState::default, |item| {
            GroupState::from_json(item).unwrap_or_else(|unreadable| unreadable.0)
        });
        change.state.note_decided(decided.iter().copied(), at);
        change.state.note_ids(&change.record.rules, live);
        match table.write(&change).await {
            // The function is handling the group. The person decided on the record and not on the state, so the write
            // is repeated.
            Err(WriteError::StateChanged { .. }) if tries_left > 0 => {
                let loaded = table.load(&change.address).await;
                state = loaded.map_err(WriteError::Api)?.state;
            }
            ended => return ended,
        }
    }
    Err(WriteError::StateChanged {
        group: change.address,
    })
}
