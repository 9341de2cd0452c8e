//! Errors of API calls, and what follows from them.

use std::fmt;

use crate::model::{is_expiry, is_server_fault, is_throttle};

/// How a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The service answered with an error status below 500.
    Refused {
        /// The service's error code, without CloudTrail's `Client.` prefix. `HTTP 429` if a 429 has no code.
        code: String,
    },
    /// The service answered with an error status of 500 or above. The call may have worked.
    Server {
        /// The service's error code.
        code: String,
    },
    /// No answer came in time, or the connection broke. The call may have worked.
    NoAnswer,
    /// The invocation's time ended before or during the call. The call may have worked.
    OutOfTime,
    /// The answer could not be read, or says neither that the call worked nor why not. The call may have worked.
    Unusable,
}

/// An API call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ApiError {
    /// The API operation, such as `AuthorizeSecurityGroupIngress`.
    pub operation: &'static str,
    /// How it failed.
    pub failure: Failure,
    /// The message of the service or the client, without the encoded part of authorization messages.
    pub message: String,
}

impl ApiError {
    /// The code for reports.
    pub fn code(&self) -> &str {
        match &self.failure {
            Failure::Refused { code } | Failure::Server { code } => code,
            Failure::NoAnswer => "NoAnswer",
            Failure::OutOfTime => "OutOfTime",
            Failure::Unusable => "UnusableAnswer",
        }
    }

    /// Whether the same call could succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.verdict(),
            Verdict::Throttled | Verdict::Uncertain | Verdict::Expired
        )
    }

    /// What this error means for an authorize.
    pub fn verdict(&self) -> Verdict {
        match &self.failure {
            Failure::Refused { code } => Verdict::of_code(code),
            Failure::Server { code } if Verdict::of_code(code) == Verdict::Throttled => {
                Verdict::Throttled
            }
            Failure::Server { .. } | Failure::NoAnswer | Failure::OutOfTime | Failure::Unusable => {
                Verdict::Uncertain
            }
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.operation, self.code(), self.message)
    }
}

/// What an authorize error means for the refused batch.
///
/// The codes are from EC2 Developer Guide, "Error codes for the Amazon EC2 API". The operations have no modelled
/// errors, so only the code counts. Messages are never searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Some rule of the batch is already live.
    Duplicate,
    /// The group itself or a referenced group does not exist or is not visible.
    GroupNotFound,
    /// A prefix list does not exist.
    PrefixListNotFound,
    /// The group's quota has no room for the batch.
    QuotaFull,
    /// EC2 refused the tags, not the rules.
    TagsRefused,
    /// There were too many calls.
    Throttled,
    /// The call may have worked.
    Uncertain,
    /// Credentials expired, or the clock is wrong. A try with fresh credentials can work.
    Expired,
    /// Our role may not authorize, or may not tag.
    Denied,
    /// Some rule of the batch can never be authorized in its present form.
    BadRule,
    /// The code is not on this list.
    Unknown,
}

impl Verdict {
    fn of_code(code: &str) -> Self {
        match code {
            "InvalidPermission.Duplicate" => Self::Duplicate,
            "InvalidGroup.NotFound"
            | "InvalidSecurityGroupID.NotFound"
            | "InvalidSecurityGroupId.NotFound" => Self::GroupNotFound,
            // The documentation writes `Id` in one place and `ID` in another.
            code if code.eq_ignore_ascii_case("InvalidPrefixListID.NotFound")
                || code.eq_ignore_ascii_case("InvalidPrefixList.NotFound") =>
            {
                Self::PrefixListNotFound
            }
            "RulesPerSecurityGroupLimitExceeded" => Self::QuotaFull,
            "TagPolicyViolation"
            | "TagLimitExceeded"
            | "InvalidTagKey.Malformed"
            | "InvalidTag.Malformed" => Self::TagsRefused,
            code if is_throttle(code) => Self::Throttled,
            // An answer without a code.
            "HTTP 429"
            | "ProvisionedThroughputExceededException"
            | "ProvisionedThroughputExceeded"
            // Somebody else is writing the same item.
            | "TransactionConflictException"
            | "TransactionInProgressException"
            | "LimitExceededException" => Self::Throttled,
            code if is_server_fault(code) => Self::Uncertain,
            code if is_expiry(code) => Self::Expired,
            "UnauthorizedOperation"
            | "AccessDenied"
            | "AccessDeniedException"
            | "AuthFailure"
            | "OptInRequired"
            | "Blocked"
            | "PendingVerification"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch" => Self::Denied,
            "InvalidParameterValue"
            | "InvalidParameterCombination"
            | "MissingParameter"
            | "InvalidParameter"
            | "InvalidPermission.Malformed"
            | "InvalidGroupId.Malformed"
            | "InvalidSecurityGroupId.Malformed"
            | "InvalidPrefixListId.Malformed"
            | "InvalidVpcID.NotFound"
            | "VPCIdNotSpecified"
            | "InvalidVpcPeeringConnectionID.NotFound"
            | "UnsupportedOperation" => Self::BadRule,
            _ => Self::Unknown,
        }
    }
}

/// An authorization message without its encoded part, which can be kilobytes long.
pub fn without_encoded_part(message: &str) -> &str {
    message
        .split("Encoded authorization failure message")
        .next()
        .unwrap_or_default()
        .trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> ApiError {
        ApiError {
            operation: "AuthorizeSecurityGroupIngress",
            failure: Failure::Refused {
                code: code.to_owned(),
            },
            message: String::new(),
        }
    }

    #[test]
    fn each_documented_code_has_its_verdict() {
        let table = [
            ("InvalidPermission.Duplicate", Verdict::Duplicate),
            ("InvalidGroup.NotFound", Verdict::GroupNotFound),
            ("InvalidSecurityGroupID.NotFound", Verdict::GroupNotFound),
            ("InvalidPrefixListID.NotFound", Verdict::PrefixListNotFound),
            ("InvalidPrefixListId.NotFound", Verdict::PrefixListNotFound),
            ("RulesPerSecurityGroupLimitExceeded", Verdict::QuotaFull),
            ("TagPolicyViolation", Verdict::TagsRefused),
            ("RequestLimitExceeded", Verdict::Throttled),
            ("TransactionConflictException", Verdict::Throttled),
            ("ThrottlingError", Verdict::Throttled),
            ("InternalError", Verdict::Uncertain),
            ("RequestExpired", Verdict::Expired),
            ("UnauthorizedOperation", Verdict::Denied),
            ("InvalidParameterValue", Verdict::BadRule),
            ("InvalidPermission.Malformed", Verdict::BadRule),
            ("NeverHeardOf", Verdict::Unknown),
        ];
        for (code, verdict) in table {
            assert_eq!(refused(code).verdict(), verdict, "{code}");
        }
    }

    #[test]
    fn a_throttle_answered_with_503_is_a_throttle_and_any_other_5xx_is_uncertain() {
        let server = |code: &str| ApiError {
            failure: Failure::Server {
                code: code.to_owned(),
            },
            ..refused("")
        };
        assert_eq!(server("RequestLimitExceeded").verdict(), Verdict::Throttled);
        assert_eq!(
            server("InvalidPermission.Duplicate").verdict(),
            Verdict::Uncertain
        );
    }

    #[test]
    fn only_what_can_pass_by_itself_is_retryable() {
        assert!(refused("RequestLimitExceeded").is_retryable());
        assert!(refused("RequestExpired").is_retryable());
        assert!(refused("HTTP 429").is_retryable());
        for failure in [Failure::NoAnswer, Failure::Unusable] {
            let error = ApiError {
                failure,
                ..refused("")
            };
            assert!(error.is_retryable(), "{error}");
        }
        for code in [
            "UnauthorizedOperation",
            "RulesPerSecurityGroupLimitExceeded",
            "InvalidGroup.NotFound",
            "What",
        ] {
            assert!(!refused(code).is_retryable(), "{code}");
        }
    }

    #[test]
    fn the_encoded_part_of_an_authorization_message_is_cut_off() {
        let message = "You are not authorized. Encoded authorization failure message: abcdef";
        assert_eq!(without_encoded_part(message), "You are not authorized.");
        assert_eq!(without_encoded_part("plain"), "plain");
    }
}
