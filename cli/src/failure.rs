//! How a command ends: its exit code, and the error message if it failed.

use std::fmt;
use std::process::ExitCode;

use rulekeeper_core::function::Answer;
use rulekeeper_core::ports::{ApiError, WriteError};
use rulekeeper_core::report::{GroupOutcome, Report};

use crate::operator::OperatorError;
use crate::say;

/// How a command ended, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Done, or nothing to do.
    Done,
    /// Rules are missing.
    Drift,
    /// Something could not be read, written or found out.
    Failed,
    /// The command line or a setting is wrong.
    Usage,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Done => 0,
            Status::Failed => 1,
            Status::Usage => 2,
            Status::Drift => 3,
        })
    }
}

impl Status {
    /// The status of a report. A failed one without rules could not find out what is missing.
    pub fn of_report(report: &Report) -> Self {
        match report.outcome {
            GroupOutcome::Failed if report.rules.is_empty() => Self::Failed,
            _ if report.leaves_rules_missing() => Self::Drift,
            _ => Self::Done,
        }
    }

    /// The worst status of an answer's reports. An unfinished sweep counts as failed.
    pub fn of_answer(answer: &Answer) -> Self {
        let unfinished = match answer {
            Answer::Sweep(sweep) => sweep.reason.is_some(),
            Answer::Queue(queue) => {
                return Self::of_answers(queue.messages.iter().map(|(_, answer)| answer));
            }
            Answer::Group(_) | Answer::Watch { .. } | Answer::Doctor { .. } => false,
        };
        let reports = answer.reports().into_iter().map(Self::of_report);
        let own = if unfinished { Self::Failed } else { Self::Done };
        reports.fold(own, Self::max)
    }

    /// The worst of several answers.
    pub fn of_answers<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> Self {
        answers
            .into_iter()
            .map(Self::of_answer)
            .fold(Self::Done, Self::max)
    }
}

/// An error message with its exit code.
#[derive(Debug)]
pub struct Failure {
    status: Status,
    message: String,
    hint: Option<String>,
    /// The call that failed, if one did: its operation and the code of the error.
    pub call: Option<(&'static str, String)>,
    /// The message says more than what became of that call.
    pub says_more: bool,
}

impl Failure {
    /// The work failed.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self {
            status: Status::Failed,
            message: message.to_string(),
            hint: None,
            call: None,
            says_more: false,
        }
    }

    /// The command line or a setting is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self {
            status: Status::Usage,
            ..Self::failed(message)
        }
    }

    /// The same with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints the message, with the hint after a blank line.
    pub fn say(&self) {
        say::error(&self.message);
        if let Some(hint) = &self.hint {
            say::hint(hint);
        }
    }

    /// The advice, if there is any.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Prints the message, with the hint after a blank line, and gives the exit code.
    pub fn tell(self) -> ExitCode {
        self.say();
        self.status.into()
    }

    /// A call failed.
    pub fn of_api(error: &ApiError, message: impl fmt::Display) -> Self {
        Self {
            call: Some((error.operation, error.code().to_owned())),
            ..Self::failed(message)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Self {
        match &error {
            OperatorError::Api(api) | OperatorError::Write(WriteError::Api(api)) => Self::of_api(api, &error),
            OperatorError::Interrupted { cause, .. } => match cause.as_ref() {
                OperatorError::Api(api) | OperatorError::Write(WriteError::Api(api)) => Self {
                    says_more: true,
                    ..Self::of_api(api, &error)
                },
                _ => Self::failed(error),
            },
            OperatorError::NoSuchGroup(_) => {
                Self::failed(&error).hint("Is this the right --region and --profile for that group?")
            }
            OperatorError::NothingSelected { .. } => Self::failed(&error)
                .hint("Check --vpc, --tag, --region and --profile; capitals count in tags."),
            OperatorError::Unrecognised { .. } => {
                Self::failed(&error).hint("Remove these rules, or keep the group by a record of your own (`rulekeeper apply`).")
            }
            _ => Self::failed(error),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}

#[cfg(test)]
mod tests {
    use rulekeeper_core::report::SweepReport;

    use rulekeeper_core::event::Trigger;
    use rulekeeper_core::report::{RuleOutcome, RuleReport};

    use super::*;

    fn report(outcome: GroupOutcome, rules: &[RuleOutcome]) -> Report {
        let mut report = Report::bare(Trigger::default(), None, outcome, String::new());
        let key = |_: &RuleOutcome| "tcp 443 from 10.0.0.0/8".parse().expect("rule notation");
        report.rules = rules
            .iter()
            .map(|outcome| RuleReport::new(key(outcome), *outcome))
            .collect();
        report
    }

    #[test]
    fn missing_rules_are_drift_and_a_group_that_could_not_be_read_is_a_failure() {
        use GroupOutcome as G;
        use RuleOutcome as R;
        let cases: [(Report, Status); 10] = [
            (report(G::Converged, &[]), Status::Done),
            (report(G::Converged, &[R::Superseded]), Status::Done),
            (report(G::Restored, &[R::Restored]), Status::Done),
            (report(G::Unmanaged, &[]), Status::Done),
            (report(G::Ignored, &[]), Status::Done),
            (report(G::Partial, &[R::Restored, R::Failed]), Status::Drift),
            (report(G::Observed, &[R::Held]), Status::Drift),
            (report(G::Failed, &[R::Failed]), Status::Drift),
            (report(G::Orphaned, &[]), Status::Drift),
            (report(G::Failed, &[]), Status::Failed),
        ];
        for (report, expected) in cases {
            assert_eq!(Status::of_report(&report), expected, "{report:?}");
        }
    }

    #[test]
    fn of_several_the_worst_decides() {
        let sweep = |reports, reason: Option<&str>| {
            let reason = reason.map(str::to_owned);
            Answer::Sweep(Box::new(
                SweepReport {
                    reports,
                    reason,
                    ..SweepReport::default()
                }
                .into(),
            ))
        };
        let drift = || report(GroupOutcome::Observed, &[RuleOutcome::Held]);
        let failed = || report(GroupOutcome::Failed, &[]);
        assert_eq!(
            Status::of_answer(&sweep(vec![drift(), failed(), drift()], None)),
            Status::Failed
        );
        assert_eq!(
            Status::of_answer(&sweep(vec![drift()], None)),
            Status::Drift
        );
        assert_eq!(
            Status::of_answer(&sweep(vec![], Some("time ran out"))),
            Status::Failed
        );
        assert_eq!(
            Status::of_answers(&[sweep(vec![], None), sweep(vec![drift()], None)]),
            Status::Drift
        );
    }
}
