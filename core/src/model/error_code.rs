//! Error codes of EC2 that say that a call failed for a passing reason (EC2 Developer Guide, "Error codes for the Amazon
//! EC2 API").

/// Whether there were too many calls.
pub(crate) fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingError"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "TooManyRequestsException"
            | "EC2ThrottledException"
            | "SlowDown"
    )
}

/// Whether the server failed. The call may have worked.
pub(crate) fn is_server_fault(code: &str) -> bool {
    matches!(
        code,
        "InternalError"
            | "InternalFailure"
            | "InternalServerError"
            | "ServerInternal"
            | "ServiceUnavailable"
            | "Unavailable"
            | "RequestTimeout"
            | "RequestTimeoutException"
    )
}

/// Whether credentials expired, or the caller's clock is wrong.
pub(crate) fn is_expiry(code: &str) -> bool {
    matches!(
        code,
        "RequestExpired" | "ExpiredToken" | "ExpiredTokenException"
    )
}
