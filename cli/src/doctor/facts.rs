//! What AWS says, as plain data: `cloud` gives it, the other files judge it.

use jiff::Timestamp;
use rulekeeper_core::function::permissions::Findings;
use rulekeeper_core::model::AccountId;
use rulekeeper_core::ports::ApiError;
use serde_json::{Value, json};

use crate::session::Caller;

/// A time by another clock, between two times by ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// When we asked.
    pub(super) sent: Timestamp,
    /// The other clock's time, as precise as the answer has it.
    pub(super) told: Timestamp,
    /// How much later the true time may be, in milliseconds.
    pub(super) blur_ms: i64,
    /// When the answer came.
    pub(super) received: Timestamp,
}

/// What STS says of the credentials, and when.
#[derive(Debug)]
pub(super) struct CallerFacts {
    pub(super) identity: Result<Caller, ApiError>,
    /// A refusal has it too: STS refuses requests of a clock that is far off.
    pub(super) clock: Option<Reading>,
}

impl CallerFacts {
    pub(super) fn account(&self) -> Option<&AccountId> {
        self.identity.as_ref().ok().map(|caller| &caller.account)
    }
}

/// What DynamoDB says of the table; each part was asked for by itself.
#[derive(Debug)]
pub(super) struct TableFacts {
    /// `None` when there is no such table.
    pub(super) description: Result<Option<Description>, ApiError>,
    /// The attribute by which items expire, with DynamoDB's word for whether they do.
    pub(super) expiry: Result<Expiry, ApiError>,
    /// Whether point-in-time recovery is on.
    pub(super) recovery: Result<bool, ApiError>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Description {
    pub(super) status: String,
    /// Name, role (`HASH`, `RANGE`) and type of each key.
    pub(super) keys: Vec<(String, String, String)>,
    /// Whose key it is encrypted with, in words.
    pub(super) encryption: String,
    /// Whether that key is out of reach.
    pub(super) key_is_out_of_reach: bool,
    pub(super) deletion_protection: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Expiry {
    pub(super) status: String,
    pub(super) attribute: Option<String>,
}

/// The function that was found, or why there is none.
#[derive(Debug)]
pub(super) enum FoundFunction {
    One(Box<FunctionFacts>),
    /// The one that was named is not there.
    Absent(String),
    /// None has our table.
    Nowhere,
    /// Several have.
    Several(Vec<String>),
    /// A call failed that needs this action.
    Unknown(&'static str, ApiError),
}

/// A function's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FunctionFacts {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) state: String,
    pub(super) state_reason: Option<String>,
    pub(super) last_update: String,
    pub(super) last_update_reason: Option<String>,
    pub(super) runtime: String,
    pub(super) architecture: String,
    /// `RULEKEEPER_TABLE`.
    pub(super) table: Option<String>,
    /// `RULEKEEPER_MODE`.
    pub(super) mode: Option<String>,
    /// `RULEKEEPER_NEVER`.
    pub(super) never: Option<String>,
    /// `RULEKEEPER_TOPICS`: the ARNs of the topics of alarms and notices.
    pub(super) topics: Vec<String>,
    /// The queue or topic of the function itself, for events that it failed on.
    pub(super) dead_letters: Option<String>,
}

/// The settings of asynchronous invocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Invocations {
    /// Tries after the first.
    pub(super) retries: Option<i32>,
    /// The ARN of the destination of failed events.
    pub(super) on_failure: Option<String>,
}

/// Either may be the table's ARN.
pub(super) fn same_table(one: &str, other: &str) -> bool {
    let name = |text: &str| {
        text.rsplit_once(":table/")
            .map_or(text, |(_, name)| name)
            .to_owned()
    };
    name(one) == name(other)
}

/// What the function answered about its role.
#[derive(Debug)]
pub(super) enum RoleAnswer {
    Findings {
        findings: Findings,
        sent: Timestamp,
        received: Timestamp,
    },
    NotAsked(String),
    /// It ignored the question, as an older one does.
    Ignored,
    /// It answered something else.
    Odd(String),
    /// It failed.
    Broke(String),
    /// Lambda did not let us ask.
    Refused(ApiError),
}

/// A call whose event the function wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// What it is called here.
    pub(super) name: &'static str,
    call: &'static str,
    error: Option<&'static str>,
}

/// What the rules have to let through. Without the first nothing is restored before the next sweep.
pub(super) const WANTED: [Wanted; 7] = [
    wanted("RevokeSecurityGroupIngress", None),
    wanted("ModifySecurityGroupRules", None),
    wanted("UpdateSecurityGroupRuleDescriptionsIngress", None),
    wanted("AuthorizeSecurityGroupIngress", None),
    wanted("DeleteSecurityGroup", None),
    Wanted {
        name: "a refused AuthorizeSecurityGroupIngress",
        ..wanted(
            "AuthorizeSecurityGroupIngress",
            Some("Client.RulesPerSecurityGroupLimitExceeded"),
        )
    },
    Wanted {
        name: "a refused DeleteSecurityGroup",
        ..wanted("DeleteSecurityGroup", Some("Client.DependencyViolation"))
    },
];

const fn wanted(call: &'static str, error: Option<&'static str>) -> Wanted {
    Wanted {
        name: call,
        call,
        error,
    }
}

impl Wanted {
    /// An event of this kind as EventBridge delivers it, with what TestEventPattern asks of one.
    pub(super) fn event(&self, account: &str, region: &str) -> Value {
        let mut detail = json!({
            "eventVersion": "1.11", "eventSource": "ec2.amazonaws.com", "eventName": self.call, "awsRegion": region,
            "eventTime": "2026-01-01T00:00:00Z", "eventType": "AwsApiCall", "eventCategory": "Management",
            "managementEvent": true, "readOnly": false, "recipientAccountId": account,
            "userIdentity": {"type": "AssumedRole", "accountId": account},
            "requestParameters": {"groupId": "sg-0123456789abcdef0"}, "responseElements": {"_return": true},
        });
        if let Some(error) = self.error {
            detail["errorCode"] = error.into();
            detail["responseElements"] = Value::Null;
        }
        json!({
            "version": "0", "id": "6a1f6b0e-0000-4000-8000-000000000001", "detail-type": "AWS API Call via CloudTrail",
            "source": "aws.ec2", "account": account, "time": "2026-01-01T00:00:00Z", "region": region, "resources": [],
            "detail": detail,
        })
    }
}

/// A rule of the default bus whose target is the function.
#[derive(Debug)]
pub(super) struct RuleFacts {
    pub(super) name: String,
    pub(super) enabled: bool,
    /// `rate(…)` or `cron(…)`, of a schedule.
    pub(super) schedule: Option<String>,
    /// Which of [`WANTED`] its pattern lets through; `None` without a pattern.
    pub(super) lets_through: Option<Result<Vec<&'static str>, ApiError>>,
    /// The dead-letter queue of the function as its target.
    pub(super) dead_letters: Result<Option<String>, ApiError>,
}

/// All of them, or the action that was refused.
pub(super) type Rules = Result<Vec<RuleFacts>, (&'static str, ApiError)>;

/// A trail that is there in our Region.
#[derive(Debug)]
pub(super) struct TrailFacts {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) home_region: String,
    pub(super) multi_region: bool,
    pub(super) status: Result<Status, ApiError>,
    pub(super) selectors: Result<Selectors, ApiError>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) logging: bool,
    pub(super) delivery_error: Option<String>,
}

/// What a trail logs. Without any selectors, management events of all kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selectors {
    pub(super) basic: Vec<Basic>,
    pub(super) advanced: Vec<Vec<Field>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Basic {
    pub(super) management: bool,
    /// `All`, `WriteOnly` or `ReadOnly`.
    pub(super) read_write: String,
}

/// One condition of an advanced selector. All conditions of a selector must hold; of the lists within one, those that
/// name what is wanted are alternatives, and those that exclude must all be passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) equals: Vec<String>,
    pub(super) starts_with: Vec<String>,
    pub(super) ends_with: Vec<String>,
    pub(super) not_equals: Vec<String>,
    pub(super) not_starts_with: Vec<String>,
    pub(super) not_ends_with: Vec<String>,
}

/// A queue by its ARN, `arn:aws:sqs:REGION:ACCOUNT:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueueName {
    pub(super) region: String,
    pub(super) account: String,
    pub(super) name: String,
}

impl QueueName {
    /// `None` for what is no queue.
    pub(super) fn of_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.split(':').skip(2).map(str::to_owned);
        (parts.next()? == "sqs").then_some(())?;
        let (region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
        (!name.is_empty()).then_some(Self {
            region,
            account,
            name,
        })
    }
}

/// How many read what is published to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readers {
    /// Subscriptions that were confirmed.
    pub(super) confirmed: u32,
    /// Those that nobody has confirmed yet.
    pub(super) pending: u32,
}

/// The readers of a topic; `None` when there is no such topic.
pub(super) type Subscriptions = Result<Option<Readers>, ApiError>;

/// How many messages a queue holds; `None` when there is no such queue.
pub(super) type Waiting = Result<Option<usize>, (&'static str, ApiError)>;
