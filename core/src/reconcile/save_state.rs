//! Saving the run-time state: what was restored, which waits began, and observed calls that changed no record.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::World;
use super::deferred::contest_text;
use super::error::WorkError;
use super::record_update::{WRITES_MAX, next};
use super::snapshot::Snapshot;
use crate::decide::changes::{Backoff, Contest, GroupState, backoff_of};
use crate::model::{ActualRules, RuleKey};
use crate::ports::{SecurityGroups, Table};

/// Rules that were restored, and when EC2 confirmed it. A rule that is dropped again while they are read back was dropped
/// after its restore.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restores<'a> {
    pub(super) rules: &'a [(RuleKey, Timestamp)],
    /// Who dropped them, as far as the event says.
    pub(super) dropped_by: &'a BTreeMap<RuleKey, String>,
}

/// What [`save_state`] reports.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// One for each wait that this write began.
    pub(super) notices: Vec<String>,
    /// Somebody else wrote before this event's calls were written, and may have judged without them.
    pub(super) overtaken: bool,
}

/// Writes what was restored, which waits began, and the state that changed no record. Tries again when somebody else wrote
/// meanwhile; the unsaved state is then dropped, because the next pass judges anew. `missing_since` replaces what the state says, where
/// rules wait for their causes.
pub(super) async fn save_state<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    snapshot: &mut Snapshot,
    mut unsaved: Option<GroupState>,
    restores: Restores<'_>,
    contests: &BTreeMap<RuleKey, Contest>,
    missing_since: Option<&BTreeMap<RuleKey, Timestamp>>,
    actual: &ActualRules,
) -> Result<Saved, WorkError> {
    let mut saved = Saved::default();
    for _ in 0..WRITES_MAX {
        let now = (world.now)();
        let facts = unsaved.take().unwrap_or_else(|| snapshot.state.clone());
        let mut state = facts.without_ended_contests(now);
        saved.notices.clear();
        for (rule, contest) in contests {
            if let Backoff::Begins(contest) = backoff_of(&state, rule, contest.by.as_deref(), now) {
                let notice = format!("{rule} is contested: {}", contest_text(&contest));
                saved.notices.push(notice);
                state.contested.insert(rule.clone(), contest);
            }
        }
        for (rule, at) in restores.rules {
            state.note_restored([rule], *at);
            let by = restores.dropped_by.get(rule);
            let noted = by.map(|by| (rule.clone(), by.clone()));
            state.dropped_by.extend(noted);
        }
        if snapshot.principals().any_meant() {
            state.note_ids(&snapshot.record.rules, actual);
        }
        if let Some(missing_since) = missing_since {
            state.missing_since.clone_from(missing_since);
        }
        let state = state.pruned(now);
        if state == snapshot.state {
            return Ok(saved);
        }
        if world.table.save_state(&snapshot.group, &state).await? {
            snapshot.state = next(state);
            return Ok(saved);
        }
        saved.overtaken = true;
        snapshot.reload(world.table).await?;
    }
    Err(WorkError::Contention {
        what: "the run-time state",
        tries: WRITES_MAX,
    })
}
