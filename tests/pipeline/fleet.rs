//! Sweeps of more groups than one invocation has time for, and of several accounts.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use rulekeeper_local::{Bucket, EventSource, Fault, Identity, QueueConfig, StackConfig};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, Scene, rule_json, sdk_config};

const OFFICE: &str = "tcp 443 from 10.0.0.0/8";
const ROLE: &str = "rulekeeper-member";

const TABLE: &str = "rulekeeper";

/// How many groups there are. Every other record cannot be understood, so that answers are soon full.
const GROUPS: u64 = 1_200;

/// A function with the stack's own table: moto takes seconds for a thousand records.
async fn scene(with_queue: bool) -> Scene {
    Scene::with(|config| {
        config.table = Some(TABLE.to_owned());
        let env = &mut config.lambda.env;
        env.insert("RULEKEEPER_TABLE".to_owned(), TABLE.to_owned());
        config.dynamodb = None;
        if with_queue {
            add_queue(config);
        }
    })
    .await
}

pub(crate) fn add_queue(config: &mut StackConfig) {
    let env = &mut config.lambda.env;
    let url = format!("https://sqs.eu-west-1.amazonaws.com/{ACCOUNT}/sweeps");
    env.insert("RULEKEEPER_SWEEP_QUEUE".to_owned(), url);
    env.insert("RULEKEEPER_RESULTS_BUS".to_owned(), "results".to_owned());
    let source = EventSource {
        batch_size: 1,
        concurrency: 2,
    };
    config.queues = vec![
        QueueConfig::named("dead"),
        QueueConfig {
            visibility_timeout: Duration::from_secs(20),
            redrive: Some((3, "dead".to_owned())),
            event_source: Some(source),
            ..QueueConfig::named("sweeps")
        },
    ];
}

/// Groups with a rule each, of which four lost theirs and nobody told.
async fn fleet(scene: &Scene) -> Vec<String> {
    let ec2 = scene.stack.cloud().ec2().quietly();
    let table = aws_sdk_dynamodb::Client::new(&sdk_config(&scene.stack.endpoint(), "eu-west-1"));
    let groups: Vec<String> = (0..GROUPS)
        .map(|number| {
            let name = format!("group-{number}");
            let group = ec2.create_group(&name, &scene.vpc).expect("a group");
            if number % 300 != 0 {
                ec2.authorize(&group, &[OFFICE]).expect("good");
            }
            group
        })
        .collect();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let number = |digits: &str| AttributeValue::N(digits.to_owned());
    let rule = HashMap::from([
        ("protocol".to_owned(), text("tcp")),
        ("from_port".to_owned(), number("443")),
        ("to_port".to_owned(), number("443")),
        ("cidr_ipv4".to_owned(), text("10.0.0.0/8")),
    ]);
    let mut written = 0;
    for groups in groups.chunks(25) {
        let puts = groups.iter().map(|group| {
            written += 1;
            let rules = match written % 2 {
                1 => AttributeValue::L(vec![AttributeValue::M(rule.clone())]),
                _ => text("unreadable"),
            };
            let item = HashMap::from([
                (
                    "pk".to_owned(),
                    text(&format!("desired#{ACCOUNT}#eu-west-1")),
                ),
                ("sk".to_owned(), text(group)),
                ("schema".to_owned(), number("1")),
                ("generation".to_owned(), number("1")),
                ("rules".to_owned(), rules),
            ]);
            let put = PutRequest::builder().set_item(Some(item)).build();
            WriteRequest::builder()
                .put_request(put.expect("complete"))
                .build()
        });
        let write = table.batch_write_item();
        let write = write.request_items(TABLE, puts.collect());
        write.send().await.expect("the table takes the items");
    }
    groups
}

fn open(scene: &Scene, groups: &[String]) -> usize {
    let ec2 = scene.stack.cloud().ec2();
    groups
        .iter()
        .filter(|group| ec2.rules(group).is_empty())
        .count()
}

/// The sweeps' own answers, off the log: a queue is told only which messages failed.
fn sweeps(scene: &Scene) -> Vec<Value> {
    let lines = scene.stack.lambda().logs().into_iter();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line.text).ok());
    let reports = lines.filter(|line| line["message"] == "report");
    let reports = reports.map(|line| line["report"].clone());
    reports
        .filter(|report| report["sweep"].is_object())
        .collect()
}

fn total(sweeps: &[Value], name: &str) -> u64 {
    let counts = sweeps
        .iter()
        .filter_map(|sweep| sweep["sweep"][name].as_u64());
    counts.sum()
}

#[tokio::test]
async fn a_sweep_that_one_invocation_cannot_finish_is_finished_by_others() {
    let scene = scene(true).await;
    let groups = fleet(&scene).await;
    assert_eq!(open(&scene, &groups), 4);
    scene.stack.bridge().schedule("sweep");
    scene.settle().await;
    assert_eq!(open(&scene, &groups), 0);
    let sweeps = sweeps(&scene);
    assert!(
        sweeps.len() > 2,
        "one answer has room for a few hundred groups: {}",
        sweeps.len()
    );
    assert!(
        sweeps[0]["handed_over"]["sweeps"].is_u64(),
        "{:#}",
        sweeps[0]
    );
    assert_eq!(
        (total(&sweeps, "groups"), total(&sweeps, "restored")),
        (1_200, 4)
    );
    assert!(scene.stack.lambda().dead_letters().is_empty());
    assert!(scene.stack.queues().bodies("dead").is_empty());
    // Lambda tells the bus of what it invokes asynchronously; of the parts the function does.
    let told = scene.stack.buses().events();
    assert_eq!(told.len(), sweeps.len() - 1);
    let of_parts: u64 = total(&sweeps[1..], "groups");
    let told: Vec<Value> = told
        .iter()
        .map(|event| event.detail["responsePayload"].clone())
        .collect();
    assert_eq!(total(&told, "groups"), of_parts);
}

#[tokio::test]
async fn a_part_whose_reads_fail_for_a_while_is_finished() {
    let scene = scene(true).await;
    let groups = fleet(&scene).await;
    // The last of all ids is in a part that is handed over; reads of it fail as often as the SDK repeats one.
    let last = groups.iter().max().expect("there are groups");
    let fault = Fault::error("DescribeSecurityGroupRules", "InternalError", 500);
    let fault = fault.mentioning(last).times(12);
    scene.stack.cloud().adjust(|dials| dials.faults.push(fault));
    scene.stack.bridge().schedule("sweep");
    scene.settle().await;
    assert_eq!(open(&scene, &groups), 0, "{:#?}", sweeps(&scene));
    assert!(scene.stack.queues().bodies("dead").is_empty());
    let sweeps = sweeps(&scene);
    let reads = scene.stack.cloud().count("DescribeSecurityGroupRules");
    assert!(reads > 12 + 1_200 / 200, "{reads}");
    assert_eq!(total(&sweeps, "restored"), 4, "each group once");
}

#[tokio::test]
async fn without_a_queue_lambda_calls_again_and_the_sweep_goes_on_where_it_stopped() {
    let scene = scene(false).await;
    let groups = fleet(&scene).await;
    let mut rounds = 0;
    while open(&scene, &groups) > 0 {
        rounds += 1;
        assert!(rounds <= 3, "no group starves: {:#?}", sweeps(&scene));
        scene.stack.bridge().schedule("sweep");
        scene.settle().await;
    }
    let first = &sweeps(&scene)[0];
    let reason = first["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("the answer was full after sg-"),
        "{first:#}"
    );
    // Each group is looked at once in a circle.
    let restored = total(&sweeps(&scene), "restored");
    assert_eq!(restored, 4);
}

#[tokio::test]
async fn the_schedule_sweeps_every_account_and_region_with_records_and_one_that_says_no_holds_back_nobody()
 {
    let scene = Scene::with(|config| {
        add_queue(config);
        let env = &mut config.lambda.env;
        env.insert("RULEKEEPER_ROLE_NAME".to_owned(), ROLE.to_owned());
    })
    .await;
    scene.keep(&[OFFICE]).await;
    let refused = format!("arn:aws:iam::777788889999:role/{ROLE}");
    let refusal = Fault::error("AssumeRole", "AccessDenied", 403);
    let refusal = refusal.mentioning(&refused).times(1_000);
    scene
        .stack
        .cloud()
        .adjust(|dials| dials.faults.push(refusal));
    let mut members = Vec::new();
    for (account, region) in [
        ("444455556666", "eu-west-1"),
        ("444455556666", "ap-south-1"),
        ("777788889999", "eu-west-1"),
    ] {
        let them = Identity::user(account, "them");
        let ec2 = scene
            .stack
            .cloud()
            .ec2()
            .acting_as(them)
            .in_region(region)
            .quietly();
        let vpc = ec2.create_vpc("10.0.0.0/16").expect("a VPC");
        let group = ec2.create_group("web", &vpc).expect("a group");
        let record = json!({"schema": 1, "generation": 1, "rules": [rule_json(OFFICE)]});
        let pk = format!("desired#{account}#{region}");
        scene.table.put(&pk, &group, &record).await;
        let key = format!("{account}#{region}");
        scene.table.put("fleet", &key, &json!({})).await;
        members.push((account, ec2, group));
    }
    scene.stack.bridge().schedule("sweep");
    scene.settle().await;
    for (account, ec2, group) in members {
        let is_back = ec2.rules(&group) == [OFFICE];
        assert_eq!(is_back, account != "777788889999", "{account}");
    }
    let sweeps = sweeps(&scene);
    assert_eq!(sweeps[0]["handed_over"]["sweeps"], 3, "{:#}", sweeps[0]);
    let denied = sweeps.iter().find(|sweep| {
        let reason = sweep["reason"].as_str().unwrap_or_default();
        reason.contains("777788889999")
    });
    assert!(denied.is_some(), "{sweeps:#?}");
    assert!(
        scene.stack.queues().bodies("dead").is_empty(),
        "another try would not help"
    );
}

#[tokio::test]
async fn a_scope_becomes_known_by_its_first_event() {
    let scene = Scene::with(|config| {
        let env = &mut config.lambda.env;
        env.insert("RULEKEEPER_ROLE_NAME".to_owned(), ROLE.to_owned());
    })
    .await;
    let them = Identity::user("444455556666", "them");
    let ec2 = scene.stack.cloud().ec2().acting_as(them);
    let quiet = ec2.clone().quietly();
    let vpc = quiet.create_vpc("10.0.0.0/16").expect("a VPC");
    let group = quiet.create_group("web", &vpc).expect("a group");
    quiet.authorize(&group, &[OFFICE]).expect("good");
    let record = json!({"schema": 1, "generation": 1, "rules": [rule_json(OFFICE)]});
    scene
        .table
        .put("desired#444455556666#eu-west-1", &group, &record)
        .await;
    ec2.revoke(&group, &[OFFICE]).expect("live");
    scene.settle().await;
    let known = scene.table.items("fleet").await;
    let keys: Vec<&String> = known
        .iter()
        .filter_map(|item| item["sk"].as_s().ok())
        .collect();
    assert_eq!(keys, ["444455556666#eu-west-1"]);
}

#[tokio::test]
async fn while_ec2_throttles_the_table_answers_events_whose_rules_are_back() {
    let scene = Scene::with(|config| {
        config.delivery.delay_ms = 2_500;
        config.delivery.duplicates = 1;
        config.lambda.concurrency = 4;
    })
    .await;
    let rules: Vec<String> = (0..50)
        .map(|number| format!("tcp {} from 10.0.0.0/8", 1_000 + number))
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    scene.keep(&rules).await;
    let reads = Bucket {
        burst: 5.0,
        per_second: 10.0,
    };
    scene.stack.cloud().adjust(|dials| {
        let limit = ("DescribeSecurityGroupRules".to_owned(), reads);
        dials.throttles.extend([limit]);
    });
    let ec2 = scene.stack.cloud().ec2();
    for rule in &rules {
        ec2.revoke(&scene.group, &[rule]).expect("live");
    }
    scene.settle().await;
    assert_eq!(scene.live().len(), 50);
    let answers = scene.answers();
    let revokes = |answer: &&Value| answer["trigger"]["event_name"] == "RevokeSecurityGroupIngress";
    assert_eq!(answers.iter().filter(revokes).count(), 100);
    let from_table = answers.iter().filter(|answer| {
        let reason = answer["reason"].as_str().unwrap_or_default();
        reason.contains("the group was not read again")
    });
    let from_table = from_table.count();
    assert!(from_table > 20, "{from_table} of 100");
}
