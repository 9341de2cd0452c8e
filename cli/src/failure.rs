//! How a command ends: its exit code, and the error message if it failed.

use std::fmt;
use std::process::ExitCode;

use rulekeeper_core::function::Answer;
use rulekeeper_core::ports::{ApiError, Failure as ApiFailure, WriteError};
use rulekeeper_core::report::{GroupOutcome, Report};

use crate::operator::OperatorError;
use crate::steering::spelled_out;

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
    /// No service answered, so credentials may be at fault.
    pub unanswered: bool,
}

impl Failure {
    /// The work failed.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self {
            status: Status::Failed,
            message: message.to_string(),
            hint: None,
            unanswered: false,
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

    /// Prints the message, with the hint after a blank line, and gives the exit code.
    pub fn tell(self) -> ExitCode {
        eprintln!("error: {}", spelled_out(&self.message));
        if let Some(hint) = self.hint {
            eprintln!("\nhint: {}", spelled_out(&hint));
        }
        self.status.into()
    }

    fn of_api(error: &ApiError, message: impl fmt::Display) -> Self {
        let failure = Self {
            unanswered: error.failure == ApiFailure::NoAnswer,
            ..Self::failed(message)
        };
        match error.code() {
            "ResourceNotFoundException" => failure.hint(
                "There is no such table in this account and Region. Check --table (RULEKEEPER_TABLE) and --region.",
            ),
            "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => {
                failure.hint("These credentials may not do that. Check --profile (AWS_PROFILE), or ask for the permission.")
            }
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
                failure.hint("The credentials have expired. Log in again, for example with `aws sso login`.")
            }
            _ => failure,
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
