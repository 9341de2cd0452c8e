//! Keeping the record up to date with changes that are meant, and remembering what was restored.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::World;
use super::converge::LOOK_AGAIN_AFTER;
use crate::decide::changes::{
    Backoff, Contest, GroupState, ObservedCall, RemovalReason, Replacement, Revision, Settling,
    Situation, backoff_of, judge,
};
use crate::desired::{DesiredRecord, Principals, SharedSettings, Unreadable};
use crate::event::{Call, Evidence, Lookup};
use crate::model::{ActualRules, GroupAddress, RuleKey};
use crate::ports::{
    ApiError, Budget, Failure, Loaded, NewGeneration, SecurityGroups, Table, WriteError,
};
use crate::report::{RecordChange, RuleOutcome, RuleReport};

/// How often a write that met another one is tried anew, and how many generations one invocation may write.
const WRITES_MAX: usize = 8;

/// What the table says of a group, understood.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) group: GroupAddress,
    item: Value,
    pub(super) record: DesiredRecord,
    shared: SharedSettings,
    pub(super) state: GroupState,
    pub(super) warnings: Vec<String>,
}

impl Known {
    /// Settings or a state that cannot be understood cost what they would have said, and a warning; rules are kept all
    /// the same.
    pub(super) fn read(
        group: &GroupAddress,
        item: Value,
        loaded: Loaded,
    ) -> Result<Self, Unreadable> {
        let reading = DesiredRecord::from_json(&item, &group.scope.account)?;
        let mut warnings: Vec<String> = reading.warnings.iter().map(ToString::to_string).collect();
        let shared = match loaded.settings.as_ref().map(SharedSettings::from_json) {
            None => SharedSettings::default(),
            Some(Ok((shared, doubts))) => {
                warnings.extend(doubts.iter().map(|doubt| format!("settings: {doubt}")));
                shared
            }
            Some(Err(unreadable)) => {
                let findings = unreadable.findings.iter().map(ToString::to_string);
                let findings = findings.collect::<Vec<_>>().join("; ");
                warnings.push(format!(
                    "the settings item cannot be understood, so the principals in it have no effect: {findings}"
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
            state,
            warnings,
        })
    }

    pub(super) fn principals(&self) -> Principals<'_> {
        Principals {
            of_record: &self.record.principals,
            settle_of_record: self.record.settle_seconds,
            of_all: &self.shared.principals,
            settle_of_all: self.shared.settle_seconds,
        }
    }

    /// Reads everything anew. A record that is gone or cannot be understood any more ends the work on it.
    pub(super) async fn reload<T: Table>(&mut self, table: &T) -> Result<(), ApiError> {
        let mut loaded = table.load(&self.group).await?;
        let item = loaded
            .desired
            .take()
            .ok_or_else(|| gone("the record was taken away meanwhile"))?;
        let group = self.group.clone();
        *self =
            Self::read(&group, item, loaded).map_err(|unreadable| gone(&unreadable.to_string()))?;
        Ok(())
    }
}

fn gone(message: &str) -> ApiError {
    ApiError {
        operation: "BatchGetItem",
        failure: Failure::Unusable,
        message: message.to_owned(),
    }
}

/// A read of the group.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) actual: ActualRules,
    /// When it was begun: a later change it need not show.
    pub(super) at: Timestamp,
}

impl Look {
    pub(super) async fn at_rules<E: SecurityGroups, T>(
        world: &World<'_, E, T>,
        group: &GroupAddress,
    ) -> Result<Self, ApiError> {
        let at = (world.now)();
        let actual = world.ec2.rules_of(&group.id).await?;
        Ok(Self { actual, at })
    }
}

/// What keeping the record came to.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// What is to be remembered and led to nothing else, so that it can wait until the group has been seen to.
    pub(super) unsaved: Option<GroupState>,
    pub(super) settling: BTreeMap<RuleKey, Settling>,
    pub(super) replaced: BTreeMap<RuleKey, Replacement>,
    /// Rules that are to leave, and by whose change, while the table would not take that.
    pub(super) unwritten: BTreeMap<RuleKey, String>,
    /// Why not everything could be judged or written.
    pub(super) error: Option<ApiError>,
    pub(super) changes: Vec<RecordChange>,
    /// One line for each rule that left.
    pub(super) lines: BTreeMap<RuleKey, RuleReport>,
    pub(super) notices: Vec<String>,
}

/// What an event says that somebody did, in terms of rules.
pub(super) fn observed_call(lookup: &Lookup, state: &GroupState) -> Option<ObservedCall> {
    let call = lookup.call?;
    let Evidence {
        revoked_ids,
        revoked,
        modified,
        authorized,
    } = &lookup.evidence;
    let mut observed = ObservedCall {
        by: lookup.trigger.principal.clone()?,
        at: lookup.trigger.event_time?,
        revoked: revoked.clone(),
        proven: !revoked_ids.is_empty(),
        authorized: authorized.clone(),
        refused: call == Call::RefusedAuthorize,
        news: BTreeSet::new(),
    };
    let known = revoked_ids.iter().filter_map(|id| state.ids.get(id));
    observed.revoked.extend(known.cloned());
    for (id, new) in modified {
        let old = state.ids.get(id).filter(|old| new.as_ref() != Some(*old));
        observed.revoked.extend(old.cloned());
        let new = new.clone().map(|new| (new, Some(id.clone())));
        observed.authorized.extend(new);
    }
    Some(observed)
}

/// A read that shows what the event says, if one comes within about a second.
pub(super) async fn read_until_fresh<E: SecurityGroups, T>(
    world: &World<'_, E, T>,
    group: &GroupAddress,
    evidence: &Evidence,
    mut look: Look,
    budget: Budget,
) -> Look {
    for wait in LOOK_AGAIN_AFTER {
        if !contradicts(evidence, &look.actual) || !budget.allows(wait) {
            break;
        }
        tokio::time::sleep(wait).await;
        match Look::at_rules(world, group).await {
            Ok(again) => look = again,
            Err(_) => break,
        }
    }
    look
}

fn contradicts(evidence: &Evidence, actual: &ActualRules) -> bool {
    let shows_revoked = match evidence.revoked_ids.is_empty() {
        true => evidence.revoked.iter().any(|rule| actual.contains(rule)),
        false => actual.iter().any(|live| {
            let id = live.id.as_ref();
            id.is_some_and(|id| evidence.revoked_ids.contains(id))
        }),
    };
    let shows_old = actual.iter().any(|live| {
        let now = live.id.as_ref().and_then(|id| evidence.modified.get(id));
        now.is_some_and(|now| now.as_ref().is_some_and(|now| *now != live.key))
    });
    let lacks_new = evidence
        .authorized
        .keys()
        .any(|rule| !actual.contains(rule));
    shows_revoked || shows_old || lacks_new
}

/// Judges what is known and writes what follows, until nothing more does. Facts that change nothing about the record
/// are not written here: whoever waits for a rule should not wait for them.
///
/// `news` are the revokes of which nobody knew when the event was begun with.
pub(super) async fn keep<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    known: &mut Known,
    look: &mut Look,
    lookup: &Lookup,
    news: &BTreeSet<RuleKey>,
) -> Kept {
    let mut kept = Kept::default();
    let done = judge_and_write(world, known, look, lookup, news, &mut kept).await;
    kept.error = done.err();
    kept
}

async fn judge_and_write<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    known: &mut Known,
    look: &mut Look,
    lookup: &Lookup,
    news: &BTreeSet<RuleKey>,
    kept: &mut Kept,
) -> Result<(), ApiError> {
    for _ in 0..WRITES_MAX {
        let now = (world.now)();
        let mut observed = observed_call(lookup, &known.state);
        let mut state = known.state.clone().without_ended_contests(now);
        if let Some(observed) = &mut observed {
            observed.news = news.clone();
            observed.note_in(&mut state, &look.actual);
        }
        state.note_ids(&known.record.rules, &look.actual);
        let situation = Situation {
            record: &known.record,
            principals: known.principals(),
            actual: &look.actual,
            observed: observed.as_ref(),
            now: look.at,
        };
        let judgement = judge(situation, state.pruned(now));
        kept.settling = judgement.settling;
        kept.replaced = judgement.replaced;
        let written = match judgement.revision {
            Some(revision) => {
                let removed = revision.removed.iter().map(|(rule, _)| rule.clone());
                kept.unwritten = removed.map(|rule| (rule, revision.by.clone())).collect();
                let written = write(world.table, known, &revision, judgement.state, now).await?;
                kept.unwritten.clear();
                written.map(|generation| kept.note(&revision, generation))
            }
            None if judgement.state == known.state => return Ok(()),
            None if kept.settling.is_empty() => {
                kept.unsaved = Some(judgement.state);
                return Ok(());
            }
            None => {
                let saved = world
                    .table
                    .save_state(&known.group, &judgement.state)
                    .await?;
                if saved {
                    known.state = next(judgement.state);
                    return Ok(());
                }
                None
            }
        };
        if written.is_none() {
            // Somebody else was faster. What follows is for what there is now.
            known.reload(world.table).await?;
            *look = Look::at_rules(world, &known.group).await?;
            let actual = std::mem::take(&mut look.actual);
            look.actual = actual.without(&lookup.evidence.revoked_ids);
        }
    }
    Err(ApiError {
        operation: "TransactWriteItems",
        failure: Failure::Server {
            code: "Contention".to_owned(),
        },
        message: format!("the record or its state kept changing: gave up after {WRITES_MAX} tries"),
    })
}

/// Writes a revision; `None` when somebody else wrote first.
async fn write<T: Table>(
    table: &T,
    known: &mut Known,
    revision: &Revision,
    state: GroupState,
    now: Timestamp,
) -> Result<Option<u64>, ApiError> {
    let mut record = DesiredRecord {
        generation: known.record.generation + 1,
        rules: revision.rules.clone(),
        updated_at: Some(now),
        updated_by: Some(revision.by.clone()).filter(|_| !fault!(WritesWithoutAuthor)),
        reason: Some(revision.reason()),
        ..known.record.clone()
    };
    let change = NewGeneration {
        address: known.group.clone(),
        record: record.clone(),
        replaces: Some(known.item.clone()),
        state,
    };
    match table.write(&change).await {
        Ok(generation) => {
            record.generation = generation;
            known.item = Value::Object(record.to_json());
            known.record = record;
            known.state = next(change.state);
            Ok(Some(generation))
        }
        Err(WriteError::LostRace { .. } | WriteError::StateChanged { .. }) => Ok(None),
        Err(WriteError::Api(error)) => Err(error),
    }
}

fn next(mut state: GroupState) -> GroupState {
    state.revision += 1;
    state
}

impl Kept {
    fn note(&mut self, revision: &Revision, generation: u64) {
        let by = &revision.by;
        for (rule, why) in &revision.removed {
            let why = match why {
                RemovalReason::Accepted => format!("the revoke by {by} is accepted"),
                RemovalReason::Committed(live) => {
                    let live = named(live);
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

/// The rules that are to be left alone for now: their lines, and the waits that begin now.
#[derive(Debug, Default)]
pub(super) struct LeftAlone {
    pub(super) lines: BTreeMap<RuleKey, RuleReport>,
    pub(super) contests: BTreeMap<RuleKey, Contest>,
}

impl LeftAlone {
    /// Held against a record: `begin` says whether new waits may begin.
    pub(super) fn of(
        known: &Known,
        kept: &Kept,
        actual: &ActualRules,
        dropped_by: &BTreeMap<RuleKey, String>,
        now: Timestamp,
        begin: bool,
    ) -> Self {
        let mut alone = Self::default();
        let state = known.state.clone().without_ended_contests(now);
        for rule in known
            .record
            .rules
            .keys()
            .filter(|rule| !actual.contains(rule))
        {
            if let Some(Settling { by, until }) = kept.settling.get(rule) {
                let reason = format!("a change by {by} is under way; it is judged at {until}");
                alone.add(rule, RuleOutcome::Held, reason);
                continue;
            }
            if let Some(Replacement { by, with }) = kept.replaced.get(rule) {
                let with = named(with);
                let reason = format!(
                    "{by} seems to have replaced it, and the event of its revoke is awaited; live rules allow the same: {with}"
                );
                alone.add(rule, RuleOutcome::Superseded, reason);
                continue;
            }
            if let Some(by) = kept.unwritten.get(rule) {
                let reason =
                    format!("{by} means it to be gone, and the record could not be written");
                alone.add(rule, RuleOutcome::Held, reason);
                continue;
            }
            let by = dropped_by.get(rule).map(String::as_str);
            match backoff_of(&state, rule, by, now) {
                Backoff::None => {}
                Backoff::Waiting(contest) => {
                    alone.add(rule, RuleOutcome::Contested, fight(&contest));
                }
                Backoff::Begins(contest) if begin => {
                    alone.add(rule, RuleOutcome::Contested, fight(&contest));
                    alone.contests.insert(rule.clone(), contest);
                }
                Backoff::Begins(_) => {}
            }
        }
        alone
    }

    fn add(&mut self, rule: &RuleKey, outcome: RuleOutcome, reason: String) {
        let line = RuleReport::new(rule.clone(), outcome).because(reason);
        self.lines.insert(rule.clone(), line);
    }
}

fn named(rules: &[RuleKey]) -> String {
    let names: Vec<String> = rules.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Who dropped which rules of the record, as far as an event tells. One that names only ids of which we know none is
/// taken to be about every rule that is missing.
pub(super) fn dropped_by(
    observed: &ObservedCall,
    evidence: &Evidence,
    record: &DesiredRecord,
) -> BTreeMap<RuleKey, String> {
    let Evidence {
        revoked_ids,
        modified,
        ..
    } = evidence;
    let names_ids_only =
        observed.revoked.is_empty() && !(revoked_ids.is_empty() && modified.is_empty());
    let rules = record.rules.keys();
    let dropped = rules.filter(|rule| names_ids_only || observed.revoked.contains(*rule));
    dropped
        .map(|rule| (rule.clone(), observed.by.clone()))
        .collect()
}

/// Both sides of a fight, in words.
pub(super) fn fight(contest: &Contest) -> String {
    let by = contest.by.as_deref().unwrap_or("somebody unknown");
    format!(
        "{by} drops it as often as rulekeeper puts it back; left alone until {} (wait {})",
        contest.until, contest.step
    )
}

/// Rules that we restored, and when EC2 said so. Reading them back takes a while, and whoever drops one again meanwhile
/// does so after the restore.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restores<'a> {
    pub(super) rules: &'a [(RuleKey, Timestamp)],
    /// Who dropped them, as far as the event tells.
    pub(super) dropped_by: &'a BTreeMap<RuleKey, String>,
}

/// What [`remember`] has to tell.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// The waits that are ours to tell of.
    pub(super) notices: Vec<String>,
    /// Somebody else wrote before the facts of the event were written, and may have judged without them.
    pub(super) overtaken: bool,
}

/// Writes what was restored and which waits began, whoever else writes at the same time, and facts that were not written
/// yet, unless somebody else did.
pub(super) async fn remember<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    known: &mut Known,
    mut unsaved: Option<GroupState>,
    restores: Restores<'_>,
    contests: &BTreeMap<RuleKey, Contest>,
    actual: &ActualRules,
) -> Result<Remembered, ApiError> {
    let mut remembered = Remembered::default();
    for _ in 0..WRITES_MAX {
        let now = (world.now)();
        let facts = unsaved.take().unwrap_or_else(|| known.state.clone());
        let mut state = facts.without_ended_contests(now);
        remembered.notices.clear();
        for (rule, contest) in contests {
            if let Backoff::Begins(contest) = backoff_of(&state, rule, contest.by.as_deref(), now) {
                let notice = format!("{rule} is contested: {}", fight(&contest));
                remembered.notices.push(notice);
                state.contested.insert(rule.clone(), contest);
            }
        }
        for (rule, at) in restores.rules {
            state.note_restored([rule], *at);
            let by = restores.dropped_by.get(rule);
            let noted = by.map(|by| (rule.clone(), by.clone()));
            state.dropped_by.extend(noted);
        }
        if known.principals().any_meant() {
            state.note_ids(&known.record.rules, actual);
        }
        let state = state.pruned(now);
        if state == known.state {
            return Ok(remembered);
        }
        if world.table.save_state(&known.group, &state).await? {
            known.state = next(state);
            return Ok(remembered);
        }
        remembered.overtaken = true;
        known.reload(world.table).await?;
    }
    Err(ApiError {
        operation: "UpdateItem",
        failure: Failure::Server {
            code: "Contention".to_owned(),
        },
        message: format!("the run-time state kept changing: gave up after {WRITES_MAX} tries"),
    })
}
