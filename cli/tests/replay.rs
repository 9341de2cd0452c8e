//! `replay`, by the real binary against moto.

mod common;

use std::fs;

use common::{Scene, bare, run};
use serde_json::{Value, json};

#[tokio::test]
async fn replay_plans_unless_told_to_execute() {
    let scene = Scene::new("replay").await;
    let group = scene.group("replay", &[443, 80]).await;
    scene.rulekeeper(&["pin", &group]).exits(0);
    scene.revoke(&group, 443).await;
    let event = scene.file(
        "event.json",
        &scene.event("revoke-by-permission.json", &group),
    );
    let items = scene.items().await;

    let planned = scene.rulekeeper(&["replay", &event]).exits(3).item();
    assert_eq!(planned["outcome"], "drifted");
    let trigger = &planned["trigger"];
    assert_eq!(
        (&trigger["kind"], &trigger["event_name"]),
        (&json!("event"), &json!("RevokeSecurityGroupIngress"))
    );
    assert_eq!(
        (scene.items().await, scene.ports(&group).await),
        (items, vec![80])
    );
    let table = scene
        .rulekeeper(&["replay", &event, "--output", "table"])
        .exits(3)
        .out;
    assert!(
        table.starts_with(&format!("{event}: "))
            && table.contains("restore  tcp 443 from 10.0.0.0/8"),
        "{table}"
    );

    let done = scene
        .rulekeeper(&["replay", &event, "--execute"])
        .exits(0)
        .item();
    assert_eq!(
        (&done["outcome"], &done["rules"][0]["outcome"]),
        (&json!("restored"), &json!("restored"))
    );
    assert_eq!(
        scene.rules(&group).await[1].description.as_deref(),
        Some("port 443")
    );
    assert_eq!(scene.items().await, items + 1, "the incident");
    let again = scene
        .rulekeeper(&["replay", &event, "--execute"])
        .exits(0)
        .item();
    assert_eq!(again["rules"][0]["outcome"], "already_present");
}

#[tokio::test]
async fn several_events_are_answered_in_a_list_however_they_were_saved() {
    let scene = Scene::new("replay-forms").await;
    let group = scene.group("replay-forms", &[443]).await;
    scene.rulekeeper(&["pin", &group]).exits(0);
    let text = scene.event("revoke-by-permission.json", &group);
    let envelope: Value = serde_json::from_str(&text).expect("JSON");
    let record = &envelope["detail"];
    let forms = [
        json!([envelope, record]).to_string(),
        json!({"Records": [record, record]}).to_string(),
        format!("{envelope}\n{record}\n"),
    ];
    for form in &forms {
        let answers = scene
            .rulekeeper_reading(&["replay", "-"], form)
            .exits(0)
            .items();
        let outcomes: Vec<_> = answers.iter().map(|answer| &answer["outcome"]).collect();
        assert_eq!(outcomes, ["converged", "converged"], "{form}");
    }
    scene.revoke(&group, 443).await;
    let denied = scene.file("denied.json", &scene.event("revoke-denied.json", &group));
    let sweep = scene.file("sweep.json", r#"{"sweep": {}}"#);
    let answers = scene
        .rulekeeper(&["replay", &denied, &sweep])
        .exits(3)
        .items();
    assert_eq!(
        (&answers[0]["outcome"], &answers[1]["sweep"]["groups"]),
        (&json!("ignored"), &json!(1))
    );
}

#[tokio::test]
async fn every_sample_event_is_answered() {
    let scene = Scene::new("replay-samples").await;
    let files = fs::read_dir("../events")
        .expect("sample events")
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let mut files: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    files.sort();
    let files: Vec<_> = files
        .iter()
        .map(|path| path.to_str().expect("UTF-8"))
        .collect();
    let mut arguments = vec!["replay"];
    arguments.extend(&files);
    let done = scene.rulekeeper(&arguments).exits(0);
    assert!(
        done.items().len() >= files.len(),
        "an answer to each: {}",
        done.out
    );
    let warnings = done
        .err
        .lines()
        .filter(|line| line.contains("111122223333 is not the account"))
        .count();
    assert_eq!(warnings, 1, "{}", done.err);

    let event = "../events/revoke-by-permission.json";
    let refused = scene
        .rulekeeper(&["replay", "--execute", event])
        .exits(1)
        .item();
    assert_eq!(refused["outcome"], "failed");
    assert_eq!(
        scene.items().await,
        0,
        "a group that cannot be seen is not taken for gone"
    );
}

#[test]
fn events_that_ask_for_nothing_need_no_account_no_table_and_no_region() {
    let done = run(
        bare(&[
            "replay",
            "../events/revoke-denied.json",
            "../events/garbage.json",
        ]),
        "",
    )
    .exits(0);
    assert_eq!(
        (&done.items()[0]["outcome"], &done.items()[1]["outcome"]),
        (&json!("ignored"), &json!("ignored"))
    );
    let done = run(bare(&["replay", "-"]), "{\"a\": 1}\n{\"b\": }").exits(1);
    assert!(
        done.err.contains("standard input: ") && done.err.contains("line 2"),
        "{done:?}"
    );
    for nothing in ["[]", "", r#"{"Events": []}"#, r#"[1, {"a": {"b": "{}"}}]"#] {
        let done = run(bare(&["replay", "-"]), nothing).exits(1);
        let said = done.err.contains("there is no event in standard input");
        assert!(said && done.out.is_empty(), "{nothing}: {done:?}");
    }
    let event = fs::read_to_string("../events/revoke-denied.json").expect("a sample");
    let found = json!({"Events": [{"CloudTrailEvent": event}]}).to_string();
    let done = run(bare(&["replay", "-"]), &found).exits(0).item();
    assert_eq!(done["trigger"]["event_name"], "RevokeSecurityGroupIngress");
}
