//! Counting what came of the groups of a sweep.

use std::collections::BTreeMap;

use crate::report::{GroupOutcome, Report, SweepReport, Swept};

/// The groups so far, by outcome, and the reports that are worth telling.
#[derive(Default)]
pub(super) struct Tally {
    outcomes: BTreeMap<GroupOutcome, u64>,
    reports: Vec<Report>,
    remarks: Vec<Report>,
    /// How long the reports are as JSON.
    pub(super) bytes: usize,
}

impl Tally {
    pub(super) fn count(&mut self, outcome: GroupOutcome) {
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    pub(super) fn add(&mut self, report: Report) {
        self.count(report.outcome);
        let kept = match report.outcome {
            GroupOutcome::Converged if report.tells() => &mut self.remarks,
            GroupOutcome::Converged => return,
            _ => &mut self.reports,
        };
        self.bytes += serde_json::to_vec(&report).map_or(0, |text| text.len());
        kept.push(report);
    }

    pub(super) fn groups(&self) -> usize {
        usize::try_from(self.outcomes.values().sum::<u64>()).unwrap_or(usize::MAX)
    }

    pub(super) fn finish(self, of: Swept, reason: Option<String>, retryable: bool) -> SweepReport {
        let mut sweep = BTreeMap::from([
            ("groups".to_owned(), self.outcomes.values().sum()),
            (GroupOutcome::Converged.name().to_owned(), 0),
        ]);
        sweep.extend(
            self.outcomes
                .iter()
                .map(|(outcome, count)| (outcome.name().to_owned(), *count)),
        );
        SweepReport {
            sweep,
            of: Some(of),
            reports: self.reports,
            remarks: self.remarks,
            reason,
            retryable,
            ..SweepReport::default()
        }
    }
}
