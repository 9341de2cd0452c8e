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
    /// Rules that wait for their cause, and since when.
    pub(super) missing_since: BTreeMap<RuleKey, Timestamp>,
    /// When the first of the waits that begin now ends.
    pub(super) wake_at: Option<Timestamp>,
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
        let awaits_causes = begin && principals.any_meant();
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
            if awaits_causes {
                match cause(rule, &state, dropped_by, principals, now) {
                    Cause::Known => {}
                    Cause::NeverTold => deferred.never_told.push(rule.clone()),
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
            let by = dropped_by.get(rule).map(String::as_str);
            match backoff_of(&state, rule, by, now) {
                Backoff::None => {}
                Backoff::Waiting(contest) => {
                    deferred.add(rule, RuleOutcome::Contested, contest_text(&contest));
                }
                Backoff::Begins(contest) if begin => {
                    deferred.add(rule, RuleOutcome::Contested, contest_text(&contest));
                    deferred.contests.insert(rule.clone(), contest);
                }
                Backoff::Begins(_) => {}
            }
        }
        deferred
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
