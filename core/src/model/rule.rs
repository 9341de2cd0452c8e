//! Ingress rules: what identifies a rule, and what else is restored with it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::{GroupRef, InvalidProtocol, InvalidSource, Protocol, Source, first_of};

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// The identity of an ingress rule within its group: protocol, ports and one source, in canonical form.
///
/// EC2 compares the same three. Description, tags and rule id are not identity. Two equal keys in one group are a
/// duplicate to EC2 too.
///
/// ```
/// use rulekeeper_core::model::RuleKey;
///
/// let key: RuleKey = "tcp 80-9093 from sg-0fedcba9876543210".parse().expect("rule notation");
/// assert_eq!(key.to_string(), "tcp 80-9093 from sg-0fedcba9876543210");
/// // Host bits are cleared, as EC2 does.
/// let key: RuleKey = "tcp 443 from 10.1.2.3/8".parse().expect("rule notation");
/// assert_eq!(key.to_string(), "tcp 443 from 10.0.0.0/8");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleKey {
    /// Protocol with its ports or ICMP messages.
    pub protocol: Protocol,
    /// The one source.
    pub source: Source,
}

impl RuleKey {
    /// The rule as JSON for the AWS CLI's `--ip-permissions`: one permission with one source.
    pub fn ip_permissions(&self) -> String {
        let mut permission = serde_json::Map::new();
        permission.insert("IpProtocol".to_owned(), self.protocol.name().into());
        if let Some((from, to)) = self.protocol.ports() {
            permission.insert("FromPort".to_owned(), from.into());
            permission.insert("ToPort".to_owned(), to.into());
        }
        let (list, source) = match &self.source {
            Source::Ipv4(net) => ("IpRanges", json!({"CidrIp": net.to_string()})),
            Source::Ipv6(net) => ("Ipv6Ranges", json!({"CidrIpv6": net.to_string()})),
            Source::PrefixList(id) => ("PrefixListIds", json!({"PrefixListId": id})),
            Source::ReferencedGroup(group) => {
                let mut pair = json!({"GroupId": group.group_id});
                if let Some(account) = &group.account_id {
                    pair["UserId"] = account.as_str().into();
                }
                ("UserIdGroupPairs", pair)
            }
        };
        permission.insert(list.to_owned(), json!([source]));
        Value::from(vec![Value::Object(permission)]).to_string()
    }

    /// The referenced group, if the source is one.
    pub fn referenced_group(&self) -> Option<&GroupRef> {
        match &self.source {
            Source::ReferencedGroup(group) => Some(group),
            _ => None,
        }
    }
}

impl fmt::Display for RuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.protocol, self.source)
    }
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// The protocol or its ports are invalid.
    #[error(transparent)]
    Protocol(#[from] InvalidProtocol),
    /// The source is invalid.
    #[error(transparent)]
    Source(#[from] InvalidSource),
    /// The text has no ` from ` between protocol and source.
    #[error("{0:?} is not a rule such as \"tcp 443 from 10.0.0.0/8\"")]
    Notation(String),
}

impl FromStr for RuleKey {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let (protocol, source) = text
            .split_once(" from ")
            .ok_or_else(|| InvalidRule::Notation(text.to_owned()))?;
        Ok(Self {
            protocol: protocol.parse()?,
            source: source.parse()?,
        })
    }
}

impl Serialize for RuleKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RuleKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A rule of the desired-state record: its identity, and the attributes that are restored with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IngressRule {
    /// Identity.
    pub key: RuleKey,
    /// EC2's free text. Controllers find their own rules by it.
    pub description: Option<String>,
    /// Tags of the rule.
    pub tags: Tags,
    /// A higher priority goes first when the group has no room for all rules.
    pub priority: i64,
}

impl IngressRule {
    /// A rule with no description, no tags and priority 0.
    pub fn bare(key: RuleKey) -> Self {
        Self {
            key,
            description: None,
            tags: Tags::new(),
            priority: 0,
        }
    }
}
/// The first four rules in rule notation, and how many more there are.
pub fn in_words(rules: &[RuleKey]) -> String {
    first_of(rules.iter().map(ToString::to_string), 4, ", ", "more")
}

/// The tags that a caller may set. AWS reserves the prefix `aws:` and refuses a call that uses it (EC2 User Guide, "Tag
/// restrictions").
pub fn settable_tags(tags: &Tags) -> Tags {
    let own = tags
        .iter()
        .filter(|(key, _)| !key.to_ascii_lowercase().starts_with("aws:"));
    own.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
