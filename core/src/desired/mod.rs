//! The desired-state record: the rules that a group should hold. It is read from JSON and written to JSON.
//!
//! The table, record files and the CLI's output all use the same shape. People also write it with Terraform or the
//! console, so reading collects every finding with its path. A record with an error is not used at all.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::model::{AccountId, GroupAddress, IngressRule, RuleKey, Scope, Source, first_of};

mod attributes;
mod lint;
mod principals;

pub use attributes::{
    PRINCIPAL_ATTRIBUTES, RECORD_ATTRIBUTES, REFERENCE_ATTRIBUTES, RULE_ATTRIBUTES,
    SETTINGS_ATTRIBUTES, stays,
};
use lint::Reader;
pub use lint::join as attribute_path;
pub use lint::{Finding, Severity};
pub use principals::{
    CAUSE_WAIT_SECONDS, CAUSE_WAIT_SECONDS_MAX, Policy, Principal, Principals, SETTLE_SECONDS,
    SETTLE_SECONDS_MAX,
};

/// The version of the record's shape that this code reads and writes.
pub const SCHEMA: u64 = 1;

/// Whether missing rules are restored or only reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Restore missing rules.
    #[default]
    Enforce,
    /// Report missing rules and change nothing.
    Observe,
}

/// Whether a dropped rule may stay missing because other live rules allow the same traffic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Superseding {
    /// The dropped rule stays missing.
    #[default]
    Honor,
    /// The dropped rule is restored.
    Ignore,
}

/// A time in which a group is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pause {
    /// When it ends.
    pub until: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// What one security group should hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct DesiredRecord {
    /// Counts the changes from 1; 0 when the item gives none.
    pub generation: u64,
    /// Enforce or observe.
    pub mode: Mode,
    /// Set while the group is paused. It stays set after the pause has ended, so compare it with the present time.
    pub pause: Option<Pause>,
    /// Whether superseding is honoured.
    pub superseding: Superseding,
    /// Principals with their own policy.
    pub principals: Vec<Principal>,
    /// How long revokes of followed principals settle, in seconds. The settings decide if this is absent.
    pub settle_seconds: Option<u8>,
    /// How long a missing rule waits for its cause, in seconds. The settings decide if this is absent.
    pub cause_wait_seconds: Option<u16>,
    /// Whether the watch reads the group every few seconds, where one runs.
    pub watch: bool,
    /// The rules by identity.
    pub rules: BTreeMap<RuleKey, IngressRule>,
    /// When this generation was written.
    pub updated_at: Option<Timestamp>,
    /// Who wrote it: an ARN.
    pub updated_by: Option<String>,
    /// Free text.
    pub note: Option<String>,
    /// Why this generation was written.
    pub reason: Option<String>,
    /// The group's name when somebody wrote the record. EC2 does not let a name change.
    pub name: Option<String>,
}

/// A record that was read without errors, and its warnings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The record.
    pub record: DesiredRecord,
    /// Warnings, in the order of the record.
    pub warnings: Vec<Finding>,
}

/// The findings of a record that cannot be used. At least one is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Everything found, errors and warnings, in the order of the record.
    pub findings: Vec<Finding>,
}

impl Unreadable {
    /// The first errors in one line, and how many more there are.
    pub fn errors(&self) -> String {
        let errors = self.findings.iter();
        let errors = errors.filter(|finding| finding.severity == Severity::Error);
        let errors: Vec<String> = errors.map(ToString::to_string).collect();
        first_of(errors.into_iter(), 10, "; ", "more errors")
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the desired-state record cannot be understood: {}",
            self.errors()
        )
    }
}

impl std::error::Error for Unreadable {}

impl DesiredRecord {
    /// Reads a record from JSON with the attribute names of the table. `owner` is the account of the group. A reference
    /// to a group of the same account is stored without the account.
    ///
    /// # Errors
    /// When any attribute cannot be understood. Nothing of the record is used then.
    pub fn from_json(value: &Value, owner: &AccountId) -> Result<Reading, Unreadable> {
        let mut reader = Reader::default();
        let record = reader.record(value, owner);
        reader.finish(record)
    }

    /// The pause, if it has not ended.
    pub fn paused_at(&self, now: Timestamp) -> Option<&Pause> {
        self.pause.as_ref().filter(|pause| pause.until > now)
    }

    /// The rules in the order of restoring: higher priority first, then by rule notation.
    pub fn rules_in_order(&self) -> Vec<&IngressRule> {
        let mut rules: Vec<&IngressRule> = self.rules.values().collect();
        rules.sort_by_cached_key(|rule| (std::cmp::Reverse(rule.priority), rule.key.to_string()));
        rules
    }

    /// The record in JSON, with the attribute names of the table. Absent values and most defaults are left out.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut item = Map::new();
        item.insert("schema".into(), SCHEMA.into());
        item.insert("generation".into(), self.generation.into());
        item.insert("mode".into(), json!(self.mode));
        if let Some(pause) = &self.pause {
            item.insert("paused_until".into(), pause.until.to_string().into());
            if let Some(reason) = &pause.reason {
                item.insert("pause_reason".into(), reason.clone().into());
            }
        }
        if self.superseding != Superseding::default() {
            item.insert("superseding".into(), json!(self.superseding));
        }
        if !self.principals.is_empty() {
            item.insert("principals".into(), json!(self.principals));
        }
        if let Some(seconds) = self.settle_seconds {
            item.insert("settle_seconds".into(), seconds.into());
        }
        if let Some(seconds) = self.cause_wait_seconds {
            item.insert("cause_wait_seconds".into(), seconds.into());
        }
        if self.watch {
            item.insert("watch".into(), true.into());
        }
        let rules = self.rules_in_order().into_iter().map(rule_to_json);
        item.insert("rules".into(), rules.collect());
        let texts = [
            ("updated_at", self.updated_at.map(|at| at.to_string())),
            ("updated_by", self.updated_by.clone()),
            ("note", self.note.clone()),
            ("reason", self.reason.clone()),
            ("name", self.name.clone()),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                item.insert(name.into(), text.into());
            }
        }
        item
    }

    /// Whether two records have the same content. Generation, time, author and reason do not count.
    pub fn same_content(&self, other: &Self) -> bool {
        let content = |record: &Self| Self {
            generation: 0,
            updated_at: None,
            updated_by: None,
            reason: None,
            ..record.clone()
        };
        content(self) == content(other)
    }
}

fn rule_to_json(rule: &IngressRule) -> Value {
    let mut item = Map::new();
    item.insert("protocol".into(), rule.key.protocol.name().into());
    if let Some((from, to)) = rule.key.protocol.ports() {
        item.insert("from_port".into(), from.into());
        item.insert("to_port".into(), to.into());
    }
    let (name, source) = match &rule.key.source {
        Source::Ipv4(net) => ("cidr_ipv4", net.to_string().into()),
        Source::Ipv6(net) => ("cidr_ipv6", net.to_string().into()),
        Source::PrefixList(id) => ("prefix_list_id", id.as_str().into()),
        Source::ReferencedGroup(group) => {
            let mut reference = json!({ "group_id": group.group_id });
            if let Some(account) = &group.account_id {
                reference["account_id"] = account.as_str().into();
            }
            ("referenced_group", reference)
        }
    };
    item.insert(name.into(), source);
    if let Some(description) = &rule.description {
        item.insert("description".into(), description.clone().into());
    }
    if !rule.tags.is_empty() {
        item.insert("tags".into(), json!(rule.tags));
    }
    if rule.priority != 0 {
        item.insert("priority".into(), rule.priority.into());
    }
    Value::Object(item)
}

/// The table's settings item, which applies to all groups.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SharedSettings {
    /// Counts the changes from 1; 0 when there is no item, or when the item gives none.
    pub generation: u64,
    /// Principals with their own policy. A record's own list comes first.
    pub principals: Vec<Principal>,
    /// How long revokes of followed principals settle, in seconds.
    pub settle_seconds: Option<u8>,
    /// How long a missing rule waits for its cause, in seconds.
    pub cause_wait_seconds: Option<u16>,
    /// Until when every group is left alone.
    pub pause: Option<Pause>,
    /// When this was written.
    pub updated_at: Option<Timestamp>,
    /// Who wrote it: an ARN.
    pub updated_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl SharedSettings {
    /// Reads the settings item, and returns the findings that are not errors.
    ///
    /// # Errors
    /// When any attribute cannot be understood. Nothing of the item is used then.
    pub fn from_json(value: &Value) -> Result<(Self, Vec<Finding>), Unreadable> {
        let mut reader = Reader::default();
        let settings = reader.settings(value);
        reader.finish_with(settings)
    }

    /// The item in JSON, with the attribute names of the table.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut item = Map::new();
        item.insert("schema".into(), SCHEMA.into());
        item.insert("generation".into(), self.generation.into());
        item.insert("principals".into(), json!(self.principals));
        if let Some(seconds) = self.settle_seconds {
            item.insert("settle_seconds".into(), seconds.into());
        }
        if let Some(seconds) = self.cause_wait_seconds {
            item.insert("cause_wait_seconds".into(), seconds.into());
        }
        let pause = self.pause.as_ref();
        let texts = [
            ("paused_until", pause.map(|pause| pause.until.to_string())),
            ("pause_reason", pause.and_then(|pause| pause.reason.clone())),
            ("updated_at", self.updated_at.map(|at| at.to_string())),
            ("updated_by", self.updated_by.clone()),
            ("reason", self.reason.clone()),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                item.insert(name.into(), text.into());
            }
        }
        item
    }

    /// The pause of every group, if it lasts at this time.
    pub fn paused_at(&self, now: Timestamp) -> Option<&Pause> {
        self.pause.as_ref().filter(|pause| pause.until > now)
    }
}

/// A record with its group's address: the content of a record file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFile {
    /// The group.
    pub address: GroupAddress,
    /// Its record.
    pub record: DesiredRecord,
}

impl RecordFile {
    /// Reads a record file's content: a record with `account`, `region` and `group` in front.
    ///
    /// The table's items may hold attributes that are not understood; a file may not. A warning counts as an error
    /// here, because the author is there to fix it. A doubtful entry passes if `confirmed` is set.
    ///
    /// # Errors
    /// Every finding of the file, each with its path.
    pub fn from_json(value: &Value, confirmed: bool) -> Result<Self, Unreadable> {
        let mut reader = Reader::default();
        let address = reader.address(value);
        let mut body = value.clone();
        if let Value::Object(fields) = &mut body {
            for name in ["account", "region", "group"] {
                fields.remove(name);
            }
        }
        let record = address
            .as_ref()
            .and_then(|address| reader.record(&body, &address.scope.account));
        let mut reading = reader.finish(record)?;
        if confirmed {
            let doubtful = |finding: &Finding| finding.severity == Severity::Doubt;
            reading.warnings.retain(|finding| !doubtful(finding));
        }
        match (address, reading.warnings.is_empty()) {
            (Some(address), true) => Ok(Self {
                address,
                record: reading.record,
            }),
            _ => Err(Unreadable {
                findings: reading
                    .warnings
                    .into_iter()
                    .map(|finding| Finding {
                        severity: finding.severity.in_file(),
                        ..finding
                    })
                    .collect(),
            }),
        }
    }

    /// The file's content, with the address in front.
    pub fn to_json(&self) -> Map<String, Value> {
        let Scope { account, region } = &self.address.scope;
        let mut file = Map::new();
        file.insert("account".into(), account.as_str().into());
        file.insert("region".into(), region.as_str().into());
        file.insert("group".into(), self.address.id.as_str().into());
        file.extend(self.record.to_json());
        file
    }
}

#[cfg(test)]
mod tests;
