//! Missing rules that are left alone for now, and why.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::record_update::RecordUpdate;
use super::snapshot::Snapshot;
use crate::decide::changes::{Backoff, Contest, RestoreReason, Verdict, WaitReason, backoff_of};
use crate::model::{ActualRules, RuleKey};
use crate::report::{RuleOutcome, RuleReport};

/// The lines of the deferred rules, and the waits that begin with them.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    pub(super) lines: BTreeMap<RuleKey, RuleReport>,
    pub(super) contests: BTreeMap<RuleKey, Contest>,
    /// When a followed principal's change settles first. The invocation waits for that.
    pub(super) settles_at: Option<Timestamp>,
    /// When the first of the longer waits ends.
    pub(super) wake_at: Option<Timestamp>,
    /// Whether rules wait for their causes at present: neither paused nor observed, and somebody is listed.
    pub(super) awaits_causes: bool,
    /// Rules that a person closed again, with what to say of them.
    pub(super) insisted: BTreeMap<RuleKey, String>,
    /// What to say of rules once they are restored.
    pub(super) notices: BTreeMap<RuleKey, String>,
}

impl Deferred {
    /// The rules of a record that wait. Live rules are among them: a read may be stale, and a rule may go missing while we
    /// work. What depends on a cause is judged for missing rules only. `begin` says whether new waits may begin.
    pub(super) fn of(
        snapshot: &Snapshot,
        update: &RecordUpdate,
        actual: &ActualRules,
        now: Timestamp,
        begin: bool,
    ) -> Self {
        let mut deferred = Self::default();
        let state = update.unsaved.as_ref().unwrap_or(&snapshot.state);
        let state = state.clone().without_ended_contests(now);
        deferred.awaits_causes = begin && snapshot.principals().any_meant();
        for rule in snapshot.record.rules.keys() {
            let is_missing = !actual.contains(rule);
            let verdict = update.verdicts.get(rule).filter(|_| is_missing);
            if begin && snapshot.trust_is_unknown {
                let reason =
                    "the settings item cannot be understood, so it is not known who is trusted";
                deferred.add(rule, RuleOutcome::Held, reason.to_owned());
                continue;
            }
            if let Some(until) = verdict.and_then(Verdict::settles_at) {
                earlier(&mut deferred.settles_at, until);
            }
            if begin && is_missing && deferred.waits(rule, verdict, update) {
                continue;
            }
            if begin && is_missing && state.unrestorable.contains_key(rule) {
                let reason = format!("unrestorable: {} does not exist", rule.source);
                deferred.add(rule, RuleOutcome::Held, reason);
                continue;
            }
            let by = update.taken_by.get(rule).map(|taker| taker.by.as_str());
            match backoff_of(&state, rule, by, now) {
                Backoff::Waiting(contest) => {
                    deferred.add(rule, RuleOutcome::Contested, contest_text(&contest));
                    continue;
                }
                Backoff::Begins(contest) if begin => {
                    deferred.add(rule, RuleOutcome::Contested, contest_text(&contest));
                    deferred.contests.insert(rule.clone(), contest);
                    continue;
                }
                Backoff::Begins(_) | Backoff::None => {}
            }
            if let Some(Verdict::Restore(reason)) = verdict
                && let Some(notice) = notice(rule, reason)
            {
                deferred.notices.insert(rule.clone(), notice);
            }
        }
        deferred
    }

    /// Adds the line of a rule that waits, if it does.
    fn waits(&mut self, rule: &RuleKey, verdict: Option<&Verdict>, update: &RecordUpdate) -> bool {
        match verdict {
            Some(Verdict::Wait { until, why }) => {
                let outcome = match why {
                    WaitReason::Insists { .. } => RuleOutcome::Contested,
                    _ => RuleOutcome::Held,
                };
                match why {
                    WaitReason::Settles { .. } | WaitReason::Insists { .. } => {}
                    _ => earlier(&mut self.wake_at, *until),
                }
                if matches!(why, WaitReason::Insists { .. }) {
                    let text = format!("{rule} is contested: {}", wait_text(why, *until));
                    self.insisted.insert(rule.clone(), text);
                }
                self.add(rule, outcome, wait_text(why, *until));
            }
            Some(Verdict::Pend(pending)) => self.add(rule, RuleOutcome::Held, pending.reason()),
            Some(Verdict::Leave(leaving)) => {
                let by = &leaving.by;
                let reason =
                    format!("{by} means it to be gone, and the record could not be written");
                self.add(rule, RuleOutcome::Held, reason);
            }
            None if update.error.is_some() => {
                let reason = "what became of it could not be judged".to_owned();
                self.add(rule, RuleOutcome::Held, reason);
            }
            _ => return false,
        }
        true
    }

    fn add(&mut self, rule: &RuleKey, outcome: RuleOutcome, reason: String) {
        let line = RuleReport::new(rule.clone(), outcome).because(reason);
        self.lines.insert(rule.clone(), line);
    }
}

fn earlier(at: &mut Option<Timestamp>, until: Timestamp) {
    *at = Some(at.map_or(until, |at| at.min(until)));
}

/// What a rule waits for, in words.
pub(super) fn wait_text(why: &WaitReason, until: Timestamp) -> String {
    match why {
        WaitReason::UnknownCause { .. } => {
            format!(
                "the event that took it has not come; if none does, the next look after {until} restores it"
            )
        }
        WaitReason::Settles { by } => {
            format!("a change by {by} is under way; it is judged at {until}")
        }
        WaitReason::TriesAgain { by } => format!(
            "an authorize by {by} failed for a passing reason, and it may try again; it is judged at {until}"
        ),
        WaitReason::Deletion { by, group: None } => {
            format!("{by} tries to delete the group; it is withheld until {until}")
        }
        WaitReason::Deletion {
            by,
            group: Some(group),
        } => format!(
            "{by} tries to delete {group}, to which it refers; it is withheld until {until}"
        ),
        WaitReason::Insists { by } => format!(
            "{by} closed it again soon after it was put back; left alone until {until}. `rulekeeper release` lets it go, `rulekeeper restore` opens it"
        ),
    }
}

/// What to say of a rule that was restored for this reason, if it is worth a notice.
fn notice(rule: &RuleKey, reason: &RestoreReason) -> Option<String> {
    match reason {
        RestoreReason::NeverTold { .. } => Some(format!(
            "{rule} was restored, and no event told who took it"
        )),
        RestoreReason::Aborted { by } => Some(format!(
            "{rule} was restored: {by} revoked it in a change of which the authorize was refused"
        )),
        RestoreReason::LargeChange { by } => Some(format!(
            "{rule} was restored: the change by {by} would have left less than half of the record"
        )),
        RestoreReason::Withheld { by } => Some(format!(
            "{rule} was restored: it was withheld so that {by} could delete a group, and that group is still there"
        )),
        RestoreReason::NobodyListed
        | RestoreReason::Recorded
        | RestoreReason::Unlisted { .. }
        | RestoreReason::Half { .. } => None,
    }
}

/// Both sides of a contest, in words.
pub(super) fn contest_text(contest: &Contest) -> String {
    let by = contest.by.as_deref().unwrap_or("somebody unknown");
    format!(
        "{by} drops it as often as rulekeeper puts it back; left alone until {} (wait {})",
        contest.until, contest.step
    )
}
