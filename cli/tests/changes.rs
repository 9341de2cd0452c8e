//! `pause`, `resume`, `release`, `unpin`, `rollback` and `history`, by the real binary against moto.

mod common;

use aws_sdk_dynamodb::types::AttributeValue;
use common::{ACCOUNT, OLD, REGION, Scene, WEB, follow};
use serde_json::{Value, json};

fn show(scene: &Scene, group: &str) -> Value {
    scene.rulekeeper(&["show", group]).exits(0).item()
}

#[tokio::test]
async fn a_paused_group_is_held_until_it_is_resumed_and_then_put_back() {
    let (scene, group) = Scene::pinned("pause").await;
    let paused = scene
        .rulekeeper(&["pause", &group, "--for", "2h", "--reason", "migration"])
        .exits(0)
        .item();
    assert_eq!(
        paused,
        json!({
            "group": {"account": ACCOUNT, "region": REGION, "id": group}, "generation": 2, "changed": true,
            "added": [], "removed": [],
        })
    );
    let record = show(&scene, &group);
    let at = |name: &str| {
        let text = record[name].as_str().expect("a time");
        text.parse::<jiff::Timestamp>().expect("a time")
    };
    // The two times are taken one after the other.
    let paused_for = at("paused_until").duration_since(at("updated_at"));
    assert!(
        (7_199..=7_200).contains(&paused_for.as_secs()),
        "{paused_for}"
    );
    assert_eq!(record["pause_reason"], "migration");
    scene.revoke(&group, 80).await;
    let held = scene.rulekeeper(&["restore", &group]).item();
    assert_eq!(held["outcome"], "held");

    let resumed = scene.rulekeeper(&["resume", &group]).exits(0).item();
    assert_eq!(
        (&resumed["generation"], &resumed["changed"]),
        (&json!(3), &json!(true))
    );
    assert_eq!(resumed["restore"]["outcome"], "restored");
    assert_eq!(scene.ports(&group).await, [80, 443]);
    let record = show(&scene, &group);
    assert!(
        record.get("paused_until").is_none() && record.get("pause_reason").is_none(),
        "{record}"
    );

    let again = scene.rulekeeper(&["resume", &group]).exits(0).item();
    assert_eq!(
        (&again["generation"], &again["changed"]),
        (&json!(3), &json!(false))
    );
    let said = scene
        .rulekeeper(&["resume", &group, "--output", "table"])
        .exits(0);
    let expected = format!("{ACCOUNT}/{REGION}/{group} is not paused; nothing was written\n");
    assert_eq!(said.out, expected);
}

#[tokio::test]
async fn what_follows_a_resume_can_be_left_out_and_missing_rules_end_with_3() {
    let (scene, group) = Scene::pinned("resume").await;
    let pause = ["pause", &group, "--for", "1h", "--reason", "x"];
    scene.rulekeeper(&pause).exits(0);
    scene.revoke(&group, 80).await;
    let resumed = scene
        .rulekeeper(&["resume", &group, "--no-restore"])
        .exits(0);
    assert!(
        resumed.err.contains(&format!("rulekeeper restore {group}")),
        "{resumed:?}"
    );
    assert_eq!(resumed.item().get("restore"), None);
    assert_eq!(scene.ports(&group).await, [443]);

    // A rule that EC2 has to refuse.
    let record = scene.record(&group, &[443]);
    let gone = "  - {protocol: tcp, from_port: 80, to_port: 80, referenced_group: {group_id: sg-0123456789abcdef0}}\n";
    scene
        .rulekeeper_reading(&["apply", "-f", "-"], &(record + gone))
        .exits(0);
    scene.rulekeeper(&pause).exits(0);
    let table = scene
        .rulekeeper(&["resume", &group, "--output", "table"])
        .exits(3);
    assert!(
        table
            .out
            .starts_with(&format!("{ACCOUNT}/{REGION}/{group}: generation ")),
        "{table:?}"
    );
    assert!(table.out.contains("failed"), "{table:?}");
}

#[tokio::test]
async fn a_released_rule_stays_live_and_is_not_put_back() {
    let (scene, group) = Scene::pinned("release").await;
    let unknown = scene
        .rulekeeper(&["release", &group, OLD, "tcp 81 from 10.0.0.0/8"])
        .exits(1);
    assert!(
        unknown
            .err
            .contains("does not keep \"tcp 81 from 10.0.0.0/8\"; nothing was written"),
        "{unknown:?}"
    );
    assert!(
        unknown.err.contains(&format!("  {OLD}\n  {WEB}\n")),
        "{unknown:?}"
    );
    assert_eq!(show(&scene, &group)["generation"], 1);

    let released = scene
        .rulekeeper(&[
            "release",
            &group,
            "tcp 80 from 10.1.2.3/8",
            "--reason",
            "moved",
        ])
        .exits(0)
        .item();
    assert_eq!(
        (
            &released["removed"],
            &released["live_rules"],
            &released["generation"]
        ),
        (&json!([OLD]), &json!("untouched"), &json!(2))
    );
    assert_eq!(scene.ports(&group).await, [80, 443]);
    scene.revoke(&group, 80).await;
    let planned = scene.rulekeeper(&["plan", &group]).exits(0).item();
    assert_eq!(planned["outcome"], "converged");
    let last = scene
        .rulekeeper(&["release", &group, WEB, "--output", "table"])
        .exits(0);
    let expected = format!(
        "{ACCOUNT}/{REGION}/{group}: generation 3 is written\n  - {WEB}\n\
         the live rules are untouched; released rules are not put back when somebody revokes them\n"
    );
    assert_eq!(last.out, expected);
    let none = scene.rulekeeper(&["release", &group, WEB]).exits(1);
    assert!(none.err.contains("holds no rule"), "{none:?}");
}

#[tokio::test]
async fn an_unpinned_group_is_unmanaged_and_keeps_its_live_rules() {
    let (scene, group) = Scene::pinned("unpin").await;
    let gone = scene
        .rulekeeper(&["unpin", &group, "--output", "table"])
        .exits(0);
    let expected = format!(
        "{ACCOUNT}/{REGION}/{group}: the record was taken out, as generation 2 of its history\n  - {OLD}\n  - {WEB}\n\
         the live rules are untouched; released rules are not put back when somebody revokes them\n"
    );
    assert_eq!(gone.out, expected);
    assert_eq!(scene.ports(&group).await, [80, 443]);
    assert_eq!(
        scene.rulekeeper(&["list"]).exits(0).items(),
        [] as [Value; 0]
    );
    let planned = scene.rulekeeper(&["plan", &group]).exits(1).item();
    assert_eq!(planned["outcome"], "unmanaged");
    for verb in [
        &["unpin", &group][..],
        &["release", &group, WEB],
        &["pause", &group, "--for", "1h", "--reason", "x"],
        &["resume", &group],
        &["principal", "list", &group],
        &follow("*x", &group),
    ] {
        let refused = scene.rulekeeper(verb).exits(1);
        assert!(
            refused.err.contains("has no desired-state record"),
            "{verb:?}: {refused:?}"
        );
    }
    let never = scene.rulekeeper(&["history", "sg-0000000a"]).exits(1);
    assert!(
        never.err.contains("has no desired-state record"),
        "{never:?}"
    );
    let never = scene
        .rulekeeper(&["rollback", "sg-0000000a", "--to", "1"])
        .exits(1);
    assert!(
        never.err.contains("has no desired-state record"),
        "{never:?}"
    );
}

#[tokio::test]
async fn a_rollback_makes_an_earlier_generation_current_and_puts_it_back() {
    let (scene, group) = Scene::pinned("rollback").await;
    scene.rulekeeper(&["release", &group, OLD]).exits(0);
    scene.revoke(&group, 80).await;
    let absent = scene
        .rulekeeper(&["rollback", &group, "--to", "7"])
        .exits(1);
    assert!(
        absent.err.contains("has no generation 7; it has 1 to 2"),
        "{absent:?}"
    );
    let current = scene
        .rulekeeper(&["rollback", &group, "--to", "2"])
        .exits(0)
        .item();
    assert_eq!(
        (&current["generation"], &current["changed"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(current.get("restore"), None);

    let later = scene
        .rulekeeper(&["rollback", &group, "--to", "1", "--no-restore"])
        .exits(0);
    assert_eq!(later.item()["added"], json!([OLD]));
    assert_eq!(scene.ports(&group).await, [443]);
    scene
        .rulekeeper(&["rollback", &group, "--to", "2", "--no-restore"])
        .exits(0);

    let back = scene
        .rulekeeper(&["rollback", &group, "--to", "1", "--reason", "withdrawn"])
        .exits(0)
        .item();
    assert_eq!(
        (&back["generation"], &back["added"]),
        (&json!(5), &json!([OLD]))
    );
    assert_eq!(back["restore"]["outcome"], "restored");
    let rules = scene.rules(&group).await;
    assert_eq!(rules[0].description.as_deref(), Some("port 80"));
    assert_eq!(
        show(&scene, &group)["reason"],
        "rolled back to generation 1: withdrawn"
    );

    // The history says what cannot be understood, and it cannot be gone back to.
    scene
        .write_attribute(&group, "rules", AttributeValue::S("all".to_owned()))
        .await;
    let fixed = scene
        .rulekeeper(&["rollback", &group, "--to", "1"])
        .exits(0)
        .item();
    assert_eq!(fixed["generation"], 6);
    let refused = scene
        .rulekeeper(&["rollback", &group, "--to", "5"])
        .exits(1);
    assert!(
        refused.err.contains("generation 5 of") && refused.err.contains("rules: is not a list"),
        "{refused:?}"
    );
    assert_eq!(show(&scene, &group)["generation"], 6);
    let history = scene.rulekeeper(&["history", &group]).exits(0).json();
    assert_eq!(history["items"][1]["unreadable"], "rules: is not a list");
    let table = scene
        .rulekeeper(&["history", &group, "--output", "table"])
        .exits(0)
        .out;
    assert!(
        table.contains("  cannot be understood: rules: is not a list\n"),
        "{table}"
    );
}

#[tokio::test]
async fn history_tells_of_everything_from_pin_to_unpin_and_pin() {
    let (scene, group) = Scene::pinned("chain").await;
    // One rule less, another description and a new priority.
    let exported = scene.rulekeeper(&["export", &group]).exits(0).out;
    let edited = exported.replace("description: port 443", "description: web\n  priority: 7");
    assert_ne!(edited, exported);
    scene
        .rulekeeper_reading(&["apply", "-f", "-"], &edited)
        .exits(0);
    let role = "arn:aws:iam::111122223333:role/lbc";
    for step in [
        &[
            "principal",
            "add",
            role,
            "--policy",
            "follow",
            "--group",
            &group,
        ][..],
        &["release", &group, OLD, "--reason", "moved"],
        &["pause", &group, "--for", "90m", "--reason", "work"],
        &["resume", &group],
        &["rollback", &group, "--to", "2"],
        &["unpin", &group, "--reason", "gone"],
        &["pin", &group],
    ] {
        scene.rulekeeper(step).exits(0);
    }
    let history = scene.rulekeeper(&["history", &group]).exits(0).json();
    assert_eq!(
        history["group"],
        json!({"account": ACCOUNT, "region": REGION, "id": group})
    );
    let generations = history["items"].as_array().expect("a list");
    let pause_from = &generations[4]["attributes"]["paused_until"]["to"];
    let entry = json!([{"arn": role, "policy": "follow"}]);
    let all = json!([OLD, WEB]);
    let nothing = json!([]);
    let expected = [
        (9, "pinned", &all, &nothing, json!({})),
        (8, "unpinned: gone", &nothing, &all, json!({})),
        (
            7,
            "rolled back to generation 2",
            &json!([OLD]),
            &nothing,
            json!({"principals": {"from": entry, "to": null}}),
        ),
        (
            6,
            "resumed",
            &nothing,
            &nothing,
            json!({"paused_until": {"from": pause_from, "to": null}, "pause_reason": {"from": "work", "to": null}}),
        ),
        (
            5,
            "paused until",
            &nothing,
            &nothing,
            json!({"paused_until": {"from": null, "to": pause_from}, "pause_reason": {"from": null, "to": "work"}}),
        ),
        (4, "released: moved", &nothing, &json!([OLD]), json!({})),
        (
            3,
            "principal arn:aws:iam::111122223333:role/lbc listed with policy follow",
            &nothing,
            &nothing,
            json!({"principals": {"from": null, "to": entry}}),
        ),
        (2, "applied standard input", &nothing, &nothing, json!({})),
        (1, "pinned", &all, &nothing, json!({})),
    ];
    assert_eq!(generations.len(), expected.len(), "{history:#}");
    for (generation, (number, reason, added, removed, attributes)) in
        generations.iter().zip(expected)
    {
        assert_eq!(generation["generation"], number);
        assert!(
            generation["reason"]
                .as_str()
                .is_some_and(|said| said.starts_with(reason)),
            "{generation}"
        );
        assert_eq!(
            (&generation["added"], &generation["removed"]),
            (added, removed),
            "{generation}"
        );
        assert_eq!(generation["attributes"], attributes, "{generation}");
        assert_eq!(generation["current"], number == 9, "{generation}");
        assert_eq!(generation["unpinned"], number == 8, "{generation}");
        let since = if number == 1 {
            Value::Null
        } else {
            json!(number - 1)
        };
        assert_eq!(generation["since"], since, "{generation}");
        assert!(generation["updated_at"].is_string(), "{generation}");
        assert!(
            generation["updated_by"]
                .as_str()
                .is_some_and(|arn| arn.starts_with("arn:aws:")),
            "{generation}"
        );
    }
    assert_eq!(
        generations[7]["changed"],
        json!([{"rule": WEB, "description": {"from": "port 443", "to": "web"}, "priority": {"from": 0, "to": 7}}])
    );
    let table = scene
        .rulekeeper(&["history", &group, "--output", "table"])
        .exits(0)
        .out;
    for line in [
        format!("    ~ {WEB}: description \"port 443\" → \"web\"; priority 0 → 7"),
        format!("    + principal follow {role}"),
        format!("    - {OLD}"),
        "  released: moved".to_owned(),
    ] {
        assert!(
            table.lines().any(|shown| shown == line),
            "{line} is not in {table}"
        );
    }
    assert!(
        table.starts_with("generation 9  ") && table.contains("  (record taken out)\n"),
        "{table}"
    );
    assert_eq!(scene.items().await, 10, "nine generations and the state");
}

#[tokio::test]
async fn a_history_of_more_than_a_page_is_whole() {
    let (scene, group) = Scene::pinned("history-pages").await;
    for generation in 100..112 {
        scene.put_long_history(&group, generation, 200_000).await;
    }
    let history = scene.rulekeeper(&["history", &group]).exits(0).json();
    assert_eq!(history["items"].as_array().map(Vec::len), Some(13));
}

#[tokio::test]
async fn pending_rules_are_named_and_confirming_lets_them_go() {
    let (scene, group) = Scene::pinned("confirm").await;
    let none = scene.rulekeeper(&["confirm", &group]).exits(0).item();
    assert_eq!(
        (&none["changed"], &none["generation"]),
        (&json!(false), &json!(1))
    );
    let table = scene.rulekeeper(&["confirm", &group, "--output", "table"]);
    assert!(
        table
            .exits(0)
            .out
            .ends_with("nothing is pending; nothing was written\n")
    );

    scene.revoke(&group, 80).await;
    let (by, at) = (
        "arn:aws:iam::123456789012:role/terraform",
        "2026-11-22T09:30:00Z",
    );
    scene
        .rulekeeper(&[
            "principal",
            "add",
            by,
            "--policy",
            "accept",
            "--group",
            &group,
        ])
        .exits(0);
    let ssh = "tcp 22 from 0.0.0.0/0";
    let state = json!({
        "revision": 9,
        "pending": {OLD: {"at": at, "by": by, "why": "large_change"}},
        "reopened": {ssh: {"at": at, "by": by}},
    });
    scene.put_state(&group, state).await;
    let planned = scene.rulekeeper(&["plan", &group]).exits(3).item();
    assert_eq!(
        (&planned["rules"][0]["action"], &planned["rules"][0]["by"]),
        (&json!("pending"), &json!(by))
    );
    let listed = scene.rulekeeper(&["list"]).exits(0).items();
    assert_eq!(listed[0]["pending"], json!([OLD]));
    let close = listed[0]["reopened"][0]["close"]
        .as_str()
        .unwrap_or_default();
    assert!(close.contains(&group), "{listed:?}");
    let shown = scene.rulekeeper(&["show", &group, "--output", "table"]);
    let shown = shown.exits(0).out;
    assert!(
        shown.contains(&format!("pending  {OLD}")) && shown.contains(close),
        "{shown}"
    );

    let done = scene
        .rulekeeper(&["confirm", &group, "--reason", "CHG-7"])
        .exits(0)
        .item();
    assert_eq!(
        (&done["removed"], &done["generation"], &done["live_rules"]),
        (&json!([OLD]), &json!(3), &json!("untouched"))
    );
    let planned = scene.rulekeeper(&["plan", &group]).exits(0).item();
    assert_eq!(
        (&planned["outcome"], &planned["rules"]),
        (&json!("converged"), &json!([]))
    );
    assert_eq!(scene.ports(&group).await, [443]);
}

#[tokio::test]
async fn every_group_is_paused_and_resumed_in_the_settings() {
    let scene = Scene::new("pause-all").await;
    let group = scene.group("pause-all", &[443]).await;
    scene.rulekeeper(&["pin", &group]).exits(0);
    let pause = ["pause", "--all", "--for", "2h", "--reason", "game day"];
    let paused = scene.rulekeeper(&pause).exits(0).item();
    assert_eq!(
        (&paused["generation"], &paused["changed"]),
        (&json!(1), &json!(true))
    );
    scene.revoke(&group, 443).await;
    let held = scene.rulekeeper(&["restore", &group]).exits(3);
    assert!(
        held.err.contains("every group is paused until 2"),
        "{held:?}"
    );
    let held = held.item();
    assert_eq!(held["outcome"], "held");
    let said = held["reason"].as_str().unwrap_or_default();
    assert!(said.ends_with("every group is paused: game day"), "{held}");
    let status = scene.rulekeeper(&["status"]).exits(3).item();
    assert_eq!(status["state"], "paused");
    // Listing somebody keeps the pause.
    let role = "arn:aws:iam::111122223333:role/terraform";
    scene
        .rulekeeper(&["principal", "add", role, "--policy", "accept"])
        .exits(0);
    assert_eq!(scene.ports(&group).await, [] as [i32; 0]);

    let resumed = scene.rulekeeper(&["resume", "--all"]).exits(0).item();
    assert_eq!(
        (&resumed["generation"], &resumed["changed"]),
        (&json!(3), &json!(true))
    );
    let again = scene.rulekeeper(&["resume", "--all"]).exits(0).item();
    assert_eq!(again["changed"], false);
    let back = scene.rulekeeper(&["restore", &group, "--now"]).exits(0);
    assert_eq!(
        (back.err.as_str(), &back.item()["outcome"]),
        ("", &json!("restored"))
    );
    assert_eq!(scene.ports(&group).await, [443]);
}
