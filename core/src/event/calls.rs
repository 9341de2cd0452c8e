//! The API calls that matter, in one table. `tests/calls.rs` of the root package compares both templates, the doctor,
//! the local stack and the samples with it.

/// The kind of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Rules were revoked.
    Revoke,
    /// Rules got new content and kept their ids.
    Modify,
    /// Rules were authorized. This drops no rule.
    Authorize,
    /// EC2 refused to authorize rules.
    RefusedAuthorize,
    /// The group was deleted.
    Delete,
}

/// An API call that CloudTrail records and that must reach the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedCall {
    /// CloudTrail's `eventName`.
    pub name: &'static str,
    /// The kind of the call when it succeeded.
    pub call: Call,
    /// Whether the call must also reach the function when EC2 refused it. A refused call changes nothing, but a refused
    /// authorize ends a change.
    pub also_refused: bool,
}

/// Every wanted call. Without the first call, nothing is restored before the next sweep.
pub const WANTED_CALLS: [WantedCall; 4] = [
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
        name: "DeleteSecurityGroup",
        call: Call::Delete,
        also_refused: false,
    },
    WantedCall {
        name: "AuthorizeSecurityGroupIngress",
        call: Call::Authorize,
        also_refused: true,
    },
];

impl Call {
    /// The kind of the call with this name, or why it does not matter.
    pub(super) fn of_name(name: &str) -> Result<Self, String> {
        match WANTED_CALLS.iter().find(|wanted| wanted.name == name) {
            Some(wanted) => Ok(wanted.call),
            None if name == "RevokeSecurityGroupEgress" => {
                Err("egress rules are not kept".to_owned())
            }
            None => Err(format!("{name} drops no ingress rule")),
        }
    }

    /// Whether the call can have removed rules.
    pub fn drops_rules(self) -> bool {
        match self {
            Self::Revoke | Self::Modify | Self::Delete => true,
            Self::Authorize | Self::RefusedAuthorize => false,
        }
    }
}
