//! Missing rules that are left alone for now, and why.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::record_update::RecordUpdate;
use super::snapshot::Snapshot;
use crate::decide::changes::{Backoff, Cause, Contest, Settling, backoff_of, cause};
use crate::model::{ActualRules, RuleKey};
use crate::report::{RuleOutcome, RuleReport};

/// The lines of the deferred rules, and the waits that begin now.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    pub(super) lines: BTreeMap<RuleKey, RuleReport>,
    pub(super) contests: BTreeMap<RuleKey, Contest>,
    /// Rules whose cause is not known, and since when they are missing.
    pub(super) missing_since: BTreeMap<RuleKey, Timestamp>,
    /// When the first of the waits that begin now ends.
    pub(super) wake_at: Option<Timestamp>,
    /// Whether rules wait for their causes at present: neither paused nor observed, and somebody is listed.
    pub(super) awaits_causes: bool,
    /// Rules that have waited in vain and are restored now.
    pub(super) never_told: Vec<RuleKey>,
}

impl Deferred {
    /// The missing rules of a record that wait. `begin` says whether new waits may begin.
    pub(super) fn of(
        snapshot: &Snapshot,
        update: &RecordUpdate,
        actual: &ActualRules,
        dropped_by: &BTreeMap<RuleKey, String>,
        now: Timestamp,
        begin: bool,
    ) -> Self {
        let mut deferred = Self::default();
        let state = update.unsaved.as_ref().unwrap_or(&snapshot.state);
        let state = state.clone().without_ended_contests(now);
        let principals = snapshot.principals();
        deferred.awaits_causes = begin && principals.any_meant();
        for rule in snapshot
            .record
            .rules
            .keys()
            .filter(|rule| !actual.contains(rule))
        {
            if let Some(Settling { by, until }) = update.settling.get(rule) {
                let reason = format!("a change by {by} is under way; it is judged at {until}");
                deferred.add(rule, RuleOutcome::Held, reason);
                continue;
            }
            if let Some(by) = update.unwritten.get(rule) {
                let reason =
                    format!("{by} means it to be gone, and the record could not be written");
                deferred.add(rule, RuleOutcome::Held, reason);
                continue;
            }
            let by = dropped_by.get(rule).map(String::as_str);
            let backoff = backoff_of(&state, rule, by, now);
            if let Backoff::Waiting(contest) = &backoff {
                deferred.add(rule, RuleOutcome::Contested, contest_text(contest));
                continue;
            }
            if deferred.awaits_causes {
                match cause(rule, &state, dropped_by, principals, now) {
                    Cause::Known => {}
                    // Known until the rule is live again, so that a try that fails begins no new wait.
                    Cause::NeverTold { since } => {
                        deferred.never_told.push(rule.clone());
                        deferred.missing_since.insert(rule.clone(), since);
                    }
                    Cause::Awaited { since, until } => {
                        let reason = format!(
                            "the event that took it has not come; it is restored at {until} if none comes"
                        );
                        deferred.add(rule, RuleOutcome::Held, reason);
                        deferred.missing_since.insert(rule.clone(), since);
                        if state.missing_since.get(rule) != Some(&since) {
                            let first = deferred.wake_at.map_or(until, |at| at.min(until));
                            deferred.wake_at = Some(first);
                        }
                        continue;
                    }
                }
            }
            match backoff {
                Backoff::Begins(contest) if begin => {
                    deferred.add(rule, RuleOutcome::Contested, contest_text(&contest));
                    deferred.contests.insert(rule.clone(), contest);
                }
                Backoff::Begins(_) | Backoff::None | Backoff::Waiting(_) => {}
            }
        }
        deferred
    }

    /// Rules whose cause is not known and that are still missing after these were restored; `None` where no rule waits for
    /// its cause.
    pub(super) fn still_missing<'k>(
        &self,
        actual: &ActualRules,
        restored: impl Iterator<Item = &'k RuleKey>,
    ) -> Option<BTreeMap<RuleKey, Timestamp>> {
        if !self.awaits_causes {
            return None;
        }
        let mut missing = self.missing_since.clone();
        missing.retain(|rule, _| !actual.contains(rule));
        for rule in restored {
            missing.remove(rule);
        }
        Some(missing)
    }

    fn add(&mut self, rule: &RuleKey, outcome: RuleOutcome, reason: String) {
        let line = RuleReport::new(rule.clone(), outcome).because(reason);
        self.lines.insert(rule.clone(), line);
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
