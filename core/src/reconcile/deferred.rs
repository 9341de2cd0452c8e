//! Missing rules that are left alone for now, and why.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::record_update::RecordUpdate;
use super::snapshot::Snapshot;
use crate::decide::changes::{Backoff, Contest, Replacement, Settling, backoff_of};
use crate::model::{ActualRules, RuleKey, in_words};
use crate::report::{RuleOutcome, RuleReport};

/// The lines of the deferred rules, and the waits that begin now.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    pub(super) lines: BTreeMap<RuleKey, RuleReport>,
    pub(super) contests: BTreeMap<RuleKey, Contest>,
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
        let state = snapshot.state.clone().without_ended_contests(now);
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
            if let Some(Replacement { by, with }) = update.replaced.get(rule) {
                let with = in_words(with);
                let reason = format!(
                    "{by} seems to have replaced it, and the event of its revoke is awaited; live rules allow the same: {with}"
                );
                deferred.add(rule, RuleOutcome::Superseded, reason);
                continue;
            }
            if let Some(by) = update.unwritten.get(rule) {
                let reason =
                    format!("{by} means it to be gone, and the record could not be written");
                deferred.add(rule, RuleOutcome::Held, reason);
                continue;
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
