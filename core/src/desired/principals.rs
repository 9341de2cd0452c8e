//! The principals whose changes are intended: an ARN pattern and a policy for each.

use std::collections::BTreeSet;
use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// How long a followed principal's revoke waits for the authorize that belongs to it, in seconds from `eventTime`. A
/// principal, a record or the settings can give another value.
pub const SETTLE_SECONDS: u8 = 3;

/// The longest settle time in seconds. A longer wait would outlast an invocation and its first retry.
pub const SETTLE_SECONDS_MAX: u8 = 60;

/// How long a missing rule waits for the event that tells who removed it, if any principal is listed. In seconds from
/// the look that first found it missing. The only published 99th percentile of the delay of such events is 90 s.
pub const CAUSE_WAIT_SECONDS: u16 = 180;

/// The longest such wait in seconds. SQS delays a message no longer than this.
pub const CAUSE_WAIT_SECONDS_MAX: u16 = 900;

/// How a principal's changes are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Rules that it drops are restored.
    Restore,
    /// Rules that it revokes leave the record, and rules that it authorizes enter it.
    Accept,
    /// Rules that it authorizes enter the record. Rules that it revokes leave the record if its change succeeded, and
    /// are restored if not.
    Follow,
    /// Rules that it revokes leave the record. Rules that it authorizes do not enter it.
    Release,
}

impl Policy {
    /// Whether what the principal authorizes enters the record.
    pub fn enters(self) -> bool {
        matches!(self, Self::Accept | Self::Follow)
    }

    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Accept => "accept",
            Self::Follow => "follow",
            Self::Release => "release",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A principal with its own policy. Principals that are not listed have the policy `restore`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// ARN of a role or a user. `*` stands for any text. Sessions of an assumed role count as the role.
    pub arn: String,
    /// How its changes are treated.
    pub policy: Policy,
    /// For `follow`: how long a revoke waits for its authorize, 0 to 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle_seconds: Option<u8>,
}

impl Principal {
    /// Whether the pattern matches a caller. The comparison is case-sensitive, as in IAM.
    ///
    /// A pattern with all six parts of an ARN is compared with a caller part by part, as in IAM's `ArnLike`. A `*` then
    /// matches text of one part only (IAM User Guide, "IAM JSON policy elements: Condition operators").
    pub fn matches(&self, caller: &str) -> bool {
        const PARTS: usize = 6;
        let (pattern, caller_parts): (Vec<&str>, Vec<&str>) = (
            self.arn.splitn(PARTS, ':').collect(),
            caller.splitn(PARTS, ':').collect(),
        );
        if pattern.len() < PARTS {
            return matches(&self.arn, caller);
        }
        let mut parts = pattern.iter().zip(&caller_parts);
        caller_parts.len() == PARTS && parts.all(|(pattern, part)| matches(pattern, part))
    }

    /// What is doubtful about the pattern, as the end of a sentence that begins with it; `None` when nothing is.
    ///
    /// A pattern that no caller can match is a mistake. A pattern that accepts everybody turns restoring off, and one that
    /// follows everybody records everything that is authorized.
    pub fn doubt(&self) -> Option<String> {
        if let Some(hint) = never(&self.arn) {
            return Some(format!("can match nobody: {hint}"));
        }
        if !CALLERS.iter().any(|shape| may_meet(&self.arn, shape)) {
            return Some(
                "can match nobody: callers are known by ARNs such as arn:aws:iam::111122223333:role/NAME or \
                 …:user/NAME, in which * may stand for any text"
                    .to_owned(),
            );
        }
        if self.policy == Policy::Restore || !self.matches_strangers() {
            return None;
        }
        let policy = self.policy;
        let what = match policy {
            Policy::Follow => "everything that they authorize would be recorded",
            _ => "nothing that they revoke would come back",
        };
        Some(format!(
            "matches every role, user or service of a kind, and with {policy} {what}; name the ones that you mean"
        ))
    }
}

impl Principal {
    /// Whether the pattern matches callers with names that nobody would list on purpose, in any partition and account.
    fn matches_strangers(&self) -> bool {
        let account = self
            .arn
            .split(':')
            .nth(4)
            .map_or_else(String::new, account_like);
        let kinds = ["iam::#:role/", "iam::#:user/", "sts::#:federated-user/"];
        let mut callers = STRANGERS.iter().flat_map(|name| {
            let of_partition = move |partition: &&str| format!("arn:{partition}:");
            let arns = PARTITIONS
                .iter()
                .map(of_partition)
                .flat_map(move |front| kinds.map(move |kind| format!("{front}{kind}{name}")));
            arns.chain([format!("{name}.amazonaws.com")])
        });
        callers.any(|caller| self.matches(&caller.replace('#', &account)))
    }
}

/// The listed principals of one group: first those of its record, then those of the settings.
#[derive(Debug, Clone, Copy)]
pub struct Principals<'a> {
    /// Principals of the record.
    pub of_record: &'a [Principal],
    /// How long revokes settle according to the record, in seconds.
    pub settle_of_record: Option<u8>,
    /// Principals of the settings.
    pub of_all: &'a [Principal],
    /// How long revokes settle according to the settings, in seconds.
    pub settle_of_all: Option<u8>,
    /// How long missing rules wait for their cause according to the record, in seconds.
    pub cause_wait_of_record: Option<u16>,
    /// How long missing rules wait for their cause according to the settings, in seconds.
    pub cause_wait_of_all: Option<u16>,
}

impl Principals<'_> {
    /// The first entry that matches a caller.
    fn entry(&self, caller: &str) -> Option<&Principal> {
        let mut entries = self.of_record.iter().chain(self.of_all);
        entries.find(|entry| entry.matches(caller))
    }

    /// How a caller's changes are treated.
    pub fn policy(&self, caller: &str) -> Policy {
        self.entry(caller)
            .map_or(Policy::Restore, |entry| entry.policy)
    }

    /// How long a caller's revokes settle, in seconds.
    pub fn settle_seconds(&self, caller: &str) -> u8 {
        self.entry(caller)
            .and_then(|entry| entry.settle_seconds)
            .or(self.settle_of_record)
            .or(self.settle_of_all)
            .unwrap_or(SETTLE_SECONDS)
    }

    /// How long a missing rule waits for its cause.
    pub fn cause_wait(&self) -> SignedDuration {
        let seconds = self.cause_wait_of_record.or(self.cause_wait_of_all);
        SignedDuration::from_secs(seconds.unwrap_or(CAUSE_WAIT_SECONDS).into())
    }

    /// Whether what any listed principal authorizes enters the record.
    pub fn any_enters(&self) -> bool {
        let mut entries = self.of_record.iter().chain(self.of_all);
        entries.any(|entry| entry.policy.enters())
    }

    /// Whether any listed principal has a policy other than `restore`.
    pub fn any_meant(&self) -> bool {
        let mut entries = self.of_record.iter().chain(self.of_all);
        entries.any(|entry| entry.policy != Policy::Restore)
    }
}

/// Names that nobody would list on purpose.
const STRANGERS: [&str; 2] = ["qzxv-7f3a1c", "zz/Kw_0b9e"];

/// The partitions of AWS (AWS IAM User Guide, "IAM identifiers"; AWS SDK endpoint metadata).
const PARTITIONS: [&str; 7] = [
    "aws",
    "aws-cn",
    "aws-us-gov",
    "aws-iso",
    "aws-iso-b",
    "aws-iso-e",
    "aws-iso-f",
];

/// The forms of a caller's name: `sessionIssuer.arn`, `arn` or `invokedBy` of CloudTrail's `userIdentity`. `#` is one
/// or more characters that names and paths may have, `9` is one digit (CloudTrail User Guide, "CloudTrail userIdentity
/// element"; IAM User Guide, "IAM identifiers").
const CALLERS: [&str; 8] = [
    "arn:aws:iam::999999999999:role/#",
    "arn:aws:iam::999999999999:user/#",
    "arn:aws:iam::999999999999:root",
    "arn:aws:sts::999999999999:federated-user/#",
    "arn:aws-#:iam::999999999999:role/#",
    "arn:aws-#:iam::999999999999:user/#",
    "arn:aws-#:iam::999999999999:root",
    "#.amazonaws.com",
];

/// A hint for patterns that look right and match no caller.
fn never(pattern: &str) -> Option<&'static str> {
    if pattern.contains(":assumed-role/") {
        return Some(
            "sessions are known by their role; write arn:aws:iam::ACCOUNT:role/NAME, with the role's path if it has one",
        );
    }
    if pattern.contains(":role/AWSReservedSSO_") {
        return Some(
            "roles of IAM Identity Center have a path; write arn:aws:iam::ACCOUNT:role/aws-reserved/sso.amazonaws.com/*\
             AWSReservedSSO_NAME_*",
        );
    }
    None
}

/// An account that matches a pattern for accounts, if any does.
fn account_like(pattern: &str) -> String {
    let (front, back) = pattern.split_once('*').unwrap_or((pattern, ""));
    let back = back.replace('*', "");
    let fill = 12_usize.saturating_sub(front.len() + back.len());
    format!("{front}{}{back}", "9".repeat(fill))
}

/// Whether a text matches a pattern in which `*` stands for any text, including none.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether some text matches both a pattern and a form of [`CALLERS`].
fn may_meet(pattern: &str, shape: &str) -> bool {
    let (pattern, shape) = (pattern.as_bytes(), shape.as_bytes());
    // A position in the pattern, a position in the shape, and whether the shape's `#` already has its first character.
    let mut reached = BTreeSet::from([(0, 0, false)]);
    let mut open = vec![(0, 0, false)];
    while let Some((p, s, begun)) = open.pop() {
        let (letter, head) = (pattern.get(p).copied(), shape.get(s).copied());
        if letter.is_none() && head.is_none() {
            return true;
        }
        let (any, name) = (letter == Some(b'*'), head == Some(b'#'));
        let both_take_one = match (letter, head) {
            (Some(letter), Some(b'#')) => any || is_name(letter),
            (Some(letter), Some(b'9')) => any || letter.is_ascii_digit(),
            (Some(letter), Some(head)) => any || letter == head,
            _ => false,
        };
        let steps = [
            any.then_some((p + 1, s, begun)),
            (name && begun).then_some((p, s + 1, false)),
            both_take_one.then(|| (p + usize::from(!any), s + usize::from(!name), name)),
        ];
        let new = steps
            .into_iter()
            .flatten()
            .filter(|step| reached.insert(*step));
        open.extend(new);
    }
    false
}

/// Characters of names, paths and service names.
fn is_name(letter: u8) -> bool {
    letter.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(arn: &str, policy: Policy) -> Principal {
        Principal {
            arn: arn.to_owned(),
            policy,
            settle_seconds: None,
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let fits = |pattern: &str, text: &str| entry(pattern, Policy::Follow).matches(text);
        let role = "arn:aws:iam::111122223333:role/eks/lbc-prod";
        for pattern in [
            role,
            "*",
            "arn:aws:iam::*:role/*",
            "*lbc-prod",
            "*:role/*lbc*",
            "arn:aws:iam::111122223333:role/eks/lbc-prod*",
        ] {
            assert!(fits(pattern, role), "{pattern}");
        }
        for pattern in [
            "",
            "arn:aws:iam::111122223333:role/eks/lbc",
            "lbc-prod",
            "*:user/*",
            "*lbc-prod*lbc-prod",
            "ARN:AWS:IAM::111122223333:ROLE/EKS/LBC-PROD",
        ] {
            assert!(!fits(pattern, role), "{pattern}");
        }
    }

    #[test]
    fn a_star_does_not_reach_into_the_next_part_of_an_arn() {
        let pattern = entry("arn:aws:iam::*:role/eks/lbc-*", Policy::Follow);
        assert!(pattern.matches("arn:aws:iam::111122223333:role/eks/lbc-prod"));
        assert!(!pattern.matches("arn:aws:iam::111122223333:role/x/:role/eks/lbc-prod"));
        assert!(!pattern.matches("eks.amazonaws.com"));
        // The last part is a name with its path, which may contain colons.
        let path = entry("arn:aws:iam::111122223333:role/x/*", Policy::Follow);
        assert!(path.matches("arn:aws:iam::111122223333:role/x/:y/lbc"));
    }

    #[test]
    fn patterns_that_nobody_can_have_are_doubted() {
        for pattern in [
            "",
            "lbc",
            "arn:aws:iam::1111:role/lbc",
            "arn:aws:iam::111122223333:rule/lbc",
            "arn:aws:sts::111122223333:assumed-role/lbc/*",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam:eu-west-1:111122223333:role/lbc",
            "arn:aws:iam::111122223333:role/lbc prod",
            "arn:aws:iam::111122223333:role/AWSReservedSSO_Admin_*",
        ] {
            let doubt = entry(pattern, Policy::Follow).doubt();
            assert!(
                doubt
                    .as_deref()
                    .is_some_and(|doubt| doubt.starts_with("can match nobody")),
                "{pattern}: {doubt:?}"
            );
        }
        for pattern in [
            "arn:aws:iam::111122223333:role/lbc",
            "arn:*:iam::*:role/lbc*",
            "arn:aws-cn:iam::111122223333:user/path/deploy",
            "arn:aws:iam::111122223333:root",
            "*lbc*",
            "eks.amazonaws.com",
            "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0123",
        ] {
            assert_eq!(entry(pattern, Policy::Follow).doubt(), None, "{pattern}");
        }
    }

    #[test]
    fn listing_everybody_is_doubted() {
        for pattern in [
            "*",
            "arn:*",
            "arn:aws:iam::*:role/*",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::111122223333:user/*",
            "arn:aws-cn:iam::111122223333:role/*",
            "arn:aws-us-gov:iam::*:role/*",
            "arn:aws:iam::1111*:role/*",
            "arn:aws:iam::*3333:*",
            "arn:aws:sts::*",
            "*.amazonaws.com",
        ] {
            for (policy, what) in [
                (Policy::Accept, "with accept nothing that they revoke"),
                (Policy::Follow, "with follow everything that they authorize"),
                (Policy::Release, "with release nothing that they revoke"),
            ] {
                let doubt = entry(pattern, policy).doubt();
                let doubt = doubt.as_deref();
                assert!(
                    doubt.is_some_and(
                        |doubt| doubt.starts_with("matches every") && doubt.contains(what)
                    ),
                    "{pattern}: {doubt:?}"
                );
            }
        }
        for pattern in [
            "arn:aws:iam::111122223333:role/terraform*",
            "*terraform*",
            "cloudformation.amazonaws.com",
        ] {
            assert_eq!(entry(pattern, Policy::Accept).doubt(), None, "{pattern}");
        }
    }

    #[test]
    fn the_records_own_list_goes_before_everybodys_and_the_first_match_counts() {
        let own = [entry("*lbc", Policy::Restore)];
        let all = [
            Principal {
                settle_seconds: Some(7),
                ..entry("*terraform", Policy::Accept)
            },
            entry("*", Policy::Follow),
        ];
        let principals = Principals {
            of_record: &own,
            settle_of_record: None,
            of_all: &all,
            settle_of_all: Some(5),
            cause_wait_of_record: None,
            cause_wait_of_all: None,
        };
        assert_eq!(principals.policy("lbc"), Policy::Restore);
        assert_eq!(principals.policy("terraform"), Policy::Accept);
        assert_eq!(principals.policy("someone"), Policy::Follow);
        assert_eq!(principals.settle_seconds("terraform"), 7);
        assert_eq!(principals.settle_seconds("someone"), 5);
    }
}
