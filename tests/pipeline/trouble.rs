//! Slow, silent, throttled and stale neighbours.

use std::time::{Duration, Instant};

use rulekeeper_local::{Bucket, Dials, Fault, Identity};
use serde_json::json;

use crate::support::{ACCOUNT, Scene, outcomes, revoke_event, rule_json};

const OFFICE: &str = "tcp 443 from 10.0.0.0/8";

#[tokio::test]
async fn a_table_that_takes_no_writes_is_told_of_and_counted() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    let denied = Fault::error("UpdateItem", "AccessDeniedException", 400).always();
    scene.stack.cloud().inject(denied);
    scene.revoke(&[OFFICE]).await;
    assert_eq!(scene.live(), [OFFICE]);
    let report = scene.answer();
    let warning = report["warnings"][0].as_str().expect("a warning");
    assert!(
        warning.contains("could not be saved") && warning.contains("AccessDenied"),
        "{report:#}"
    );
    let logs = scene.stack.lambda().logs();
    let counted = logs
        .iter()
        .any(|line| line.text.contains("\"GroupsUnsaved\":1"));
    assert!(counted, "{logs:#?}");
}

#[tokio::test]
async fn throttling_is_waited_out() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    for (action, times) in [
        ("DescribeSecurityGroupRules", 5),
        ("AuthorizeSecurityGroupIngress", 2),
    ] {
        let fault = Fault::error(action, "RequestLimitExceeded", 503).times(times);
        scene.stack.cloud().inject(fault);
    }
    scene.revoke(&[OFFICE]).await;
    assert_eq!(scene.live(), [OFFICE]);
    let report = scene.answer();
    assert_eq!(
        report["calls"]["AuthorizeSecurityGroupIngress"], 3,
        "{report:#}"
    );
    assert_eq!(scene.answers().len(), 1, "inside one invocation");
}

#[tokio::test]
async fn throttling_without_end_fails_the_invocation_so_that_lambda_calls_again() {
    let scene = Scene::with(|config| config.lambda.timeout = Duration::from_secs(3)).await;
    scene.keep(&[OFFICE]).await;
    let empty = Bucket {
        burst: 0.0,
        per_second: 0.001,
    };
    scene.stack.cloud().adjust(|dials| {
        dials
            .throttles
            .insert("AuthorizeSecurityGroupIngress".to_owned(), empty)
    });
    scene.revoke(&[OFFICE]).await;
    assert!(scene.live().is_empty());
    let [letter] = &scene.stack.lambda().dead_letters()[..] else {
        panic!("one dead letter")
    };
    assert_eq!(letter.attempts, 3);
    assert_eq!(
        letter.error["errorType"], "rulekeeper.Retryable",
        "{:#}",
        letter.error
    );
    let message = letter.error["errorMessage"].as_str().expect("a message");
    assert!(
        message.contains(OFFICE) && message.contains(&scene.group),
        "{message}"
    );
}

#[tokio::test]
async fn a_later_attempt_finishes_what_an_earlier_one_could_not_and_the_incident_says_so() {
    let scene = Scene::with(|config| config.lambda.timeout = Duration::from_secs(3)).await;
    scene.keep(&[OFFICE]).await;
    let empty = Bucket {
        burst: 0.0,
        per_second: 0.001,
    };
    scene.stack.cloud().adjust(|dials| {
        dials
            .throttles
            .insert("AuthorizeSecurityGroupIngress".to_owned(), empty)
    });
    scene
        .stack
        .cloud()
        .ec2()
        .revoke(&scene.group, &[OFFICE])
        .expect("live");
    let cloud = scene.stack.cloud().clone();
    tokio::time::sleep(Duration::from_millis(2_900)).await;
    cloud.adjust(|dials| dials.throttles.clear());
    scene.settle().await;
    assert_eq!(scene.live(), [OFFICE]);
    let incidents = scene.incidents().await;
    assert_eq!(incidents.len(), 1);
    let line = incidents[0]["rules"].as_l().expect("a list")[0]
        .as_m()
        .expect("a map");
    assert_eq!(line["outcome"].as_s().map(String::as_str), Ok("restored"));
}

#[tokio::test]
async fn a_server_error_that_took_effect_is_found_out_by_reading() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    scene.stack.cloud().inject(
        Fault::error("AuthorizeSecurityGroupIngress", "InternalError", 500).taking_effect(),
    );
    scene.revoke(&[OFFICE]).await;
    assert_eq!(scene.live(), [OFFICE]);
    let report = scene.answer();
    assert_eq!(outcomes(&report), ["tcp 443 from 10.0.0.0/8 restored"]);
    assert_eq!(report["calls"]["AuthorizeSecurityGroupIngress"], 1);
}

#[tokio::test]
async fn a_dropped_connection_is_survived() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    for action in [
        "DescribeSecurityGroupRules",
        "AuthorizeSecurityGroupIngress",
    ] {
        scene.stack.cloud().inject(Fault::drop_connection(action));
    }
    scene.revoke(&[OFFICE]).await;
    assert_eq!(scene.live(), [OFFICE]);
    assert_eq!(scene.answers().len(), 1);
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_costs_seconds_and_not_minutes() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    scene
        .stack
        .cloud()
        .inject(Fault::silence("AuthorizeSecurityGroupIngress"));
    let began = Instant::now();
    scene.revoke(&[OFFICE]).await;
    assert_eq!(scene.live(), [OFFICE]);
    assert!(
        began.elapsed() < Duration::from_secs(12),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(scene.answers().len(), 1, "inside one invocation");
}

#[tokio::test]
async fn silence_without_end_ends_the_invocation_before_its_deadline() {
    let scene = Scene::with(|config| config.lambda.timeout = Duration::from_secs(4)).await;
    scene.keep(&[OFFICE]).await;
    scene
        .stack
        .cloud()
        .inject(Fault::silence("DescribeSecurityGroupRules").always());
    let result = scene
        .stack
        .lambda()
        .invoke(revoke_event("111122223333", &scene.group, &[OFFICE]))
        .await;
    assert_eq!(
        result.payload["errorType"], "rulekeeper.Retryable",
        "{:#}",
        result.payload
    );
    assert!(
        result.duration < Duration::from_secs(4),
        "{:?}",
        result.duration
    );
}

#[tokio::test]
async fn stale_reads_do_not_hide_a_revoked_rule() {
    // Three stale reads are looked through; with many, EC2 itself is asked by authorizing.
    for stale_reads in [1, 3, 50] {
        let scene = Scene::with(|config| config.delivery.hold = true).await;
        scene.keep(&[OFFICE]).await;
        scene
            .stack
            .cloud()
            .ec2()
            .revoke(&scene.group, &[OFFICE])
            .expect("live");
        let group = scene.group.clone();
        scene
            .stack
            .cloud()
            .adjust(|dials| dials.stale_describes.insert(group, stale_reads));
        scene.stack.bridge().release_all();
        scene.settle().await;
        assert_eq!(
            scene.live(),
            [OFFICE],
            "{stale_reads} stale reads: {:#}",
            scene.answer()
        );
    }
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let scene = Scene::new().await;
    let rules: Vec<String> = (1..=25)
        .map(|port| format!("tcp {port} from 10.0.0.0/8"))
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    scene.keep(&rules).await;
    scene
        .stack
        .cloud()
        .adjust(|dials| dials.page_limit = Some(10));
    scene.revoke(&rules[..1]).await;
    let report = scene.answer();
    assert_eq!(
        outcomes(&report),
        ["tcp 1 from 10.0.0.0/8 restored"],
        "the rest was seen: {report:#}"
    );
    assert_eq!(scene.live().len(), 25);
    assert!(
        report["calls"]["DescribeSecurityGroupRules"].as_u64() >= Some(6),
        "{report:#}"
    );
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named_and_nothing_is_authorized() {
    let scene = Scene::with(|config| {
        config
            .lambda
            .env
            .insert("RULEKEEPER_TABLE".to_owned(), "no-such-table".to_owned());
    })
    .await;
    let result = scene
        .stack
        .lambda()
        .invoke(revoke_event("111122223333", &scene.group, &[OFFICE]))
        .await;
    assert_eq!(result.payload["outcome"], "failed");
    let reason = result.payload["reason"].as_str().expect("a reason");
    assert!(reason.contains("ResourceNotFoundException"), "{reason}");
    assert_eq!(
        scene.stack.cloud().count("AuthorizeSecurityGroupIngress"),
        0
    );
    assert_eq!(
        result.payload["calls"],
        json!({"DescribeSecurityGroupRules": 1, "BatchGetItem": 1})
    );
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_looked_behind_and_what_they_made_is_counted() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE, "tcp 80 from 10.0.0.0/8"]).await;
    // The status says success, and the body is an error's.
    let unreadable = |action| Fault::error(action, "Odd", 200);
    let cloud = scene.stack.cloud();
    cloud.inject(unreadable("AuthorizeSecurityGroupIngress").taking_effect());
    cloud.inject(unreadable("DescribeSecurityGroupRules").after(1));
    scene.revoke(&[OFFICE]).await;
    assert_eq!(scene.live().len(), 2);
    let report = scene.answer();
    assert_eq!(report["outcome"], "restored", "{report:#}");
    let [line] = &report["rules"].as_array().expect("rules")[..] else {
        panic!("one rule: {report:#}")
    };
    assert_eq!(line["outcome"], "restored", "{report:#}");
    assert_eq!(
        line["reason"],
        "the answer could not be read, and the rule is there"
    );
    assert_eq!(report["calls"]["AuthorizeSecurityGroupIngress"], 1);
}

#[tokio::test]
async fn a_first_look_that_cannot_be_read_fails_the_invocation_and_the_next_one_restores() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    let unreadable = Fault::error("DescribeSecurityGroupRules", "Odd", 200);
    scene.stack.cloud().inject(unreadable);
    scene.revoke(&[OFFICE]).await;
    assert_eq!(scene.live(), [OFFICE]);
    assert!(scene.stack.lambda().dead_letters().is_empty());
}

/// What somebody accepted revokes leaves the record in a transaction of the record, the run-time state and the history,
/// which may be cancelled for a reason of any of them.
#[tokio::test]
async fn a_cancelled_transaction_is_tried_again_whichever_part_of_it_was_refused() {
    let terraform = format!("arn:aws:iam::{ACCOUNT}:role/terraform");
    for reasons in [
        ["TransactionConflict", "None", "None"],
        ["None", "TransactionConflict", "None"],
        ["None", "None", "TransactionConflict"],
        ["ConditionalCheckFailed", "None", "None"],
        ["None", "ConditionalCheckFailed", "None"],
        ["ThrottlingError", "None", "None"],
        ["None", "ThrottlingError", "None"],
        ["None", "ProvisionedThroughputExceeded", "None"],
        ["None", "None", "ProvisionedThroughputExceeded"],
    ] {
        let scene = Scene::new().await;
        scene.keep(&[OFFICE, "tcp 80 from 10.0.0.0/8"]).await;
        let rules = [OFFICE, "tcp 80 from 10.0.0.0/8"].map(rule_json);
        let record = json!({"schema": 1, "generation": 7, "rules": rules,
            "principals": [{"arn": terraform, "policy": "accept"}]});
        scene.record_as(&record).await;
        scene.stack.cloud().inject(Fault::cancelled(&reasons));
        let them = Identity::assumed_role(ACCOUNT, "terraform", "session");
        let ec2 = scene.stack.cloud().ec2().acting_as(them);
        ec2.revoke(&scene.group, &[OFFICE]).expect("live");
        scene.settle().await;
        let numbers: Vec<u64> = scene
            .generations()
            .await
            .iter()
            .map(|it| it.number)
            .collect();
        assert_eq!(numbers, [7, 8], "{reasons:?}: {:#?}", scene.answers());
        assert_eq!(scene.live().len(), 1, "{reasons:?}: it was meant");
        assert!(
            scene.stack.lambda().dead_letters().is_empty(),
            "{reasons:?}"
        );
    }
}

#[tokio::test]
async fn a_transaction_that_is_always_cancelled_fails_the_event_and_closes_nothing_in_silence() {
    let scene = Scene::with(|config| config.lambda.timeout = Duration::from_secs(4)).await;
    scene.keep(&[OFFICE]).await;
    let terraform = format!("arn:aws:iam::{ACCOUNT}:role/terraform");
    let record = json!({"schema": 1, "generation": 7, "rules": [rule_json(OFFICE)],
        "principals": [{"arn": terraform, "policy": "accept"}]});
    scene.record_as(&record).await;
    let throttled = Fault::cancelled(&["None", "ThrottlingError", "None"]).always();
    scene.stack.cloud().inject(throttled);
    let them = Identity::assumed_role(ACCOUNT, "terraform", "session");
    let ec2 = scene.stack.cloud().ec2().acting_as(them);
    ec2.revoke(&scene.group, &[OFFICE]).expect("live");
    scene.settle().await;
    let [letter] = &scene.stack.lambda().dead_letters()[..] else {
        panic!("the event is put aside: {:#?}", scene.answers())
    };
    assert_eq!(letter.error["errorType"], "rulekeeper.Retryable");
    let message = letter.error["errorMessage"].as_str().unwrap_or_default();
    assert!(message.contains("ThrottlingError"), "{message}");
    assert!(
        scene.live().is_empty(),
        "it was meant, so it does not come back"
    );
    // What was put aside arrives with Lambda's record in the queue.
    let records = scene.stack.lambda().sent_records();
    let last = records.last().expect("a record");
    assert_eq!(
        (last.refused.as_ref(), &last.record["responsePayload"]),
        (None, &letter.error)
    );
}

#[tokio::test]
async fn a_state_that_expired_means_the_same_whether_it_is_deleted_late_or_at_once() {
    // DynamoDB may delete it days later, or between our read and our write.
    for deleted in [None, Some("*"), Some("UpdateItem")] {
        let scene = Scene::new().await;
        scene.keep(&[OFFICE]).await;
        let long_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(80);
        let returned: Vec<_> = (0..5)
            .map(|_| json!({"at": long_ago.to_string(), "ours": true}))
            .collect();
        let state = json!({"revision": 9, "expires_at": long_ago.as_second() + 2 * 86_400,
            "contested": {OFFICE: {"step": 4, "until": long_ago.to_string(), "by": "arn:aws:iam::1:role/x"}},
            "returned": {OFFICE: returned}});
        let pk = format!("state#{ACCOUNT}#eu-west-1");
        scene.table.put(&pk, &scene.group, &state).await;
        let dials = |dials: &mut Dials| dials.expire_before = deleted.map(str::to_owned);
        scene.stack.cloud().adjust(dials);
        scene.revoke(&[OFFICE]).await;
        assert_eq!(
            scene.live(),
            [OFFICE],
            "{deleted:?}: {:#?}",
            scene.answers()
        );
        assert_eq!(scene.answer()["outcome"], "restored", "{deleted:?}");
        let [state] = &scene.table.items(&pk).await[..] else {
            panic!("one state")
        };
        let returned = state["returned"].as_m().expect("a map");
        let returned = returned[OFFICE].as_l().expect("a list");
        assert_eq!(returned.len(), 1, "{deleted:?}: what is old counts no more");
        let revision = state["revision"].as_n().map(String::as_str);
        let expected = if deleted.is_none() { "10" } else { "1" };
        assert_eq!(revision, Ok(expected), "{deleted:?}");
    }
}

#[tokio::test]
async fn a_call_that_is_too_large_for_its_record_is_made_up_for_by_a_sweep() {
    let scene = Scene::with(|config| {
        let env = &mut config.lambda.env;
        env.insert("RULEKEEPER_RULES_PER_GROUP".to_owned(), "1000".to_owned());
    })
    .await;
    let cloud = scene.stack.cloud();
    cloud.adjust(|dials| dials.quota = 1_000);
    let rules: Vec<String> = (1..=900)
        .map(|port| format!("tcp {port} from 10.0.0.0/8"))
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    scene.keep(&rules).await;
    scene.revoke(&rules).await;
    let told = cloud.records().into_iter().find(|record| {
        record["eventName"] == "RevokeSecurityGroupIngress" && record["errorCode"].is_null()
    });
    let told = told.expect("the revoke is on record");
    assert_eq!(told["requestParameters"], json!({"omitted": true}));
    assert_eq!(told["responseElements"], json!({"omitted": true}));
    assert_eq!(scene.live().len(), 900, "{:#?}", scene.answers());
    let swept = scene
        .answers()
        .into_iter()
        .find(|answer| answer["sweep"]["restored"] == 1);
    assert!(swept.is_some(), "{:#?}", scene.answers());
}
