//! The stack with EC2's limits, and groups whose live rules are recorded.

use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use rulekeeper_bench::Result;
use rulekeeper_bench::client::{dynamodb, record};
use rulekeeper_bench::stack::{self, TABLE};
use rulekeeper_local::{Bucket, Delivery, Ec2, EventSource, QueueConfig, Stack, StackConfig};

use crate::TIMEOUT;

const QUEUE: &str = "sweeps";
const DEAD_LETTER_QUEUE: &str = "sweeps-dead-letters";

/// BatchWriteItem takes at most 25 items.
const ITEMS_PER_CALL: usize = 25;

/// The default quota of a security group (VPC User Guide, "Amazon VPC quotas").
const RULES_PER_GROUP: usize = 60;

/// EC2's buckets for filtered reads and for authorizes (EC2 Developer Guide, "Request throttling").
const LIMITS: [(&str, Bucket); 3] = [
    (
        "DescribeSecurityGroups",
        Bucket {
            burst: 100.0,
            per_second: 20.0,
        },
    ),
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

/// A stack, and the groups that rulekeeper keeps in it.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) stack: Stack,
    pub(crate) groups: Vec<String>,
    /// The rules that each group has, and that its record holds.
    pub(crate) rules: Vec<String>,
}

impl Setup {
    /// Starts the stack, with the function and the queue as in `template.yaml`, and makes groups with so many rules each.
    /// With a time they are to be watched, and an invocation may last so long.
    pub(crate) async fn start(
        function: &Path,
        delivery: Delivery,
        groups: usize,
        rules: usize,
        watch: Option<Duration>,
    ) -> Result<Self> {
        let stack = start_stack(function, delivery, rules.max(RULES_PER_GROUP), watch)?;
        let rule = |number| format!("tcp {} from 10.0.0.0/8", 1_000 + number);
        let rules: Vec<String> = (0..rules).map(rule).collect();
        let groups = create_groups(&stack.cloud().ec2().quietly(), groups, &rules)?;
        let setup = Self {
            stack,
            groups,
            rules,
        };
        setup.write_records(watch.is_some()).await?;
        Ok(setup)
    }

    /// How many groups lack rules.
    pub(crate) fn drifted(&self) -> usize {
        let ec2 = self.stack.cloud().ec2();
        let drifted = |group: &&String| ec2.rules(group).len() != self.rules.len();
        self.groups.iter().filter(drifted).count()
    }

    /// How many events and messages the function never handled.
    pub(crate) fn dead_letters(&self) -> usize {
        let messages = self.stack.queues().bodies(DEAD_LETTER_QUEUE);
        self.stack.lambda().dead_letters().len() + messages.len()
    }

    /// Waits until no event is on its way and no invocation runs.
    pub(crate) async fn wait_idle(&self) -> Result<()> {
        Ok(self.stack.lambda().wait_idle(TIMEOUT).await?)
    }

    /// Writes the record of every group.
    async fn write_records(&self, watch: bool) -> Result<()> {
        let table = dynamodb(&self.stack);
        let stack = &self.stack;
        let rules: Vec<&str> = self.rules.iter().map(String::as_str).collect();
        for groups in self.groups.chunks(ITEMS_PER_CALL) {
            let writes = groups.iter().map(|group| {
                let mut item = record(stack, group, &rules);
                if watch {
                    item.insert("watch".to_owned(), AttributeValue::Bool(true));
                }
                let put = PutRequest::builder().set_item(Some(item)).build()?;
                Ok(WriteRequest::builder().put_request(put).build())
            });
            let writes = writes.collect::<Result<Vec<_>>>()?;
            let call = table.batch_write_item().request_items(TABLE, writes);
            let unprocessed = call.send().await?.unprocessed_items;
            if unprocessed.is_some_and(|items| !items.is_empty()) {
                return Err("the embedded table did not take all records".into());
            }
        }
        Ok(())
    }
}

fn start_stack(
    function: &Path,
    delivery: Delivery,
    quota: usize,
    watch: Option<Duration>,
) -> Result<Stack> {
    let mut config = stack::config(Some(function.to_path_buf()));
    config.lambda.timeout = watch.unwrap_or(config.lambda.timeout);
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
        redrive: Some((3, DEAD_LETTER_QUEUE.to_owned())),
        event_source: Some(source),
        ..QueueConfig::named(QUEUE)
    };
    let stack = Stack::start(StackConfig {
        delivery,
        queues: vec![QueueConfig::named(DEAD_LETTER_QUEUE), sweeps],
        ..config
    })?;
    let quota = u32::try_from(quota)?;
    stack.cloud().adjust(|dials| {
        dials.quota = quota;
        let limits = LIMITS.map(|(action, bucket)| (action.to_owned(), bucket));
        dials.throttles.extend(limits);
    });
    Ok(stack)
}

fn create_groups(ec2: &Ec2, count: usize, rules: &[String]) -> Result<Vec<String>> {
    let vpc = ec2.create_vpc("10.0.0.0/16")?;
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let create = |number| {
        let group = ec2.create_group(&format!("group-{number}"), &vpc)?;
        ec2.authorize(&group, &rules)?;
        Ok(group)
    };
    (0..count).map(create).collect()
}
