//! The result for a group or a rule: its report, and facts that the report does not show.

use std::ops::{Deref, DerefMut};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::model::RuleKey;
use crate::report::plan::GroupPlan;
use crate::report::{Report, RuleReport};

/// The result for one group: its report, and what this invocation and its metrics need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct GroupResult {
    /// The document for the answer, the log line and the incident.
    pub report: Report,
    /// Whether another try could help.
    pub retryable: bool,
    /// The failed rules for which another try could help.
    pub retryable_rules: Vec<RuleKey>,
    /// When to look again, because a rule waits for its cause.
    pub wake_at: Option<Timestamp>,
    /// What a restore would do now, where nothing may be written.
    pub plan: Option<GroupPlan>,
    /// The record exists and could not be understood.
    pub unreadable: bool,
    /// The record or the group's rules could not be read, so the missing rules are unknown.
    pub unread: bool,
    /// Something that has to be remembered could not be written to the table. The report's warnings say what.
    pub unsaved: bool,
}

impl From<Report> for GroupResult {
    fn from(report: Report) -> Self {
        Self {
            report,
            retryable: false,
            retryable_rules: Vec::new(),
            wake_at: None,
            plan: None,
            unreadable: false,
            unread: false,
            unsaved: false,
        }
    }
}

impl GroupResult {
    /// Warns that something that has to be remembered could not be written.
    pub fn warn_unsaved(&mut self, warning: String) {
        self.unsaved = true;
        self.report.warnings.push(warning);
    }

    /// Why another try could help, in a sentence. `None` if it could not.
    pub fn retry_reason(&self) -> Option<String> {
        if !self.retryable {
            return None;
        }
        let group = self.report.group.as_ref();
        let group = group.map_or_else(|| "no group".to_owned(), ToString::to_string);
        let rules = self.report.rules.iter();
        let rules = rules.filter(|line| self.retryable_rules.contains(&line.rule));
        let rules = rules.map(|line| {
            let reason = line.reason.as_deref().unwrap_or_default();
            format!("; {}: {reason}", line.rule)
        });
        // What could not be written is a reason of its own, whatever became of the rules.
        let warnings = self.report.warnings.iter().filter(|_| self.unsaved);
        let warnings = warnings.map(|warning| format!("; {warning}"));
        let reason = &self.report.reason;
        let causes: String = rules.chain(warnings).collect();
        Some(format!("{group}: {reason}{causes}"))
    }
}

impl Deref for GroupResult {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

impl DerefMut for GroupResult {
    fn deref_mut(&mut self) -> &mut Report {
        &mut self.report
    }
}

/// The result for a rule: its line in the report, and what the rest of the work needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleResult {
    /// The line in the report.
    pub report: RuleReport,
    /// Whether another try could help.
    pub retryable: bool,
    /// Whether what the rule refers to is known not to exist.
    pub reference_gone: bool,
    /// When EC2 confirmed our authorize, if that is known for this rule alone.
    pub authorized_at: Option<Instant>,
}

impl From<RuleReport> for RuleResult {
    fn from(report: RuleReport) -> Self {
        Self {
            report,
            retryable: false,
            reference_gone: false,
            authorized_at: None,
        }
    }
}

impl Deref for RuleResult {
    type Target = RuleReport;

    fn deref(&self) -> &RuleReport {
        &self.report
    }
}

impl DerefMut for RuleResult {
    fn deref_mut(&mut self) -> &mut RuleReport {
        &mut self.report
    }
}
