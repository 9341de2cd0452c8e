//! Refusals.

use std::fmt;

/// A refusal by EC2 or another service: a code, a message and an HTTP status.
///
/// Codes and statuses follow the EC2 Developer Guide, "Error codes for the Amazon EC2 API"; messages follow published answers of AWS where there are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Error {
    /// The bare code, such as `InvalidPermission.Duplicate` (CloudTrail adds a prefix).
    pub code: String,
    /// The message for people.
    pub message: String,
    /// The HTTP status: 400 for most client errors, 403 for missing permission, 503 for throttling, 500 for server errors.
    pub status: u16,
}

impl Ec2Error {
    /// A client error with status 400.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            status: 400,
        }
    }

    /// The same error with another HTTP status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(
            "MissingParameter",
            format!("The request must contain the parameter {parameter}"),
        )
    }

    pub(crate) fn combination(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterCombination", message)
    }

    pub(crate) fn group_not_found(id: &str) -> Self {
        Self::new(
            "InvalidGroup.NotFound",
            format!("The security group '{id}' does not exist"),
        )
    }

    pub(crate) fn prefix_list_not_found(id: &str) -> Self {
        Self::new(
            "InvalidPrefixListID.NotFound",
            format!("The prefix list ID '{id}' does not exist"),
        )
    }

    pub(crate) fn permission_not_found() -> Self {
        Self::new(
            "InvalidPermission.NotFound",
            "The specified rule does not exist in this security group.",
        )
    }

    pub(crate) fn throttled() -> Self {
        Self::new("RequestLimitExceeded", "Request limit exceeded.").with_status(503)
    }

    /// The refusal of anything that we do not imitate.
    pub(crate) fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(
            "UnsupportedOperation",
            format!("rulekeeper-local does not imitate {what}"),
        )
    }

    /// The code as CloudTrail writes it: `Client.` or `Server.` in front (EC2 events in published CloudTrail logs).
    #[must_use]
    pub fn trail_code(&self) -> String {
        let side = if self.status >= 500 && self.code != "RequestLimitExceeded" {
            "Server"
        } else {
            "Client"
        };
        format!("{side}.{}", self.code)
    }
}

impl fmt::Display for Ec2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Ec2Error {}
