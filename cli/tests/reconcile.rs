//! `plan` and `restore`, by the real binary against moto.

mod common;

use aws_sdk_dynamodb::types::AttributeValue;
use common::{ACCOUNT, REGION, Scene};
use serde_json::{Value, json};

#[tokio::test]
async fn plan_finds_drift_and_changes_nothing() {
    let scene = Scene::new("plan").await;
    let group = scene.group("plan", &[443, 80]).await;
    scene.rulekeeper(&["pin", &group]).exits(0);
    let converged = scene.rulekeeper(&["plan", &group]).exits(0).item();
    assert_eq!(converged["outcome"], "converged");

    scene.revoke(&group, 80).await;
    let items = scene.items().await;
    let planned = scene.rulekeeper(&["plan", &group]).exits(3).item();
    assert_eq!(
        planned["group"],
        json!({"account": ACCOUNT, "region": REGION, "id": group})
    );
    assert_eq!(
        (&planned["outcome"], &planned["generation"]),
        (&json!("drifted"), &json!(1))
    );
    let reason = "no principal is listed, so every dropped rule comes back";
    assert_eq!(
        planned["rules"],
        json!([{"rule": "tcp 80 from 10.0.0.0/8", "action": "restore", "reason": reason}])
    );
    let table = scene
        .rulekeeper(&["plan", &group, "--output", "table"])
        .exits(3)
        .out;
    let expected = format!(
        "{ACCOUNT}/{REGION}/{group} (plan): generation 1: drifted: 1 rule is missing\n  \
         ACTION   RULE                    UNTIL  REASON\n  \
         restore  tcp 80 from 10.0.0.0/8  -      {reason}\n"
    );
    assert_eq!(table, expected);
    let swept = scene.rulekeeper(&["plan"]).exits(3).json();
    assert_eq!(
        swept["sweep"],
        json!({"groups": 1, "converged": 0, "drifted": 1})
    );
    assert_eq!(swept["items"], json!([planned]));
    assert_eq!(
        (scene.items().await, scene.ports(&group).await),
        (items, vec![443])
    );
}

#[tokio::test]
async fn restore_brings_a_revoked_rule_back_with_all_that_belongs_to_it() {
    let scene = Scene::new("restore").await;
    let group = scene.group("restore", &[443, 80]).await;
    scene.rulekeeper(&["pin", &group]).exits(0);
    scene.revoke(&group, 80).await;
    scene.revoke(&group, 443).await;
    let restored = scene.rulekeeper(&["restore", &group]).exits(0).item();
    assert_eq!(
        (&restored["outcome"], &restored["generation"]),
        (&json!("restored"), &json!(1))
    );
    assert_eq!(restored["trigger"]["kind"], "operator");
    assert!(
        restored["trigger"]["principal"]
            .as_str()
            .is_some_and(|arn| arn.starts_with("arn:aws:")),
        "{restored}"
    );
    let rules = scene.rules(&group).await;
    assert_eq!(scene.ports(&group).await, [80, 443]);
    assert_eq!(rules[0].description.as_deref(), Some("port 80"));
    let tags: Vec<_> = rules[0]
        .tags()
        .iter()
        .map(|tag| (tag.key(), tag.value()))
        .collect();
    assert_eq!(tags, [(Some("owner"), Some("test"))]);
    assert_eq!(scene.items().await, 3, "record, state and incident");

    let again = scene
        .rulekeeper(&["restore", &group, &group])
        .exits(0)
        .item();
    assert_eq!(
        again["outcome"], "converged",
        "a group named twice is looked at once"
    );
}

#[tokio::test]
async fn restore_without_a_group_restores_all_of_them() {
    let scene = Scene::new("restore-all").await;
    let (a, b) = (
        scene.group("restore-all-a", &[443]).await,
        scene.group("restore-all-b", &[80]).await,
    );
    for group in [&a, &b] {
        scene.rulekeeper(&["pin", group]).exits(0);
    }
    scene.revoke(&a, 443).await;
    let swept = scene.rulekeeper(&["restore"]).exits(0);
    assert_eq!(
        swept.json()["sweep"],
        json!({"groups": 2, "converged": 1, "restored": 1})
    );
    assert_eq!(swept.err, "", "no bar where there is no terminal");
    assert_eq!(scene.ports(&a).await, [443]);
    let both = scene.rulekeeper(&["restore", &a, &b, &a]).exits(0).items();
    assert_eq!(both.len(), 2);
    let table = scene
        .rulekeeper(&["restore", "--output", "table"])
        .exits(0)
        .out;
    assert_eq!(table, "2 groups: 2 converged\n");
}

#[tokio::test]
async fn paused_and_observed_groups_are_reported_and_left_alone() {
    let scene = Scene::new("held").await;
    let (paused, observed) = (
        scene.group("held-paused", &[443]).await,
        scene.group("held-observed", &[80]).await,
    );
    scene.rulekeeper(&["pin", &paused]).exits(0);
    scene
        .rulekeeper(&["pin", &observed, "--mode", "observe"])
        .exits(0);
    let until = AttributeValue::S("2999-01-01T00:00:00Z".to_owned());
    scene.write_attribute(&paused, "paused_until", until).await;
    scene.revoke(&paused, 443).await;
    scene.revoke(&observed, 80).await;
    let report = scene.rulekeeper(&["restore", &paused]).exits(3).item();
    assert_eq!(
        (&report["outcome"], &report["rules"][0]["outcome"]),
        (&json!("held"), &json!("held"))
    );
    let report = scene.rulekeeper(&["restore", &observed]).exits(3).item();
    assert_eq!(report["outcome"], "observed");
    assert!(scene.ports(&paused).await.is_empty() && scene.ports(&observed).await.is_empty());
}

#[tokio::test]
async fn a_record_that_cannot_be_understood_is_a_failure_and_so_is_a_named_group_without_one() {
    let scene = Scene::new("unreadable").await;
    let group = scene.group("unreadable", &[443]).await;
    for verb in ["plan", "restore"] {
        let unmanaged = scene.rulekeeper(&[verb, &group]).exits(1).item();
        assert_eq!(unmanaged["outcome"], "unmanaged");
    }
    let unmanaged = scene.rulekeeper(&["status", &group]).exits(1).item();
    assert_eq!(unmanaged["state"], "unmanaged");
    scene
        .write_attribute(&group, "rules", AttributeValue::S("all".to_owned()))
        .await;
    let failed = scene.rulekeeper(&["restore", &group]).exits(1).item();
    assert!(
        failed["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("rules: is not a list")),
        "{failed}"
    );
    let other = scene.group("unreadable-other", &[443]).await;
    scene.rulekeeper(&["pin", &other]).exits(0);
    scene.revoke(&other, 443).await;
    let swept = scene.rulekeeper(&["plan"]).exits(1).json();
    assert_eq!(swept["sweep"]["groups"], 2, "the worst decides");
}

#[tokio::test]
async fn groups_of_another_account_are_not_taken_for_lost() {
    let scene = Scene::new("foreign").await;
    for verb in ["pin", "plan", "restore"] {
        let refused = scene
            .rulekeeper(&[verb, "sg-0000000a", "--account", "444455556666"])
            .exits(1);
        assert!(
            refused
                .err
                .contains("444455556666 is not the account of these credentials"),
            "{refused:?}"
        );
        assert!(refused.err.contains("--role-name"), "{refused:?}");
    }
    // Nothing is written when nothing could be put back.
    for verb in [
        &["resume", "sg-0000000a"][..],
        &["rollback", "sg-0000000a", "--to", "1"],
    ] {
        let arguments = [verb, &["--account", "444455556666"]].concat();
        let refused = scene.rulekeeper(&arguments).exits(1);
        assert!(refused.err.contains("--role-name"), "{refused:?}");
    }
    // Only the table is ours, whatever account the records are about.
    assert_eq!(
        scene
            .rulekeeper(&["list", "--account", "444455556666"])
            .exits(0)
            .items(),
        [] as [Value; 0]
    );
}

#[tokio::test]
async fn check_tells_what_could_not_come_back_and_pin_says_so_before() {
    let scene = Scene::new("check").await;
    let group = scene.group("check", &[443, 22]).await;
    let pinned = scene.rulekeeper(&["pin", &group]).exits(0);
    assert!(!pinned.err.contains("warning"), "{pinned:?}");
    let fine = scene.rulekeeper(&["check"]).exits(0).json();
    assert_eq!((&fine["checked"], &fine["items"]), (&json!(1), &json!([])));
    let never = ["--never", "tcp 22 from 10.0.0.0/8"];
    let checked = scene
        .rulekeeper(&[&["check", &group][..], &never].concat())
        .exits(3)
        .json();
    let rule = &checked["items"][0]["rules"][0];
    assert_eq!(
        (&rule["rule"], &rule["why"], &rule["live"]),
        (
            &json!("tcp 22 from 10.0.0.0/8"),
            &json!("guardrail"),
            &json!(true)
        )
    );
    let table = [&["check", "--output", "table"][..], &never].concat();
    let table = scene.rulekeeper(&table).exits(3).out;
    assert!(
        table.starts_with(&format!(
            "{ACCOUNT}/{REGION}: 1 record: 1 rule could not come back\n"
        )),
        "{table}"
    );
    let warned = scene
        .rulekeeper(&[&["pin", &group][..], &never].concat())
        .exits(0);
    assert!(
        warned
            .err
            .contains("tcp 22 from 10.0.0.0/8 would not come back"),
        "{warned:?}"
    );
    // The guardrail holds for the operator's own restore too.
    scene.revoke(&group, 22).await;
    let restored = scene
        .rulekeeper(&[&["restore", &group][..], &never].concat())
        .exits(3)
        .item();
    assert_eq!(restored["rules"][0]["error_code"], "Guardrail");
    let planned = scene
        .rulekeeper(&[&["plan", &group][..], &never].concat())
        .exits(3)
        .item();
    assert_eq!(planned["rules"][0]["action"], "unrestorable");
    assert_eq!(scene.ports(&group).await, [443]);
    scene
        .rulekeeper(&["check", "sg-0bad0bad0bad0bad0"])
        .exits(1);
    let wrong = scene.rulekeeper(&["check", "--never", "tcp 22"]).exits(2);
    assert!(wrong.err.contains("is not a rule"), "{wrong:?}");
}

#[tokio::test]
async fn status_says_what_is_wrong_and_which_command_helps_and_a_group_has_a_name() {
    let scene = Scene::new("status").await;
    let group = scene.group("web", &[443, 80]).await;
    scene.rulekeeper(&["pin", "web"]).exits(0);
    let well = scene.rulekeeper(&["status", "--output", "table"]).exits(0);
    assert_eq!(
        well.out,
        "all is well: 1 group looked at, no rule is missing\n"
    );
    assert_eq!(
        scene.rulekeeper(&["status"]).exits(0).items(),
        [] as [Value; 0]
    );

    scene.revoke(&group, 80).await;
    let command =
        format!("rulekeeper restore {group} --account {ACCOUNT} --region {REGION} --table status");
    for arguments in [
        &["status"][..],
        &["status", "web"],
        &["status", "--all-scopes"],
    ] {
        let wrong = scene.rulekeeper(arguments).exits(3).item();
        assert_eq!(wrong["group"]["id"], json!(group));
        assert_eq!(
            (&wrong["state"], &wrong["rule"], &wrong["live"]),
            (
                &json!("missing"),
                &json!("tcp 80 from 10.0.0.0/8"),
                &json!(false)
            )
        );
        // What it says can be run as it stands.
        assert_eq!(wrong["command"], json!(command));
    }
    let table = scene
        .rulekeeper(&["status", "--output", "table"])
        .exits(3)
        .out;
    let shown = format!(
        "{ACCOUNT}/{REGION}/{group} (web)\n  missing  tcp 80 from 10.0.0.0/8\n    no principal is listed, so \
         every dropped rule comes back\n    {command}\n\n1 group looked at: 1 rule is missing\n"
    );
    assert_eq!(table, shown);
    let yaml = scene.rulekeeper(&["status", "-o", "yaml"]).exits(3).out;
    assert!(yaml.starts_with("schema: 1\nkind: status\n"), "{yaml}");

    let nobody = scene.rulekeeper(&["plan", "nobody"]).exits(1);
    assert!(
        nobody.err.contains("no record of a group named \"nobody\""),
        "{nobody:?}"
    );
    scene.rulekeeper(&["restore", "web"]).exits(0);
    scene.rulekeeper(&["status", "web"]).exits(0);
    // An account that cannot be reached is named, and hides no other.
    let other = scene
        .record("sg-0000000a", &[443])
        .replace(ACCOUNT, "444455556666");
    scene
        .rulekeeper_reading(&["apply", "-f", "-"], &other)
        .exits(0);
    scene.revoke(&group, 443).await;
    let all = scene
        .rulekeeper(&["status", "--all-scopes"])
        .exits(1)
        .items();
    let states: Vec<&Value> = all.iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["missing", "unknown"]);
    let listed = scene
        .rulekeeper(&["list", "--all-scopes", "--name", "we"])
        .exits(0)
        .item();
    assert_eq!(
        (&listed["account"], &listed["group"]),
        (&json!(ACCOUNT), &json!(group))
    );
}
