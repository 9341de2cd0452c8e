//! Counts the groups of a sweep by outcome.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::SweepResult;
use crate::model::GroupAddress;
use crate::reconcile::GroupResult;
use crate::report::{GroupOutcome, Report, SweepReport, Swept};

/// The groups so far by outcome, and the reports that have something to say.
#[derive(Default)]
pub(super) struct Tally {
    outcomes: BTreeMap<GroupOutcome, u64>,
    reports: Vec<Report>,
    remarks: Vec<Report>,
    group_retries: Vec<String>,
    wakes: Vec<(GroupAddress, Timestamp)>,
    unreadable: usize,
    unread: usize,
    unsaved: usize,
    /// The size of the reports as JSON, in bytes.
    pub(super) bytes: usize,
}

impl Tally {
    pub(super) fn count(&mut self, outcome: GroupOutcome) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    pub(super) fn add(&mut self, result: impl Into<GroupResult>) {
        let result = result.into();
        self.group_retries.extend(result.retry_reason());
        let GroupResult {
            report,
            wake_at,
            unreadable,
            unread,
            unsaved,
            ..
        } = result;
        self.wakes.extend(report.group.clone().zip(wake_at));
        self.unreadable += usize::from(unreadable);
        self.unread += usize::from(unread);
        self.unsaved += usize::from(unsaved);
        self.count(report.outcome);
        let kept = match report.outcome {
            GroupOutcome::Converged if report.tells() => &mut self.remarks,
            GroupOutcome::Converged => return,
            _ => &mut self.reports,
        };
        self.bytes += serde_json::to_vec(&report.capped()).map_or(0, |text| text.len());
        kept.push(report);
    }

    pub(super) fn groups(&self) -> usize {
        usize::try_from(self.outcomes.values().sum::<u64>()).unwrap_or(usize::MAX)
    }

    pub(super) fn finish(
        mut self,
        of: Swept,
        reason: Option<String>,
        retryable: bool,
    ) -> SweepResult {
        let mut sweep = BTreeMap::from([
            ("groups".to_owned(), self.outcomes.values().sum()),
            (GroupOutcome::Converged.name().to_owned(), 0),
        ]);
        sweep.extend(
            self.outcomes
                .iter()
                .map(|(outcome, count)| (outcome.name().to_owned(), *count)),
        );
        // A notice of the answer shows the first, and most remarks only say again what stays.
        self.remarks.sort_by_key(|report| report.notices.is_empty());
        SweepResult {
            report: SweepReport {
                sweep,
                of: Some(of),
                reports: self.reports,
                remarks: self.remarks,
                reason,
                permission: None,
                handed_over: None,
            },
            retryable,
            group_retries: self.group_retries,
            wakes: self.wakes,
            unreadable: self.unreadable,
            unread: self.unread,
            unsaved: self.unsaved,
            ..SweepResult::default()
        }
    }
}
