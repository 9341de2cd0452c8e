//! What the whole-pipeline tests share: moto, and a scene with the built function on the local stack.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary is a crate of its own and uses its own part of this"
)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use rulekeeper_local::{LambdaConfig, Stack, StackConfig};
use serde_json::{Value, json};

/// moto serves until its standard input closes, which happens when the test process ends, however it ends. Its DynamoDB
/// takes one request at a time: by itself it lets concurrent transactions through each other, and a refused one takes the
/// writes of others back with its own.
const SERVE_UNTIL_ORPHANED: &str = "
import sys, threading
from moto.dynamodb.responses import DynamoHandler
from moto.server import ThreadedMotoServer

one_at_a_time, call_action = threading.Lock(), DynamoHandler.call_action

def isolated(handler):
    with one_at_a_time:
        return call_action(handler)

DynamoHandler.call_action = isolated
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print('http://%s:%d' % server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
";

/// The address of a moto that all tests of this process share: a DynamoDB, and a second EC2, that are not ours.
pub fn moto() -> &'static str {
    static MOTO: OnceLock<String> = OnceLock::new();
    MOTO.get_or_init(|| {
        let server = std::env::var("RULEKEEPER_MOTO").expect(
            "RULEKEEPER_MOTO names moto's server program; `make test` installs moto and sets it",
        );
        let python = Path::new(&server).with_file_name("python");
        let child = Command::new(&python)
            .args(["-c", SERVE_UNTIL_ORPHANED])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", python.display()));
        // The handle is kept open for as long as this process lives.
        let child = Box::leak(Box::new(child));
        let mut address = String::new();
        BufReader::new(child.stdout.as_mut().expect("standard output is piped"))
            .read_line(&mut address)
            .expect("moto says where it listens");
        assert!(
            address.starts_with("http://"),
            "moto did not start: {address:?}"
        );
        address.trim().to_owned()
    })
}

/// SDK configuration for a service on loopback.
pub fn sdk_config(endpoint: &str, region: &str) -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let credentials = Credentials::new("test", "test", None, None, "tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(aws_config::Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http)
        .build()
}

/// A table of its own in moto, with the keys of rulekeeper's.
pub struct MotoTable {
    pub client: aws_sdk_dynamodb::Client,
    pub name: String,
}

impl MotoTable {
    pub async fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("rulekeeper-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let client = aws_sdk_dynamodb::Client::new(&sdk_config(moto(), "eu-west-1"));
        let key = |name: &str, kind: KeyType| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
                .expect("complete")
        };
        let text = |name: &str| {
            AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S)
                .build()
                .expect("complete")
        };
        client
            .create_table()
            .table_name(&name)
            .billing_mode(BillingMode::PayPerRequest)
            .key_schema(key("pk", KeyType::Hash))
            .key_schema(key("sk", KeyType::Range))
            .attribute_definitions(text("pk"))
            .attribute_definitions(text("sk"))
            .send()
            .await
            .expect("moto makes a table");
        Self { client, name }
    }

    /// Writes a desired-state item as a person would, past all of our code.
    pub async fn put_desired(&self, account: &str, group: &str, record: &Value) {
        let pk = format!("desired#{account}#eu-west-1");
        self.put(&pk, group, record).await;
    }

    /// Writes any item.
    pub async fn put(&self, pk: &str, sk: &str, item: &Value) {
        let Value::Object(fields) = item else {
            panic!("an item is an object")
        };
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", AttributeValue::S(pk.to_owned()))
            .item("sk", AttributeValue::S(sk.to_owned()));
        let put = fields
            .iter()
            .fold(put, |put, (name, value)| put.item(name, attribute(value)));
        put.send().await.expect("moto takes the item");
    }

    /// The desired-state item of a group of [`ACCOUNT`].
    pub async fn item(&self, group: &str) -> HashMap<String, AttributeValue> {
        let items = self.items(&format!("desired#{ACCOUNT}#eu-west-1")).await;
        let mut items = items.into_iter();
        let item = items.find(|item| item["sk"].as_s().is_ok_and(|sk| sk == group));
        item.expect("the group has a record")
    }

    /// Every item under a partition key, as it came.
    pub async fn items(&self, pk: &str) -> Vec<HashMap<String, AttributeValue>> {
        let found = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .send()
            .await;
        found.expect("moto answers").items.unwrap_or_default()
    }
}

fn attribute(value: &Value) -> AttributeValue {
    match value {
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::Bool(truth) => AttributeValue::Bool(*truth),
        Value::Null => AttributeValue::Null(true),
        Value::Array(list) => AttributeValue::L(list.iter().map(attribute).collect()),
        Value::Object(fields) => AttributeValue::M(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), attribute(value)))
                .collect(),
        ),
    }
}

pub const ACCOUNT: &str = "111122223333";

/// Whom the local stack runs the function as.
pub const FUNCTION_ROLE: &str = "arn:aws:iam::111122223333:role/rulekeeper-function";

/// The built function on the local stack, with moto as its DynamoDB and one group.
pub struct Scene {
    pub stack: Stack,
    pub table: MotoTable,
    pub vpc: String,
    pub group: String,
}

impl Scene {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A scene whose function or delivery differs from the default.
    pub async fn with(change: impl FnOnce(&mut StackConfig)) -> Self {
        let table = MotoTable::create().await;
        let mut lambda = LambdaConfig::program(env!("CARGO_BIN_EXE_rulekeeper-function"));
        lambda
            .env
            .insert("RULEKEEPER_TABLE".to_owned(), table.name.clone());
        lambda
            .env
            .insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), moto().to_owned());
        lambda.retry_waits = vec![Duration::from_millis(100); 2];
        let mut config = StackConfig {
            region: "eu-west-1".to_owned(),
            lambda,
            ..StackConfig::default()
        };
        change(&mut config);
        let stack = Stack::start(config).expect("loopback ports are to be had");
        let ec2 = stack.cloud().ec2().quietly();
        let vpc = ec2.create_vpc("10.0.0.0/16").expect("a VPC");
        let group = ec2.create_group("node-group", &vpc).expect("a group");
        Self {
            stack,
            table,
            vpc,
            group,
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

/// A rule in notation as a record holds it.
pub fn rule_json(rule: &str) -> Value {
    let (protocol, source) = rule.split_once(" from ").expect("rule notation");
    let (name, ports) = protocol.split_once(' ').unwrap_or((protocol, ""));
    let mut record = json!({"protocol": if name == "all" { "-1" } else { name }});
    if !ports.is_empty() {
        let separator = if ports.contains('/') { '/' } else { '-' };
        let (from, to) = ports.split_once(separator).unwrap_or((ports, ports));
        record["from_port"] = from.parse::<i64>().expect("a port").into();
        record["to_port"] = to.parse::<i64>().expect("a port").into();
    }
    if source.starts_with("sg-") {
        record["referenced_group"] = json!({"group_id": source});
    } else if source.starts_with("pl-") {
        record["prefix_list_id"] = source.into();
    } else if source.contains(':') {
        record["cidr_ipv6"] = source.into();
    } else {
        record["cidr_ipv4"] = source.into();
    }
    record
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
