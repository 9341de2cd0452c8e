//! A group and a rule for trying an authorize.

use serde_json::Value;

use super::{Check, Outcome, Whose, first_rule};
use crate::model::{GroupId, IngressRule, Scope, Tags};
use crate::ports::{ApiError, Failure, Verdict};

/// A group and a rule for a dry run. If EC2 took the dry run for a real call, it would authorize a rule of the record,
/// or nothing, because the group cannot exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The group.
    pub group: GroupId,
    /// The rule without tags.
    pub plain: IngressRule,
    /// The rule with tags.
    pub tagged: IngressRule,
    /// Whether the group has a record.
    recorded: bool,
}

/// A group that should never exist: EC2 gives out random ids, and the chance of this one is 1 in 2⁶⁸.
const NO_GROUP: &str = "sg-00000000000000000";
/// An address that is reserved for documentation (RFC 5737).
const NO_RULE: &str = "tcp 443 from 192.0.2.1/32";

impl Sample {
    /// Takes the first record that can be read and has a rule.
    pub(super) fn of(records: &[(String, Value)], scope: &Scope) -> Self {
        let mut found = records
            .iter()
            .filter_map(|(name, item)| first_rule(name, item, scope));
        match found.next() {
            Some((group, rule)) => Self::new(group, rule, true),
            None => Self::nowhere(),
        }
    }

    /// A substitute for a scope without such a record.
    pub(super) fn nowhere() -> Self {
        let key = NO_RULE.parse().expect("this is rule notation");
        let rule = IngressRule {
            key,
            description: None,
            tags: Tags::new(),
            priority: 0,
        };
        Self::new(NO_GROUP.parse().expect("this is a group's id"), rule, false)
    }

    fn new(group: GroupId, rule: IngressRule, recorded: bool) -> Self {
        let mut tags = crate::model::settable_tags(&rule.tags);
        if tags.is_empty() {
            tags.insert("rulekeeper".to_owned(), "doctor".to_owned());
        }
        let tagged = IngressRule {
            tags,
            ..rule.clone()
        };
        let plain = IngressRule {
            tags: Tags::new(),
            ..rule
        };
        Self {
            group,
            plain,
            tagged,
            recorded,
        }
    }

    /// The outcome of a dry run. EC2 documents two answers to a dry run. Any other answer proves nothing about the
    /// permission.
    pub(super) fn judge(
        &self,
        whose: Whose,
        action: &str,
        place: &str,
        tried: Result<(), ApiError>,
    ) -> Check {
        let unclear = match &tried {
            Err(error) => {
                matches!(error.failure, Failure::Refused { .. })
                    && !matches!(
                        error.verdict(),
                        Verdict::Denied | Verdict::Throttled | Verdict::Expired
                    )
            }
            Ok(()) => false,
        };
        let mut check = whose.tried(action, place, tried);
        if !unclear {
            return check;
        }
        (check.outcome, check.fix) = match self.recorded {
            true => (
                Outcome::Warning,
                Some("The call's own answer says what EC2 minds; `rulekeeper plan` says if the group is well.".to_owned()),
            ),
            false => (
                Outcome::Skipped,
                Some("Record a group (`rulekeeper pin`) and run doctor again: it is tried with a rule of a record.".to_owned()),
            ),
        };
        check
    }
}
