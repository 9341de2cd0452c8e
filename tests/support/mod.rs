//! What the whole-pipeline tests share: moto, and a scene with the built function on the local stack.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary is a crate of its own and uses its own part of this"
)]

mod moto;
pub mod roles;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use rulekeeper_local::{LambdaConfig, Stack, StackConfig};
use serde_json::{Value, json};

pub use moto::{ACCOUNT, MotoTable, moto, rule_json, sdk_config};

/// Whom the local stack runs the function as.
pub const FUNCTION_ROLE: &str = "arn:aws:iam::111122223333:role/rulekeeper-function";

/// The built function on the local stack, with moto as its DynamoDB and one group. The templates' policies judge its calls,
/// and a call that they refuse fails the test.
pub struct Scene {
    pub stack: Arc<Stack>,
    pub table: MotoTable,
    pub vpc: String,
    pub group: String,
    lacks: Option<&'static str>,
}

impl Scene {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A scene whose function or delivery differs from the default.
    pub async fn with(change: impl FnOnce(&mut StackConfig)) -> Self {
        Self::lacking(None, change).await
    }

    /// A scene whose roles lack the statement with this Sid.
    pub async fn lacking(
        lacks: Option<&'static str>,
        change: impl FnOnce(&mut StackConfig),
    ) -> Self {
        let mut lambda = LambdaConfig::program(env!("CARGO_BIN_EXE_rulekeeper-function"));
        lambda.retry_waits = vec![Duration::from_millis(100); 2];
        let mut config = StackConfig {
            region: "eu-west-1".to_owned(),
            dynamodb: Some(moto().to_owned()),
            lambda,
            ..StackConfig::default()
        };
        change(&mut config);
        let table = MotoTable::create_in(&config.region).await;
        let env = &mut config.lambda.env;
        env.entry("RULEKEEPER_TABLE".to_owned())
            .or_insert_with(|| table.name.clone());
        roles::judge(&mut config, lacks);
        let stack = Stack::start(config).expect("loopback ports are to be had");
        let ec2 = stack.cloud().ec2().quietly();
        let vpc = ec2.create_vpc("10.0.0.0/16").expect("a VPC");
        let group = ec2.create_group("node-group", &vpc).expect("a group");
        Self {
            stack: Arc::new(stack),
            table,
            vpc,
            group,
            lacks,
        }
    }

    /// Another group of the same stack.
    pub fn beside(&self, name: &str) -> Self {
        let ec2 = self.stack.cloud().ec2().quietly();
        Self {
            stack: Arc::clone(&self.stack),
            table: self.table.clone(),
            vpc: self.vpc.clone(),
            group: ec2.create_group(name, &self.vpc).expect("a group"),
            lacks: self.lacks,
        }
    }

    /// Makes these rules live and records them.
    pub async fn keep(&self, rules: &[&str]) {
        self.stack
            .cloud()
            .ec2()
            .quietly()
            .authorize(&self.group, rules)
            .expect("the rules are good");
        self.record(rules).await;
    }

    /// Records these rules, in rule notation, without making them live.
    pub async fn record(&self, rules: &[&str]) {
        let rules: Vec<Value> = rules.iter().map(|rule| rule_json(rule)).collect();
        self.record_as(&json!({"schema": 1, "generation": 7, "mode": "enforce", "rules": rules}))
            .await;
    }

    pub async fn record_as(&self, record: &Value) {
        self.table.put_desired(ACCOUNT, &self.group, record).await;
    }

    /// Somebody revokes rules, and the event takes its course.
    pub async fn revoke(&self, rules: &[&str]) {
        self.stack
            .cloud()
            .ec2()
            .revoke(&self.group, rules)
            .expect("the rules are there");
        self.settle().await;
    }

    /// Waits until no event is on its way and no invocation is under way.
    pub async fn settle(&self) {
        let settled = self.stack.lambda().wait_idle(Duration::from_secs(40)).await;
        if let Err(error) = settled {
            panic!(
                "{error}; the function said: {:#?}",
                self.stack.lambda().logs()
            );
        }
    }

    /// The live rules, sorted, whatever reads show.
    pub fn live(&self) -> Vec<String> {
        self.stack.cloud().ec2().rules(&self.group)
    }

    /// Every answer the function gave, in order, but for those to its own authorizes.
    pub fn answers(&self) -> Vec<Value> {
        let invocations = self.stack.lambda().invocations().into_iter();
        let mut answers: Vec<Value> = invocations.map(|it| it.response).collect();
        answers.retain(|answer| {
            answer["trigger"]["principal"] != FUNCTION_ROLE || answer["outcome"] != "ignored"
        });
        answers
    }

    /// Every generation of the record, the present one last.
    pub async fn generations(&self) -> Vec<Generation> {
        let history = format!("history#{ACCOUNT}#eu-west-1#{}", self.group);
        let mut items = self.table.items(&history).await;
        items.push(self.table.item(&self.group).await);
        items.iter().map(Generation::of).collect()
    }

    /// The only answer, or the last of several.
    pub fn answer(&self) -> Value {
        let answers = self.answers();
        answers
            .last()
            .unwrap_or_else(|| panic!("no answer; logs: {:#?}", self.stack.lambda().logs()))
            .clone()
    }

    /// The incidents of the group.
    pub async fn incidents(&self) -> Vec<HashMap<String, AttributeValue>> {
        self.table
            .items(&format!("incident#{ACCOUNT}#eu-west-1#{}", self.group))
            .await
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let refusals = self.stack.cloud().iam().refusals();
        let expected = self.lacks.is_some() || std::thread::panicking();
        assert!(
            expected || refusals.is_empty(),
            "the policies refuse: {refusals:#?}"
        );
    }
}

/// A record as it is or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub number: u64,
    /// In notation, sorted.
    pub rules: Vec<String>,
    /// Empty when the item says nothing of it.
    pub author: String,
    pub reason: String,
}

impl Generation {
    fn of(item: &HashMap<String, AttributeValue>) -> Self {
        let text = |name: &str| {
            let value = item.get(name);
            let text = value.and_then(|value| value.as_s().or(value.as_n()).ok());
            text.cloned().unwrap_or_default()
        };
        let rules = item["rules"].as_l().expect("a list").iter();
        let mut rules: Vec<String> = rules.map(notation).collect();
        rules.sort();
        Self {
            number: text("generation").parse().expect("a number"),
            rules,
            author: text("updated_by"),
            reason: text("reason"),
        }
    }
}

/// `rule outcome` of each line of a report.
pub fn outcomes(report: &Value) -> Vec<String> {
    let lines = report["rules"]
        .as_array()
        .unwrap_or_else(|| panic!("no report: {report:#}"));
    lines
        .iter()
        .map(|line| {
            format!(
                "{} {}",
                line["rule"].as_str().unwrap_or("?"),
                line["outcome"].as_str().unwrap_or("?")
            )
        })
        .collect()
}

/// A rule of a desired-state item in notation; the table holds no rule that a record file could not.
pub fn notation(rule: &AttributeValue) -> String {
    let rule = rule.as_m().expect("a map");
    let text = |name: &str| {
        let value = rule.get(name)?;
        value.as_s().or(value.as_n()).ok().map(String::as_str)
    };
    let protocol = match text("protocol").expect("a protocol") {
        "-1" => "all",
        protocol => protocol,
    };
    let separator = if protocol.starts_with("icmp") {
        '/'
    } else {
        '-'
    };
    let ports = match (text("from_port"), text("to_port")) {
        (Some(from), Some(to)) if from == to && separator == '-' => format!(" {from}"),
        (Some(from), Some(to)) => format!(" {from}{separator}{to}"),
        _ => String::new(),
    };
    let group = rule.get("referenced_group").map(|group| {
        let group = group.as_m().expect("a map");
        group["group_id"].as_s().expect("text").as_str()
    });
    let source = ["cidr_ipv4", "cidr_ipv6", "prefix_list_id"]
        .into_iter()
        .find_map(text);
    format!(
        "{protocol}{ports} from {}",
        source.or(group).expect("a source")
    )
}

/// A revoke as CloudTrail and EventBridge hand it over, of rules given by notation, older form without a rule set.
pub fn revoke_event(account: &str, group: &str, rules: &[&str]) -> Value {
    let permissions: Vec<Value> = rules
        .iter()
        .map(|rule| {
            let rule = rule_json(rule);
            let list = |item: Value| json!({"items": [item]});
            let mut permission = json!({"ipProtocol": rule["protocol"], "groups": {}, "ipRanges": {},
                "ipv6Ranges": {}, "prefixListIds": {}});
            for (from, to) in [("from_port", "fromPort"), ("to_port", "toPort")] {
                if !rule[from].is_null() {
                    permission[to] = rule[from].clone();
                }
            }
            if let Some(cidr) = rule.get("cidr_ipv4") {
                permission["ipRanges"] = list(json!({"cidrIp": cidr}));
            } else if let Some(cidr) = rule.get("cidr_ipv6") {
                permission["ipv6Ranges"] = list(json!({"cidrIpv6": cidr}));
            } else if let Some(list_id) = rule.get("prefix_list_id") {
                permission["prefixListIds"] = list(json!({"prefixListId": list_id}));
            } else {
                let id = &rule["referenced_group"]["group_id"];
                permission["groups"] = list(json!({"groupId": id, "userId": account}));
            }
            permission
        })
        .collect();
    json!({"version": "0", "id": "6a1f6b0e-0000-4000-8000-000000000001", "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.ec2", "account": account, "time": "2026-11-22T09:30:00Z", "region": "eu-west-1",
        "resources": [], "detail": {"eventVersion": "1.11", "eventName": "RevokeSecurityGroupIngress",
        "eventSource": "ec2.amazonaws.com", "eventTime": "2026-11-22T09:30:00Z", "awsRegion": "eu-west-1",
        "recipientAccountId": account, "eventID": "0a0a0a0a-0000-4000-8000-000000000001",
        "userIdentity": {"type": "IAMUser", "arn": format!("arn:aws:iam::{account}:user/ana"), "accountId": account},
        "requestParameters": {"groupId": group, "ipPermissions": {"items": permissions}},
        "responseElements": {"_return": true, "requestId": "1"}}})
}
