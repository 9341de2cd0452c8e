//! The calls that matter, in one table. Both templates, the doctor, the local stack and the samples are held against it
//! by `tests/calls.rs` of the root package.

/// What was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Rules were revoked.
    Revoke,
    /// Rules were given other content, under the ids that they have.
    Modify,
    /// Rules were authorized. Nothing is dropped by that.
    Authorize,
    /// EC2 refused to authorize rules.
    RefusedAuthorize,
    /// The group was deleted.
    Delete,
}

/// An API call that CloudTrail records and the function wants to be handed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedCall {
    /// CloudTrail's `eventName`.
    pub name: &'static str,
    /// What it is when it succeeded.
    pub call: Call,
    /// Whether it is wanted also when EC2 refused it. A refused call changes nothing; a refused authorize ends a change.
    pub also_refused: bool,
}

/// Every wanted call. Without the first nothing is restored before the next sweep.
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
    /// The call of this name, or why it does not matter.
    pub(super) fn of_name(name: &str) -> Result<Self, String> {
        match WANTED_CALLS.iter().find(|wanted| wanted.name == name) {
            Some(wanted) => Ok(wanted.call),
            None if name == "RevokeSecurityGroupEgress" => {
                Err("egress rules are not kept".to_owned())
            }
            None => Err(format!("{name} drops no ingress rule")),
        }
    }

    /// Whether it can have taken rules away.
    pub fn drops_rules(self) -> bool {
        match self {
            Self::Revoke | Self::Modify | Self::Delete => true,
            Self::Authorize | Self::RefusedAuthorize => false,
        }
    }
}
