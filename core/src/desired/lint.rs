//! Reads a record and collects all its findings.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::attributes::{
    PRINCIPAL_ATTRIBUTES, RECORD_ATTRIBUTES, REFERENCE_ATTRIBUTES, RULE_ATTRIBUTES,
    SETTINGS_ATTRIBUTES, TTL_ATTRIBUTE,
};
use super::{DesiredRecord, Mode, Pause, Reading, SCHEMA, SharedSettings, Superseding, Unreadable};
use crate::desired::{CAUSE_WAIT_SECONDS_MAX, Principal, SETTLE_SECONDS_MAX};
use crate::model::{
    AccountId, GroupAddress, IngressRule, Protocol, RuleKey, Scope, Source, Tags, shortened,
};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The record can be used; something in it has no effect.
    Warning,
    /// The record can be used, but its author should confirm the entry.
    Doubt,
    /// The record cannot be used.
    Error,
}

impl Severity {
    /// What it is in a file, whose author is there to fix it.
    pub(super) fn in_file(self) -> Self {
        match self {
            Self::Warning | Self::Error => Self::Error,
            Self::Doubt => Self::Doubt,
        }
    }
}

/// One problem of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The attribute with the problem, such as `rules[3].from_port`.
    pub path: String,
    /// Whether the record can still be used.
    pub severity: Severity,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Reads JSON and collects findings. A method returns `None` when it noted an error.
#[derive(Default)]
pub(super) struct Reader {
    findings: Vec<Finding>,
}

impl Reader {
    pub(super) fn finish(self, record: Option<DesiredRecord>) -> Result<Reading, Unreadable> {
        let (record, warnings) = self.finish_with(record)?;
        Ok(Reading { record, warnings })
    }

    /// The value that was read and its warnings, or every finding if one is an error.
    pub(super) fn finish_with<T>(self, read: Option<T>) -> Result<(T, Vec<Finding>), Unreadable> {
        let findings = self.findings;
        match read {
            Some(read) if findings.iter().all(|f| f.severity < Severity::Error) => {
                Ok((read, findings))
            }
            _ => Err(Unreadable { findings }),
        }
    }

    fn error<T>(&mut self, path: &str, message: impl fmt::Display) -> Option<T> {
        self.note(path, Severity::Error, message);
        None
    }

    fn note(&mut self, path: &str, severity: Severity, message: impl fmt::Display) {
        // A value of any length may be at fault, and the message repeats it.
        self.findings.push(Finding {
            path: shortened(path, 100).into_owned(),
            severity,
            message: shortened(&message.to_string(), 300).into_owned(),
        });
    }

    pub(super) fn address(&mut self, value: &Value) -> Option<GroupAddress> {
        let account = self.required(value, "account");
        let region = self.required(value, "region");
        let id = self.required(value, "group");
        Some(GroupAddress {
            scope: Scope {
                account: account?,
                region: region?,
            },
            id: id?,
        })
    }

    fn required<T: FromStr<Err: fmt::Display>>(&mut self, value: &Value, name: &str) -> Option<T> {
        match present(value, name) {
            None => self.error(name, "is missing"),
            Some(Value::String(text)) => match text.parse() {
                Ok(parsed) => Some(parsed),
                Err(error) => self.error(name, error),
            },
            Some(other) => self.error(
                name,
                format_args!("{other} is not text; write it in quotes"),
            ),
        }
    }

    pub(super) fn record(&mut self, value: &Value, owner: &AccountId) -> Option<DesiredRecord> {
        let Value::Object(fields) = value else {
            return self.error("record", "is not a map of attributes");
        };
        self.unknown(fields, "", &RECORD_ATTRIBUTES);
        let schema = self.schema(value);
        let generation = self.generation(value);
        let mode = self.choice::<Mode>(value, "mode", "enforce or observe");
        let superseding = self.choice::<Superseding>(value, "superseding", "honor or ignore");
        let pause = self.pause(value);
        let updated_at = self
            .remark(value, "updated_at")
            .and_then(|text| text.parse().ok());
        let updated_by = self.remark(value, "updated_by");
        let note = self.remark(value, "note");
        let name = self.remark(value, "name");
        let reason = self.remark(value, "reason");
        let principals = self.principals(value);
        let settle_seconds = self.settle_seconds(value, "");
        let cause_wait_seconds = self.cause_wait_seconds(value);
        let watch = self.watch(value);
        let rules = self.rules(value, owner);
        schema?;
        Some(DesiredRecord {
            generation: generation?,
            mode: mode?.unwrap_or_default(),
            pause: pause?,
            superseding: superseding?.unwrap_or_default(),
            principals: principals?,
            settle_seconds: settle_seconds?,
            cause_wait_seconds: cause_wait_seconds?,
            watch: watch?,
            rules: rules?,
            updated_at,
            updated_by,
            note,
            reason,
            name,
        })
    }

    pub(super) fn settings(&mut self, value: &Value) -> Option<SharedSettings> {
        let Value::Object(fields) = value else {
            return self.error("settings", "is not a map of attributes");
        };
        self.unknown(fields, "", &SETTINGS_ATTRIBUTES);
        let schema = self.schema(value);
        let generation = self.generation(value);
        let principals = self.principals(value);
        let settle_seconds = self.settle_seconds(value, "");
        let cause_wait_seconds = self.cause_wait_seconds(value);
        let pause = self.pause(value);
        schema?;
        Some(SharedSettings {
            generation: generation?,
            principals: principals?,
            settle_seconds: settle_seconds?,
            cause_wait_seconds: cause_wait_seconds?,
            pause: pause?,
            updated_at: self
                .remark(value, "updated_at")
                .and_then(|text| text.parse().ok()),
            updated_by: self.remark(value, "updated_by"),
            reason: self.remark(value, "reason"),
        })
    }

    fn pause(&mut self, value: &Value) -> Option<Option<Pause>> {
        let until = self.time(value, "paused_until");
        let reason = self.text(value, "", "pause_reason");
        let pause = until?.map(|until| Pause {
            until,
            reason: reason.flatten(),
        });
        Some(pause)
    }

    fn schema(&mut self, value: &Value) -> Option<()> {
        match self.integer(value, "", "schema")? {
            Some(schema) if u64::try_from(schema) != Ok(SCHEMA) => self.error(
                "schema",
                format_args!("{schema} is not {SCHEMA}, the version this release reads"),
            ),
            _ => Some(()),
        }
    }

    fn generation(&mut self, value: &Value) -> Option<u64> {
        let number = self.integer(value, "", "generation")?.unwrap_or(0);
        match u64::try_from(number) {
            Ok(number) => Some(number),
            Err(_) => self.error("generation", format_args!("{number} is negative")),
        }
    }

    fn settle_seconds(&mut self, value: &Value, path: &str) -> Option<Option<u8>> {
        let Some(number) = self.integer(value, path, "settle_seconds")? else {
            return Some(None);
        };
        match u8::try_from(number) {
            Ok(seconds) if seconds <= SETTLE_SECONDS_MAX => Some(Some(seconds)),
            _ => self.error(
                &join(path, "settle_seconds"),
                format_args!("{number} is not between 0 and {SETTLE_SECONDS_MAX}"),
            ),
        }
    }

    fn cause_wait_seconds(&mut self, value: &Value) -> Option<Option<u16>> {
        let Some(number) = self.integer(value, "", "cause_wait_seconds")? else {
            return Some(None);
        };
        match u16::try_from(number) {
            Ok(seconds) if seconds <= CAUSE_WAIT_SECONDS_MAX => Some(Some(seconds)),
            _ => self.error(
                "cause_wait_seconds",
                format_args!("{number} is not between 0 and {CAUSE_WAIT_SECONDS_MAX}"),
            ),
        }
    }

    fn watch(&mut self, value: &Value) -> Option<bool> {
        match present(value, "watch") {
            None => Some(false),
            Some(Value::Bool(watch)) => Some(*watch),
            Some(other) => self.error("watch", format_args!("{other} is not true or false")),
        }
    }

    fn principals(&mut self, value: &Value) -> Option<Vec<Principal>> {
        let list = self.list(value, "principals")?;
        let mut principals = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            let path = format!("principals[{index}]");
            if let Some(principal) = self.principal(entry, &path) {
                if let Some(doubt) = principal.doubt() {
                    let message = format!("{:?} {doubt}", principal.arn);
                    self.note(&join(&path, "arn"), Severity::Doubt, message);
                }
                principals.push(principal);
            }
        }
        Some(principals)
    }

    fn principal(&mut self, entry: &Value, path: &str) -> Option<Principal> {
        let hint = "give arn and policy (restore, accept, follow or release)";
        let Value::Object(fields) = entry else {
            return self.error(path, format_args!("is not a map of attributes; {hint}"));
        };
        self.unknown(fields, path, &PRINCIPAL_ATTRIBUTES);
        let arn = self.text(entry, path, "arn");
        let policy = self.text(entry, path, "policy");
        let settle_seconds = self.settle_seconds(entry, path);
        let (Some(arn), Some(policy)) = (arn?, policy?) else {
            return self.error(path, format_args!("lacks arn or policy; {hint}"));
        };
        let Ok(policy) = serde_json::from_value(Value::from(policy.as_str())) else {
            let message = format_args!("{policy:?} is not restore, accept, follow or release");
            return self.error(&join(path, "policy"), message);
        };
        Some(Principal {
            arn,
            policy,
            settle_seconds: settle_seconds?,
        })
    }

    fn rules(
        &mut self,
        value: &Value,
        owner: &AccountId,
    ) -> Option<BTreeMap<RuleKey, IngressRule>> {
        if present(value, "rules").is_none() {
            return self.error("rules", "is missing; an empty list keeps no rule");
        }
        let list = self.list(value, "rules")?;
        let mut rules: BTreeMap<RuleKey, IngressRule> = BTreeMap::new();
        for (index, entry) in list.iter().enumerate() {
            let path = format!("rules[{index}]");
            let Some(rule) = self.rule(entry, &path, owner) else {
                continue;
            };
            if let Some(earlier) = rules.get(&rule.key) {
                let message = format!(
                    "repeats {}, which is listed before it; the first one counts",
                    earlier.key
                );
                self.note(&path, Severity::Warning, message);
                continue;
            }
            rules.insert(rule.key.clone(), rule);
        }
        Some(rules)
    }

    fn rule(&mut self, value: &Value, path: &str, owner: &AccountId) -> Option<IngressRule> {
        let Value::Object(fields) = value else {
            return self.error(path, "is not a map of attributes");
        };
        self.only(fields, path, &RULE_ATTRIBUTES);
        let from_port = self.integer(value, path, "from_port");
        let to_port = self.integer(value, path, "to_port");
        let protocol = self.protocol(value, path, from_port?, to_port?);
        let source = self.source(value, path, owner);
        let description = self.description(value, path, source.as_ref());
        let tags = self.tags(value, path);
        let priority = self.integer(value, path, "priority");
        Some(IngressRule {
            key: RuleKey {
                protocol: protocol?,
                source: source?,
            },
            description: description?,
            tags: tags?,
            priority: priority?.unwrap_or(0),
        })
    }

    fn protocol(
        &mut self,
        value: &Value,
        path: &str,
        from: Option<i64>,
        to: Option<i64>,
    ) -> Option<Protocol> {
        let at = join(path, "protocol");
        let name = match present(value, "protocol") {
            None => {
                return self.error(
                    &at,
                    "is missing; give tcp, udp, icmp, icmpv6, -1 (all) or a number",
                );
            }
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(other) => {
                return self.error(&at, format_args!("{other} is neither text nor a number"));
            }
        };
        match Protocol::from_fields(&name, from, to) {
            Ok(protocol) => match ports_fault(protocol, from, to) {
                None => Some(protocol),
                Some(fault) => self.error(path, fault),
            },
            Err(error) => self.error(path, error),
        }
    }

    fn source(&mut self, value: &Value, path: &str, owner: &AccountId) -> Option<Source> {
        const KINDS: [&str; 4] = [
            "cidr_ipv4",
            "cidr_ipv6",
            "prefix_list_id",
            "referenced_group",
        ];
        let given: Vec<&str> = KINDS
            .into_iter()
            .filter(|kind| present(value, kind).is_some())
            .collect();
        let [kind] = given[..] else {
            let found = if given.is_empty() {
                "none".to_owned()
            } else {
                given.join(" and ")
            };
            return self.error(
                path,
                format_args!("needs exactly one of {}; found {found}", KINDS.join(", ")),
            );
        };
        let at = join(path, kind);
        if kind == "referenced_group" {
            return self.reference(&value[kind], &at, owner);
        }
        let text = self.text(value, path, kind)?.unwrap_or_default();
        let source = match kind {
            "cidr_ipv4" => Source::ipv4(&text),
            "cidr_ipv6" => Source::ipv6(&text),
            _ => Source::prefix_list(&text),
        };
        match source {
            Ok(source) => {
                if let Some(doubt) = source.host_bits(&text) {
                    self.note(&at, Severity::Doubt, doubt);
                }
                Some(source)
            }
            Err(error) => self.error(&at, error),
        }
    }

    fn reference(&mut self, value: &Value, path: &str, owner: &AccountId) -> Option<Source> {
        let Value::Object(fields) = value else {
            return self.error(
                path,
                "is not a map with group_id and, for another account's group, account_id",
            );
        };
        self.only(fields, path, &REFERENCE_ATTRIBUTES);
        let group_id = self.text(value, path, "group_id");
        let account_id = self.text(value, path, "account_id");
        let Some(group_id) = group_id? else {
            return self.error(&join(path, "group_id"), "is missing");
        };
        match Source::referenced_group(&group_id, account_id?.as_deref(), owner) {
            Ok(source) => Some(source),
            Err(error) => self.error(path, error),
        }
    }

    /// A description that EC2 would refuse is left out. The rule stays.
    fn description(
        &mut self,
        value: &Value,
        path: &str,
        source: Option<&Source>,
    ) -> Option<Option<String>> {
        let text = self
            .text(value, path, "description")?
            .filter(|text| !text.is_empty());
        let Some(text) = text else { return Some(None) };
        match description_fault(&text, source) {
            None => Some(Some(text)),
            Some(fault) => {
                self.note(
                    &join(path, "description"),
                    Severity::Warning,
                    format_args!("{fault}; it is left out"),
                );
                Some(None)
            }
        }
    }

    fn tags(&mut self, value: &Value, path: &str) -> Option<Tags> {
        let path = join(path, "tags");
        let Some(tags) = present(value, "tags") else {
            return Some(Tags::new());
        };
        let Value::Object(fields) = tags else {
            return self.error(&path, "is not a map of texts");
        };
        let mut read = Tags::new();
        for (key, value) in fields {
            match value {
                Value::String(text) => read.insert(key.clone(), text.clone()),
                other => return self.error(&join(&path, key), format_args!("{other} is not text")),
            };
        }
        Some(read)
    }

    /// A rule has only attributes that are understood. One that is passed over, such as `fromPort`, could have made the
    /// rule narrower.
    fn only(&mut self, fields: &Map<String, Value>, path: &str, known: &[&str]) {
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let known = known.join(", ");
            let message = format_args!("is not an attribute of a rule; known are {known}");
            self.note(&join(path, name), Severity::Error, message);
        }
    }

    /// Other attributes may be unknown, but for the table's TTL attribute: it would end the whole item.
    fn unknown(&mut self, fields: &Map<String, Value>, path: &str, known: &[&str]) {
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let (severity, message) = match path.is_empty() && name == TTL_ATTRIBUTE {
                true => (
                    Severity::Error,
                    "is the table's TTL attribute: DynamoDB deletes this item at that time; take it out",
                ),
                false => (
                    Severity::Warning,
                    "is not an attribute of this version and has no effect; check its spelling",
                ),
            };
            self.note(&join(path, name), severity, message);
        }
    }

    fn list<'v>(&mut self, value: &'v Value, name: &str) -> Option<&'v [Value]> {
        match present(value, name) {
            None => Some(&[]),
            Some(Value::Array(list)) => Some(list),
            Some(_) => self.error(name, "is not a list"),
        }
    }

    fn text(&mut self, value: &Value, path: &str, name: &str) -> Option<Option<String>> {
        match present(value, name) {
            None => Some(None),
            Some(Value::String(text)) => Some(Some(text.clone())),
            Some(other) => self.error(&join(path, name), format_args!("{other} is not text")),
        }
    }

    fn integer(&mut self, value: &Value, path: &str, name: &str) -> Option<Option<i64>> {
        let number = match present(value, name) {
            None => return Some(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(_) => None,
        };
        match number {
            Some(number) => Some(Some(number)),
            None => self.error(
                &join(path, name),
                format_args!("{} is not a whole number", value[name]),
            ),
        }
    }

    /// A text about the record, which has no effect on the group. If it is invalid, only the text is left out.
    fn remark(&mut self, value: &Value, name: &str) -> Option<String> {
        let text = match present(value, name)? {
            Value::String(text) => text.clone(),
            other => {
                self.note(
                    name,
                    Severity::Warning,
                    format_args!("{other} is not text; it is left out"),
                );
                return None;
            }
        };
        if name == "updated_at" && !text.is_empty() && text.parse::<Timestamp>().is_err() {
            self.note(
                name,
                Severity::Warning,
                format_args!("{text:?} is not an RFC 3339 time; it is left out"),
            );
            return None;
        }
        Some(text).filter(|text| !text.is_empty())
    }

    fn time(&mut self, value: &Value, name: &str) -> Option<Option<Timestamp>> {
        match self.text(value, "", name)?.filter(|text| !text.is_empty()) {
            None => Some(None),
            Some(text) => match text.parse() {
                Ok(time) => Some(Some(time)),
                Err(_) => self.error(
                    name,
                    format_args!("{text:?} is not an RFC 3339 time such as 2026-11-22T09:30:00Z"),
                ),
            },
        }
    }

    fn choice<T: DeserializeOwned>(
        &mut self,
        value: &Value,
        name: &str,
        choices: &str,
    ) -> Option<Option<T>> {
        match present(value, name) {
            None => Some(None),
            Some(given) => match serde_json::from_value(given.clone()) {
                Ok(choice) => Some(Some(choice)),
                Err(_) => self.error(name, format_args!("{given} is not {choices}")),
            },
        }
    }
}

/// The value of an attribute. Null counts as absent.
fn present<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    value.get(name).filter(|value| !value.is_null())
}

/// The path of an attribute. A name that is none of ours may be empty or hold dots, and is quoted then.
pub fn join(path: &str, name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-:/@+=".contains(c);
    let name = match !name.is_empty() && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("{name:?}"),
    };
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

/// Why the ports of a rule do not say what its author meant. EC2 fills in absent ports of ICMP with "all", and passes over
/// ports that the protocol does not have (EC2 API Reference, `IpPermission`); both make the rule wider than it reads.
fn ports_fault(protocol: Protocol, from: Option<i64>, to: Option<i64>) -> Option<String> {
    match protocol {
        Protocol::Tcp(_) | Protocol::Udp(_) => None,
        Protocol::Icmpv6(_) if from.is_none() && to.is_none() => None,
        Protocol::Icmp(_) | Protocol::Icmpv6(_) if from.is_some() && to.is_some() => None,
        Protocol::Icmp(_) | Protocol::Icmpv6(_) => Some(format!(
            "{} needs both from_port, the type, and to_port, the code (-1 for all)",
            protocol.name()
        )),
        Protocol::All | Protocol::Number(_) => match (from, to) {
            (None, None) | (Some(-1), Some(-1)) | (Some(0), Some(0)) => None,
            _ => Some(format!(
                "protocol {} has no ports: this allows all of its traffic; leave from_port and to_port out",
                protocol.name()
            )),
        },
    }
}

/// Why EC2 would refuse a description. EC2 takes at most 255 characters: letters, digits, space and some punctuation.
/// `&` is allowed for CIDRs only (EC2 API Reference, `IpRange`, `UserIdGroupPair`, `PrefixListId`).
fn description_fault(text: &str, source: Option<&Source>) -> Option<String> {
    const PUNCTUATION: &str = " ._-:/()#,@[]+=;{}!$*";
    if text.chars().count() > 255 {
        return Some("has more than 255 characters".to_owned());
    }
    let ampersand = matches!(source, Some(Source::Ipv4(_) | Source::Ipv6(_)) | None);
    let good =
        |c: char| c.is_ascii_alphanumeric() || PUNCTUATION.contains(c) || c == '&' && ampersand;
    text.chars()
        .find(|c| !good(*c))
        .map(|c| format!("holds {c:?}, which EC2 does not take here"))
}
