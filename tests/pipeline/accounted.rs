//! Any sequence of calls, however its events come: in the end each rule is live or accounted for.

pub(crate) mod acts;
mod ledger;

use std::collections::BTreeSet;
use std::time::Duration;

use rulekeeper_core::event::{Intent, intent};
use rulekeeper_local::{Bridge, Fault};
use serde_json::{Value, json};

use acts::Sequence;

use crate::support::{ACCOUNT, FUNCTION_ROLE, Scene, rule_json};

pub(crate) const RULES: [&str; 7] = [
    "tcp 443 from 10.0.0.0/8",
    "tcp 80-9093 from 10.0.0.0/8",
    "tcp 80-9100 from 10.0.0.0/8",
    "tcp 8080 from 10.0.0.0/8",
    "udp 53 from ::/0",
    "tcp 22 from 192.0.2.0/24",
    "all from 192.0.2.0/25",
];
/// A rule that is not recorded.
const OTHER: &str = "udp 123 from 192.0.2.0/24";
const NOWHERE: &str = "tcp 80 from sg-0bad0bad0bad0bad0";

/// Two that are followed, one that is accepted, one that releases, one of whom nobody has heard.
const ROLES: [&str; 5] = ["lbc", "ack", "terraform", "breakglass", "somebody"];

/// How many sequences run at once: moto is slow, and the function does not wait for ever.
const AT_ONCE: usize = 6;

/// How many sequences are tried, and the first seed; set `RULEKEEPER_SEQUENCES=COUNT,SEED` for others.
fn seeds() -> std::ops::Range<u64> {
    let text = std::env::var("RULEKEEPER_SEQUENCES").unwrap_or_else(|_| "6,1".to_owned());
    let (count, first) = text.split_once(',').expect("COUNT,SEED");
    let first: u64 = first.parse().expect("a number");
    first..first + count.parse::<u64>().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_any_sequence_each_rule_is_live_or_accounted_for() {
    let seeds: Vec<u64> = seeds().collect();
    let mut failures = Vec::new();
    for seeds in seeds.chunks(AT_ONCE) {
        let sequences = seeds.iter().map(|seed| tokio::spawn(run(*seed)));
        for (seed, sequence) in seeds.iter().zip(sequences.collect::<Vec<_>>()) {
            if let Err(error) = sequence.await {
                failures.push(format!("seed {seed}: {error}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

async fn run(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let scene = scene(seed, &mut rng).await;
    let (peer, peer_rule) = acts::peer_of(&scene);
    let candidates = RULES.into_iter().chain([peer_rule.as_str()]);
    let start: Vec<&str> = candidates.filter(|_| rng.bool()).collect();
    keep(&scene, &start).await;
    learn_ids(&scene).await;
    let lose_fraction = f64::from(rng.u32(0..3)) / 10.0;
    let bridge = scene.stack.bridge();
    bridge.adjust(|delivery| delivery.lose_fraction = lose_fraction);
    trouble(&scene, 4 * rng.u8(0..3), seed);
    let pauses: Vec<u64> = (0..14).map(|_| rng.u64(0..700)).collect();
    let mut sequence = Sequence::new(&scene, rng, peer);
    for pause in pauses {
        sequence.act();
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let ledger = sequence.ledger;
    scene.settle().await;
    scene.stack.cloud().adjust(|dials| dials.faults.clear());
    bridge.adjust(|delivery| delivery.lose_fraction = 0.0);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1100)).await;
        Bridge::schedule(bridge, "rulekeeper-sweep");
        scene.settle().await;
    }
    account_for_everything(seed, &scene).await;
    let unexplained = ledger.unexplained(&scene);
    assert!(
        unexplained.is_empty(),
        "seed {seed}: live without a word: {unexplained:#?}: {ledger:#?}"
    );
}

/// From now on, this share of the transactions ends with a conflict, as many are throttled, and as many get a server error
/// after they took effect.
fn trouble(scene: &Scene, percent: u8, seed: u64) {
    let faults = [
        Fault::cancelled(&["TransactionConflict", "None"]),
        Fault::error("TransactWriteItems", "ThrottlingException", 400),
        Fault::error("TransactWriteItems", "InternalServerError", 500).taking_effect(),
    ];
    scene.stack.cloud().adjust(|dials| {
        dials.seed = seed;
        dials.faults = faults.map(|fault| fault.always().percent(percent)).into();
    });
}

/// A scene whose events come late, in any order, and perhaps twice.
async fn scene(seed: u64, rng: &mut fastrand::Rng) -> Scene {
    let delays = (rng.u64(0..1500), rng.u64(0..2000));
    let (duplicates, reorder) = (rng.u32(0..2), rng.u64(0..1000));
    Scene::with(|config| {
        let delivery = &mut config.delivery;
        (delivery.delay_ms, delivery.jitter_ms) = delays;
        (delivery.duplicates, delivery.reorder_window_ms) = (duplicates, reorder);
        delivery.seed = seed;
    })
    .await
}

/// Makes rules live and records them, with everybody listed but one.
pub(crate) async fn keep(scene: &Scene, rules: &[&str]) {
    if !rules.is_empty() {
        let quiet = scene.stack.cloud().ec2().quietly();
        quiet.authorize(&scene.group, rules).expect("good");
    }
    let rules: Vec<Value> = rules.iter().map(|rule| rule_json(rule)).collect();
    let policies = [
        ("lbc", "follow"),
        ("ack", "follow"),
        ("terraform", "accept"),
        ("breakglass", "release"),
    ];
    let principals = policies.map(|(role, policy)| json!({"arn": format!("arn:aws:iam::{ACCOUNT}:role/{role}"), "policy": policy}));
    let record = json!({"schema": 1, "generation": 1, "mode": "enforce", "rules": rules, "settle_seconds": 1,
        "cause_wait_seconds": 1, "principals": principals});
    scene.record_as(&record).await;
}

/// The look after an event learns the ids of the rules, as `pin` does.
async fn learn_ids(scene: &Scene) {
    let somebody = scene.stack.cloud().ec2();
    somebody.authorize(&scene.group, &[OTHER]).expect("good");
    scene.settle().await;
}

pub(crate) async fn account_for_everything(seed: u64, scene: &Scene) {
    let generations = scene.generations().await;
    let live = scene.live();
    let sweep = scene.answer();
    assert!(sweep["sweep"].is_object(), "seed {seed}: {sweep:#}");
    // A group whose missing rules are all superseded counts as converged.
    let report = ["reports", "remarks"]
        .into_iter()
        .filter_map(|list| sweep[list].as_array())
        .flatten()
        .find(|report| report["group"]["id"] == scene.group.as_str());
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
                || pair[1].author.ends_with("terraform")
                || pair[1].author.ends_with("breakglass"),
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
        let by = record.pointer("/userIdentity/sessionContext/sessionIssuer/arn");
        let of_group = record["requestParameters"]["groupId"] == scene.group.as_str();
        if by != Some(&FUNCTION_ROLE.into()) || !of_group {
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
