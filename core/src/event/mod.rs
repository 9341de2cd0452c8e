//! Reads a payload into an intent: where to look, or why there is nothing to do.
//!
//! An event says *where to look*. What it says about rules is stored as [`Evidence`] only, to tell a stale read from a
//! fresh one. Only the fields that are used are required. Unknown fields are allowed, because CloudTrail adds some with
//! every minor version (CloudTrail User Guide, "CloudTrail record contents").

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{AccountId, GroupAddress, GroupId, GroupRange, Region, RuleId, RuleKey, Scope};

mod caller;
mod calls;
mod rules;
mod sweeps;

use calls::NoEffect;
pub use calls::{Call, WANTED_CALLS, WantedCall};

/// What a payload asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// Look at one group.
    Reconcile(Box<Lookup>),
    /// Look at every group with a record.
    Sweep(Sweep),
    /// Make the sweeps that a queue's messages ask for.
    SweepTasks(Vec<Message>),
    /// Report what the role allows.
    Doctor(Examination),
    /// Read watched groups again and again.
    Watch(WatchRequest),
    /// Do nothing.
    Ignore(Ignored),
}

/// One group to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The group's account and Region.
    pub scope: Scope,
    /// The group.
    pub group: GroupLocator,
    /// What triggered this.
    pub trigger: Trigger,
    /// The event's API call, if an event triggered this.
    pub call: Option<Call>,
    /// What the event says happened.
    pub evidence: Evidence,
}

/// How an event names its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupLocator {
    /// By id.
    Id(GroupId),
    /// By name. EC2 accepts a name only in a default VPC, and ignores its case.
    DefaultVpcName(String),
}

/// A request to look at all recorded groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweep {
    /// The account; the function's own when absent.
    pub account: Option<AccountId>,
    /// The Region; the function's own when absent.
    pub region: Option<Region>,
    /// What triggered this.
    pub trigger: Trigger,
    /// The range of groups.
    pub range: GroupRange,
    /// The number of this attempt at the range, from 1; 0 unless the request comes from our own queue.
    pub attempt: u32,
    /// Whether other accounts and Regions with records are swept too.
    pub everywhere: bool,
}

/// A message of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// The sweep that it asks for, or why it asks for none.
    pub sweep: Result<Sweep, String>,
}

/// A request to check what the role allows: `{"doctor": {}}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Examination {
    /// Accounts and Regions to check besides the function's own.
    #[serde(default)]
    pub scopes: Vec<Scope>,
}

/// A request to watch: `{"watch": {"every_seconds": 2}}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WatchRequest {
    /// The time from one look to the next, 1 to 60 seconds.
    pub every_seconds: u64,
}

/// A payload that needs no work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// What could be read of the payload.
    pub trigger: Trigger,
    /// The group, if the payload names one.
    pub group: Option<GroupAddress>,
    /// Why there is nothing to do.
    pub reason: String,
}

/// What kind of trigger started a reconcile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TriggerKind {
    /// A CloudTrail event.
    #[default]
    Event,
    /// A schedule or a request for a sweep.
    Sweep,
    /// The watch, which saw rules missing at two looks.
    Watch,
    /// A person at the CLI.
    Operator,
}

impl TriggerKind {
    /// The name in reports and in keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Sweep => "sweep",
            Self::Watch => "watch",
            Self::Operator => "operator",
        }
    }
}

/// What triggered a reconcile, for the report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Trigger {
    /// Its kind.
    pub kind: TriggerKind,
    /// CloudTrail's `eventID`, or the id of the scheduled event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The API call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_name: Option<String>,
    /// When the call completed, in whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_time: Option<Timestamp>,
    /// Who called: the role for an assumed role, otherwise the user's ARN or the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The name of the caller's role session: a person's mail address in Identity Center, a Lambda function's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The address that the call came from, or the AWS service that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    /// The program that made the call, as it names itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The id of the key that signed the call. It is no secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// Whether a person called, at the console or through IAM Identity Center.
    #[serde(skip)]
    pub person: bool,
    /// Whether an operator wants back now what waits, for whatever it waits.
    #[serde(skip)]
    pub now: bool,
}

impl Trigger {
    /// The age of the event in milliseconds. It is 0 for an event from the future, which comes from a clock ahead of
    /// ours.
    pub fn age_ms(&self, now: Timestamp) -> Option<u64> {
        let age = now.duration_since(self.event_time?).as_millis();
        Some(u64::try_from(age).unwrap_or(0))
    }
}

/// The page of an event in CloudTrail's console, if the id is one: anybody may have written it.
pub fn console_link(region: &Region, event_id: &str) -> Option<String> {
    let is_id = event_id.len() == 36
        && event_id
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let region = region.as_str();
    let console = match region {
        _ if region.starts_with("us-gov-") => "console.amazonaws-us-gov.com",
        _ if region.starts_with("cn-") => "console.amazonaws.cn",
        _ => "console.aws.amazon.com",
    };
    is_id.then(|| {
        format!("https://{region}.{console}/cloudtrailv2/home?region={region}#/events/{event_id}")
    })
}

/// What an event says about rules. It shows that a read is stale, which call took a rule away, and which change a rule
/// belongs to. Only a read tells which rules are missing or live.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Ids of rules that were revoked. EC2 does not reuse ids, so a read that shows one is stale.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub revoked_ids: BTreeSet<RuleId>,
    /// Rules that were revoked, with their ids if the response gives both.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub revoked: BTreeMap<RuleKey, Option<RuleId>>,
    /// Rules that were modified, with their new key if it could be read. A modified rule keeps its id. The record does
    /// not say whose a referenced group is, so a new key has it as our own account's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub modified: BTreeMap<RuleId, Option<RuleKey>>,
    /// Rules that were authorized, with their ids if the response gives them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub authorized: BTreeMap<RuleKey, Option<RuleId>>,
    /// Rules that an authorize asked for which was refused or only tried.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub asked: BTreeSet<RuleKey>,
    /// Rules whose descriptions were updated, by key, with the new description if there is one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub described: BTreeMap<RuleKey, Option<String>>,
    /// The same by id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub described_ids: BTreeMap<RuleId, Option<String>>,
    /// Whether the call took or asked for something that the event does not tell, because CloudTrail omitted the
    /// parameters or an entry could not be read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
}

/// Reads a payload of the function. It never fails: an unusable payload becomes [`Intent::Ignore`] with a reason,
/// because a second delivery could not help.
pub fn intent(payload: &Value) -> Intent {
    match payload {
        Value::Object(fields) if fields.contains_key("sweep") => sweeps::request(&fields["sweep"]),
        Value::Object(fields) if fields.contains_key("Records") => {
            sweeps::messages(&fields["Records"])
        }
        Value::Object(fields) if fields.contains_key("doctor") => examination(&fields["doctor"]),
        Value::Object(fields) if fields.contains_key("watch") => watch(&fields["watch"]),
        Value::Object(fields) if fields.contains_key("detail") => envelope(payload),
        Value::Object(fields) if fields.contains_key("eventName") => {
            record(payload, &Envelope::default())
        }
        Value::Object(_) => ignore(
            Trigger::default(),
            None,
            "neither an EventBridge event, nor a CloudTrail record, nor a request for a sweep, the watch or the doctor",
        ),
        _ => ignore(
            Trigger::default(),
            None,
            "not an event: the payload is not a JSON object",
        ),
    }
}

fn ignore(trigger: Trigger, group: Option<GroupAddress>, reason: impl Into<String>) -> Intent {
    Intent::Ignore(Ignored {
        trigger,
        group,
        reason: reason.into(),
    })
}

fn examination(request: &Value) -> Intent {
    match Examination::deserialize(request) {
        Ok(examination) => Intent::Doctor(examination),
        Err(error) => ignore(Trigger::default(), None, format!("doctor: {error}")),
    }
}

fn watch(request: &Value) -> Intent {
    let every = 1..=60;
    match WatchRequest::deserialize(request) {
        Ok(request) if every.contains(&request.every_seconds) => Intent::Watch(request),
        Ok(WatchRequest { every_seconds }) => {
            let reason = format!("watch.every_seconds: {every_seconds} is not between 1 and 60");
            ignore(Trigger::default(), None, reason)
        }
        Err(error) => ignore(Trigger::default(), None, format!("watch: {error}")),
    }
}

/// The fields of the envelope that complete a record.
#[derive(Default)]
struct Envelope {
    id: Option<String>,
    account: Option<String>,
    region: Option<String>,
    time: Option<Timestamp>,
}

fn envelope(payload: &Value) -> Intent {
    let event: EventBridgeEvent<Value> = match serde_json::from_value(tolerable(payload)) {
        Ok(event) => event,
        Err(error) => {
            return ignore(
                Trigger::default(),
                None,
                format!("not an EventBridge event: {error}"),
            );
        }
    };
    let around = Envelope {
        id: event.id,
        account: event.account,
        region: event.region,
        time: payload
            .get("time")
            .and_then(Value::as_str)
            .and_then(|time| time.parse().ok()),
    };
    if event.detail_type == "Scheduled Event" {
        let trigger = Trigger {
            kind: TriggerKind::Sweep,
            event_id: around.id,
            event_time: around.time,
            ..Trigger::default()
        };
        let account = around.account.and_then(|text| text.parse().ok());
        let region = around.region.and_then(|text| text.parse().ok());
        return Intent::Sweep(Sweep {
            account,
            region,
            trigger,
            everywhere: true,
            ..Sweep::default()
        });
    }
    if event.detail.get("eventName").is_none() {
        let trigger = Trigger {
            event_id: around.id,
            ..Trigger::default()
        };
        let reason = format!("{:?} carries no CloudTrail record", event.detail_type);
        return ignore(trigger, None, reason);
    }
    record(&event.detail, &around)
}

/// The envelope in a form that can be parsed. The account may be a number. Unusable fields that nothing needs are
/// removed.
fn tolerable(payload: &Value) -> Value {
    let mut event = payload.clone();
    let Value::Object(fields) = &mut event else {
        return event;
    };
    let account = fields.get("account").and_then(account_text);
    fields.insert("account".to_owned(), account.into());
    for name in ["id", "region", "version"] {
        let text = fields.get(name).and_then(Value::as_str).map(str::to_owned);
        fields.insert(name.to_owned(), text.into());
    }
    for name in ["detail-type", "source"] {
        let text = fields
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        fields.insert(name.to_owned(), text.into());
    }
    fields.remove("time");
    fields.remove("resources");
    event
}

/// Text stays as it is. A number is an account that lost its leading zeros; they are added again.
fn account_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(format!("{:0>12}", number.to_string())),
        _ => None,
    }
}

fn record(detail: &Value, around: &Envelope) -> Intent {
    let text = |name: &str| {
        detail
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let trigger = Trigger {
        kind: TriggerKind::Event,
        event_id: text("eventID").or(around.id.as_deref()).map(str::to_owned),
        event_name: text("eventName").map(str::to_owned),
        event_time: text("eventTime")
            .and_then(|time| time.parse().ok())
            .or(around.time),
        principal: detail.get("userIdentity").and_then(caller::principal),
        session: detail.get("userIdentity").and_then(caller::session),
        source_ip: text("sourceIPAddress").map(str::to_owned),
        user_agent: text("userAgent").map(str::to_owned),
        access_key_id: detail
            .pointer("/userIdentity/accessKeyId")
            .and_then(Value::as_str)
            .filter(|id| !id.is_empty())
            .map(str::to_owned),
        person: caller::is_person(detail),
        now: false,
    };
    if let Some(source) = text("eventSource").filter(|source| *source != "ec2.amazonaws.com") {
        return ignore(trigger, None, format!("{source} is not ec2.amazonaws.com"));
    }
    let name = trigger.event_name.clone().unwrap_or_default();
    let call = match Call::of_name(&name) {
        Ok(call) => call,
        Err(reason) => return ignore(trigger, None, reason),
    };
    let Some(scope) = scope(detail, around) else {
        return ignore(
            trigger,
            None,
            "the record names no account and Region of the group",
        );
    };
    if let Some(envelope) = around.account.as_deref()
        && envelope != scope.account.as_str()
    {
        let reason = format!(
            "the envelope is of account {envelope}, and the record of {}: EventBridge delivers no such event",
            scope.account
        );
        return ignore(trigger, None, reason);
    }
    let request = detail.get("requestParameters").unwrap_or(&Value::Null);
    let response = detail.get("responseElements").unwrap_or(&Value::Null);
    let group = rules::group(request, response);
    let address = match &group {
        Some(GroupLocator::Id(id)) => Some(GroupAddress {
            scope: scope.clone(),
            id: id.clone(),
        }),
        _ => None,
    };
    let call = match NoEffect::of(detail, request, response) {
        None => call,
        Some(why) => match call.without_effect(&why, rules::asks_for_one(request)) {
            Some(call) => call,
            None => return ignore(trigger, address, why.to_string()),
        },
    };
    match group {
        Some(group) => {
            let evidence = rules::evidence(call, request, response, &scope.account);
            Intent::Reconcile(Box::new(Lookup {
                scope,
                group,
                trigger,
                call: Some(call),
                evidence,
            }))
        }
        // CloudTrail omits request parameters of more than 100 KB. Some group of this account and Region lost rules, so
        // all of them are checked.
        None if call.drops_rules() && is_omitted(request) => Intent::Sweep(Sweep {
            account: Some(scope.account),
            region: Some(scope.region),
            trigger,
            ..Sweep::default()
        }),
        None => ignore(trigger, None, "the record names no security group"),
    }
}

/// Whether CloudTrail omitted a field that was too large.
fn is_omitted(field: &Value) -> bool {
    is_true(field.get("omitted"))
}

fn is_true(value: Option<&Value>) -> bool {
    truth(value) == Some(true)
}

fn is_false(value: Option<&Value>) -> bool {
    truth(value) == Some(false)
}

/// CloudTrail writes a boolean as a boolean or, in older records, as text.
fn truth(value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

/// The account and Region of the group. `recipientAccountId` is the account of the resource. The caller's own account
/// is the last choice (CloudTrail User Guide, "CloudTrail record contents").
fn scope(detail: &Value, around: &Envelope) -> Option<Scope> {
    let caller = detail
        .get("userIdentity")
        .and_then(|identity| identity.get("accountId"));
    let accounts = [
        detail.get("recipientAccountId").and_then(account_text),
        around.account.clone(),
        caller.and_then(account_text),
    ];
    let in_record = detail
        .get("awsRegion")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let regions = [in_record, around.region.clone()];
    Some(Scope {
        account: accounts
            .into_iter()
            .flatten()
            .find_map(|text| text.parse().ok())?,
        region: regions
            .into_iter()
            .flatten()
            .find_map(|text| text.parse().ok())?,
    })
}
