//! A call of somebody, as an event tells of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{Call, Evidence, Lookup};
use crate::model::GroupId;

/// A call of somebody. Two deliveries of one event make the same call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KnownCall {
    /// The event's time, in whole seconds.
    pub at: Timestamp,
    /// Who, as principals are matched.
    pub by: String,
    /// The session of a person at the console or through Identity Center. `None` for everybody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// The kind of the call.
    pub call: Call,
    /// The group that was to be deleted, if it is another one, to which rules of this one refer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<GroupId>,
    /// What the event says about rules.
    #[serde(flatten)]
    pub evidence: Evidence,
}

impl KnownCall {
    /// The call of an event; `None` where there is none, or its caller or time is not known.
    ///
    /// An event that names no group has every group of its account and Region swept. Its call may have taken any rule.
    pub fn of(lookup: &Lookup) -> Option<Self> {
        let trigger = &lookup.trigger;
        let session = || trigger.session.clone().unwrap_or_default();
        let (call, evidence) = match lookup.call {
            Some(call) => (call, lookup.evidence.clone()),
            None => {
                let name = trigger.event_name.as_deref()?;
                let call = Call::of_name(name).ok()?;
                let evidence = Evidence {
                    untold: true,
                    ..Evidence::default()
                };
                (call, evidence)
            }
        };
        Some(Self {
            at: trigger.event_time?,
            by: trigger.principal.clone()?,
            person: trigger.person.then(session),
            call,
            reference: None,
            evidence,
        })
    }

    /// Whether it is another call but for its time.
    pub(super) fn is_but_for_time(&self, other: &Self) -> bool {
        let Self {
            at: _,
            by,
            person,
            call,
            reference,
            evidence,
        } = self;
        (by, person, call, reference) == (&other.by, &other.person, &other.call, &other.reference)
            && *evidence == other.evidence
    }

    /// Whether the call can take part in a change of rules.
    pub(super) fn is_about_rules(&self) -> bool {
        !self.call.is_deletion()
    }

    /// Whether the call took rules away.
    pub(super) fn takes(&self) -> bool {
        matches!(self.call, Call::Revoke | Call::Modify)
    }
}
