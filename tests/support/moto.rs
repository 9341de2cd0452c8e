//! moto: a DynamoDB, and a second EC2, that are not ours.
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

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use serde_json::{Value, json};

pub const ACCOUNT: &str = "111122223333";

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
        // Its standard input stays open for as long as this process lives.
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
#[derive(Clone)]
pub struct MotoTable {
    pub client: aws_sdk_dynamodb::Client,
    pub name: String,
}

impl MotoTable {
    pub async fn create() -> Self {
        Self::create_in("eu-west-1").await
    }

    pub async fn create_in(region: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("rulekeeper-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self::named_in(name, region).await
    }

    /// An empty table of this name.
    pub async fn named(name: String) -> Self {
        Self::named_in(name, "eu-west-1").await
    }

    async fn named_in(name: String, region: &str) -> Self {
        let client = aws_sdk_dynamodb::Client::new(&sdk_config(moto(), region));
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
