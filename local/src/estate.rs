//! The resources around the function, as the control planes show them: the trail, the event rules, the function's settings, topics, the table's backups, AWS's clock. They can be set in process and, as the same JSON, at `/_local/estate`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The resources. The default is what `template.yaml` makes, without the queues: those exist only if they are named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Estate {
    /// CloudTrail's trails. Events reach EventBridge while one of them is logging.
    pub trails: Vec<Trail>,
    /// The rules of the default bus that have the function as their target. Events reach it while one with a pattern is enabled.
    pub rules: Vec<Rule>,
    /// The function, as Lambda shows it.
    pub function: FunctionState,
    /// The confirmed subscriptions of each topic, by its name. Other topics do not exist.
    pub topics: BTreeMap<String, u32>,
    /// Whether tables have point-in-time recovery.
    pub backups: bool,
    /// How far the `Date` of every answer is ahead of this machine's clock, in milliseconds.
    pub clock_offset_ms: i64,
}

impl Default for Estate {
    fn default() -> Self {
        Self {
            trails: vec![Trail::default()],
            rules: vec![Rule::ingress_dropped(), Rule::sweep()],
            function: FunctionState::default(),
            topics: BTreeMap::new(),
            backups: true,
            clock_offset_ms: 0,
        }
    }
}

impl Estate {
    /// Whether calls become events for the function.
    pub(crate) fn delivers_events(&self) -> bool {
        self.trails.iter().any(|trail| trail.logging)
            && self
                .rules
                .iter()
                .any(|rule| rule.enabled && rule.event_pattern.is_some())
    }
}

/// A trail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trail {
    /// Its name.
    pub name: String,
    /// Its home Region; the stack's Region when empty.
    pub home_region: String,
    /// Whether it records every Region.
    pub multi_region: bool,
    /// Whether it is logging.
    pub logging: bool,
    /// `EventSelectors`, as the API writes them. They are only shown: all events are recorded.
    pub event_selectors: Value,
    /// `AdvancedEventSelectors`, only shown as well; if there are any, they replace the others.
    pub advanced_event_selectors: Value,
    /// The error of the latest delivery to the trail's bucket, if there was one.
    pub latest_delivery_error: Option<String>,
}

impl Default for Trail {
    fn default() -> Self {
        Self {
            name: "management".to_owned(),
            home_region: String::new(),
            multi_region: true,
            logging: true,
            event_selectors: json!([{
                "ReadWriteType": "All", "IncludeManagementEvents": true, "DataResources": [],
                "ExcludeManagementEventSources": [],
            }]),
            advanced_event_selectors: json!([]),
            latest_delivery_error: None,
        }
    }
}

/// A rule whose target is the function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Whether it is enabled.
    pub enabled: bool,
    /// The pattern of a rule for events; it is only shown, TestEventPattern can test it.
    pub event_pattern: Option<Value>,
    /// The expression of a schedule; it is only shown.
    pub schedule: Option<String>,
    /// The name of the target's dead-letter queue.
    pub dead_letters: Option<String>,
}

impl Rule {
    /// The event rule, with the pattern of `template.yaml`.
    #[must_use]
    pub fn ingress_dropped() -> Self {
        let succeeded = [
            "RevokeSecurityGroupIngress",
            "ModifySecurityGroupRules",
            "UpdateSecurityGroupRuleDescriptionsIngress",
        ];
        let also_refused = ["AuthorizeSecurityGroupIngress", "DeleteSecurityGroup"];
        let pattern = json!({
            "source": ["aws.ec2"], "detail-type": ["AWS API Call via CloudTrail"],
            "detail": {
                "eventSource": ["ec2.amazonaws.com"],
                "$or": [
                    {"eventName": succeeded, "errorCode": [{"exists": false}]},
                    {"eventName": also_refused},
                ],
            },
        });
        Self {
            name: "rulekeeper-ingress-dropped".to_owned(),
            enabled: true,
            event_pattern: Some(pattern),
            ..Self::default()
        }
    }

    /// The schedule of sweeps.
    #[must_use]
    pub fn sweep() -> Self {
        Self {
            name: "rulekeeper-sweep".to_owned(),
            enabled: true,
            schedule: Some("rate(15 minutes)".to_owned()),
            ..Self::default()
        }
    }
}

/// The function, as Lambda shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionState {
    /// The function does not exist; invocations under way go on.
    pub absent: bool,
    /// `State`.
    pub state: String,
    /// `LastUpdateStatus`.
    pub last_update: String,
    /// `Runtime`.
    pub runtime: String,
    /// The one entry of `Architectures`.
    pub architecture: String,
    /// Reserved concurrency; 0 refuses synchronous invocations. The number of instances is `LambdaConfig::concurrency`.
    pub reserved_concurrency: Option<u32>,
    /// The name of the queue behind the on-failure destination; without one there is no configuration for asynchronous invocations.
    pub on_failure: Option<String>,
}

impl Default for FunctionState {
    fn default() -> Self {
        Self {
            absent: false,
            state: "Active".to_owned(),
            last_update: "Successful".to_owned(),
            runtime: "provided.al2023".to_owned(),
            architecture: "arm64".to_owned(),
            reserved_concurrency: None,
            on_failure: None,
        }
    }
}
