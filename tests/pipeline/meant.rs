//! Changes that are meant, by principals whom a record accepts or follows, and fights with those whom it does not.

use std::time::{Duration, Instant};

use rulekeeper_local::{Ec2, Fault, Identity};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, FUNCTION_ROLE, Generation, Scene, outcomes, rule_json};

const LBC: &str = "arn:aws:iam::111122223333:role/lbc";
const TERRAFORM: &str = "arn:aws:iam::111122223333:role/terraform";
const NARROW: &str = "tcp 80-9093 from 10.0.0.0/8";
const WIDE: &str = "tcp 80-9100 from 10.0.0.0/8";
const OFFICE: &str = "tcp 443 from 10.0.0.0/8";
const NOWHERE: &str = "tcp 80 from sg-0bad0bad0bad0bad0";

/// A record in which the load balancer controller is followed and Terraform accepted, and revokes settle for a second.
fn meant(rules: &[&str]) -> Value {
    let rules: Vec<Value> = rules.iter().map(|rule| rule_json(rule)).collect();
    json!({"schema": 1, "generation": 7, "mode": "enforce", "rules": rules, "settle_seconds": 1,
        "principals": [{"arn": LBC, "policy": "follow"}, {"arn": TERRAFORM, "policy": "accept"}]})
}

impl Scene {
    /// Makes these rules live and records them, with the load balancer controller followed, Terraform accepted, and
    /// revokes settling for a second.
    async fn keep_meant(&self, rules: &[&str]) {
        let ec2 = self.stack.cloud().ec2().quietly();
        ec2.authorize(&self.group, rules)
            .expect("the rules are good");
        self.record_as(&meant(rules)).await;
    }

    fn acting_as(&self, role: &str) -> Ec2 {
        let ec2 = self.stack.cloud().ec2();
        ec2.acting_as(Identity::assumed_role(ACCOUNT, role, "session"))
    }

    /// A role revokes a rule, and the event takes its course.
    async fn revoke_as(&self, role: &str, rule: &str) {
        let actor = self.acting_as(role);
        actor.revoke(&self.group, &[rule]).expect("live");
        self.settle().await;
    }

    async fn sweep(&self) {
        self.stack.bridge().schedule("rulekeeper-sweep");
        self.settle().await;
    }

    async fn recorded(&self) -> Generation {
        let generations = self.generations().await;
        generations.into_iter().next_back().expect("a record")
    }

    /// The reports of events by a role, in the order of the answers.
    fn reports_on(&self, role_arn: &str) -> Vec<Value> {
        let mut answers = self.answers();
        answers.retain(|answer| answer["trigger"]["principal"] == role_arn);
        answers
    }
}

#[tokio::test]
async fn what_an_accepted_principal_revokes_leaves_the_record_with_its_name() {
    let scene = Scene::new().await;
    scene.keep_meant(&[OFFICE, NARROW]).await;
    scene.revoke_as("terraform", OFFICE).await;
    assert_eq!(scene.live(), [NARROW]);
    let record = scene.recorded().await;
    assert_eq!((record.number, record.author.as_str()), (8, TERRAFORM));
    assert_eq!(record.rules, [NARROW]);
    assert!(record.reason.contains("revoked"), "{record:?}");
    let report = scene.answer();
    assert_eq!(outcomes(&report), [format!("{OFFICE} superseded")]);
    assert_eq!(
        report["changes"][0]["removed"],
        json!([OFFICE]),
        "{report:#}"
    );
    let history = scene.generations().await;
    assert_eq!(history[0].rules, [OFFICE, NARROW]);
    // What the record does not hold, nobody puts back.
    scene.sweep().await;
    assert_eq!(scene.live(), [NARROW]);
}

#[tokio::test]
async fn a_sweep_of_groups_whose_states_cannot_be_written_ends_in_time() {
    let timeout = Duration::from_secs(12);
    let scene = Scene::with(|config| config.lambda.timeout = timeout).await;
    scene.keep_meant(&[OFFICE, NARROW]).await;
    let record = meant(&[OFFICE, NARROW]);
    let quiet = scene.stack.cloud().ec2().quietly();
    let mut groups = vec![scene.group.clone()];
    for name in ["second", "third"] {
        let group = quiet.create_group(name, &scene.vpc).expect("a group");
        quiet.authorize(&group, &[OFFICE, NARROW]).expect("good");
        scene.table.put_desired(ACCOUNT, &group, &record).await;
        groups.push(group);
    }
    // Of one rule nobody knows who took it, and that has to be written down.
    for group in &groups {
        quiet.revoke(group, &[NARROW]).expect("live");
    }
    for action in ["UpdateItem", "TransactWriteItems"] {
        scene.stack.cloud().inject(Fault::silence(action).always());
    }
    scene.sweep().await;
    for invocation in scene.stack.lambda().invocations() {
        let took = Duration::from_micros(invocation.took_us);
        assert!(took < timeout - Duration::from_secs(1), "{took:?}");
        let (answer, error) = (&invocation.response, &invocation.response["errorType"]);
        assert_eq!(error, "rulekeeper.Retryable", "{answer:#}");
    }
    assert!(!scene.stack.lambda().invocations().is_empty());
}

#[tokio::test]
async fn a_table_that_is_silent_about_a_record_costs_other_rules_no_time_and_the_report_comes() {
    let scene = Scene::with(|config| config.lambda.timeout = Duration::from_secs(12)).await;
    scene.keep_meant(&[OFFICE, NARROW]).await;
    let silence = Fault::silence("TransactWriteItems").always();
    scene.stack.cloud().inject(silence);
    let ec2 = scene.stack.cloud().ec2().quietly();
    // Nobody tells of the first revoke, and it has waited long enough.
    ec2.revoke(&scene.group, &[NARROW]).expect("live");
    let since = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(10);
    let state = json!({"revision": 1, "missing_since": {NARROW: since.to_string()}});
    let pk = format!("state#{ACCOUNT}#eu-west-1");
    scene.table.put(&pk, &scene.group, &state).await;
    let terraform = scene.acting_as("terraform");
    terraform.revoke(&scene.group, &[OFFICE]).expect("live");
    let began = Instant::now();
    while scene.live().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(2), "it has to wait");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(scene.live(), [NARROW]);
    scene.settle().await;
    let [letter] = &scene.stack.lambda().dead_letters()[..] else {
        panic!("one dead letter")
    };
    assert_eq!(
        letter.error["errorType"], "rulekeeper.Retryable",
        "{:#}",
        letter.error
    );
    for invocation in scene.stack.lambda().invocations() {
        let took = Duration::from_micros(invocation.took_us);
        assert!(took < Duration::from_secs(6), "{took:?}");
    }
}

#[tokio::test]
async fn a_number_that_was_used_before_is_counted_on_from_the_last_key_of_history() {
    let scene = Scene::new().await;
    scene.keep_meant(&[OFFICE, NARROW]).await;
    let history = format!("history#{ACCOUNT}#eu-west-1#{}", scene.group);
    // More than DynamoDB reads at once.
    let large = json!({"note": "x".repeat(300_000)});
    for generation in 3..=11 {
        let number = format!("{generation:012}");
        scene.table.put(&history, &number, &large).await;
    }
    scene.revoke_as("terraform", OFFICE).await;
    let record = scene.table.item(&scene.group).await;
    assert_eq!(record["generation"].as_n().map(String::as_str), Ok("13"));
    let report = scene.answer();
    assert_eq!(report["calls"]["Query"], 1, "{report:#}");
}

#[tokio::test]
async fn an_accepted_revoke_by_rule_id_leaves_the_record_even_if_the_event_does_not_tell_the_rule()
{
    let scene = Scene::new().await;
    scene.keep_meant(&[OFFICE, NARROW]).await;
    // Any look at the group learns the ids.
    scene.revoke_as("somebody", NARROW).await;
    scene
        .stack
        .cloud()
        .adjust(|dials| dials.omit_revoked_rule_set = true);
    let terraform = scene.acting_as("terraform");
    let id = terraform.rule_id(&scene.group, OFFICE).expect("live");
    terraform.revoke_ids(&scene.group, &[&id]).expect("live");
    scene.settle().await;
    assert_eq!(scene.live(), [NARROW]);
    assert_eq!(scene.recorded().await.rules, [NARROW]);
}

#[tokio::test]
async fn a_followed_replacement_commits_in_either_order_of_calls_and_of_events() {
    for (new_first, order) in [
        (false, [0, 1]),
        (false, [1, 0]),
        (true, [0, 1]),
        (true, [1, 0]),
    ] {
        let scene = Scene::with(|config| config.delivery.hold = true).await;
        scene.keep_meant(&[NARROW, OFFICE]).await;
        let lbc = scene.acting_as("lbc");
        if new_first {
            lbc.authorize_described(
                &scene.group,
                WIDE,
                "ports of the targets",
                &[("owner", "lbc")],
            )
            .expect("good");
            lbc.revoke(&scene.group, &[NARROW]).expect("live");
        } else {
            lbc.revoke(&scene.group, &[NARROW]).expect("live");
            lbc.authorize_described(
                &scene.group,
                WIDE,
                "ports of the targets",
                &[("owner", "lbc")],
            )
            .expect("good");
        }
        scene.stack.bridge().release(&order);
        scene.settle().await;
        let case = format!("{new_first} {order:?}: {:#?}", scene.answers());
        assert_eq!(scene.live(), [OFFICE, WIDE], "{case}");
        let record = scene.recorded().await;
        assert_eq!(
            (record.rules, record.author.as_str()),
            (vec![OFFICE.to_owned(), WIDE.to_owned()], LBC),
            "{case}"
        );
        let entered = scene.table.item(&scene.group).await["rules"].clone();
        let wide = entered.as_l().expect("a list").iter().find_map(|rule| {
            let rule = rule.as_m().expect("a map");
            rule["to_port"]
                .as_n()
                .is_ok_and(|port| port == "9100")
                .then_some(rule)
        });
        let wide = wide.expect("recorded");
        assert_eq!(
            wide["description"].as_s().map(String::as_str),
            Ok("ports of the targets")
        );
        assert_eq!(
            wide["tags"].as_m().expect("a map")["owner"]
                .as_s()
                .map(String::as_str),
            Ok("lbc")
        );
        // From now on, the new rule is kept like any other.
        scene
            .stack
            .bridge()
            .adjust(|delivery| delivery.hold = false);
        scene.revoke_as("somebody", WIDE).await;
        assert_eq!(scene.live(), [OFFICE, WIDE], "{case}");
    }
}

#[tokio::test]
async fn an_aborted_replacement_is_undone_and_for_a_while_no_revoke_is_meant() {
    let scene = Scene::new().await;
    scene.keep_meant(&[NARROW, OFFICE]).await;
    let lbc = scene.acting_as("lbc");
    for _ in 0..3 {
        lbc.revoke(&scene.group, &[NARROW]).expect("live");
        lbc.authorize(&scene.group, &[WIDE, NOWHERE])
            .expect_err("one reference is bad");
        scene.settle().await;
        assert_eq!(scene.live(), [OFFICE, NARROW]);
    }
    assert_eq!(scene.recorded().await.number, 7, "nothing was meant");
}

#[tokio::test]
async fn what_left_comes_back_when_the_refused_authorize_arrives_late() {
    let scene = Scene::with(|config| config.delivery.hold = true).await;
    scene.keep_meant(&[NARROW, OFFICE]).await;
    let lbc = scene.acting_as("lbc");
    // The new rules go in two calls, and the second is refused.
    lbc.revoke(&scene.group, &[NARROW]).expect("live");
    lbc.authorize(&scene.group, &[WIDE]).expect("good");
    lbc.authorize(&scene.group, &[NOWHERE]).expect_err("bad");
    scene.stack.bridge().release(&[0, 1]);
    scene.settle().await;
    assert_eq!(scene.recorded().await.rules, [OFFICE, WIDE]);
    scene.stack.bridge().release_all();
    scene.settle().await;
    assert_eq!(scene.recorded().await.rules, [OFFICE, NARROW, WIDE]);
    assert_eq!(scene.live(), [OFFICE, NARROW, WIDE]);
}

#[tokio::test]
async fn a_rule_that_is_simply_gone_comes_back_once_and_leaves_when_it_is_revoked_again() {
    let scene = Scene::new().await;
    scene.keep_meant(&[NARROW, OFFICE]).await;
    scene.revoke_as("lbc", NARROW).await;
    assert_eq!(scene.live(), [OFFICE, NARROW]);
    scene.revoke_as("lbc", NARROW).await;
    assert_eq!(scene.live(), [OFFICE]);
    assert_eq!(scene.recorded().await.rules, [OFFICE]);
    let report = scene.reports_on(LBC).pop().expect("a report");
    let notice = report["notices"][0].as_str().expect("a notice");
    assert!(
        notice.contains("so it means it") && notice.contains(LBC),
        "{report:#}"
    );
}

#[tokio::test]
async fn copies_of_a_revoke_are_not_a_second_revoke() {
    let scene = Scene::with(|config| config.delivery.duplicates = 3).await;
    scene.keep_meant(&[NARROW, OFFICE]).await;
    scene.revoke_as("lbc", NARROW).await;
    assert_eq!(scene.live(), [OFFICE, NARROW]);
    assert_eq!(scene.recorded().await.number, 7);
}

#[tokio::test]
async fn somebody_who_drops_a_rule_again_and_again_makes_it_contested() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    for _ in 0..5 {
        scene.revoke_as("somebody", OFFICE).await;
        assert_eq!(scene.live(), [OFFICE]);
    }
    scene.revoke_as("somebody", OFFICE).await;
    assert!(scene.live().is_empty());
    let report = scene.answer();
    assert_eq!(report["outcome"], "contested", "{report:#}");
    let notice = report["notices"][0].as_str().expect("a notice");
    assert!(
        notice.contains("role/somebody") && notice.contains("rulekeeper"),
        "{notice}"
    );
    // A sweep before the wait is over says so and begins no second one.
    scene.sweep().await;
    let swept = scene.answer();
    assert_eq!(swept["reports"][0]["outcome"], "contested", "{swept:#}");
    assert_eq!(swept["reports"][0]["notices"], Value::Null, "{swept:#}");
}

#[tokio::test]
async fn the_settings_name_principals_for_all_groups() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE, NARROW]).await;
    let settings = json!({"schema": 1, "generation": 1, "settle_seconds": 0,
        "principals": [{"arn": "arn:aws:iam::*:role/terra*", "policy": "accept"}]});
    scene.table.put("settings", "settings", &settings).await;
    scene.revoke_as("terraform", OFFICE).await;
    assert_eq!(scene.live(), [NARROW]);
    assert_eq!(scene.recorded().await.rules, [NARROW]);
}

#[tokio::test]
async fn a_pause_holds_the_rules_and_the_record_goes_on_being_kept() {
    let scene = Scene::new().await;
    scene.keep_meant(&[OFFICE, NARROW]).await;
    let mut record = json!({"schema": 1, "generation": 8, "paused_until": "2199-01-01T00:00:00Z", "settle_seconds": 1,
        "principals": [{"arn": LBC, "policy": "follow"}]});
    record["rules"] = [OFFICE, NARROW].map(rule_json).to_vec().into();
    scene.record_as(&record).await;
    let lbc = scene.acting_as("lbc");
    lbc.revoke(&scene.group, &[NARROW]).expect("live");
    lbc.authorize(&scene.group, &[WIDE]).expect("good");
    scene.revoke_as("somebody", OFFICE).await;
    assert_eq!(scene.live(), [WIDE]);
    assert_eq!(scene.recorded().await.rules, [OFFICE, WIDE]);
}

#[tokio::test]
async fn the_function_does_not_follow_itself() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    let settings =
        json!({"schema": 1, "generation": 1, "principals": [{"arn": "*", "policy": "follow"}]});
    scene.table.put("settings", "settings", &settings).await;
    // A rule that can never come back: every try of ours is refused, which must not count as an aborted change.
    let mut record = json!({"schema": 1, "generation": 8, "cause_wait_seconds": 0});
    record["rules"] = [OFFICE, NOWHERE].map(rule_json).to_vec().into();
    scene.record_as(&record).await;
    scene.revoke_as("somebody", OFFICE).await;
    assert_eq!(scene.live(), [OFFICE]);
    let invocations = scene.stack.lambda().invocations().into_iter();
    let (own, others): (Vec<Value>, Vec<Value>) = invocations
        .map(|it| it.response)
        .partition(|answer| answer["trigger"]["principal"] == FUNCTION_ROLE);
    assert_eq!(others.len(), 1, "{others:#?}");
    // One refused, one that took effect.
    assert_eq!(own.len(), 2, "{own:#?}");
    for answer in own {
        assert_eq!(answer["reason"], "rulekeeper made this call itself");
        assert_eq!(answer["calls"], json!({}));
    }
}
