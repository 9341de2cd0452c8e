//! `principal`, by the real binary against moto.

mod common;

use aws_sdk_dynamodb::types::AttributeValue;
use common::{ACCOUNT, REGION, Scene};
use serde_json::{Value, json};

const LBC: &str = "arn:aws:iam::111122223333:role/lbc";
const TERRAFORM: &str = "arn:aws:iam::111122223333:role/terraform";

fn arns(list: &Value) -> Vec<&str> {
    let list = list["items"].as_array().expect("a list").iter();
    list.filter_map(|entry| entry["arn"].as_str()).collect()
}

#[tokio::test]
async fn the_list_for_all_groups_is_kept_with_its_history() {
    let scene = Scene::new("principal-settings").await;
    assert_eq!(
        scene.rulekeeper(&["principal", "list"]).exits(0).json(),
        json!({"schema": 1, "kind": "principal", "items": []})
    );
    let none = scene
        .rulekeeper(&["principal", "list", "--output", "table"])
        .exits(0);
    assert!(
        none.out
            .starts_with("no principal is listed for all groups"),
        "{none:?}"
    );
    assert_eq!(
        scene.rulekeeper(&["history", "--settings"]).exits(0).json(),
        json!({"schema": 1, "kind": "history", "items": []})
    );

    let first = [
        "principal",
        "add",
        LBC,
        "--policy",
        "follow",
        "--settle-seconds",
        "10",
        "--reason",
        "eks",
    ];
    let added = scene.rulekeeper(&first).exits(0).json();
    let entry = json!({"arn": LBC, "policy": "follow", "settle_seconds": 10});
    assert_eq!(
        added,
        json!({"generation": 1, "changed": true, "schema": 1, "kind": "principal", "items": [entry]})
    );
    let again = scene.rulekeeper(&first).exits(0).json();
    assert_eq!(
        (&again["generation"], &again["changed"]),
        (&json!(1), &json!(false))
    );
    scene
        .rulekeeper(&["principal", "add", TERRAFORM, "--policy", "accept"])
        .exits(0);
    let replaced = scene
        .rulekeeper(&["principal", "add", LBC, "--policy", "restore"])
        .exits(0)
        .json();
    assert_eq!(
        replaced["items"][0],
        json!({"arn": LBC, "policy": "restore"}),
        "in its place"
    );
    let front = scene
        .rulekeeper(&[
            "principal",
            "add",
            "*admin",
            "--policy",
            "accept",
            "--first",
        ])
        .exits(0)
        .json();
    assert_eq!(arns(&front), ["*admin", LBC, TERRAFORM]);

    let missing = scene.rulekeeper(&["principal", "remove", "*lbc"]).exits(1);
    assert!(
        missing
            .err
            .contains("\"*lbc\" is not listed in the settings for all groups"),
        "{missing:?}"
    );
    assert!(
        missing
            .err
            .contains(&format!("Listed are:\n  *admin\n  {LBC}\n  {TERRAFORM}\n")),
        "{missing:?}"
    );
    let removed = scene
        .rulekeeper(&["principal", "remove", LBC, "--output", "table"])
        .exits(0);
    assert!(
        removed
            .out
            .starts_with("settings: generation 5 is written\n  accept  -  *admin\n"),
        "{removed:?}"
    );

    let history = scene.rulekeeper(&["history", "--settings"]).exits(0).json();
    let generations = history["items"].as_array().expect("a list");
    let numbers: Vec<_> = generations
        .iter()
        .map(|it| it["generation"].as_u64())
        .collect();
    assert_eq!(numbers, [5, 4, 3, 2, 1].map(Some));
    assert_eq!(
        generations[4]["attributes"],
        json!({"principals": {"from": [], "to": [entry]}})
    );
    assert!(
        generations[4]["reason"]
            .as_str()
            .is_some_and(|said| said.ends_with(": eks")),
        "{history}"
    );
    assert!(
        generations[0]["updated_by"].is_string() && generations[0]["current"] == json!(true),
        "{history}"
    );
    let table = scene
        .rulekeeper(&["history", "--settings", "--output", "table"])
        .exits(0)
        .out;
    assert!(
        table.contains(&format!("    - principal restore {LBC}\n")),
        "{table}"
    );
    assert!(
        table.contains(&format!("    + principal follow {LBC}, settles 10 s\n")),
        "{table}"
    );
}

#[tokio::test]
async fn a_groups_own_list_comes_before_that_of_all() {
    let scene = Scene::new("principal-group").await;
    let group = scene.group("principal-group", &[443]).await;
    scene.rulekeeper(&["pin", &group]).exits(0);
    scene
        .rulekeeper(&["principal", "add", TERRAFORM, "--policy", "accept"])
        .exits(0);
    let added = scene
        .rulekeeper(&[
            "principal",
            "add",
            LBC,
            "--policy",
            "follow",
            "--group",
            &group,
        ])
        .exits(0)
        .json();
    assert_eq!(
        (&added["group"]["id"], &added["generation"]),
        (&json!(group), &json!(2))
    );
    let wide = "arn:aws:iam::*:role/*";
    scene
        .rulekeeper(&[
            "principal",
            "add",
            wide,
            "--policy",
            "restore",
            "--group",
            &group,
        ])
        .exits(0);
    let list = scene
        .rulekeeper(&["principal", "list", &group])
        .exits(0)
        .json();
    assert_eq!(
        list,
        json!({
            "group": {"account": ACCOUNT, "region": REGION, "id": group},
            "schema": 1, "kind": "principal", "items": [
                {"arn": LBC, "policy": "follow", "from": "record"},
                {"arn": wide, "policy": "restore", "from": "record"},
                {"arn": TERRAFORM, "policy": "accept", "from": "settings", "hidden_by": wide},
            ],
        })
    );
    let table = scene
        .rulekeeper(&["principal", "list", &group, "--output", "table"])
        .exits(0)
        .out;
    assert!(
        table.contains(&format!("has no effect, {wide} comes first")),
        "{table}"
    );

    // What comes too late is written, and warned of.
    let late = scene
        .rulekeeper(&[
            "principal",
            "add",
            TERRAFORM,
            "--policy",
            "accept",
            "--group",
            &group,
        ])
        .exits(0);
    assert!(
        late.err.starts_with(&format!(
            "warning: {TERRAFORM:?} has no effect: {wide:?} comes before it"
        )),
        "{late:?}"
    );
    let removed = scene
        .rulekeeper(&["principal", "remove", wide, "--group", &group])
        .exits(0)
        .json();
    assert_eq!(arns(&removed), [LBC, TERRAFORM]);
    let missing = scene
        .rulekeeper(&["principal", "remove", wide, "--group", &group])
        .exits(1);
    assert!(
        missing.err.contains(&format!(
            "is not listed in the record of {ACCOUNT}/{REGION}/{group}"
        )),
        "{missing:?}"
    );
    assert_eq!(
        arns(&scene.rulekeeper(&["principal", "list"]).exits(0).json()),
        [TERRAFORM]
    );
}

#[tokio::test]
async fn a_doubtful_pattern_is_refused_unless_it_is_confirmed() {
    let scene = Scene::new("principal-doubt").await;
    for (arn, policy, doubt) in [
        ("*", "accept", "matches every role, user or service"),
        ("lbc", "follow", "can match nobody"),
    ] {
        let add = ["principal", "add", arn, "--policy", policy];
        let refused = scene.rulekeeper(&add).exits(1);
        assert!(
            refused.err.contains(doubt) && refused.err.contains("--yes"),
            "{refused:?}"
        );
        assert_eq!(refused.out, "");
        let terminal = |answer: &str| {
            let mut terminal = scene.terminal(&add);
            let asked = terminal.asked();
            assert!(asked.contains(doubt), "{asked}");
            terminal.answer(answer);
            terminal.end()
        };
        assert!(terminal("").exits(1).out.contains("nothing was written"));
        assert_eq!(
            scene.rulekeeper(&["principal", "list"]).exits(0).json(),
            json!({"schema": 1, "kind": "principal", "items": []})
        );
        terminal("y").exits(0);
        let listed = scene.rulekeeper(&["principal", "list"]).exits(0).json();
        assert!(
            listed["items"][0]["doubt"]
                .as_str()
                .is_some_and(|said| said.starts_with(doubt)),
            "{listed}"
        );
        scene.rulekeeper(&["principal", "remove", arn]).exits(0);
        scene.rulekeeper(&[&add[..], &["--yes"]].concat()).exits(0);
        scene.rulekeeper(&["principal", "remove", arn]).exits(0);
    }
}

#[tokio::test]
async fn settings_that_cannot_be_understood_are_left_alone() {
    let scene = Scene::new("principal-unreadable").await;
    scene
        .rulekeeper(&["principal", "add", LBC, "--policy", "follow"])
        .exits(0);
    let bad = AttributeValue::S("lbc".to_owned());
    scene.write_setting("principals", bad).await;
    for verb in [
        &["principal", "list"][..],
        &["principal", "add", TERRAFORM, "--policy", "accept"],
        &["principal", "remove", LBC],
    ] {
        let refused = scene.rulekeeper(verb).exits(1);
        assert!(
            refused
                .err
                .contains("the settings cannot be understood: principals: is not a list"),
            "{refused:?}"
        );
    }
    let history = scene.rulekeeper(&["history", "--settings"]).exits(0).json();
    assert_eq!(
        history["items"][0]["unreadable"],
        "principals: is not a list"
    );
    assert_eq!(scene.items().await, 1);
    let mut terminal = scene.terminal(&["principal", "reset"]);
    let asked = terminal.asked();
    assert!(
        asked.contains("\"principals\": \"lbc\"") && asked.contains("Replace them"),
        "what is lost is shown: {asked}"
    );
    terminal.answer("n");
    terminal.end().exits(1);
    assert_eq!(scene.items().await, 1);

    let reset = scene.rulekeeper(&["principal", "reset", "--reason", "hand edit"]);
    assert!(reset.err.contains("\"principals\": \"lbc\""), "{reset:?}");
    assert_eq!(
        reset.exits(0).json(),
        json!({"generation": 2, "changed": true, "schema": 1, "kind": "principal", "items": []})
    );
    scene
        .rulekeeper(&["principal", "add", TERRAFORM, "--policy", "accept"])
        .exits(0);
    let history = scene.rulekeeper(&["history", "--settings"]).exits(0).json();
    let generations = history["items"].as_array().expect("generations");
    assert_eq!(generations.len(), 3);
    assert_eq!(
        generations[1]["reason"],
        "replaced what could not be understood: hand edit"
    );
    assert_eq!(
        generations[2]["unreadable"], "principals: is not a list",
        "nothing is lost for good"
    );
    let refused = scene.rulekeeper(&["principal", "reset"]).exits(1);
    assert!(refused.err.contains("can be understood"), "{refused:?}");
}
