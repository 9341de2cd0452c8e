//! The API calls that matter, in one table. `tests/calls.rs` of the root package compares both templates, the doctor,
//! the local stack and the samples with it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{is_false, is_true};
use crate::model::{is_expiry, is_server_fault, is_throttle};

/// The kind of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Rules were revoked.
    Revoke,
    /// Rules got new content and kept their ids.
    Modify,
    /// Rules were authorized. This drops no rule.
    Authorize,
    /// EC2 refused to authorize rules.
    RefusedAuthorize,
    /// An authorize failed for a reason that passes, or was a dry run. It refuses nothing, and the caller may try again.
    TriedAuthorize,
    /// Descriptions of rules were updated. This drops no rule.
    Describe,
    /// The group was deleted.
    Delete,
    /// EC2 refused to delete the group, because something depends on it.
    RefusedDelete,
}

/// An API call that CloudTrail records and that must reach the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedCall {
    /// CloudTrail's `eventName`.
    pub name: &'static str,
    /// The kind of the call when it succeeded.
    pub call: Call,
    /// Whether the call must also reach the function when EC2 refused it. A refused call changes nothing, but a refused
    /// authorize ends a change, and a refused delete says that its caller wants the group's rules gone.
    pub also_refused: bool,
}

/// Every wanted call. Without the first call, nothing is restored before the next sweep.
pub const WANTED_CALLS: [WantedCall; 5] = [
    WantedCall {
        name: "RevokeSecurityGroupIngress",
        call: Call::Revoke,
        also_refused: false,
    },
    WantedCall {
        name: "ModifySecurityGroupRules",
        call: Call::Modify,
        also_refused: false,
    },
    WantedCall {
        name: "UpdateSecurityGroupRuleDescriptionsIngress",
        call: Call::Describe,
        also_refused: false,
    },
    WantedCall {
        name: "AuthorizeSecurityGroupIngress",
        call: Call::Authorize,
        also_refused: true,
    },
    WantedCall {
        name: "DeleteSecurityGroup",
        call: Call::Delete,
        also_refused: true,
    },
];

impl Call {
    /// The kind of the call with this name, or why it does not matter.
    pub(crate) fn of_name(name: &str) -> Result<Self, String> {
        match WANTED_CALLS.iter().find(|wanted| wanted.name == name) {
            Some(wanted) => Ok(wanted.call),
            None if name == "RevokeSecurityGroupEgress" => {
                Err("egress rules are not kept".to_owned())
            }
            None => Err(format!("{name} drops no ingress rule")),
        }
    }

    /// The kind of this call when it changed nothing, or `None` if it then does not matter. A duplicate of the only rule
    /// that was asked for is as good as an authorize: the rule is live.
    pub(super) fn without_effect(self, why: &NoEffect, asks_for_one: bool) -> Option<Self> {
        match (self, why) {
            (Self::Authorize, NoEffect::DryRun | NoEffect::Failed { passing: true, .. }) => {
                Some(Self::TriedAuthorize)
            }
            (Self::Authorize, NoEffect::Failed { code, .. })
                if code == "InvalidPermission.Duplicate" && asks_for_one =>
            {
                Some(Self::Authorize)
            }
            (Self::Authorize, NoEffect::Failed { .. }) => Some(Self::RefusedAuthorize),
            (Self::Delete, NoEffect::Failed { code, .. }) if code == "DependencyViolation" => {
                Some(Self::RefusedDelete)
            }
            _ => None,
        }
    }

    /// Whether the call deleted the group, or tried to.
    pub fn is_deletion(self) -> bool {
        matches!(self, Self::Delete | Self::RefusedDelete)
    }

    /// Whether the call can have removed rules.
    pub fn drops_rules(self) -> bool {
        match self {
            Self::Revoke | Self::Modify | Self::Delete => true,
            Self::Authorize
            | Self::RefusedAuthorize
            | Self::TriedAuthorize
            | Self::Describe
            | Self::RefusedDelete => false,
        }
    }
}

/// Why a call changed nothing.
pub(super) enum NoEffect {
    DryRun,
    Failed {
        /// EC2's error code, without CloudTrail's prefix.
        code: String,
        /// Whether the same call can succeed later without anybody changing anything.
        passing: bool,
    },
    ReturnedFalse,
}

impl NoEffect {
    /// Why the call of this record changed nothing, or `None` if it succeeded.
    pub(super) fn of(detail: &Value, request: &Value, response: &Value) -> Option<Self> {
        let code = detail
            .get("errorCode")
            .and_then(Value::as_str)
            .filter(|code| !code.is_empty());
        let dry_run = ["dryRun", "DryRun"]
            .into_iter()
            .any(|name| is_true(request.get(name)));
        match code.map(|code| (code, bare(code))) {
            Some((_, "DryRunOperation")) => Some(Self::DryRun),
            _ if dry_run => Some(Self::DryRun),
            Some((prefixed, code)) => Some(Self::Failed {
                code: code.to_owned(),
                passing: prefixed.starts_with("Server.") || is_passing(code),
            }),
            None => is_false(response.get("_return")).then_some(Self::ReturnedFalse),
        }
    }
}

impl fmt::Display for NoEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DryRun => write!(f, "the call was a dry run"),
            Self::Failed { code, .. } => {
                write!(f, "the call failed with {code} and changed nothing")
            }
            Self::ReturnedFalse => write!(f, "the call returned false and changed nothing"),
        }
    }
}

/// An error code without CloudTrail's prefix.
fn bare(code: &str) -> &str {
    code.trim_start_matches("Client.")
        .trim_start_matches("Server.")
}

/// Whether a failure with this code passes: throttling, a fault of the server, or credentials that were expired or not
/// valid (EC2 Developer Guide, "Error codes for the Amazon EC2 API").
fn is_passing(code: &str) -> bool {
    let is_invalid = matches!(
        code,
        "AuthFailure"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
    );
    is_invalid || is_throttle(code) || is_server_fault(code) || is_expiry(code)
}
