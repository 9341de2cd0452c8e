//! The main job.

use serde_json::json;

use crate::support::{ACCOUNT, Scene, outcomes, rule_json};

const OFFICE: &str = "tcp 443 from 10.0.0.0/8";

#[tokio::test]
async fn a_dropped_rule_comes_back_with_its_description_and_tags() {
    let scene = Scene::new().await;
    let ec2 = scene.stack.cloud().ec2();
    ec2.clone()
        .quietly()
        .authorize_described(&scene.group, OFFICE, "office", &[("team", "web")])
        .expect("authorized");
    let mut rule = rule_json(OFFICE);
    rule["description"] = "office".into();
    rule["tags"] = json!({"team": "web"});
    scene
        .record_as(&json!({"schema": 1, "generation": 3, "mode": "enforce", "rules": [rule]}))
        .await;
    let id_before = ec2.rule_id(&scene.group, OFFICE).expect("live");

    scene.revoke(&[OFFICE]).await;

    assert_eq!(scene.live(), [OFFICE]);
    let report = scene.answer();
    assert_eq!(report["outcome"], "restored", "{report:#}");
    assert_eq!(report["reason"], "1 of 1 dropped rule restored");
    assert_eq!(report["generation"], 3);
    assert_eq!(
        report["group"],
        json!({"account": ACCOUNT, "region": "eu-west-1", "id": scene.group})
    );
    assert_eq!(
        report["trigger"]["event_name"],
        "RevokeSecurityGroupIngress"
    );
    let id_now = ec2.rule_id(&scene.group, OFFICE).expect("live again");
    assert_eq!(
        report["rules"],
        json!([{"rule": OFFICE, "outcome": "restored", "rule_id": id_now, "dropped_by": "this_event"}])
    );
    assert_ne!(id_before, id_now);

    let authorize = scene
        .stack
        .cloud()
        .records()
        .into_iter()
        .rev()
        .find(|record| {
            record["eventName"] == "AuthorizeSecurityGroupIngress" && record["errorCode"].is_null()
        });
    let request = authorize.expect("our own call is on record")["requestParameters"].clone();
    assert_eq!(
        request["ipPermissions"]["items"][0]["ipRanges"]["items"][0]["description"], "office",
        "{request:#}"
    );
    assert!(request.to_string().contains("\"team\""), "{request:#}");
}

#[tokio::test]
async fn two_sequential_round_trips_lead_from_the_event_to_the_restored_rule() {
    // With provisioned concurrency, the start opens connections, which is no call.
    for start in ["on-demand", "provisioned-concurrency"] {
        let scene = Scene::with(|config| {
            let name = "AWS_LAMBDA_INITIALIZATION_TYPE".to_owned();
            config.lambda.env.insert(name, start.to_owned());
        })
        .await;
        scene.keep(&[OFFICE, "udp 53 from 10.0.0.0/8"]).await;
        scene.stack.cloud().clear_calls();
        scene.revoke(&[OFFICE]).await;
        let calls = scene.stack.cloud().calls().into_iter();
        let by_function: Vec<String> = calls
            .filter(|call| call.service == "ec2")
            .map(|call| call.action)
            .collect();
        // One read at the same time as the record, the authorize, and a read to verify; nothing else.
        assert_eq!(
            by_function,
            [
                "DescribeSecurityGroupRules",
                "AuthorizeSecurityGroupIngress",
                "DescribeSecurityGroupRules"
            ]
        );
        assert_eq!(
            scene.answer()["calls"],
            json!({"AuthorizeSecurityGroupIngress": 1, "DescribeSecurityGroupRules": 2, "BatchGetItem": 1, "PutItem": 1, "UpdateItem": 1})
        );
    }
}

#[tokio::test]
async fn an_incident_is_kept_once_however_often_the_event_comes() {
    let scene = Scene::with(|config| config.delivery.duplicates = 3).await;
    scene.keep(&[OFFICE]).await;
    scene.revoke(&[OFFICE]).await;
    assert_eq!(scene.answers().len(), 4);
    assert_eq!(scene.live(), [OFFICE]);
    let incidents = scene.incidents().await;
    assert_eq!(incidents.len(), 1, "{incidents:#?}");
    let outcome = incidents[0]["rules"].as_l().expect("a list")[0]
        .as_m()
        .expect("a map")["outcome"]
        .as_s();
    assert_eq!(outcome.map(String::as_str), Ok("restored"));
    assert!(incidents[0]["sk"].as_s().expect("text").contains('#'));
    assert!(incidents[0]["expires_at"].as_n().is_ok());
    let restored = scene
        .answers()
        .iter()
        .filter(|answer| answer["outcome"] == "restored")
        .count();
    assert_eq!(
        restored, 1,
        "one instance restores, the others find it there"
    );
}

#[tokio::test]
async fn five_revokes_in_a_row_end_with_everything_back() {
    let scene = Scene::new().await;
    let rules: Vec<String> = (1..=5)
        .map(|port| format!("tcp {port} from 10.0.0.0/8"))
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    scene.keep(&rules).await;
    for rule in &rules {
        scene
            .stack
            .cloud()
            .ec2()
            .revoke(&scene.group, &[rule])
            .expect("live");
    }
    scene.settle().await;
    assert_eq!(scene.live(), rules);
    assert_eq!(scene.answers().len(), 5);
}

#[tokio::test]
async fn late_reordered_and_repeated_events_end_in_the_same_place() {
    let scene = Scene::with(|config| config.delivery.hold = true).await;
    scene.keep(&[OFFICE, "tcp 80 from 10.0.0.0/8"]).await;
    let (ec2, bridge) = (scene.stack.cloud().ec2(), scene.stack.bridge());
    ec2.revoke(&scene.group, &[OFFICE]).expect("live");
    ec2.authorize(&scene.group, &[OFFICE])
        .expect("put back by its owner");
    ec2.revoke(&scene.group, &["tcp 80 from 10.0.0.0/8"])
        .expect("live");
    ec2.revoke(&scene.group, &[OFFICE]).expect("live");
    bridge.release(&[3, 0, 2, 1]);
    scene.settle().await;
    assert_eq!(scene.live(), [OFFICE, "tcp 80 from 10.0.0.0/8"]);
}

#[tokio::test]
async fn a_lost_event_is_made_up_for_by_the_sweep() {
    let scene = Scene::with(|config| config.delivery.lose_next = 1).await;
    scene.keep(&[OFFICE]).await;
    scene.revoke(&[OFFICE]).await;
    assert!(scene.live().is_empty());
    scene.stack.bridge().schedule("rulekeeper-sweep");
    scene.settle().await;
    assert_eq!(scene.live(), [OFFICE]);
    let answer = scene.answer();
    assert_eq!(answer["sweep"]["groups"], 1, "{answer:#}");
    assert_eq!(answer["reports"][0]["outcome"], "restored");

    let converged = scene
        .stack
        .lambda()
        .invoke(json!({"sweep": {"account": ACCOUNT, "region": "eu-west-1"}}))
        .await;
    assert_eq!(
        converged.payload,
        json!({"sweep": {"groups": 1, "converged": 1}, "reports": []})
    );
}

#[tokio::test]
async fn a_replacement_that_allows_the_same_is_left_to_stand() {
    let scene = Scene::with(|config| config.delivery.hold = true).await;
    scene.keep(&["tcp 80-9093 from 10.0.0.0/8"]).await;
    let ec2 = scene.stack.cloud().ec2();
    ec2.revoke(&scene.group, &["tcp 80-9093 from 10.0.0.0/8"])
        .expect("live");
    ec2.authorize(&scene.group, &["tcp 80-9100 from 10.0.0.0/8"])
        .expect("wider");
    scene.stack.bridge().release_all();
    scene.settle().await;
    assert_eq!(scene.live(), ["tcp 80-9100 from 10.0.0.0/8"]);
    let report = scene
        .answers()
        .into_iter()
        .find(|answer| answer["outcome"] == "converged")
        .expect("a report");
    assert_eq!(
        outcomes(&report),
        ["tcp 80-9093 from 10.0.0.0/8 superseded"]
    );
    assert_eq!(report["unexpected"], json!(["tcp 80-9100 from 10.0.0.0/8"]));
}

#[tokio::test]
async fn observing_changes_nothing_by_record_or_by_environment() {
    let scene = Scene::with(|config| {
        config
            .lambda
            .env
            .insert("RULEKEEPER_MODE".to_owned(), "observe".to_owned());
    })
    .await;
    scene.keep(&[OFFICE]).await;
    scene.revoke(&[OFFICE]).await;
    assert!(scene.live().is_empty());
    assert_eq!(scene.answer()["outcome"], "observed");

    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    scene
        .record_as(&json!({"schema": 1, "generation": 1, "mode": "enforce", "paused_until": "2199-01-01T00:00:00Z",
            "pause_reason": "migration", "rules": [rule_json(OFFICE)]}))
        .await;
    scene.revoke(&[OFFICE]).await;
    assert!(scene.live().is_empty());
    assert_eq!(
        scene.answer()["reason"],
        "paused until 2199-01-01T00:00:00Z: migration"
    );
}
