//! What EC2 refuses, and that it costs no more than itself.

use serde_json::{Value, json};

use crate::support::{Scene, outcomes, rule_json};

fn count(report: &Value, outcome: &str) -> usize {
    outcomes(report)
        .iter()
        .filter(|line| line.ends_with(&format!(" {outcome}")))
        .count()
}

#[tokio::test]
async fn nine_of_ten_rules_come_back_when_the_tenth_names_a_deleted_group() {
    let scene = Scene::new().await;
    let ec2 = scene.stack.cloud().ec2().quietly();
    let peer_vpc = ec2.create_vpc("10.1.0.0/16").expect("a VPC");
    scene.stack.cloud().peer(&scene.vpc, &peer_vpc);
    let gone = ec2.create_group("gone", &peer_vpc).expect("a group");
    let reference = format!("tcp 8443 from {gone}");
    let mut rules: Vec<String> = (1..=9)
        .map(|port| format!("tcp {port} from 10.0.0.0/8"))
        .collect();
    rules.push(reference.clone());
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    scene.keep(&rules).await;
    // Across a peering a group can be deleted while rules name it.
    ec2.delete_group(&gone).expect("deletable");
    scene.revoke(&rules).await;
    assert_eq!(scene.live(), rules[..9]);
    let report = scene.answer();
    assert_eq!(report["outcome"], "partial");
    assert_eq!(report["reason"], "9 of 10 dropped rules restored");
    let failed = report["rules"]
        .as_array()
        .expect("lines")
        .iter()
        .find(|line| line["outcome"] == "failed");
    assert_eq!(
        failed,
        Some(
            &json!({"rule": reference, "outcome": "failed", "error_code": "InvalidGroup.NotFound",
            "reason": format!("{gone} does not exist"), "dropped_by": "this_event"})
        )
    );
    assert_eq!(
        report["calls"]["AuthorizeSecurityGroupIngress"], 2,
        "{report:#}"
    );
    assert_eq!(report["calls"]["DescribeSecurityGroups"], 1);
    assert_eq!(
        scene.stack.lambda().dead_letters(),
        [],
        "a missing group is nothing to call again for"
    );
}

#[tokio::test]
async fn seventy_rules_in_a_quota_of_sixty_fill_it_by_priority() {
    let scene = Scene::new().await;
    let rules: Vec<Value> = (1..=70)
        .map(|port| {
            let mut rule = rule_json(&format!("tcp {port} from 10.0.0.0/8"));
            rule["priority"] = i64::from(port > 60).into();
            rule
        })
        .collect();
    scene
        .record_as(&json!({"schema": 1, "generation": 1, "mode": "enforce", "rules": rules}))
        .await;
    let event =
        crate::support::revoke_event("111122223333", &scene.group, &["tcp 1 from 10.0.0.0/8"]);
    let report = scene.stack.lambda().invoke(event).await.payload;
    assert_eq!(
        (count(&report, "restored"), count(&report, "failed")),
        (60, 10),
        "{report:#}"
    );
    assert_eq!(scene.live().len(), 60);
    for port in 61..=70 {
        assert!(
            scene
                .live()
                .contains(&format!("tcp {port} from 10.0.0.0/8")),
            "{port} has priority"
        );
    }
    let failed = report["rules"]
        .as_array()
        .expect("lines")
        .iter()
        .find(|line| line["outcome"] == "failed");
    let reason = failed.expect("ten failed")["reason"]
        .as_str()
        .expect("a reason");
    assert!(reason.contains("quota of 60"), "{reason}");
    assert_eq!(report["calls"]["AuthorizeSecurityGroupIngress"], 3);
}

#[tokio::test]
async fn prefix_lists_count_their_weight_and_families_have_room_of_their_own() {
    let scene = Scene::with(|config| {
        config
            .lambda
            .env
            .insert("RULEKEEPER_RULES_PER_GROUP".to_owned(), "20".to_owned());
    })
    .await;
    scene.stack.cloud().adjust(|dials| dials.quota = 20);
    let ec2 = scene.stack.cloud().ec2().quietly();
    let list = ec2
        .create_prefix_list("partners", 15)
        .expect("a prefix list");
    let live = format!("tcp 443 from {list}");
    ec2.authorize(&scene.group, &[&live])
        .expect("there is room");
    let wanted: Vec<String> = (1..=8)
        .flat_map(|port| {
            [
                format!("tcp {port} from 10.0.0.0/8"),
                format!("tcp {port} from 2001:db8::/32"),
            ]
        })
        .collect();
    let mut wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    wanted.push(&live);
    scene.record(&wanted).await;
    let event = crate::support::revoke_event("111122223333", &scene.group, &[wanted[0]]);
    let report = scene.stack.lambda().invoke(event).await.payload;
    // Room for five of either family beside the list's fifteen.
    assert_eq!(
        (count(&report, "restored"), count(&report, "failed")),
        (10, 6),
        "{report:#}"
    );
}

#[tokio::test]
async fn a_rule_somebody_puts_back_in_the_middle_does_not_cost_the_others() {
    let scene = Scene::new().await;
    let rules = [
        "tcp 1 from 10.0.0.0/8",
        "tcp 2 from 10.0.0.0/8",
        "tcp 3 from 10.0.0.0/8",
    ];
    scene.keep(&rules).await;
    let group = scene.group.clone();
    scene
        .stack
        .cloud()
        .before("AuthorizeSecurityGroupIngress", move |cloud| {
            cloud
                .ec2()
                .quietly()
                .authorize(&group, &["tcp 2 from 10.0.0.0/8"])
                .expect("a rival");
        });
    scene.revoke(&rules).await;
    assert_eq!(scene.live(), rules);
    assert_eq!(
        outcomes(&scene.answer()),
        [
            "tcp 1 from 10.0.0.0/8 restored",
            "tcp 2 from 10.0.0.0/8 restored_elsewhere",
            "tcp 3 from 10.0.0.0/8 restored"
        ]
    );
}

#[tokio::test]
async fn a_refused_tag_costs_the_tag() {
    let scene = Scene::new().await;
    scene
        .stack
        .cloud()
        .adjust(|dials| dials.refused_tag_keys.insert("cost-centre".to_owned()));
    let mut rule = rule_json("tcp 443 from 10.0.0.0/8");
    rule["tags"] = json!({"cost-centre": "7", "team": "web"});
    scene
        .record_as(&json!({"schema": 1, "generation": 1, "mode": "enforce", "rules": [rule]}))
        .await;
    let event =
        crate::support::revoke_event("111122223333", &scene.group, &["tcp 443 from 10.0.0.0/8"]);
    let report = scene.stack.lambda().invoke(event).await.payload;
    assert_eq!(report["outcome"], "restored", "{report:#}");
    let line = &report["rules"][0];
    assert_eq!(line["error_code"], "TagPolicyViolation");
    assert_eq!(
        line["reason"],
        "restored without the tags cost-centre (TagPolicyViolation)"
    );
    assert_eq!(scene.live(), ["tcp 443 from 10.0.0.0/8"]);
}

#[tokio::test]
async fn a_group_that_is_gone_is_orphaned_and_looked_for_with_one_describe() {
    let scene = Scene::new().await;
    scene.record(&["tcp 443 from 10.0.0.0/8"]).await;
    scene
        .stack
        .cloud()
        .ec2()
        .delete_group(&scene.group)
        .expect("deletable");
    let event =
        crate::support::revoke_event("111122223333", &scene.group, &["tcp 443 from 10.0.0.0/8"]);
    let result = scene.stack.lambda().invoke(event).await;
    assert_eq!(result.function_error, None);
    assert_eq!(
        result.payload["outcome"], "orphaned",
        "{:#}",
        result.payload
    );
    let state = scene.table.items("state#111122223333#eu-west-1").await;
    assert!(state[0].contains_key("orphaned_at"), "{state:?}");

    scene.stack.cloud().clear_calls();
    let sweep = scene
        .stack
        .lambda()
        .invoke(json!({"sweep": {}}))
        .await
        .payload;
    assert_eq!(
        sweep["sweep"],
        json!({"groups": 1, "converged": 0, "orphaned": 1})
    );
    assert_eq!(sweep["reports"][0]["outcome"], "orphaned");
    let ec2_calls = scene
        .stack
        .cloud()
        .calls()
        .into_iter()
        .filter(|call| call.service == "ec2")
        .count();
    assert_eq!(ec2_calls, 1);
}

#[tokio::test]
async fn a_record_that_cannot_be_understood_is_reported_with_the_attribute_at_fault() {
    let scene = Scene::new().await;
    let (good, mut bad) = (
        rule_json("tcp 443 from 10.0.0.0/8"),
        rule_json("tcp 80 from 10.0.0.0/8"),
    );
    bad["to_port"] = "http".into();
    scene
        .record_as(&json!({"schema": 1, "generation": 1, "mode": "enforce", "rules": [good, bad]}))
        .await;
    let event =
        crate::support::revoke_event("111122223333", &scene.group, &["tcp 443 from 10.0.0.0/8"]);
    let result = scene.stack.lambda().invoke(event).await;
    assert_eq!(result.function_error, None, "another try would not help");
    assert_eq!(result.payload["outcome"], "failed");
    let reason = result.payload["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("rules[1].to_port: \"http\" is not a whole number"),
        "{reason}"
    );
    assert!(scene.live().is_empty());
    let metrics = scene
        .stack
        .lambda()
        .logs()
        .into_iter()
        .find(|line| line.text.contains("RecordsUnreadable"));
    assert!(
        metrics
            .expect("metrics are logged")
            .text
            .contains("\"RecordsUnreadable\":1")
    );
}

#[tokio::test]
async fn a_role_that_may_not_authorize_fails_once_with_the_code() {
    let scene = Scene::new().await;
    scene
        .keep(&["tcp 443 from 10.0.0.0/8", "tcp 80 from 10.0.0.0/8"])
        .await;
    scene.stack.cloud().adjust(|dials| {
        dials
            .denied
            .insert("AuthorizeSecurityGroupIngress".to_owned())
    });
    scene.revoke(&["tcp 443 from 10.0.0.0/8"]).await;
    let report = scene.answer();
    assert_eq!(
        report["rules"][0]["error_code"], "UnauthorizedOperation",
        "{report:#}"
    );
    assert_eq!(report["calls"]["AuthorizeSecurityGroupIngress"], 1);
    assert!(
        !report.to_string().contains("Encoded authorization"),
        "{report:#}"
    );
}
