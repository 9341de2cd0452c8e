//! Makes checks: one constructor for each outcome, and what to do about a call that failed.

use rulekeeper_core::function::permissions::{Check, Outcome};
use rulekeeper_core::ports::{ApiError, Failure as ApiFailure, Verdict};

/// Makes a check that found all well.
pub(super) fn ok(check: &str, subject: impl Into<String>, found: impl Into<String>) -> Check {
    Check::new(check, Outcome::Ok, subject, found)
}

/// Makes a check of something that works and still needs a look.
pub(super) fn warning(check: &str, subject: impl Into<String>, found: impl Into<String>) -> Check {
    Check::new(check, Outcome::Warning, subject, found)
}

/// Makes a check of something broken.
pub(super) fn failed(check: &str, subject: impl Into<String>, found: impl Into<String>) -> Check {
    Check::new(check, Outcome::Failed, subject, found)
}

/// Makes a check that was not carried out.
pub(super) fn skipped(check: &str, subject: impl Into<String>, found: impl Into<String>) -> Check {
    Check::new(check, Outcome::Skipped, subject, found)
}

/// Makes a check that could not be carried out because a call failed; the call needs this action.
pub(super) fn unknown(
    check: &str,
    subject: impl Into<String>,
    error: &ApiError,
    action: &str,
) -> Check {
    let found = format!("could not be found out: {error}");
    failed(check, subject, found).fix(fix_for(error, action))
}

/// What to do about a call that failed.
pub(super) fn fix_for(error: &ApiError, action: &str) -> String {
    match (error.verdict(), &error.failure) {
        (Verdict::Denied, _) => {
            format!("Allow {action} for these credentials, or use others (--profile).")
        }
        (Verdict::Expired, _) => {
            "Get new credentials (`aws sso login`, for a profile of IAM Identity Center); if that does not help, set this \
             machine's clock."
                .to_owned()
        }
        (_, ApiFailure::NoAnswer | ApiFailure::OutOfTime) => {
            "Check the network, --region and --endpoint-url, and run doctor again.".to_owned()
        }
        _ => "Run doctor again; if it fails again, the message is what the service answered.".to_owned(),
    }
}

/// A number with its noun.
pub(super) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}
