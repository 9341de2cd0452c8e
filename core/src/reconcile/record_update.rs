//! Updating the record for changes of listed principals.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::World;
use super::converge::LOOK_AGAIN_AFTER;
use super::error::WorkError;
use super::snapshot::{LiveRead, Snapshot};
use crate::decide::changes::{
    GroupState, Judgement, KnownCall, RemovalReason, Revision, Situation, Taker, Verdict,
    WaitReason, judge,
};
use crate::decide::staleness::shows_event;
use crate::desired::DesiredRecord;
use crate::event::Evidence;
use crate::model::{GroupAddress, GroupId, RuleKey};
use crate::ports::{Budget, NewGeneration, SecurityGroups, Table, WriteError};
use crate::report::{RecordChange, RuleOutcome, RuleReport};

/// The most tries of a write that lost a race, and the most generations that one invocation writes.
pub(super) const WRITES_MAX: usize = 8;

/// What updating the record came to.
#[derive(Debug, Default)]
pub(super) struct RecordUpdate {
    /// A state to save that changed no record: it is written after the rules are restored.
    pub(super) unsaved: Option<GroupState>,
    /// What becomes of each rule of the record, by the last judgement.
    pub(super) verdicts: BTreeMap<RuleKey, Verdict>,
    /// The last known call that took each missing rule away.
    pub(super) taken_by: BTreeMap<RuleKey, Taker>,
    /// What kept it from being judged or written.
    pub(super) error: Option<WorkError>,
    pub(super) changes: Vec<RecordChange>,
    /// One line for each removed rule.
    pub(super) lines: BTreeMap<RuleKey, RuleReport>,
    pub(super) notices: Vec<String>,
    pub(super) warnings: Vec<String>,
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

/// Judges the known calls and writes the generations that follow, until nothing follows any more. A state that changes no
/// record is not written here: rules must not wait for it. Nothing is written where `writes` is false.
///
/// `calls` are those of the event at hand, and deletions of groups to which missing rules refer.
pub(super) async fn update_record<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    snapshot: &mut Snapshot,
    live: &mut LiveRead,
    calls: &[KnownCall],
    writes: bool,
) -> RecordUpdate {
    let mut update = RecordUpdate::default();
    let done = judge_and_write(world, snapshot, live, calls, writes, &mut update).await;
    update.error = done.err();
    update
}

async fn judge_and_write<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    snapshot: &mut Snapshot,
    live: &mut LiveRead,
    calls: &[KnownCall],
    writes: bool,
    update: &mut RecordUpdate,
) -> Result<(), WorkError> {
    for _ in 0..WRITES_MAX {
        let now = (world.now)();
        let judgement = judge_now(snapshot, live, calls, now, update);
        let changed = judgement.state != snapshot.state;
        let Some(revision) = judgement.revision.filter(|_| writes) else {
            update.notices.extend(judgement.notices);
            update.unsaved = Some(judgement.state).filter(|_| writes && changed);
            return Ok(());
        };
        match write(world.table, snapshot, &revision, judgement.state, now).await? {
            Some(generation) => {
                update.notices.extend(judgement.notices);
                update.note(&revision, generation, &snapshot.group.id);
            }
            // Somebody else wrote first: judge what there is now.
            None => reload(world, snapshot, live).await?,
        }
    }
    Err(WorkError::Contention {
        what: "the record or its state",
        tries: WRITES_MAX,
    })
}

async fn reload<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    snapshot: &mut Snapshot,
    live: &mut LiveRead,
) -> Result<(), WorkError> {
    snapshot.reload(world.table).await?;
    *live = LiveRead::of(world, &snapshot.group).await?;
    Ok(())
}

/// Judges what is known now.
pub(super) fn judge_now(
    snapshot: &Snapshot,
    live: &mut LiveRead,
    calls: &[KnownCall],
    now: Timestamp,
    update: &mut RecordUpdate,
) -> Judgement {
    let mut state = snapshot.state.clone().without_ended_contests(now);
    for call in calls {
        state.note_call(call.clone(), now);
    }
    let mut state = state.pruned(now);
    if snapshot.principals().any_meant() {
        // EC2 never reuses an id.
        let actual = std::mem::take(&mut live.actual);
        live.actual = actual.without(&state.revoked_ids());
        state.note_ids(&snapshot.record.rules, &live.actual, now);
    }
    let forgotten = state.fit();
    update.warnings.extend(forgotten);
    let situation = Situation {
        record: &snapshot.record,
        principals: snapshot.principals(),
        actual: &live.actual,
        now: live.at,
        call: calls.iter().find(|call| call.reference.is_none()),
    };
    let judgement = judge(situation, state);
    update.verdicts.clone_from(&judgement.verdicts);
    // A rule that left the record at an earlier judgement was taken all the same.
    update.taken_by.extend(judgement.taken_by.clone());
    judgement
}

/// The missing rules about which an operator who restores decides: pending ones, and those that a person closed twice; who
/// will not wait, about all but those that leave the record, because somebody trusted decided that.
pub(super) fn decided_by_restore(
    snapshot: &Snapshot,
    live: &LiveRead,
    at_once: bool,
    now: Timestamp,
) -> Vec<RuleKey> {
    let situation = Situation {
        record: &snapshot.record,
        principals: snapshot.principals(),
        actual: &live.actual,
        now,
        call: None,
    };
    let verdicts = judge(situation, snapshot.state.clone())
        .verdicts
        .into_iter();
    let waiting = verdicts.filter(|(rule, verdict)| {
        let insists = matches!(
            verdict,
            Verdict::Wait {
                why: WaitReason::Insists { .. },
                ..
            }
        );
        let is_missing = !live.actual.contains(rule);
        let leaves = matches!(verdict, Verdict::Leave(_));
        let waits = insists || matches!(verdict, Verdict::Pend(_));
        is_missing && (waits || at_once && !leaves)
    });
    waiting.map(|(rule, _)| rule).collect()
}

/// Writes a new generation; `None` when somebody else wrote first.
async fn write<T: Table>(
    table: &T,
    snapshot: &mut Snapshot,
    revision: &Revision,
    state: GroupState,
    now: Timestamp,
) -> Result<Option<u64>, WorkError> {
    let record = DesiredRecord {
        generation: snapshot.record.generation + 1,
        rules: revision.rules.clone(),
        updated_at: Some(now),
        updated_by: Some(revision.by.clone()).filter(|_| !fault!(WritesWithoutAuthor)),
        reason: Some(revision.reason()),
        ..snapshot.record.clone()
    };
    let mut change = NewGeneration {
        address: snapshot.group.clone(),
        record,
        replaces: Some(snapshot.item.clone()),
        state,
    };
    match table.write(&change).await {
        Ok(generation) => {
            change.record.generation = generation;
            snapshot.item = change.item();
            snapshot.record = change.record;
            snapshot.state = next(change.state);
            Ok(Some(generation))
        }
        Err(WriteError::LostRace { .. } | WriteError::StateChanged { .. }) => Ok(None),
        Err(WriteError::Api(error)) => Err(error.into()),
    }
}

pub(super) fn next(mut state: GroupState) -> GroupState {
    state.revision = state.revision.wrapping_add(1);
    state
}

impl RecordUpdate {
    fn note(&mut self, revision: &Revision, generation: u64, group: &GroupId) {
        let by = &revision.by;
        for (rule, leaving) in &revision.removed {
            if leaving.why == RemovalReason::AskedTwice {
                self.notices.push(format!(
                    "{by} revoked {rule} again after it was put back, so it means it: the rule left the record in generation {generation}"
                ));
            }
            let why = leaving.reason();
            let why = format!("{why}; it left the record in generation {generation}");
            if leaving.is_reopened {
                self.notices.push(reopened(group, rule, by));
            }
            let why = match (leaving.is_reopened, leaving.is_live) {
                (true, _) => {
                    format!("{why}, and it is live: it was put back before this was known")
                }
                (false, true) => format!("{why}, and it is live: somebody else authorized it"),
                (false, false) => why,
            };
            let line = RuleReport::new(rule.clone(), RuleOutcome::Superseded).because(why);
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

/// What a person should know of a rule that was put back too early.
pub(super) fn reopened(group: &GroupId, rule: &RuleKey, by: &str) -> String {
    format!(
        "reopened: {by} had closed {rule}, and it was put back before that was known; it is live and recorded no more. Close it: {}",
        close_command(group, rule)
    )
}

/// The command of the AWS CLI that revokes a rule.
pub fn close_command(group: &GroupId, rule: &RuleKey) -> String {
    format!(
        "aws ec2 revoke-security-group-ingress --group-id {group} --ip-permissions '{}'",
        rule.ip_permissions()
    )
}
