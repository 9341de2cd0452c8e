//! The way of an event: trail, rules, queues.

use std::time::Duration;

use rulekeeper_local::Rule;
use serde_json::json;

use crate::common::{ACCOUNT, REGION};
use crate::scene::{RULE_FAILURES, Scene, said, unskipped};

#[tokio::test]
async fn a_trail_that_is_not_logging_or_logs_too_little() {
    let scene = Scene::new().await;
    scene.adjust(|estate| estate.trails[0].logging = false);
    let wrong = "trail management: failed";
    let start = format!(
        "start-logging --name arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/management --region {REGION}"
    );
    scene.only(1, wrong, "is not logging", &start);

    scene.adjust(|estate| {
        estate.trails[0].logging = true;
        estate.trails[0].event_selectors =
            json!([{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": true}]);
    });
    scene.only(
        1,
        wrong,
        "does not log management write events",
        "put-event-selectors",
    );

    scene.adjust(|estate| {
        let field = |name: &str, value: &str| json!({"Field": name, "Equals": [value]});
        let fields = [
            field("eventCategory", "Management"),
            field("readOnly", "false"),
        ];
        estate.trails[0].advanced_event_selectors = json!([{"FieldSelectors": fields}]);
        estate.trails[0].latest_delivery_error = Some("NoSuchBucket".to_owned());
    });
    scene.only(
        0,
        "trail management: warning",
        "NoSuchBucket",
        "bucket's policy",
    );

    scene.adjust(|estate| {
        estate.trails[0].multi_region = false;
        estate.trails[0].home_region = "us-east-1".to_owned();
    });
    scene.only(
        1,
        &format!("trail {REGION}: failed"),
        "has no trail",
        "create-trail",
    );
}

#[tokio::test]
async fn event_rules_that_are_disabled_missing_or_let_nothing_through() {
    let scene = Scene::new().await;
    scene.adjust(|estate| estate.rules[0].enabled = false);
    let wrong = "event_rule rulekeeper-ingress-dropped: failed";
    scene.only(
        1,
        wrong,
        "is disabled",
        "enable-rule --name rulekeeper-ingress-dropped",
    );

    scene.adjust(|estate| {
        let detail = json!({"eventName": ["RevokeSecurityGroupIngress"]});
        estate.rules[0].enabled = true;
        estate.rules[0].event_pattern = Some(json!({"source": ["aws.ec2"], "detail": detail}));
    });
    scene.only(
        0,
        "event_rule rulekeeper: warning",
        "no rule hands over ModifySecurityGroupRules",
        "IngressDropped",
    );

    scene.adjust(|estate| estate.rules[0].event_pattern = Some(json!({"source": ["aws.s3"]})));
    scene.only(
        1,
        "event_rule rulekeeper: failed",
        "hands over RevokeSecurityGroupIngress",
        "IngressDropped",
    );

    let queue = RULE_FAILURES.to_owned();
    scene.adjust(|estate| {
        estate.rules[0] = Rule::ingress_dropped();
        estate.rules[1].enabled = false;
    });
    let all = scene.doctor(&[], 1);
    let (schedule, lost) = (
        "schedule rulekeeper-sweep: failed",
        "rule_failures rulekeeper-ingress-dropped: warning",
    );
    assert_eq!(unskipped(&all), [lost, schedule], "{all:#?}");
    said(
        &all[schedule],
        "is disabled",
        "enable-rule --name rulekeeper-sweep",
    );
    said(&all[lost], "no dead-letter queue", "RuleDeadLetters");

    scene.adjust(|estate| {
        estate.rules[0].dead_letters = Some(queue);
        estate.rules.truncate(1);
    });
    scene.only(
        1,
        "schedule rulekeeper: failed",
        "no rule of the default bus starts sweeps",
        "rule Sweep",
    );
}

#[tokio::test]
async fn a_queue_that_holds_messages_and_one_that_is_missing() {
    let scene = Scene::new().await;
    let sent = scene
        .stack
        .queues()
        .send(RULE_FAILURES, "{}", Duration::ZERO);
    assert!(sent.is_some(), "the queue takes it");
    let arn = |name: &str| format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}");
    let wrong = format!("queue {}: warning", arn(RULE_FAILURES));
    scene.only(
        0,
        &wrong,
        "holds 1 message",
        "docs/operate.md, \"Messages of the dead-letter queues\"",
    );

    scene.adjust(|estate| {
        for rule in &mut estate.rules {
            rule.dead_letters = Some("nowhere".to_owned());
        }
    });
    scene.only(
        1,
        &format!("queue {}: failed", arn("nowhere")),
        "there is no such queue",
        "Deploy the stack again",
    );
}
