//! Where somebody is listed, a missing rule waits for the event that says who took it.

use std::time::Duration;

use rulekeeper_local::{Ec2, Identity};
use serde_json::{Value, json};

use crate::fleet::add_queue;
use crate::support::{ACCOUNT, Scene, rule_json};

const TERRAFORM: &str = "arn:aws:iam::111122223333:role/terraform";
const RULES: [&str; 8] = [
    "tcp 22 from 192.0.2.0/24",
    "tcp 443 from 10.0.0.0/8",
    "tcp 5432 from 10.0.0.0/8",
    "tcp 6379 from 10.0.0.0/8",
    "tcp 8080 from 10.0.0.0/8",
    "tcp 9090 from 10.0.0.0/8",
    "udp 53 from ::/0",
    "udp 123 from ::/0",
];

/// The rules that a decision closes: half of the record, so that it is no large change.
const CLOSED: [&str; 4] = [RULES[0], RULES[2], RULES[4], RULES[6]];

fn kept() -> Vec<&'static str> {
    let kept = RULES.into_iter().filter(|rule| !CLOSED.contains(rule));
    kept.collect()
}

/// Rules that are live and recorded, with Terraform accepted.
async fn keep(scene: &Scene, wait_seconds: u16) {
    let ec2 = scene.stack.cloud().ec2().quietly();
    ec2.authorize(&scene.group, &RULES).expect("good rules");
    let rules: Vec<Value> = RULES.iter().map(|rule| rule_json(rule)).collect();
    let record = json!({"schema": 1, "generation": 1, "mode": "enforce", "rules": rules,
        "cause_wait_seconds": wait_seconds, "principals": [{"arn": TERRAFORM, "policy": "accept"}]});
    scene.record_as(&record).await;
}

fn sorted(rules: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    let mut rules: Vec<String> = rules.into_iter().map(Into::into).collect();
    rules.sort();
    rules
}

fn terraform(scene: &Scene) -> Ec2 {
    let ec2 = scene.stack.cloud().ec2();
    ec2.acting_as(Identity::assumed_role(ACCOUNT, "terraform", "apply"))
}

#[tokio::test]
async fn a_decision_of_many_calls_stays_closed_while_its_events_come_late_and_in_any_order() {
    let scene = Scene::with(|config| {
        let delivery = &mut config.delivery;
        (delivery.delay_ms, delivery.jitter_ms) = (300, 1_500);
        (delivery.reorder_window_ms, delivery.duplicates) = (1_000, 1);
    })
    .await;
    keep(&scene, 180).await;
    let ec2 = terraform(&scene);
    for rule in CLOSED {
        ec2.revoke(&scene.group, &[rule]).expect("live");
        scene.stack.bridge().schedule("rulekeeper-sweep");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    scene.settle().await;
    assert_eq!(sorted(scene.live()), sorted(kept()));
    let generations = scene.generations().await;
    let last = generations.last().expect("a record");
    assert_eq!(sorted(last.rules.clone()), sorted(kept()));
    assert_eq!(last.author, TERRAFORM);
    for answer in scene.answers() {
        let calls = &answer["calls"]["AuthorizeSecurityGroupIngress"];
        assert!(calls.is_null(), "nothing was opened again: {answer:#}");
    }
}

#[tokio::test]
async fn the_function_asks_itself_to_look_again_when_the_wait_is_over() {
    let scene = Scene::with(|config| {
        config.delivery.lose_next = 1;
        add_queue(config);
    })
    .await;
    keep(&scene, 2).await;
    let ec2 = terraform(&scene);
    // The event of the first call is lost; that of the second leads to a look.
    ec2.revoke(&scene.group, &[RULES[0]]).expect("live");
    ec2.revoke(&scene.group, &[RULES[1]]).expect("live");
    // The delayed message and what it leads to are waited for too.
    scene.settle().await;
    let closed = |rule: &&str| *rule != RULES[1];
    assert_eq!(
        sorted(scene.live()),
        sorted(RULES.into_iter().filter(closed))
    );
    let answers = scene.answers();
    let held = answers.iter().find(|answer| answer["outcome"] == "held");
    assert_eq!(
        held.expect("a look while it waited")["calls"]["SendMessageBatch"],
        1
    );
    let authorizes = answers.iter().filter(|answer| {
        let calls = &answer["calls"]["AuthorizeSecurityGroupIngress"];
        !calls.is_null()
    });
    assert_eq!(authorizes.count(), 0, "no event led to it");
}
