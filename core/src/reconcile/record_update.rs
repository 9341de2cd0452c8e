//! Updating the record for changes of listed principals.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::World;
use super::converge::LOOK_AGAIN_AFTER;
use super::error::WorkError;
use super::snapshot::{LiveRead, Snapshot};
use crate::decide::changes::{
    GroupState, ObservedCall, RemovalReason, Revision, Settling, Situation, judge,
};
use crate::decide::staleness::shows_event;
use crate::desired::DesiredRecord;
use crate::event::{Evidence, Lookup};
use crate::model::{GroupAddress, RuleKey, in_words};
use crate::ports::{Budget, NewGeneration, SecurityGroups, Table, WriteError};
use crate::report::{RecordChange, RuleOutcome, RuleReport};

/// The most tries of a write that lost a race, and the most generations that one invocation writes.
pub(super) const WRITES_MAX: usize = 8;

/// What updating the record came to.
#[derive(Debug, Default)]
pub(super) struct RecordUpdate {
    /// A state to save that changed no record: it is written after the rules are restored.
    pub(super) unsaved: Option<GroupState>,
    pub(super) settling: BTreeMap<RuleKey, Settling>,
    /// Rules whose removal the table refused to take, with the principal whose change it is.
    pub(super) unwritten: BTreeMap<RuleKey, String>,
    /// What kept it from being judged or written.
    pub(super) error: Option<WorkError>,
    pub(super) changes: Vec<RecordChange>,
    /// One line for each removed rule.
    pub(super) lines: BTreeMap<RuleKey, RuleReport>,
    pub(super) notices: Vec<String>,
}

/// Reads until a read shows what the event says, for about a second.
pub(super) async fn read_until_fresh<E: SecurityGroups, T>(
    world: &World<'_, E, T>,
    group: &GroupAddress,
    evidence: &Evidence,
    mut live: LiveRead,
    budget: Budget,
) -> LiveRead {
    for wait in LOOK_AGAIN_AFTER {
        if shows_event(evidence, &live.actual) {
            break;
        }
        match LiveRead::after(wait, world, group, budget).await {
            Some(again) => live = again,
            None => break,
        }
    }
    live
}

/// Judges the observed calls and writes what follows, until nothing follows any more. A state that changes no record is
/// not written here: rules must not wait for it.
///
/// `news` are the revokes of this event that the state did not hold before.
pub(super) async fn update_record<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    snapshot: &mut Snapshot,
    live: &mut LiveRead,
    lookup: &Lookup,
    news: &BTreeSet<RuleKey>,
) -> RecordUpdate {
    let mut update = RecordUpdate::default();
    let done = judge_and_write(world, snapshot, live, lookup, news, &mut update).await;
    update.error = done.err();
    update
}

async fn judge_and_write<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    snapshot: &mut Snapshot,
    live: &mut LiveRead,
    lookup: &Lookup,
    news: &BTreeSet<RuleKey>,
    update: &mut RecordUpdate,
) -> Result<(), WorkError> {
    for _ in 0..WRITES_MAX {
        let now = (world.now)();
        let mut observed = ObservedCall::of(lookup, &snapshot.state);
        let mut state = snapshot.state.clone().without_ended_contests(now);
        if let Some(observed) = &mut observed {
            observed.news = news.clone();
            observed.note_in(&mut state, &live.actual);
        }
        state.note_ids(&snapshot.record.rules, &live.actual);
        let situation = Situation {
            record: &snapshot.record,
            principals: snapshot.principals(),
            actual: &live.actual,
            observed: observed.as_ref(),
            now: live.at,
        };
        let judgement = judge(situation, state.pruned(now));
        update.settling = judgement.settling;
        let written = match judgement.revision {
            Some(revision) => {
                let removed = revision.removed.iter().map(|(rule, _)| rule.clone());
                update.unwritten = removed.map(|rule| (rule, revision.by.clone())).collect();
                let written = write(world.table, snapshot, &revision, judgement.state, now).await?;
                update.unwritten.clear();
                written.map(|generation| update.note(&revision, generation))
            }
            None if judgement.state == snapshot.state => return Ok(()),
            None if update.settling.is_empty() => {
                update.unsaved = Some(judgement.state);
                return Ok(());
            }
            None => {
                let saved = world
                    .table
                    .save_state(&snapshot.group, &judgement.state)
                    .await?;
                if saved {
                    snapshot.state = next(judgement.state);
                    return Ok(());
                }
                None
            }
        };
        if written.is_none() {
            // Somebody else wrote first: judge what there is now.
            snapshot.reload(world.table).await?;
            *live = LiveRead::of(world, &snapshot.group).await?;
            let actual = std::mem::take(&mut live.actual);
            live.actual = actual.without(&lookup.evidence.revoked_ids);
        }
    }
    Err(WorkError::Contention {
        what: "the record or its state",
        tries: WRITES_MAX,
    })
}

/// Writes a new generation; `None` when somebody else wrote first.
async fn write<T: Table>(
    table: &T,
    snapshot: &mut Snapshot,
    revision: &Revision,
    state: GroupState,
    now: Timestamp,
) -> Result<Option<u64>, WorkError> {
    let mut record = DesiredRecord {
        generation: snapshot.record.generation + 1,
        rules: revision.rules.clone(),
        updated_at: Some(now),
        updated_by: Some(revision.by.clone()).filter(|_| !fault!(WritesWithoutAuthor)),
        reason: Some(revision.reason()),
        ..snapshot.record.clone()
    };
    let change = NewGeneration {
        address: snapshot.group.clone(),
        record: record.clone(),
        replaces: Some(snapshot.item.clone()),
        state,
    };
    match table.write(&change).await {
        Ok(generation) => {
            record.generation = generation;
            snapshot.item = Value::Object(record.to_json());
            snapshot.record = record;
            snapshot.state = next(change.state);
            Ok(Some(generation))
        }
        Err(WriteError::LostRace { .. } | WriteError::StateChanged { .. }) => Ok(None),
        Err(WriteError::Api(error)) => Err(error.into()),
    }
}

pub(super) fn next(mut state: GroupState) -> GroupState {
    state.revision += 1;
    state
}

impl RecordUpdate {
    fn note(&mut self, revision: &Revision, generation: u64) {
        let by = &revision.by;
        for (rule, why) in &revision.removed {
            let why = match why {
                RemovalReason::Accepted => format!("the revoke by {by} is accepted"),
                RemovalReason::Committed(live) => {
                    let live = in_words(live);
                    format!("{by} replaced it; live rules allow the same: {live}")
                }
                RemovalReason::AskedTwice => {
                    let notice = format!(
                        "{by} revoked {rule} again after it was put back, so it means it: the rule left the record in generation {generation}"
                    );
                    self.notices.push(notice);
                    format!("{by} revoked it again after it was put back")
                }
            };
            let line = RuleReport::new(rule.clone(), RuleOutcome::Superseded).because(format!(
                "{why}; it left the record in generation {generation}"
            ));
            self.lines.insert(rule.clone(), line);
        }
        self.changes.push(RecordChange {
            generation,
            author: by.clone(),
            reason: revision.reason(),
            added: [&revision.entered[..], &revision.reinstated].concat(),
            removed: revision
                .removed
                .iter()
                .map(|(rule, _)| rule.clone())
                .collect(),
        });
    }
}
