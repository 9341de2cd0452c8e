//! What becomes of one rule, and why.

use jiff::Timestamp;

use super::Pending;
use crate::model::{GroupId, IngressRule, RuleKey, in_words};

/// What becomes of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is to be done.
    Keep,
    /// It is missing, and is put back now.
    Restore(RestoreReason),
    /// It is missing, and waits.
    Wait {
        /// Until when.
        until: Timestamp,
        /// For what.
        why: WaitReason,
    },
    /// It is missing, and stays so until a person decides.
    Pend(Pending),
    /// It leaves the record.
    Leave(Leaving),
    /// It enters the record as it is live, or its description or tags change in it.
    Enter {
        /// Who authorized or described it.
        by: String,
        /// When.
        at: Timestamp,
        /// The rule as it is to be recorded.
        rule: IngressRule,
    },
    /// It had left the record because of a change that turned out to be no decision. It returns.
    Reinstate {
        /// Whose change.
        by: String,
    },
}

/// Why a missing rule is put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreReason {
    /// Nobody is listed.
    NobodyListed,
    /// A person recorded it, and it was not live since.
    Recorded,
    /// Somebody took it who is not listed, or is listed with `restore`.
    Unlisted {
        /// Who.
        by: String,
    },
    /// The change was aborted: its last related authorize was refused.
    Aborted {
        /// Whose change.
        by: String,
    },
    /// A followed principal took it and made up for it in no way.
    Half {
        /// Who.
        by: String,
    },
    /// A followed principal's change would have left less than half of the record.
    LargeChange {
        /// Whose change.
        by: String,
    },
    /// It was withheld so that its caller could delete a group, and that group is still there.
    Withheld {
        /// Who tried to delete it.
        by: String,
    },
    /// No event told who took it, and it has waited long enough.
    NeverTold {
        /// When it was first seen missing.
        since: Timestamp,
    },
}

/// What a missing rule waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitReason {
    /// The event that took it has not come.
    UnknownCause {
        /// When it was first seen missing.
        since: Timestamp,
    },
    /// A followed principal's change settles.
    Settles {
        /// Whose change.
        by: String,
    },
    /// A followed principal tries again to authorize.
    TriesAgain {
        /// Who.
        by: String,
    },
    /// The same caller tries to delete a group.
    Deletion {
        /// Who.
        by: String,
        /// The group to which the rule refers; `None` for the group that holds the rule.
        group: Option<GroupId>,
    },
    /// A person closed it twice.
    Insists {
        /// Who.
        by: String,
    },
}

/// A rule leaves the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Whose decision it is.
    pub by: String,
    /// When the rule was taken away.
    pub at: Timestamp,
    /// Why.
    pub why: RemovalReason,
    /// Whether it is live.
    pub is_live: bool,
    /// Whether it is live because it was put back before the decision was known, and not because somebody else
    /// authorized it.
    pub is_reopened: bool,
}

/// Why a rule leaves the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovalReason {
    /// The principal's revokes are accepted, or release.
    Accepted,
    /// The principal modified it in place.
    Modified,
    /// These live rules, which the principal authorized itself, allow the same.
    Committed(Vec<RuleKey>),
    /// These live rules, which the principal authorized itself, are what it narrowed the rule to.
    Narrowed(Vec<RuleKey>),
    /// The principal is followed, and revoked it again after it was put back.
    AskedTwice,
    /// It had entered in the same change, which was aborted.
    RolledBack,
    /// The group to which it refers is gone.
    ReferenceGone,
}

impl Verdict {
    /// When a followed principal's change settles, if the rule waits for that.
    pub fn settles_at(&self) -> Option<Timestamp> {
        match self {
            Self::Wait {
                until,
                why: WaitReason::Settles { .. },
            } => Some(*until),
            _ => None,
        }
    }
}

impl RestoreReason {
    /// Whose call or change it is about.
    pub fn by(&self) -> Option<&String> {
        match self {
            Self::Unlisted { by }
            | Self::Aborted { by }
            | Self::Half { by }
            | Self::LargeChange { by }
            | Self::Withheld { by } => Some(by),
            Self::NobodyListed | Self::Recorded | Self::NeverTold { .. } => None,
        }
    }

    /// The reason in words.
    pub fn reason(&self) -> String {
        match self {
            Self::NobodyListed => {
                "no principal is listed, so every dropped rule comes back".to_owned()
            }
            Self::Recorded => "a person recorded it, and it has not been live since".to_owned(),
            Self::NeverTold { since } => {
                format!("no event has told who took it; it was first seen missing at {since}")
            }
            Self::Unlisted { by } => format!("{by} took it, and what it revokes comes back"),
            Self::Aborted { by } => {
                format!("{by} revoked it in a change of which the authorize was refused")
            }
            Self::Half { by } => {
                format!("{by} revoked it and authorized nothing that allows the same")
            }
            Self::Withheld { by } => {
                format!("it was withheld so that {by} could delete a group, which is still there")
            }
            Self::LargeChange { by } => {
                format!("the change by {by} would leave less than half of the record")
            }
        }
    }
}

impl WaitReason {
    /// Whose call or change it waits for.
    pub fn by(&self) -> Option<&String> {
        match self {
            Self::UnknownCause { .. } => None,
            Self::Settles { by }
            | Self::TriesAgain { by }
            | Self::Deletion { by, .. }
            | Self::Insists { by } => Some(by),
        }
    }
}

impl Leaving {
    /// Whose decision it is, in words.
    pub fn reason(&self) -> String {
        let by = &self.by;
        match &self.why {
            RemovalReason::Accepted => format!("the revoke by {by} is accepted"),
            RemovalReason::Modified => format!("{by} modified it"),
            RemovalReason::Committed(live) => {
                let live = in_words(live);
                format!("{by} replaced it; live rules allow the same: {live}")
            }
            RemovalReason::Narrowed(live) => format!("{by} narrowed it to {}", in_words(live)),
            RemovalReason::AskedTwice => {
                format!("{by} revoked it again after it was put back")
            }
            RemovalReason::RolledBack => {
                format!("{by} had authorized it in the same change, which was aborted")
            }
            RemovalReason::ReferenceGone => {
                format!("{by} revoked it, and what it refers to is gone")
            }
        }
    }
}

impl RemovalReason {
    /// Whether the rule is lost without anything in its place.
    pub(super) fn loses(&self) -> bool {
        matches!(self, Self::Accepted | Self::AskedTwice | Self::Narrowed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{key, now};

    #[test]
    fn a_reason_names_whose_call_it_is_about() {
        let (by, since) = ("arn:aws:iam::111122223333:role/lbc".to_owned(), now());
        let by = || by.clone();
        for reason in [
            RestoreReason::Unlisted { by: by() },
            RestoreReason::Aborted { by: by() },
            RestoreReason::Half { by: by() },
            RestoreReason::LargeChange { by: by() },
            RestoreReason::Withheld { by: by() },
        ] {
            assert_eq!(reason.by(), Some(&by()));
            assert!(reason.reason().contains(&by()), "{}", reason.reason());
        }
        let nobody = RestoreReason::NeverTold { since };
        assert_eq!(nobody.by(), None);
        assert!(nobody.reason().contains(&since.to_string()));
        let group = None;
        for reason in [
            WaitReason::Settles { by: by() },
            WaitReason::TriesAgain { by: by() },
            WaitReason::Deletion { by: by(), group },
            WaitReason::Insists { by: by() },
        ] {
            assert_eq!(reason.by(), Some(&by()));
        }
        let live = || vec![key("tcp 80 from sg-0a")];
        for (why, loses) in [
            (RemovalReason::Accepted, true),
            (RemovalReason::AskedTwice, true),
            (RemovalReason::Narrowed(live()), true),
            (RemovalReason::Committed(live()), false),
            (RemovalReason::Modified, false),
            (RemovalReason::RolledBack, false),
            (RemovalReason::ReferenceGone, false),
        ] {
            assert_eq!(why.loses(), loses, "{why:?}");
            let leaving = Leaving {
                by: by(),
                at: since,
                why,
                is_live: false,
                is_reopened: false,
            };
            assert!(leaving.reason().contains(&by()), "{}", leaving.reason());
        }
    }
}
