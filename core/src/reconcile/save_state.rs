//! Saving the run-time state: what was restored, which waits began, and known calls that changed no record.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::World;
use super::deferred::contest_text;
use super::error::WorkError;
use super::record_update::{WRITES_MAX, next, reopened};
use super::snapshot::Snapshot;
use crate::decide::changes::{
    Backoff, Contest, Foreseen, GroupState, KnownCall, Removed, Reopened, backoff_of,
};
use crate::decide::restorable::Unrestorable;
use crate::model::{ActualRules, RuleId, RuleKey};
use crate::ports::{ApiError, Failure, SecurityGroups, Table};

/// What one look at a group has to save.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// The state that was judged, if it differs from the one that was read.
    pub(super) judged: Option<GroupState>,
    /// The calls at hand.
    pub(super) calls: Vec<KnownCall>,
    /// Rules that were restored, when EC2 confirmed it, and their new ids. A rule that is dropped again while they are
    /// read back was dropped after its restore.
    pub(super) restored: BTreeMap<RuleKey, (Timestamp, Option<RuleId>)>,
    pub(super) contests: BTreeMap<RuleKey, Contest>,
    /// Rules that cannot come back, because what they refer to is gone.
    pub(super) unrestorable: BTreeSet<RuleKey>,
    /// What was found of rules that could not come back, if that differs from what is known.
    pub(super) foreseen: Option<BTreeMap<RuleKey, Unrestorable>>,
    /// Live rules outside the record of which this look tells.
    pub(super) told: BTreeSet<RuleKey>,
    /// The group was seen, so no mark that it does not exist stays.
    pub(super) exists: bool,
}

impl Unsaved {
    /// Whether there is anything to write into `read` besides the judged state.
    pub(super) fn is_news(&self, read: &GroupState) -> bool {
        let revived = self.exists && read.orphaned_at.is_some();
        !(self.restored.is_empty()
            && self.contests.is_empty()
            && self.unrestorable.is_empty()
            && self.told.is_empty()
            && self.foreseen.is_none()
            && !revived)
    }

    /// Whether the write leads to no notice, so that the incident need not wait for it.
    pub(super) fn tells_nothing(&self) -> bool {
        self.contests.is_empty()
            && self.unrestorable.is_empty()
            && self.told.is_empty()
            && self.foreseen.is_none()
    }
}

/// What [`save_state`] reports.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// One for each wait that this write began, and for each rule that became unrestorable.
    pub(super) notices: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// Somebody else wrote before this event's calls were written, or may have, and may have judged without them.
    pub(super) overtaken: bool,
}

/// Writes what is unsaved. Tries again when somebody else wrote meanwhile, and once when the table fails, because nobody else
/// knows what was restored; the judged state is then dropped, because the next pass judges anew.
pub(super) async fn save_state<E: SecurityGroups, T: Table>(
    world: &World<'_, E, T>,
    snapshot: &mut Snapshot,
    mut unsaved: Unsaved,
    actual: &ActualRules,
) -> Result<Saved, WorkError> {
    let (mut saved, mut failed) = (Saved::default(), false);
    for _ in 0..WRITES_MAX {
        let now = (world.now)();
        let judged = unsaved.judged.take();
        let mut state = judged
            .unwrap_or_else(|| snapshot.state.clone())
            .without_ended_contests(now);
        saved = Saved {
            overtaken: saved.overtaken,
            ..Saved::default()
        };
        if unsaved.exists {
            state.orphaned_at = None;
        }
        for call in &unsaved.calls {
            state.note_call(call.clone(), now);
        }
        for (rule, contest) in &unsaved.contests {
            if let Backoff::Begins(contest) = backoff_of(&state, rule, contest.by.as_deref(), now) {
                let notice = format!("{rule} is contested: {}", contest_text(&contest));
                saved.notices.push(notice);
                state.contested.insert(rule.clone(), contest);
            }
        }
        for (rule, (at, id)) in &unsaved.restored {
            state.note_restored(rule, *at, id.clone());
            // Another invocation took it out of the record while this one put it back.
            let left = !snapshot.record.rules.contains_key(rule);
            if left && let Some(Removed { at, by, .. }) = state.removed.get(rule).cloned() {
                let notice = reopened(&snapshot.group.id, rule, &by);
                saved.notices.push(notice);
                state.reopened.insert(rule.clone(), Reopened { at, by });
            }
        }
        if let Some(found) = &unsaved.foreseen {
            saved
                .notices
                .extend(note_foreseen(&mut state, found, snapshot, actual, now));
        }
        for rule in &unsaved.unrestorable {
            let is_told = state.foreseen.remove(rule).is_some();
            if state.unrestorable.insert(rule.clone(), now).is_none() && !is_told {
                saved.notices.push(format!(
                    "{rule} cannot come back: {} does not exist. It is tried again when the record changes or {} exists; `rulekeeper release` takes it out of the record",
                    rule.source, rule.source
                ));
            }
        }
        state.told.extend(unsaved.told.iter().cloned());
        if snapshot.principals().any_meant() {
            state.note_ids(&snapshot.record.rules, actual, now);
        }
        let mut state = state.pruned(now);
        saved.warnings.extend(state.fit());
        if state == snapshot.state {
            return Ok(saved);
        }
        match world.table.save_state(&snapshot.group, &state).await {
            Ok(true) => {
                snapshot.state = next(state);
                return Ok(saved);
            }
            // It may have worked, or somebody else may have been first: the state says.
            Err(error) if !failed && may_try_again(&error) => failed = true,
            Err(error) => return Err(error.into()),
            Ok(false) => {}
        }
        saved.overtaken = true;
        snapshot.reload(world.table).await?;
    }
    Err(WorkError::Contention {
        what: "the run-time state",
        tries: WRITES_MAX,
    })
}

/// Takes over what was found of live rules that could not come back. Returns a notice for each that begins or ends.
fn note_foreseen(
    state: &mut GroupState,
    found: &BTreeMap<RuleKey, Unrestorable>,
    snapshot: &Snapshot,
    actual: &ActualRules,
    now: Timestamp,
) -> Vec<String> {
    let mut notices = Vec::new();
    state.foreseen.retain(|rule, _| {
        let stays = found.contains_key(rule);
        let is_kept = snapshot.record.rules.contains_key(rule) && actual.contains(rule);
        if !stays && is_kept {
            notices.push(format!("{rule} could come back again if it were dropped"));
        }
        stays
    });
    for (rule, Unrestorable { why, reason }) in found {
        let known = state.foreseen.get(rule);
        if !actual.contains(rule) || known.is_some_and(|known| known.why == *why) {
            continue;
        }
        let (since, why) = (now, *why);
        state.foreseen.insert(rule.clone(), Foreseen { since, why });
        notices.push(format!(
            "{rule} could not come back if it were dropped now: {reason}"
        ));
    }
    notices
}

/// A table that is silent has taken the time for it.
fn may_try_again(error: &ApiError) -> bool {
    error.is_retryable() && error.failure != Failure::OutOfTime
}
