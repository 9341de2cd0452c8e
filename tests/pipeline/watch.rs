//! The watch: drops in watched groups are undone before any event tells of them.

use std::time::{Duration, Instant};

use rulekeeper::aws::Clients;
use rulekeeper_core::model::{GroupId, Scope};
use rulekeeper_core::ports::{Budget, Calls, Clouds as _, Pace, SecurityGroups as _};
use rulekeeper_local::{Fault, StackConfig};
use serde_json::{Value, json};

use crate::fleet::add_queue;
use crate::support::{ACCOUNT, Scene, rule_json, sdk_config};

const OFFICE: &str = "tcp 443 from 10.0.0.0/8";
const WEB: &str = "tcp 80 from 10.0.0.0/8";

/// A scene whose events come after a minute, and whose invocations may last for this many seconds. A watch ends 14 s before.
async fn late(seconds: u64) -> Scene {
    Scene::with(|config: &mut StackConfig| {
        add_queue(config);
        config.delivery.delay_ms = 60_000;
        config.lambda.timeout = Duration::from_secs(seconds);
    })
    .await
}

/// Makes these rules live, and records them to be watched.
async fn keep(scene: &Scene, rules: &[&str]) {
    keep_from(scene, rules, json!([])).await;
}

/// The same where the changes of principals are meant.
async fn keep_from(scene: &Scene, rules: &[&str], principals: Value) {
    let quiet = scene.stack.cloud().ec2().quietly();
    quiet.authorize(&scene.group, rules).expect("good rules");
    let rules: Vec<Value> = rules.iter().map(|rule| rule_json(rule)).collect();
    let record = json!({"schema": 1, "generation": 1, "watch": true, "rules": rules,
        "principals": principals});
    scene.record_as(&record).await;
}

fn watch(scene: &Scene) -> String {
    let request = json!({"watch": {"every_seconds": 1}});
    scene.stack.lambda().invoke_event(request)
}

/// Waits until such a run holds the lease, and returns its name.
async fn is_held(scene: &Scene, by: impl Fn(&str) -> bool) -> String {
    for _ in 0..200 {
        let lease = scene.table.items("watch").await.pop();
        let holder = lease.and_then(|lease| lease.get("holder")?.as_s().ok().cloned());
        if let Some(holder) = holder.filter(|holder| by(holder)) {
            return holder;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody watches: {:#?}", scene.stack.lambda().logs());
}

/// How long rules are gone after somebody revokes them.
async fn gone_for(scene: &Scene, rules: &[&str]) -> Duration {
    let live = scene.live();
    let ec2 = scene.stack.cloud().ec2();
    ec2.revoke(&scene.group, rules).expect("live rules");
    let began = Instant::now();
    while scene.live() != live {
        assert!(
            began.elapsed() < Duration::from_secs(50),
            "{:?} are live; {:#?}",
            scene.live(),
            scene.stack.lambda().logs()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

/// Waits for the last report of the run of an invocation.
async fn end_of(scene: &Scene, request: &str) -> Value {
    loop {
        let invocations = scene.stack.lambda().invocations();
        if let Some(ended) = invocations.iter().find(|it| it.request_id == request) {
            return ended.response["watch"].clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_drop_is_undone_within_two_looks_whatever_the_delay_of_its_event() {
    let scene = late(24).await;
    keep(&scene, &[OFFICE, WEB]).await;
    let run = watch(&scene);
    is_held(&scene, |_| true).await;
    let gone = gone_for(&scene, &[OFFICE]).await;
    assert!(gone < Duration::from_secs(4), "{gone:?}");
    let report = end_of(&scene, &run).await;
    assert_eq!(report["reason"], "its time is over", "{report}");
    assert_eq!(
        (&report["groups"], &report["reconciled"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    // Each look is one call, and rules are read of the group that differed: before the restore and after it.
    let calls = scene.stack.cloud().calls();
    let of = |action: &str| calls.iter().filter(|call| call.action == action).count();
    assert_eq!(
        Some(of("DescribeSecurityGroups") as u64),
        report["looks"].as_u64()
    );
    assert_eq!(of("DescribeSecurityGroupRules"), 2);
    // It is told like the results of events, and counted.
    let incidents = scene.incidents().await;
    let key = incidents[0]["sk"].as_s().expect("text");
    assert!(
        incidents.len() == 1 && key.ends_with("#watch"),
        "{incidents:#?}"
    );
    let told = scene.stack.buses().events();
    let told: Vec<&Value> = told
        .iter()
        .filter(|event| event.detail_type == "Watch Result")
        .map(|event| &event.detail["responsePayload"]["outcome"])
        .collect();
    assert_eq!(told, ["restored"]);
    let logs = scene.stack.lambda().logs_of(&run);
    for metric in ["\"WatchedGroups\":1", "\"RulesRestored\":1"] {
        assert!(
            logs.iter().any(|line| line.text.contains(metric)),
            "{metric}: {logs:#?}"
        );
    }
}

#[tokio::test]
async fn one_run_watches_at_a_time_and_after_a_kill_another_one_does() {
    let scene = late(120).await;
    keep(&scene, &[OFFICE, WEB]).await;
    let first = watch(&scene);
    let before = is_held(&scene, |_| true).await;
    watch(&scene);
    let next = is_held(&scene, |by| by != before).await;
    let report = end_of(&scene, &first).await;
    assert_eq!(report["reason"], format!("{next} goes on"));
    assert!(gone_for(&scene, &[OFFICE]).await < Duration::from_secs(4));
    scene.stack.lambda().kill_instances();
    watch(&scene);
    // The lease of the killed run has to end first.
    let gone = gone_for(&scene, &[OFFICE]).await;
    assert!(gone > Duration::from_secs(20), "{gone:?}");
}

#[tokio::test]
async fn a_throttled_watch_is_slower_and_says_so_and_other_faults_do_not_end_it() {
    let scene = late(40).await;
    keep(&scene, &[OFFICE, WEB]).await;
    let throttled = Fault::error("DescribeSecurityGroups", "RequestLimitExceeded", 503).times(2);
    scene.stack.cloud().inject(throttled);
    scene.stack.cloud().inject(
        Fault::error("UpdateItem", "InternalServerError", 500)
            .times(3)
            .after(4),
    );
    scene
        .stack
        .cloud()
        .inject(Fault::error("Query", "InternalServerError", 500).times(1));
    let run = watch(&scene);
    is_held(&scene, |_| true).await;
    let gone = gone_for(&scene, &[OFFICE]).await;
    assert!(gone < Duration::from_secs(12), "{gone:?}");
    let report = end_of(&scene, &run).await;
    assert_eq!(
        (&report["throttled"], &report["reason"]),
        (&json!(2), &json!("its time is over")),
        "{report}"
    );
    // A second doubled twice, give or take a timer's.
    assert!(
        report["longest_pause_ms"].as_u64() >= Some(3_500),
        "{report}"
    );
}

/// Where somebody is listed, a drop waits for its cause whoever sees it first, and what was meant stays closed.
#[tokio::test]
async fn where_principals_are_listed_the_cause_decides() {
    let scene = late(40).await;
    let person = format!("arn:aws:iam::{ACCOUNT}:user/local");
    let accepted = json!([{"arn": person, "policy": "accept"}]);
    keep_from(&scene, &[OFFICE, WEB], accepted).await;
    scene
        .stack
        .bridge()
        .adjust(|delivery| delivery.delay_ms = 6_000);
    watch(&scene);
    is_held(&scene, |_| true).await;
    let ec2 = scene.stack.cloud().ec2();
    ec2.revoke(&scene.group, &[OFFICE]).expect("a live rule");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(scene.live(), [WEB]);
    let answers = scene.answers();
    assert!(
        answers
            .iter()
            .any(|it| it["changes"][0]["removed"] == json!([OFFICE])),
        "{answers:#?}"
    );
}

#[tokio::test]
async fn descriptions_of_groups_show_the_same_rules_as_reads_of_rules() {
    let scene = Scene::new().await;
    let quiet = scene.stack.cloud().ec2().quietly();
    let list = quiet.create_prefix_list("list", 5).expect("a list");
    let peered = quiet.create_vpc("10.1.0.0/16").expect("a VPC");
    scene.stack.cloud().peer(&scene.vpc, &peered);
    let other = quiet.create_group("other", &peered).expect("a group");
    let rules = [
        OFFICE.to_owned(),
        "tcp 443 from 10.1.0.0/16".to_owned(),
        "tcp 443 from ::/0".to_owned(),
        format!("tcp 443 from {list}"),
        format!("tcp 443 from {other}"),
        format!("all from {}", scene.group),
        "udp 1-65535 from 0.0.0.0/0".to_owned(),
        "icmp 8/-1 from 10.0.0.0/8".to_owned(),
        "icmpv6 128/0 from ::/0".to_owned(),
        "50 from 10.0.0.0/8".to_owned(),
    ];
    let notation: Vec<&str> = rules.iter().map(String::as_str).collect();
    let made = quiet.authorize(&scene.group, &notation);
    made.expect("good rules");
    let config = sdk_config(&scene.stack.endpoint(), "eu-west-1");
    let clients = Clients::new(config, scene.table.name.clone(), None);
    let scope = Scope {
        account: ACCOUNT.parse().expect("an account"),
        region: "eu-west-1".parse().expect("a Region"),
    };
    let (calls, budget) = (Calls::default(), Budget::of(Duration::from_secs(20)));
    let (ec2, _) = clients
        .in_scope(&scope, false, Pace::Watch, &calls, budget)
        .await;
    let ids = [&scene.group, &other].map(|id| id.parse::<GroupId>().expect("an id"));
    let gone = "sg-0bad0bad0bad0bad0".parse().expect("an id");
    let described = ec2.described_rules(&[&ids[..], &[gone]].concat()).await;
    let described = described.expect("an answer");
    let read = ec2.ingress_rules(&ids).await.expect("an answer");
    let keys = |id: &GroupId| read[id].iter().map(|rule| rule.key.clone()).collect();
    assert_eq!(described[&ids[0]].len(), rules.len());
    assert_eq!(
        described,
        ids.into_iter().map(|id| (id.clone(), keys(&id))).collect()
    );
    assert_eq!(calls.counted()["DescribeSecurityGroups"], 1);
}
