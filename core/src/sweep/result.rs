//! The result of a sweep: its report, and facts that the report does not show.

use std::ops::{Deref, DerefMut};

use jiff::Timestamp;

use crate::model::{GroupAddress, GroupRange};
use crate::report::SweepReport;

/// The result of a sweep: its report, and what this invocation and its metrics need to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepResult {
    /// The document.
    pub report: SweepReport,
    /// Whether the sweep ended early for a reason that may pass by itself.
    pub retryable: bool,
    /// One reason for each group that failed for a reason that may pass by itself.
    pub group_retries: Vec<String>,
    /// Groups to look at again because a rule waits for its cause, each with the time.
    pub wakes: Vec<(GroupAddress, Timestamp)>,
    /// How many records could not be understood.
    pub unreadable: usize,
    /// The number of groups whose record or rules could not be read.
    pub unread: usize,
    /// The number of groups of which something that has to be remembered could not be written.
    pub unsaved: usize,
    /// The range that was not looked at.
    pub rest: Option<GroupRange>,
    /// Whether any group was looked at.
    pub reached_any: bool,
}

impl SweepResult {
    /// Whether another try could help.
    pub fn is_retryable(&self) -> bool {
        self.retryable || !self.group_retries.is_empty()
    }

    /// Tells the caller not to call again: another invocation does the work, or no retry can help.
    pub fn without_retry(&mut self) {
        self.retryable = false;
        self.group_retries.clear();
    }

    /// Merges two sweeps of one scope.
    #[must_use]
    pub fn and(mut self, next: Self) -> Self {
        for (outcome, count) in next.report.sweep {
            *self.report.sweep.entry(outcome).or_default() += count;
        }
        self.report.reports.extend(next.report.reports);
        self.report.remarks.extend(next.report.remarks);
        if let (Some(of), Some(next_of)) = (&mut self.report.of, next.report.of)
            && (next.reached_any || next.rest.is_none())
        {
            of.range.until = next_of.range.until;
            if of.range.after == of.range.until {
                // The two ranges together cover all groups.
                of.range = GroupRange::default();
            }
        }
        self.report.handed_over = next.report.handed_over;
        self.report.reason = next.report.reason;
        self.retryable = next.retryable;
        self.group_retries.extend(next.group_retries);
        self.wakes.extend(next.wakes);
        self.unreadable += next.unreadable;
        self.unread += next.unread;
        self.unsaved += next.unsaved;
        self.rest = next.rest;
        self.reached_any |= next.reached_any;
        self
    }
}

impl From<SweepReport> for SweepResult {
    fn from(report: SweepReport) -> Self {
        Self {
            report,
            ..Self::default()
        }
    }
}

impl Deref for SweepResult {
    type Target = SweepReport;

    fn deref(&self) -> &SweepReport {
        &self.report
    }
}

impl DerefMut for SweepResult {
    fn deref_mut(&mut self) -> &mut SweepReport {
        &mut self.report
    }
}
