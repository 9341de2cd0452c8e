//! Queues, the event source mapping that reads one, and events put on buses. This test program is its own function.

mod common;

use std::time::Duration;

use common::Client;
use rulekeeper_local::{EventSource, QueueConfig, Stack, StackConfig};
use serde_json::{Value, json};

#[test]
fn function_body() {
    common::act_as_function();
}

const SOON: Duration = Duration::from_secs(10);

fn start(queues: Vec<QueueConfig>) -> (Stack, Client) {
    let stack = Stack::start(StackConfig {
        lambda: common::function(),
        queues,
        ..StackConfig::default()
    })
    .expect("the stack starts");
    let client = Client::of(&stack);
    (stack, client)
}

fn parts(batch_size: usize) -> Vec<QueueConfig> {
    let read = QueueConfig {
        visibility_timeout: Duration::from_millis(50),
        redrive: Some((3, "dead".to_owned())),
        event_source: Some(EventSource {
            batch_size,
            concurrency: 2,
        }),
        ..QueueConfig::named("parts")
    };
    vec![QueueConfig::named("dead"), read]
}

fn send(stack: &Stack, client: &Client, bodies: &[&str]) -> Value {
    let entries = bodies.iter().enumerate();
    let entries: Vec<Value> = entries
        .map(|(n, body)| json!({"Id": n.to_string(), "MessageBody": body}))
        .collect();
    let request = json!({"QueueUrl": stack.queues().url("parts"), "Entries": entries});
    client
        .json("AmazonSQS", "SendMessageBatch", &request)
        .json()
}

#[tokio::test]
async fn messages_reach_the_function_and_only_those_that_fail_come_back() {
    let (stack, client) = start(parts(10));
    let sent = send(&stack, &client, &["one", "fail", "two"]);
    assert_eq!(
        sent["Successful"].as_array().map(Vec::len),
        Some(3),
        "{sent}"
    );
    stack.lambda().wait_idle(SOON).await.expect("idle");
    let records = |body: &str| {
        let all = stack.lambda().invocations();
        let records = all
            .iter()
            .filter_map(|one| one.payload["Records"].as_array());
        records
            .flatten()
            .filter(|record| record["body"] == body)
            .count()
    };
    assert_eq!(
        (records("one"), records("two"), records("fail")),
        (1, 1, 3),
        "three receives, then the dead letters"
    );
    assert_eq!(stack.queues().bodies("dead"), ["fail"]);
    assert!(stack.queues().bodies("parts").is_empty());
    let record = &stack.lambda().invocations()[0].payload["Records"][0];
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["eventSourceARN"], stack.queues().arn("parts"));
    stack.shutdown().await;
}

#[tokio::test]
async fn a_batch_is_as_large_as_the_mapping_says() {
    let (stack, client) = start(parts(1));
    send(&stack, &client, &["one", "two", "three"]);
    stack.lambda().wait_idle(SOON).await.expect("idle");
    let all = stack.lambda().invocations();
    // On a busy machine a message may come a second time.
    let bodies = all.iter().map(|one| {
        let records = one.payload["Records"].as_array().expect("a list");
        assert_eq!(records.len(), 1);
        records[0]["body"].to_string()
    });
    let bodies: std::collections::BTreeSet<String> = bodies.collect();
    assert_eq!(bodies.len(), 3);
    stack.shutdown().await;
}

#[test]
fn a_delayed_message_is_counted_and_not_received() {
    let stack = Stack::start(StackConfig {
        queues: vec![QueueConfig::named("parts")],
        ..StackConfig::default()
    })
    .expect("the stack starts");
    let client = Client::of(&stack);
    let url = stack.queues().url("parts");
    let ask = |action: &str, request: Value| client.json("AmazonSQS", action, &request).json();
    ask(
        "SendMessage",
        json!({"QueueUrl": url, "MessageBody": "later", "DelaySeconds": 60}),
    );
    ask(
        "SendMessage",
        json!({"QueueUrl": url, "MessageBody": "now"}),
    );
    let received = ask(
        "ReceiveMessage",
        json!({"QueueUrl": url, "MaxNumberOfMessages": 10}),
    );
    assert_eq!(
        received["Messages"].as_array().map(Vec::len),
        Some(1),
        "{received}"
    );
    let attributes = ask(
        "GetQueueAttributes",
        json!({"QueueUrl": url, "AttributeNames": ["All"]}),
    );
    let counts = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ];
    assert_eq!(
        counts.map(|name| attributes["Attributes"][name].clone()),
        ["0", "1", "1"]
    );
    let receipt = &received["Messages"][0]["ReceiptHandle"];
    ask(
        "DeleteMessage",
        json!({"QueueUrl": url, "ReceiptHandle": receipt}),
    );
    assert_eq!(stack.queues().bodies("parts"), ["later"]);
}

#[test]
fn limits_are_kept_and_unknown_queues_refused() {
    let stack = Stack::start(StackConfig {
        queues: vec![QueueConfig::named("parts")],
        ..StackConfig::default()
    })
    .expect("the stack starts");
    let client = Client::of(&stack);
    let eleven: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let eleven: Vec<&str> = eleven.iter().map(String::as_str).collect();
    assert_eq!(
        send(&stack, &client, &eleven)["__type"],
        "TooManyEntriesInBatchRequest"
    );
    assert_eq!(send(&stack, &client, &[])["__type"], "EmptyBatchRequest");
    // A message may be as large as a whole batch.
    let largest = "x".repeat(1024 * 1024);
    let sent = send(&stack, &client, &[&largest]);
    assert!(
        sent["Successful"].is_array() && sent["Failed"] == json!([]),
        "{sent}"
    );
    let refused = send(&stack, &client, &[&largest, "x"]);
    assert_eq!(refused["__type"], "BatchRequestTooLong");
    let over = json!({"QueueUrl": stack.queues().url("parts"), "MessageBody": largest + "x"});
    let over = client.json("AmazonSQS", "SendMessage", &over);
    over.assert_refused(400, "InvalidParameterValue");
    let nowhere = json!({"QueueUrl": "https://sqs.us-east-1.amazonaws.com/111122223333/none", "MessageBody": "x"});
    let reply = client.json("AmazonSQS", "SendMessage", &nowhere);
    assert_eq!(
        (reply.status, reply.json()["__type"].clone()),
        (400, json!("QueueDoesNotExist"))
    );
    let reply = client.json("AmazonSQS", "PurgeQueue", &json!({}));
    assert!(
        reply
            .body
            .contains("rulekeeper-local does not imitate sqs:PurgeQueue"),
        "{}",
        reply.body
    );
}

#[test]
fn events_put_on_a_bus_are_kept_and_bad_ones_fail_by_themselves() {
    let stack = Stack::start(StackConfig::default()).expect("the stack starts");
    let client = Client::of(&stack);
    let entry = |source: &str, detail: &str| json!({"EventBusName": "results", "Source": source, "DetailType": "Sweep", "Detail": detail});
    let entries = [
        entry("rulekeeper", r#"{"n": 1}"#),
        entry("aws.ec2", "{}"),
        entry("rulekeeper", "{"),
    ];
    let reply = client
        .json("AWSEvents", "PutEvents", &json!({"Entries": entries}))
        .json();
    assert_eq!(reply["FailedEntryCount"], 2, "{reply}");
    // An entry is as large as its source, its type and its detail.
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - "rulekeeperSweep".len() - 2));
    for (bytes, fails) in [(256 * 1024, 0), (256 * 1024 + 1, 1)] {
        let entries = json!({"Entries": [entry("rulekeeper", &text(bytes))]});
        let reply = client.json("AWSEvents", "PutEvents", &entries).json();
        assert_eq!(reply["FailedEntryCount"], fails, "{bytes}");
    }
    let kept = stack.buses().events();
    assert_eq!(kept.len(), 2);
    assert_eq!(
        (kept[0].bus.as_str(), &kept[0].detail),
        ("results", &json!({"n": 1}))
    );
}
