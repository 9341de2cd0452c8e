//! The cloud in which it is played, and its records.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use rulekeeper_local::{Bucket, Delivery, EventSource, QueueConfig, Stack, StackConfig};

use rulekeeper_bench::Failure;
use rulekeeper_bench::client::dynamodb;
use rulekeeper_bench::stack::{self, TABLE};

const QUEUE: &str = "sweeps";
pub(crate) const DEAD_SWEEPS: &str = "sweeps-dead-letters";

/// DynamoDB takes 25 items in a call.
const ITEMS_PER_CALL: usize = 25;

/// EC2's buckets for filtered reads and for authorizes (EC2 Developer Guide, "Request throttling").
const LIMITS: [(&str, Bucket); 2] = [
    (
        "DescribeSecurityGroupRules",
        Bucket {
            burst: 100.0,
            per_second: 20.0,
        },
    ),
    (
        "AuthorizeSecurityGroupIngress",
        Bucket {
            burst: 50.0,
            per_second: 5.0,
        },
    ),
];

/// A cloud at EC2's limits, with the function as `template.yaml` has it.
pub(crate) fn start(function: &Path, delivery: Delivery, quota: u32) -> Result<Stack, Failure> {
    let mut config = stack::config(Some(function.to_path_buf()));
    let queue = format!(
        "https://sqs.{}.amazonaws.com/{}/{QUEUE}",
        config.region, config.account
    );
    for (name, value) in [
        ("RULEKEEPER_SWEEP_QUEUE", queue.as_str()),
        ("RULEKEEPER_RULES_PER_GROUP", &quota.to_string()),
        ("RULEKEEPER_LOG", "warn"),
    ] {
        config.lambda.env.insert(name.to_owned(), value.to_owned());
    }
    let source = EventSource {
        batch_size: 1,
        concurrency: 2,
    };
    let sweeps = QueueConfig {
        visibility_timeout: Duration::from_secs(180),
        redrive: Some((3, DEAD_SWEEPS.to_owned())),
        event_source: Some(source),
        ..QueueConfig::named(QUEUE)
    };
    let stack = Stack::start(StackConfig {
        delivery,
        queues: vec![QueueConfig::named(DEAD_SWEEPS), sweeps],
        ..config
    })?;
    stack.cloud().adjust(|dials| {
        dials.quota = quota;
        let limits = LIMITS.map(|(action, bucket)| (action.to_owned(), bucket));
        dials.throttles.extend(limits);
    });
    Ok(stack)
}

/// Makes so many groups with so many live rules each.
pub(crate) fn groups(
    stack: &Stack,
    count: usize,
    rules: &[String],
) -> Result<Vec<String>, Failure> {
    let ec2 = stack.cloud().ec2().quietly();
    let vpc = ec2.create_vpc("10.0.0.0/16")?;
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let mut groups = Vec::new();
    for number in 0..count {
        let group = ec2.create_group(&format!("group-{number}"), &vpc)?;
        ec2.authorize(&group, &rules)?;
        groups.push(group);
    }
    Ok(groups)
}

/// So many different rules.
pub(crate) fn rules(count: usize) -> Vec<String> {
    let rule = |number| format!("tcp {} from 10.0.0.0/8", 1_000 + number);
    (0..count).map(rule).collect()
}

/// Records these rules as what each of the groups should hold.
pub(crate) async fn record(
    stack: &Stack,
    groups: &[String],
    rules: &[String],
) -> Result<(), Failure> {
    let table = dynamodb(stack);
    let scope = format!(
        "desired#{}#{}",
        stack.cloud().account(),
        stack.cloud().region()
    );
    let rules = AttributeValue::L(rules.iter().map(|rule| recorded(rule)).collect());
    for groups in groups.chunks(ITEMS_PER_CALL) {
        let writes = groups.iter().map(|group| {
            let item = HashMap::from([
                ("pk".to_owned(), text(&scope)),
                ("sk".to_owned(), text(group)),
                ("schema".to_owned(), number("1")),
                ("generation".to_owned(), number("1")),
                ("rules".to_owned(), rules.clone()),
            ]);
            let put = PutRequest::builder().set_item(Some(item)).build()?;
            Ok(WriteRequest::builder().put_request(put).build())
        });
        let writes = writes.collect::<Result<Vec<_>, Failure>>()?;
        let answer = table
            .batch_write_item()
            .request_items(TABLE, writes)
            .send()
            .await?;
        if answer
            .unprocessed_items()
            .is_some_and(|left| !left.is_empty())
        {
            return Err("the embedded table did not take all records".into());
        }
    }
    Ok(())
}

/// A rule `tcp PORT from CIDR` as a record holds it.
fn recorded(rule: &str) -> AttributeValue {
    let words: Vec<&str> = rule.split(' ').collect();
    let fields = [
        ("protocol", text(words[0])),
        ("from_port", number(words[1])),
        ("to_port", number(words[1])),
        ("cidr_ipv4", text(words[3])),
    ];
    AttributeValue::M(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(digits: &str) -> AttributeValue {
    AttributeValue::N(digits.to_owned())
}
