//! Records from the files of other tools. Nothing is guessed: if anything about a group is unknown, the whole group is left
//! out, and the reason is named.

use std::collections::BTreeMap;
use std::fmt;

use rulekeeper_core::desired::{DesiredRecord, Mode, RecordFile};
use rulekeeper_core::model::{
    AccountId, GroupAddress, GroupId, IngressRule, Protocol, Region, RuleKey, Scope,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::failure::Failure;

pub mod cloudformation;
pub mod terraform;

/// The result of reading a file.
#[derive(Debug)]
#[must_use]
pub struct Import {
    /// The groups that are known in full.
    pub records: Vec<RecordFile>,
    /// Why others are left out.
    pub unresolved: Vec<Unresolved>,
}

/// Something that the file does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unresolved {
    /// The resource, as its tool calls it.
    pub address: String,
    /// Its attribute; empty for the resource itself.
    pub attribute: String,
    /// What is missing.
    pub reason: String,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attribute.as_str() {
            "" => write!(f, "{}: {}", self.address, self.reason),
            attribute => write!(f, "{}: {attribute}: {}", self.address, self.reason),
        }
    }
}

/// The account and Region that the command line names for the groups of a file.
#[derive(Debug, Clone, Default)]
pub struct Stated {
    /// The account of groups whose resource does not tell it.
    pub account: Option<AccountId>,
    /// The Region of groups whose resource does not tell it.
    pub region: Option<Region>,
    /// The mode of their records.
    pub mode: Mode,
}

impl Stated {
    /// The scope of a group, by an ARN of the file if it has one.
    ///
    /// # Errors
    /// When neither says it.
    fn scope(&self, arn: Option<&Scope>, whose: &str) -> Result<Scope, Failure> {
        let account = arn.map(|scope| &scope.account).or(self.account.as_ref());
        let region = arn.map(|scope| &scope.region).or(self.region.as_ref());
        match (account, region) {
            (Some(account), Some(region)) => Ok(Scope {
                account: account.clone(),
                region: region.clone(),
            }),
            (account, _) => {
                let (what, option) = match account {
                    None => ("account", "--account"),
                    Some(_) => ("Region", "--region"),
                };
                let message = format!("the file does not say which {what} {whose} is in");
                Err(Failure::usage(message).hint(format!("Give {option}.")))
            }
        }
    }

    /// What is wrong with an ARN, if the command line says otherwise.
    fn contradiction(&self, arn: &Scope) -> Option<String> {
        let account = self.account.as_ref().filter(|it| **it != arn.account);
        let region = self.region.as_ref().filter(|it| **it != arn.region);
        match (account, region) {
            (Some(stated), _) => Some(format!("is in {arn}, which is not --account {stated}")),
            (None, Some(stated)) => Some(format!("is in {arn}, which is not --region {stated}")),
            (None, None) => None,
        }
    }
}

/// The account and Region that an ARN names.
fn scope_of_arn(arn: &str) -> Option<Scope> {
    let mut parts = arn.split(':').skip(3);
    let (region, account) = (parts.next()?, parts.next()?);
    Some(Scope {
        account: account.parse().ok()?,
        region: region.parse().ok()?,
    })
}

/// Where something is said.
#[derive(Debug, Clone)]
struct Place {
    address: String,
    attribute: String,
}

impl Place {
    fn new(address: &str, attribute: impl Into<String>) -> Self {
        let address = match address {
            "" => "a resource without a name",
            address => address,
        };
        Self {
            address: address.to_owned(),
            attribute: attribute.into(),
        }
    }
}

/// How much a rule in a file counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Perhaps found when the tool last looked.
    Found,
    /// Declared in the tool's configuration.
    Declared,
}

/// A group as far as it is known.
#[derive(Debug)]
struct Draft {
    address: GroupAddress,
    rules: BTreeMap<RuleKey, (IngressRule, Standing, String)>,
    known_in_full: bool,
}

/// The groups of a file, while it is read.
#[derive(Debug, Default)]
struct Drafts {
    groups: BTreeMap<GroupId, Draft>,
    unresolved: Vec<Unresolved>,
}

impl Drafts {
    fn open(&mut self, address: GroupAddress) {
        let draft = Draft {
            address: address.clone(),
            rules: BTreeMap::new(),
            known_in_full: true,
        };
        self.groups.entry(address.id).or_insert(draft);
    }

    /// Notes what is unknown, and its group if that is known.
    fn unresolved(&mut self, group: Option<&GroupId>, place: Place, reason: impl fmt::Display) {
        self.unresolved.push(Unresolved {
            address: place.address,
            attribute: place.attribute,
            reason: reason.to_string(),
        });
        if let Some(draft) = group.and_then(|id| self.groups.get_mut(id)) {
            draft.known_in_full = false;
        }
    }

    /// Whether a rule's group is in the file. Without the group the record would lack its other rules.
    fn has(&mut self, group: &GroupId, place: Place) -> bool {
        let known = self.groups.contains_key(group);
        if !known {
            let reason = format!(
                "{group} itself is not in the file, so its other rules are unknown; `rulekeeper pin {group}` records them all"
            );
            self.unresolved(None, place, reason);
        }
        known
    }

    /// Adds a rule, given with a record's attribute names, to a group that is open.
    fn add(&mut self, group: &GroupId, rule: Value, standing: Standing, place: Place) {
        let rule = match self.checked(group, rule) {
            Ok(rule) => rule,
            Err(reason) => return self.unresolved(Some(group), place, reason),
        };
        let Some(draft) = self.groups.get_mut(group) else {
            return;
        };
        if let Some((earlier, theirs, address)) = draft.rules.get(&rule.key) {
            match (*theirs, standing) {
                (Standing::Declared, Standing::Found) => return,
                (Standing::Found, Standing::Declared) => {}
                _ if *earlier == rule => return,
                _ => {
                    let reason = format!(
                        "{address} has {} too, with another description or other tags",
                        rule.key
                    );
                    return self.unresolved(Some(group), place, reason);
                }
            }
        }
        let entry = (rule, standing, place.address);
        draft.rules.insert(entry.0.key.clone(), entry);
    }

    /// The rule as EC2 made it: it passed over ports that the protocol does not have, and over a CIDR's host bits.
    fn checked(&self, group: &GroupId, mut rule: Value) -> Result<IngressRule, String> {
        let draft = self.groups.get(group).ok_or("its group is unknown")?;
        let protocol = rule["protocol"].as_str().unwrap_or_default();
        let without_ports = Protocol::from_fields(protocol, None, None);
        if let Ok(Protocol::All | Protocol::Number(_)) = without_ports {
            (rule["from_port"], rule["to_port"]) = (Value::Null, Value::Null);
        }
        let content = file(&draft.address, rule);
        let read = RecordFile::from_json(&content, true).map_err(|unreadable| {
            let texts = unreadable.findings.iter().map(ToString::to_string);
            let texts: Vec<String> = texts
                .map(|text| {
                    let text = text.strip_prefix("rules[0]").unwrap_or(&text);
                    text.trim_start_matches(['.', ':', ' '])
                        .trim_end_matches("; it is left out")
                        .to_owned()
                })
                .collect();
            texts.join("; ")
        })?;
        read.record
            .rules
            .into_values()
            .next()
            .ok_or_else(|| "is no rule".to_owned())
    }

    fn finish(self, mode: Mode) -> Import {
        let known = self.groups.into_values().filter(|it| it.known_in_full);
        let records = known.map(|draft| RecordFile {
            address: draft.address,
            record: DesiredRecord {
                mode,
                rules: draft
                    .rules
                    .into_iter()
                    .map(|(key, (rule, ..))| (key, rule))
                    .collect(),
                ..DesiredRecord::default()
            },
        });
        Import {
            records: records.collect(),
            unresolved: self.unresolved,
        }
    }
}

fn file(address: &GroupAddress, rule: Value) -> Value {
    json!({
        "account": address.scope.account,
        "region": address.scope.region,
        "group": address.id,
        "rules": [rule],
    })
}

/// A group's id, alone or behind its account, as a record's `referenced_group`.
fn reference(text: &str) -> Result<Value, String> {
    let (account, id) = match text.split_once('/') {
        Some((account, id)) => (Some(account), id),
        None => (None, text),
    };
    if !id.starts_with("sg-") {
        return Err(format!(
            "{text:?} is not a group's id, and a name may be that of several groups"
        ));
    }
    Ok(match account {
        Some(account) => json!({"group_id": id, "account_id": account}),
        None => json!({"group_id": id}),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record in a few lines, for comparison.
    pub(super) fn lines(import: &Import) -> Vec<String> {
        let lines = import.records.iter().flat_map(|file| {
            let rules = file.record.rules_in_order().into_iter().map(|rule| {
                let mut line = format!("  {}", rule.key);
                if let Some(description) = &rule.description {
                    line += &format!(" # {description}");
                }
                for (key, value) in &rule.tags {
                    line += &format!(" {key}={value}");
                }
                line
            });
            std::iter::once(file.address.to_string()).chain(rules)
        });
        lines.collect()
    }

    pub(super) fn findings(import: &Import) -> Vec<String> {
        import.unresolved.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_arn_tells_account_and_region() {
        let scope = scope_of_arn("arn:aws:ec2:eu-west-1:111122223333:security-group/sg-0a");
        assert_eq!(
            scope.map(|scope| scope.to_string()).as_deref(),
            Some("111122223333/eu-west-1")
        );
        assert_eq!(
            scope_of_arn("arn:aws:iam::111122223333:role/x"),
            None,
            "no Region"
        );
        assert_eq!(scope_of_arn("x"), None);
    }

    #[test]
    fn what_is_left_out_is_named_even_if_it_has_no_name() {
        let place = Place::new("", "cidr_blocks");
        let mut drafts = Drafts::default();
        drafts.unresolved(None, place, "is unknown");
        let left_out = drafts.finish(Mode::default());
        assert_eq!(
            findings(&left_out),
            ["a resource without a name: cidr_blocks: is unknown"]
        );
    }

    #[test]
    fn a_name_is_no_reference() {
        assert_eq!(reference("sg-0a"), Ok(json!({"group_id": "sg-0a"})));
        assert_eq!(
            reference("444455556666/sg-0a"),
            Ok(json!({"group_id": "sg-0a", "account_id": "444455556666"}))
        );
        for name in ["web", "444455556666/web", "amazon-elb/amazon-elb-sg"] {
            assert!(reference(name).is_err(), "{name}");
        }
    }
}
