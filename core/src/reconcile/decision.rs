//! Writing what a person decided, while the function may be writing at the same moment.

use jiff::Timestamp;
use serde_json::Value;

use crate::decide::changes::GroupState;
use crate::model::{GroupAddress, RuleKey};
use crate::ports::{Table, WriteError};

/// The most tries of a write that the function overtakes by writing the group's run-time state at the same moment.
const STATE_TRIES_MAX: usize = 5;

/// Writes a decision about a group's record with `write`, which is handed the state to write with it: everything known of
/// the `decided` rules before `at` no longer counts. `state` is the state item as it was read; it is read again if the
/// function wrote another one meanwhile. Returns the generation that the record was given.
///
/// # Errors
/// What `write` answers, or the table's own error. [`WriteError::StateChanged`] only if the state changed each time.
pub async fn write_decision(
    table: &impl Table,
    group: &GroupAddress,
    mut state: Option<Value>,
    decided: impl IntoIterator<Item = &RuleKey> + Clone,
    at: Timestamp,
    write: impl AsyncFn(GroupState) -> Result<u64, WriteError>,
) -> Result<u64, WriteError> {
    for tries_left in (0..STATE_TRIES_MAX).rev() {
        let mut next = GroupState::of_item(state.as_ref());
        next.note_decided(decided.clone(), at);
        match write(next).await {
            // The function is at work on the group. The record is still the one that the person decided on.
            Err(WriteError::StateChanged { .. }) if tries_left > 0 => {
                let loaded = table.load(group).await.map_err(WriteError::Api)?;
                state = loaded.state;
            }
            ended => return ended,
        }
    }
    let group = group.clone();
    Err(WriteError::StateChanged { group })
}
