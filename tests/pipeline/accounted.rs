//! Any sequence of calls, however its events come: in the end each rule is live or accounted for.

use std::collections::BTreeSet;
use std::time::Duration;

use rulekeeper_core::event::{Intent, intent};
use rulekeeper_local::{Bridge, Ec2, Identity, Params};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, FUNCTION_ROLE, Scene, rule_json};

const RULES: [&str; 7] = [
    "tcp 443 from 10.0.0.0/8",
    "tcp 80-9093 from 10.0.0.0/8",
    "tcp 80-9100 from 10.0.0.0/8",
    "tcp 8080 from 10.0.0.0/8",
    "udp 53 from ::/0",
    "tcp 22 from 192.0.2.0/24",
    "all from 192.0.2.0/25",
];
const NOWHERE: &str = "tcp 80 from sg-0bad0bad0bad0bad0";

/// Two that are followed, one that is accepted, one of whom nobody has heard.
const ROLES: [&str; 4] = ["lbc", "ack", "terraform", "somebody"];

/// How many sequences are tried, and the first seed; set `RULEKEEPER_SEQUENCES=COUNT,SEED` for others.
fn seeds() -> std::ops::Range<u64> {
    let text = std::env::var("RULEKEEPER_SEQUENCES").unwrap_or_else(|_| "8,1".to_owned());
    let (count, first) = text.split_once(',').expect("COUNT,SEED");
    let first: u64 = first.parse().expect("a number");
    first..first + count.parse::<u64>().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_sequence_each_rule_is_live_or_accounted_for() {
    let sequences = seeds().map(|seed| tokio::spawn(async move { run(seed).await }));
    let mut failures = Vec::new();
    for (seed, sequence) in seeds().zip(sequences.collect::<Vec<_>>()) {
        if let Err(error) = sequence.await {
            failures.push(format!("seed {seed}: {error}"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

async fn run(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let delays = (rng.u64(0..1500), rng.u64(0..2000));
    let (duplicates, reorder) = (rng.u32(0..2), rng.u64(0..1000));
    let loss = rng.u32(0..3);
    let scene = Scene::with(|config| {
        let delivery = &mut config.delivery;
        (delivery.delay_ms, delivery.jitter_ms) = delays;
        (delivery.duplicates, delivery.reorder_window_ms) = (duplicates, reorder);
        delivery.lose_fraction = f64::from(loss) / 10.0;
        delivery.seed = seed;
    })
    .await;
    let ec2 = scene.stack.cloud().ec2();
    let start: Vec<&str> = RULES.into_iter().filter(|_| rng.bool()).collect();
    if !start.is_empty() {
        let quiet = ec2.clone().quietly();
        quiet.authorize(&scene.group, &start).expect("good");
    }
    let rules: Vec<Value> = start.iter().map(|rule| rule_json(rule)).collect();
    let principal = |role: &str, policy: &str| json!({"arn": format!("arn:aws:iam::{ACCOUNT}:role/{role}"), "policy": policy});
    scene
        .record_as(&json!({"schema": 1, "generation": 1, "mode": "enforce", "rules": rules, "settle_seconds": 1,
            "cause_wait_seconds": 1, "principals": [principal("lbc", "follow"), principal("ack", "follow"), principal("terraform", "accept")]}))
        .await;
    for _ in 0..14 {
        let role = rng.choice(ROLES).expect("not empty");
        let actor = ec2
            .clone()
            .acting_as(Identity::assumed_role(ACCOUNT, role, "session"));
        act(&actor, &scene, &mut rng);
        tokio::time::sleep(Duration::from_millis(rng.u64(0..700))).await;
    }
    scene.settle().await;
    scene
        .stack
        .bridge()
        .adjust(|delivery| delivery.lose_fraction = 0.0);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        Bridge::schedule(scene.stack.bridge(), "rulekeeper-sweep");
        scene.settle().await;
    }
    account_for_everything(seed, &scene).await;
}

/// One call, which may be refused.
fn act(actor: &Ec2, scene: &Scene, rng: &mut fastrand::Rng) {
    let live = scene.live();
    let absent = RULES
        .into_iter()
        .filter(|rule| !live.iter().any(|it| it == rule));
    let mut absent: Vec<&str> = absent.collect();
    let mut present: Vec<&str> = live.iter().map(String::as_str).collect();
    rng.shuffle(&mut absent);
    rng.shuffle(&mut present);
    absent.truncate(rng.usize(1..3));
    present.truncate(rng.usize(1..3));
    // What is refused is part of the sequence as well.
    match rng.u32(0..10) {
        0..=4 => drop(actor.revoke(&scene.group, &present)),
        5..=7 => drop(actor.authorize(&scene.group, &absent)),
        8 => drop(actor.authorize(&scene.group, &[absent.as_slice(), &[NOWHERE]].concat())),
        _ => {
            if let (Some(from), Some(to)) = (present.first(), absent.first()) {
                modify(actor, scene, from, to);
            }
        }
    }
}

fn modify(actor: &Ec2, scene: &Scene, from: &str, to: &str) {
    let id = actor.rule_id(&scene.group, from).expect("live");
    let rule = rule_json(to);
    let prefix = "SecurityGroupRule.1.SecurityGroupRule";
    let mut pairs = vec![
        ("GroupId".to_owned(), scene.group.clone()),
        ("SecurityGroupRule.1.SecurityGroupRuleId".to_owned(), id),
    ];
    let names = [
        ("protocol", "IpProtocol"),
        ("from_port", "FromPort"),
        ("to_port", "ToPort"),
        ("cidr_ipv4", "CidrIpv4"),
        ("cidr_ipv6", "CidrIpv6"),
    ];
    for (field, name) in names {
        let value = match &rule[field] {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        pairs.push((format!("{prefix}.{name}"), value));
    }
    let pairs = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    // EC2 refuses to turn a rule into one of the other address family.
    drop(actor.call("ModifySecurityGroupRules", &Params::from_pairs(pairs)));
}

async fn account_for_everything(seed: u64, scene: &Scene) {
    let generations = scene.generations().await;
    let live = scene.live();
    let sweep = scene.answer();
    assert!(sweep["sweep"].is_object(), "seed {seed}: {sweep:#}");
    // A group whose missing rules are all superseded counts as converged.
    let report = ["reports", "remarks"]
        .into_iter()
        .find_map(|list| sweep[list].get(0));
    let lines = report.and_then(|report| report["rules"].as_array());
    let lines = lines.cloned().unwrap_or_default();
    let present = generations.last().expect("a record");
    for rule in present.rules.iter().filter(|rule| !live.contains(rule)) {
        let line = lines.iter().find(|line| line["rule"] == rule.as_str());
        let line =
            line.unwrap_or_else(|| panic!("seed {seed}: nothing is said of {rule}: {sweep:#}"));
        assert!(
            line["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty()),
            "seed {seed}: {line:#}"
        );
        assert_ne!(
            line["outcome"], "restored",
            "seed {seed}: the second sweep in a row found work: {sweep:#}"
        );
    }
    for pair in generations.windows(2) {
        assert_eq!(
            pair[1].number,
            pair[0].number + 1,
            "seed {seed}: no generation is missing"
        );
        assert!(
            pair[1].author.ends_with("lbc")
                || pair[1].author.ends_with("ack")
                || pair[1].author.ends_with("terraform"),
            "seed {seed}: {pair:#?}"
        );
        let changed = pair[0]
            .rules
            .iter()
            .filter(|rule| !pair[1].rules.contains(rule));
        for rule in changed {
            assert!(
                pair[1].reason.contains(rule),
                "seed {seed}: {rule} left: {pair:#?}"
            );
        }
    }
    let ever: BTreeSet<&String> = generations
        .iter()
        .flat_map(|generation| &generation.rules)
        .collect();
    for record in scene.stack.cloud().records() {
        if record.pointer("/userIdentity/sessionContext/sessionIssuer/arn")
            != Some(&FUNCTION_ROLE.into())
        {
            continue;
        }
        assert_eq!(
            record["eventName"], "AuthorizeSecurityGroupIngress",
            "seed {seed}"
        );
        if let Intent::Reconcile(lookup) = intent(&record) {
            for rule in lookup.evidence.authorized.keys() {
                assert!(
                    ever.contains(&rule.to_string()),
                    "seed {seed}: {rule} is in no generation: {generations:#?}"
                );
            }
        }
    }
}
