//! Where somebody is listed, a missing rule waits for the event that says who took it.

use std::time::Duration;

use rulekeeper_local::{Ec2, Identity, Params};
use serde_json::{Value, json};

use crate::fleet::add_queue;
use crate::support::{ACCOUNT, Scene, rule_json};

const TERRAFORM: &str = "arn:aws:iam::111122223333:role/terraform";
const LBC: &str = "arn:aws:iam::111122223333:role/lbc";
const OFFICE: &str = RULES[1];
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
    assert_eq!(authorizes(&scene), 0, "no event led to it");
}

fn authorizes(scene: &Scene) -> usize {
    let answers = scene.answers().into_iter();
    let all = answers.filter(|answer| {
        let calls = &answer["calls"]["AuthorizeSecurityGroupIngress"];
        !calls.is_null()
    });
    all.count()
}

async fn sweep(scene: &Scene) {
    scene.stack.bridge().schedule("rulekeeper-sweep");
    scene.settle().await;
}

async fn recorded(scene: &Scene) -> Vec<String> {
    let last = scene.generations().await.pop();
    last.expect("a record").rules
}

/// The outcome and the reason of a rule in the last report that names it.
fn last_of(scene: &Scene, rule: &str) -> (String, String) {
    let mut reports = scene.answers();
    for answer in scene.answers() {
        for list in ["reports", "remarks"] {
            reports.extend(answer[list].as_array().into_iter().flatten().cloned());
        }
    }
    let lines = reports.iter().filter_map(|it| it["rules"].as_array());
    let mut lines = lines.flatten().filter(|line| line["rule"] == rule);
    let line = lines.next_back().expect("a report of the rule");
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("reason"))
}

/// Any look at the group learns the ids of its rules: here the one after a rule was dropped.
async fn learn_ids(scene: &Scene) {
    let ec2 = scene.stack.cloud().ec2();
    ec2.revoke(&scene.group, &[RULES[0]]).expect("live");
    scene.stack.bridge().release_all();
    scene.settle().await;
    // The function's own authorize makes an event too.
    scene.stack.bridge().release_all();
    scene.settle().await;
}

/// Narrows the source of a rule of IPv4 addresses in place.
fn modify(ec2: &Ec2, group: &str, rule: &str, range: &str) {
    let id = ec2.rule_id(group, rule).expect("live");
    let port = rule_json(rule)["from_port"].to_string();
    let mut params = Params::from_pairs([("GroupId", group)]);
    for (name, value) in [
        ("Id", id.as_str()),
        (".IpProtocol", "tcp"),
        (".FromPort", &port),
        (".ToPort", &port),
        (".CidrIpv4", range),
    ] {
        let name = format!("SecurityGroupRule.1.SecurityGroupRule{name}");
        params.set(&name, value.to_owned());
    }
    ec2.call("ModifySecurityGroupRules", &params).expect("good");
}

#[tokio::test]
async fn rules_that_were_modified_wait_for_their_events_and_are_replaced_in_the_record() {
    for order in [[0, 1], [1, 0]] {
        let scene = Scene::with(|config| config.delivery.hold = true).await;
        keep(&scene, 180).await;
        learn_ids(&scene).await;
        let before = authorizes(&scene);
        let ec2 = terraform(&scene);
        modify(&ec2, &scene.group, RULES[1], "10.1.0.0/16");
        modify(&ec2, &scene.group, RULES[2], "10.2.0.0/16");
        sweep(&scene).await;
        for rule in [RULES[1], RULES[2]] {
            assert_eq!(last_of(&scene, rule).0, "held");
        }
        scene.stack.bridge().release(&order);
        scene.settle().await;
        sweep(&scene).await;
        let narrowed = ["tcp 443 from 10.1.0.0/16", "tcp 5432 from 10.2.0.0/16"];
        let others = [&RULES[..1], &RULES[3..]].concat();
        let expected = sorted(others.into_iter().chain(narrowed));
        let answers = scene.answers();
        assert_eq!(sorted(scene.live()), expected, "{order:?}: {answers:#?}");
        assert_eq!(recorded(&scene).await, expected, "{order:?}: {answers:#?}");
        assert_eq!(authorizes(&scene), before, "{order:?}: {answers:#?}");
    }
}

#[tokio::test]
async fn what_an_accepted_principal_revoked_comes_back_if_its_authorize_is_refused() {
    const REFUSED: [&str; 2] = [
        "tcp 443 from 10.1.0.0/16",
        "tcp 443 from sg-0bad0bad0bad0bad0",
    ];
    for first in [0, 1] {
        let scene = Scene::with(|config| config.delivery.hold = true).await;
        keep(&scene, 180).await;
        let ec2 = terraform(&scene);
        ec2.revoke(&scene.group, &[OFFICE]).expect("live");
        let refused = ec2.authorize(&scene.group, &REFUSED);
        refused.expect_err("one reference is bad");
        scene.stack.bridge().release(&[first]);
        scene.settle().await;
        scene.stack.bridge().release_all();
        scene.settle().await;
        assert_eq!(sorted(scene.live()), sorted(RULES), "{first}");
        assert_eq!(recorded(&scene).await, sorted(RULES), "{first}");
        let answers = scene.answers();
        let mut notices = answers.iter().filter_map(|it| it["notices"].as_array());
        assert!(notices.any(|it| !it.is_empty()), "{first}: {answers:#?}");
    }
}

#[tokio::test]
async fn a_followed_revoke_makes_room_for_the_deletion_of_the_group_that_the_rule_refers_to() {
    let scene = Scene::new().await;
    let quiet = scene.stack.cloud().ec2().quietly();
    let group = |name: &str| quiet.create_group(name, &scene.vpc).expect("a group");
    let (backend, user) = (group("backend"), group("user"));
    let rule = format!("tcp 8080 from {backend}");
    quiet.authorize(&user, &[&rule]).expect("good");
    quiet
        .authorize(&scene.group, &[&rule, OFFICE])
        .expect("good");
    let rules = [rule_json(&rule), rule_json(OFFICE)];
    // Both events have to be handled before the first one's change has settled.
    let principals = json!([{"arn": LBC, "policy": "follow", "settle_seconds": 4}]);
    let record = json!({"schema": 1, "generation": 1, "mode": "enforce", "rules": rules, "principals": principals});
    scene.record_as(&record).await;
    let ec2 = scene.stack.cloud().ec2();
    let lbc = ec2.acting_as(Identity::assumed_role(ACCOUNT, "lbc", "pod"));

    lbc.revoke(&scene.group, &[&rule]).expect("live");
    lbc.delete_group(&backend).expect_err("a rule refers to it");
    scene.settle().await;
    sweep(&scene).await;
    assert_eq!(scene.live(), [OFFICE]);
    let (outcome, reason) = last_of(&scene, &rule);
    assert_eq!(outcome, "held", "{reason}");
    assert!(reason.contains(&backend), "{reason}");
    assert_eq!(recorded(&scene).await.len(), 2);

    quiet.revoke(&user, &[&rule]).expect("live");
    lbc.delete_group(&backend).expect("nothing refers to it");
    scene.settle().await;
    sweep(&scene).await;
    assert_eq!(scene.live(), [OFFICE]);
    assert_eq!(recorded(&scene).await, [OFFICE], "{:#?}", scene.answers());
    assert_eq!(authorizes(&scene), 0);
}

#[tokio::test]
async fn an_accepted_call_that_empties_a_record_is_pending_until_the_group_is_deleted() {
    let scene = Scene::new().await;
    keep(&scene, 180).await;
    let ec2 = terraform(&scene);
    ec2.revoke(&scene.group, &RULES).expect("live");
    scene.settle().await;
    assert!(scene.live().is_empty());
    let report = scene.answer();
    assert_eq!(report["outcome"], "held", "{report:#}");
    let notices = report["notices"].as_array().expect("notices");
    assert!(!notices.is_empty(), "{report:#}");
    for rule in RULES {
        let (outcome, reason) = last_of(&scene, rule);
        assert_eq!(outcome, "held");
        assert!(reason.contains("rulekeeper confirm"), "{reason}");
    }
    assert_eq!(recorded(&scene).await, sorted(RULES));

    ec2.delete_group(&scene.group)
        .expect("nothing refers to it");
    scene.settle().await;
    let report = scene.answer();
    assert_eq!(report["outcome"], "orphaned", "{report:#}");
    sweep(&scene).await;
    assert_eq!(scene.answer()["reports"][0]["outcome"], "orphaned");
    assert_eq!(authorizes(&scene), 0);
}

/// An IAM user and a role session at the console, and a person of IAM Identity Center.
fn people() -> [Identity; 3] {
    let at_console = |mut identity: Identity| {
        identity.user_agent = Some("console.amazonaws.com".to_owned());
        identity
    };
    [
        at_console(Identity::user(ACCOUNT, "ana")),
        at_console(Identity::assumed_role(ACCOUNT, "operators", "ana")),
        Identity::assumed_role(ACCOUNT, "AWSReservedSSO_Operator_0123456789abcdef", "ana"),
    ]
}

#[tokio::test]
async fn a_person_who_revokes_a_rule_again_is_taken_at_their_word_for_an_hour() {
    for person in people() {
        let scene = Scene::new().await;
        scene.keep(&[OFFICE, RULES[0]]).await;
        let name = person.arn.clone();
        let ec2 = scene.stack.cloud().ec2().acting_as(person);
        ec2.revoke(&scene.group, &[OFFICE]).expect("live");
        scene.settle().await;
        assert_eq!(sorted(scene.live()), sorted([OFFICE, RULES[0]]), "{name}");
        ec2.revoke(&scene.group, &[OFFICE]).expect("live");
        scene.settle().await;
        let report = scene.answer();
        assert_eq!(scene.live(), [RULES[0]], "{name}: {report:#}");
        assert_eq!(report["outcome"], "contested", "{name}: {report:#}");
        let (outcome, reason) = last_of(&scene, OFFICE);
        assert_eq!(outcome, "contested", "{name}");
        for command in ["rulekeeper release", "rulekeeper restore"] {
            assert!(reason.contains(command), "{name}: {reason}");
        }
        sweep(&scene).await;
        assert_eq!(scene.live(), [RULES[0]], "{name}");
        assert_eq!(last_of(&scene, OFFICE).0, "contested", "{name}");
        assert_eq!(recorded(&scene).await.len(), 2, "it stays recorded");
    }
}
