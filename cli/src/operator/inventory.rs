//! Which groups there are, by name, by VPC and by tag. Only operators ask for that: the function knows its groups by
//! their records.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::str::FromStr;

use rulekeeper::aws::FoundGroup;
use rulekeeper_core::model::GroupId;
use rulekeeper_core::ports::{ApiError, SecurityGroups};

/// A tag that groups are chosen by. Printed and read as `KEY=VALUE`, or `KEY` for any value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagChoice {
    /// The key, capitals included.
    pub key: String,
    /// The whole value, capitals included; any when absent. `KEY=` asks for an empty value.
    pub value: Option<String>,
}

/// A text that names no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("give a tag as KEY=VALUE, or KEY for any value")]
pub struct InvalidTagChoice;

impl FromStr for TagChoice {
    type Err = InvalidTagChoice;

    fn from_str(text: &str) -> Result<Self, InvalidTagChoice> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        match key.is_empty() {
            true => Err(InvalidTagChoice),
            false => Ok(Self {
                key: key.to_owned(),
                value,
            }),
        }
    }
}

impl fmt::Display for TagChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// A selection of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// These ids.
    Named(BTreeSet<GroupId>),
    /// Every group of one of these VPCs that has all of these tags; without a VPC, of any. Both empty: every group.
    Chosen {
        /// Ids of VPCs.
        vpcs: BTreeSet<String>,
        /// The tags.
        tags: Vec<TagChoice>,
    },
}

impl Selection {
    /// Whether a group is selected.
    pub fn takes(&self, group: &FoundGroup) -> bool {
        match self {
            Self::Named(ids) => ids.contains(&group.id),
            Self::Chosen { vpcs, tags } => {
                let tagged = |tag: &TagChoice| {
                    let value = group.tags.get(&tag.key);
                    value.is_some_and(|value| tag.value.as_ref().is_none_or(|it| it == value))
                };
                (vpcs.is_empty() || vpcs.contains(&group.vpc)) && tags.iter().all(tagged)
            }
        }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (vpcs, tags) = match self {
            Self::Named(ids) => {
                let ids: Vec<&str> = ids.iter().map(GroupId::as_str).collect();
                return write!(f, "named {}", ids.join(" or "));
            }
            Self::Chosen { vpcs, tags } => (vpcs, tags),
        };
        let mut parts = Vec::new();
        if !vpcs.is_empty() {
            let vpcs: Vec<&str> = vpcs.iter().map(String::as_str).collect();
            parts.push(format!("in {}", vpcs.join(" or ")));
        }
        if !tags.is_empty() {
            let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
            parts.push(format!("tagged {}", tags.join(" and ")));
        }
        f.write_str(&parts.join(" and "))
    }
}

/// EC2's security groups, as operators know them.
pub trait Inventory: SecurityGroups {
    /// Every group that a selection takes, in order of the ids. A named group that is not among them does not exist or
    /// is not visible to us.
    fn groups(
        &self,
        selection: &Selection,
    ) -> impl Future<Output = Result<Vec<FoundGroup>, ApiError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_key_with_or_without_a_value() {
        let tag = |text: &str| text.parse::<TagChoice>().map(|tag| (tag.key, tag.value));
        let own = str::to_owned;
        assert_eq!(tag("team=web=1"), Ok((own("team"), Some(own("web=1")))));
        assert_eq!(tag("team"), Ok((own("team"), None)));
        assert_eq!(tag("=web"), Err(InvalidTagChoice));
    }

    fn group(vpc: &str, tags: &[(&str, &str)]) -> FoundGroup {
        let tags = tags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        FoundGroup {
            id: "sg-0a".parse().expect("a group id"),
            name: "web".to_owned(),
            vpc: vpc.to_owned(),
            tags: tags.collect(),
        }
    }

    fn chosen(vpcs: &[&str], tags: &[&str]) -> Selection {
        Selection::Chosen {
            vpcs: vpcs.iter().map(|vpc| (*vpc).to_owned()).collect(),
            tags: tags.iter().map(|tag| tag.parse().expect("a tag")).collect(),
        }
    }

    #[test]
    fn all_tags_and_one_of_the_vpcs_must_fit() {
        let web = group("vpc-1", &[("env", "prod"), ("team", "")]);
        for (vpcs, tags, taken) in [
            (&[][..], &[][..], true),
            (&["vpc-1"], &[], true),
            (&["vpc-2", "vpc-1"], &["env=prod", "team"], true),
            (&["vpc-2"], &["env=prod"], false),
            (&[], &["env"], true),
            (&[], &["team="], true),
            (&[], &["env="], false),
            (&[], &["env=prod", "owner"], false),
            // Capitals count, and no character is a wildcard.
            (&[], &["Env=prod"], false),
            (&[], &["env=pro*"], false),
        ] {
            assert_eq!(chosen(vpcs, tags).takes(&web), taken, "{vpcs:?} {tags:?}");
        }
        let other = ["sg-0b".parse().expect("a group id")].into();
        assert!(!Selection::Named(other).takes(&web));
    }

    #[test]
    fn a_selection_is_told_in_words() {
        let text = chosen(&["vpc-1", "vpc-2"], &["env=prod", "team"]).to_string();
        assert_eq!(text, "in vpc-1 or vpc-2 and tagged env=prod and team");
    }
}
