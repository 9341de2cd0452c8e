//! Writing a record that a person decided on, while the function may be writing at the same moment.

use jiff::Timestamp;
use serde_json::Value;

use crate::decide::changes::GroupState;
use crate::model::{ActualRules, RuleKey};
use crate::ports::{NewGeneration, Table, WriteError};

/// How often a record is written anew because the function wrote the group's run-time state at the same moment.
pub const STATE_TRIES_MAX: usize = 5;

/// Writes the next generation of a record, with a state in which everything known of the `decided` rules before `at` no
/// longer counts. `state` is the state item as it was read; where the function wrote another one meanwhile, it is read
/// anew. `live` tells what ids stand for. Answers with the generation that the record was given.
///
/// # Errors
/// [`WriteError::LostRace`] when the record itself was changed since it was read, [`WriteError::StateChanged`] when the
/// state changed each time, or the table's own error.
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
            // The function is at work on the group. It is the record that the person decided on.
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
