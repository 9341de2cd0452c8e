//! `pin`, `apply`, `show`, `export` and `list`, by the real binary against moto.

mod common;

use aws_sdk_dynamodb::types::AttributeValue;
use common::{ACCOUNT, OLD, REGION, Scene};
use serde_json::{Value, json};

#[tokio::test]
async fn pin_records_the_live_rules_once() {
    let scene = Scene::new("pin-once").await;
    let group = scene.group("pin-once", &[443, 80]).await;
    let pinned = scene
        .rulekeeper(&["pin", &group, "--note", "first"])
        .exits(0)
        .item();
    assert_eq!(
        pinned,
        json!({
            "group": {"account": ACCOUNT, "region": REGION, "id": group}, "name": "pin-once",
            "outcome": "new", "generation": 1, "changed": true,
            "added": ["tcp 80 from 10.0.0.0/8", "tcp 443 from 10.0.0.0/8"], "removed": [],
        })
    );
    let again = scene.rulekeeper(&["pin", &group]).exits(0).item();
    assert_eq!(
        (&again["generation"], &again["changed"]),
        (&json!(1), &json!(false))
    );
    assert_eq!(scene.items().await, 2, "record and state, no history");

    scene.revoke(&group, 80).await;
    let third = scene
        .rulekeeper(&["pin", &group, "--mode", "observe", "--output", "table"])
        .exits(0);
    let expected = format!(
        "{ACCOUNT}/{REGION}/{group}: generation 2 is written\n  - tcp 80 from 10.0.0.0/8\n"
    );
    assert_eq!(third.out, expected);
    let shown = scene.rulekeeper(&["show", &group]).exits(0).item();
    assert_eq!(
        (&shown["mode"], &shown["note"]),
        (&json!("observe"), &json!("first")),
        "the note stays"
    );
    assert_eq!(
        shown["updated_by"]
            .as_str()
            .map(|arn| arn.starts_with("arn:aws:")),
        Some(true)
    );
    assert_eq!(scene.items().await, 3, "record, state and history");
}

#[tokio::test]
async fn pin_refuses_a_group_that_does_not_exist() {
    let scene = Scene::new("pin-unknown").await;
    let pinned = scene.rulekeeper(&["pin", "sg-0123456789abcdef0"]).exits(1);
    assert!(
        pinned.err.contains("sg-0123456789abcdef0 does not exist"),
        "{pinned:?}"
    );
    assert!(pinned.err.contains("\n\nhint: "), "{pinned:?}");
    assert_eq!((pinned.out.as_str(), scene.items().await), ("", 0));
}

#[tokio::test]
async fn apply_checks_every_file_before_it_writes_the_first() {
    let scene = Scene::new("apply-checks").await;
    let good = scene.file("good.yaml", &scene.record("sg-0000000a", &[443]));
    let several = scene.record("sg-0000000b", &[80])
        + "---\n"
        + &scene.record("sg-0000000c", &[80]).replace("80", "65536");
    let several = scene.file("several.yaml", &several);
    let number = scene.file(
        "number.yaml",
        &scene
            .record("sg-0000000d", &[80])
            .replace(&format!("\"{ACCOUNT}\""), ACCOUNT),
    );
    let syntax = scene.file("syntax.yaml", "account: \"1\"\nrules: [\n");
    let json = scene.file("syntax.json", "{\n  \"account\": 1,\n}");
    let twice = scene.file("twice.yaml", &scene.record("sg-0000000a", &[80]));
    let absent = scene.path("absent.yaml");
    let files = [
        "apply", "-f", &good, &several, &number, &syntax, "-f", &json, "-f", &twice, "-f", &absent,
    ];
    let applied = scene.rulekeeper(&files).exits(1);
    for finding in [
        "nothing was written".to_owned(),
        format!("{several}:11:5: rules[0]: ports 65536-65536"),
        format!("{number}:1:1: account: {ACCOUNT} is not text; write it in quotes"),
        format!("{syntax}:3:1: "),
        format!("{json}:3:1: trailing comma\n"),
        format!("{twice}:3:1: group: sg-0000000a is in {good}:3:1 already"),
        format!("{absent}: No such file"),
    ] {
        assert!(
            applied.err.contains(&finding),
            "{finding} is not in {}",
            applied.err
        );
    }
    assert_eq!((applied.out.as_str(), scene.items().await), ("", 0));

    let applied = scene.rulekeeper(&["apply", "-f", &good]).exits(0).items();
    assert_eq!(applied[0]["generation"], 1);
    let two = scene.record("sg-0000000b", &[80]) + "---\n" + &scene.record("sg-0000000c", &[80]);
    let applied = scene
        .rulekeeper_reading(&["apply", "-f", "-"], &two)
        .exits(0)
        .items();
    assert_eq!(applied.len(), 2);
    assert_eq!(scene.items().await, 6, "a record and a state each");
}

#[tokio::test]
async fn apply_refuses_a_file_of_an_earlier_generation_and_writes_none_of_the_others() {
    let scene = Scene::new("apply-outdated").await;
    let first = scene.file("first.yaml", &scene.record("sg-0000000a", &[443]));
    scene.rulekeeper(&["apply", "-f", &first]).exits(0);
    let exported = scene
        .rulekeeper(&["export", "sg-0000000a", "--with-generation"])
        .exits(0)
        .out;
    let second = scene.file("second.yaml", &scene.record("sg-0000000a", &[443, 80]));
    scene.rulekeeper(&["apply", "-f", &second]).exits(0);

    let old = scene.file("old.yaml", &exported.replace("443", "8443"));
    let other = scene.file("other.yaml", &scene.record("sg-0000000b", &[443]));
    let items = scene.items().await;
    let applied = scene.rulekeeper(&["apply", "-f", &other, &old]).exits(1);
    let expected = format!(
        "nothing was written:\n{old}:4:1: generation: the file was made from generation 1, and \
         {ACCOUNT}/{REGION}/sg-0000000a is at generation 2 with other content; export it again"
    );
    assert!(applied.err.contains(&expected), "{}", applied.err);
    assert_eq!(scene.items().await, items);

    let overruling = scene.file("old.yaml", &exported.replace("generation: 1\n", ""));
    let applied = scene
        .rulekeeper(&["apply", "-f", &overruling])
        .exits(0)
        .items();
    assert_eq!(
        (
            &applied[0]["generation"],
            &applied[0]["difference"]["removed"]
        ),
        (&json!(3), &json!(["tcp 80 from 10.0.0.0/8"]))
    );
}

#[tokio::test]
async fn what_is_exported_can_be_shown_edited_and_applied() {
    let scene = Scene::new("round-trip").await;
    let group = scene.group("round-trip", &[443, 80]).await;
    scene.rulekeeper(&["pin", &group]).exits(0);
    let shown = scene.rulekeeper(&["show", &group]).exits(0).item();
    assert_eq!(shown["rules"][0]["description"], "port 443");
    assert_eq!(shown["rules"][1]["tags"], json!({"owner": "test"}));

    let yaml = scene.rulekeeper(&["export", &group]).exits(0).out;
    let beginning = "# yaml-language-server: $schema=rulekeeper.schema.json\n# round-trip\ngroup: ";
    assert!(
        yaml.starts_with(&format!("{beginning}{group}\nschema: 1\nmode: enforce\n")),
        "{yaml}"
    );
    let scoped = scene
        .rulekeeper(&["export", &group, "--with-scope"])
        .exits(0)
        .out;
    assert!(
        scoped.contains(&format!(
            "\naccount: '{ACCOUNT}'\nregion: {REGION}\ngroup: {group}\n"
        )),
        "{scoped}"
    );
    let mut json: Value = scene
        .rulekeeper(&["export", &group, "--format", "json"])
        .exits(0)
        .json();
    let whole = [
        "export",
        &group,
        "--format",
        "json",
        "--with-scope",
        "--with-generation",
    ];
    assert_eq!(scene.rulekeeper(&whole).exits(0).json(), shown);
    for name in [
        "account",
        "region",
        "generation",
        "updated_at",
        "updated_by",
        "reason",
    ] {
        assert_eq!(json.get(name), None, "{json}");
        json[name] = shown[name].clone();
    }
    assert_eq!(json, shown);
    for text in [&yaml, &scoped, &json.to_string()] {
        let applied = scene
            .rulekeeper_reading(&["apply", "-f", "-"], text)
            .exits(0)
            .items();
        assert_eq!(applied[0]["outcome"], "unchanged", "{text}");
    }
    let edited = yaml.replace("description: port 80", "description: web\n  priority: 7");
    let applied = scene
        .rulekeeper_reading(&["apply", "-f", "-", "--output", "table"], &edited)
        .exits(0);
    assert_eq!(
        applied.out,
        format!(
            "{ACCOUNT}/{REGION}/{group} (round-trip): generation 2 is written\n  \
             ~ {OLD}: description \"port 80\" → \"web\"; priority 0 → 7\n"
        )
    );
    assert_eq!(applied.err, "", "what is kept is live");
    let table = scene
        .rulekeeper(&["show", &group, "--output", "table"])
        .exits(0)
        .out;
    let line = |text: &str| {
        table
            .lines()
            .any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == text)
    };
    assert!(
        line("PRIORITY PROTOCOL PORTS SOURCE DESCRIPTION TAGS"),
        "{table}"
    );
    assert!(line("7 tcp 80 10.0.0.0/8 web owner=test"), "{table}");
    assert!(line("generation 2") && line("mode enforce"), "{table}");

    let missing = scene.rulekeeper(&["show", "sg-0000000a"]).exits(1);
    assert!(
        missing
            .err
            .contains("has no desired-state record; `rulekeeper pin sg-0000000a`"),
        "{missing:?}"
    );
}

#[tokio::test]
async fn export_writes_a_whole_file_and_replaces_none_unasked() {
    let scene = Scene::new("export-file").await;
    let record = scene.file("record.yaml", &scene.record("sg-0000000a", &[443]));
    scene.rulekeeper(&["apply", "-f", &record]).exits(0);
    let out = scene.path("out.yaml");
    let told = scene
        .rulekeeper(&["export", "sg-0000000a", "--out", &out])
        .exits(0)
        .items();
    assert_eq!(
        json!(told),
        json!([{"group": {"account": ACCOUNT, "region": REGION, "id": "sg-0000000a"}, "outcome": "written", "generation": 1,
            "file": out}])
    );
    let written = std::fs::read_to_string(&out).expect("the file");
    assert_eq!(
        written,
        scene.rulekeeper(&["export", "sg-0000000a"]).exits(0).out
    );

    std::fs::write(&out, "mine").expect("a file");
    let refused = scene
        .rulekeeper(&["export", "sg-0000000a", "--out", &out])
        .exits(1);
    assert!(
        refused
            .err
            .contains("out.yaml exists\n\nhint: Give --force"),
        "{refused:?}"
    );
    assert_eq!(std::fs::read_to_string(&out).expect("the file"), "mine");
    scene
        .rulekeeper(&["export", "sg-0000000a", "--out", &out, "--force"])
        .exits(0);
    assert_eq!(std::fs::read_to_string(&out).expect("the file"), written);
    let folder = std::path::Path::new(&out).parent().expect("a folder");
    let left = std::fs::read_dir(folder)
        .expect("a folder")
        .filter_map(Result::ok);
    let left: Vec<_> = left
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn list_tells_the_state_of_every_record() {
    let scene = Scene::new("list").await;
    assert_eq!(
        scene.rulekeeper(&["list"]).exits(0).items(),
        [] as [Value; 0]
    );
    let empty = scene.rulekeeper(&["list", "--output", "table"]).exits(0);
    assert_eq!(empty.out, format!("{ACCOUNT}/{REGION} has no records\n"));

    let mut groups = Vec::new();
    for name in ["list-a", "list-b", "list-c", "list-gone"] {
        groups.push(scene.group(name, &[]).await);
    }
    let [kept, watched, waiting, gone] = &groups[..] else {
        panic!("four groups")
    };
    let observed = scene
        .record(watched, &[])
        .replace("rules:", "mode: observe\nrules: []");
    let until = "2999-01-01T00:00:00Z";
    let paused = scene
        .record(waiting, &[443, 80])
        .replace("rules:", &format!("paused_until: {until}\nrules:"));
    // Nothing of it is ever missing, so no restore finds out that it is gone.
    let empty = scene.record(gone, &[]).replace("rules:", "rules: []");
    let records = [scene.record(kept, &[443]), observed, paused, empty].join("---\n");
    scene
        .rulekeeper_reading(&["apply", "-f", "-"], &records)
        .exits(0);
    scene
        .write_attribute("sg-0000000d", "rules", AttributeValue::S("all".to_owned()))
        .await;

    let delete = scene.ec2.delete_security_group().group_id(gone);
    delete.send().await.expect("deleted");
    let listed = scene.rulekeeper(&["list"]).exits(0);
    assert_eq!(listed.err, "");
    let listed = listed.items();
    let mut states: Vec<_> = listed
        .iter()
        .map(|line| {
            (
                line["group"].as_str().unwrap_or_default(),
                line["state"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    let mut expected = [
        (kept.as_str(), "enforce"),
        (watched, "observe"),
        (waiting, "paused"),
        (gone, "orphaned"),
        ("sg-0000000d", "unreadable"),
    ];
    states.sort_unstable();
    expected.sort_unstable();
    assert_eq!(states, expected);
    let lines = &listed;
    let paused = lines.iter().find(|line| line["group"] == *waiting);
    assert_eq!(paused.map(|line| &line["rules"]), Some(&json!(2)));
    let table = scene
        .rulekeeper(&["list", "--output", "table"])
        .exits(0)
        .out;
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(table.contains("the group does not exist"), "{table}");
    assert!(
        table.contains("rules: is not a list") && table.contains(&format!("until {until}")),
        "{table}"
    );

    let shown = scene.rulekeeper(&["show", "sg-0000000d"]).exits(1);
    assert!(shown.err.contains("rules: is not a list"), "{shown:?}");
    // Applying is the way to fix it.
    scene
        .rulekeeper_reading(&["apply", "-f", "-"], &scene.record("sg-0000000d", &[443]))
        .exits(0);
    scene.rulekeeper(&["show", "sg-0000000d"]).exits(0);

    // Whether a group exists can be asked in its own account only; what the table says is told all the same.
    let theirs = scene
        .record("sg-0000000e", &[443])
        .replace(ACCOUNT, "444455556666");
    scene
        .rulekeeper_reading(&["apply", "-f", "-"], &theirs)
        .exits(0);
    let listed = scene.rulekeeper(&["list", "--account", "444455556666"]);
    assert!(
        listed.err.starts_with(
            "warning: 444455556666/eu-west-1: whether the groups exist is not known: 444455556666 is not the account"
        ),
        "{listed:?}"
    );
    assert_eq!(listed.exits(0).items()[0]["state"], "enforce");
}

#[tokio::test]
async fn a_table_that_does_not_exist_is_named_with_what_to_set() {
    let scene = Scene::new("no-table").await;
    let listed = scene.rulekeeper(&["list", "--table", "elsewhere"]).exits(1);
    assert!(
        listed.err.contains("ResourceNotFoundException"),
        "{listed:?}"
    );
    assert!(
        listed
            .err
            .contains("error: there is no table \"elsewhere\" in "),
        "{listed:?}"
    );
}

#[tokio::test]
async fn apply_says_what_was_written_before_a_write_was_refused() {
    let scene = Scene::new("apply-interrupted").await;
    // More than the 400 KB that DynamoDB takes in one item.
    let huge: Vec<i32> = (1..=9_000).collect();
    let records = [
        scene.record("sg-0000000a", &[80]),
        scene.record("sg-0000000b", &huge),
    ]
    .join("---\n");
    let applied = scene
        .rulekeeper_reading(&["apply", "-f", "-"], &records)
        .exits(1);
    for part in [
        "the record could not be written".to_owned(),
        "and DynamoDB takes 400 KB; keep fewer rules in it, or shorten descriptions and tags"
            .to_owned(),
        format!("written before that: {ACCOUNT}/{REGION}/sg-0000000a (generation 1)"),
    ] {
        assert!(
            applied.err.contains(&part),
            "{part} is not in {}",
            applied.err
        );
    }
    scene.rulekeeper(&["show", "sg-0000000a"]).exits(0);
    scene.rulekeeper(&["show", "sg-0000000b"]).exits(1);
}

#[tokio::test]
async fn a_generation_that_history_holds_already_is_counted_on_from() {
    let scene = Scene::new("apply-counted-on").await;
    let record = |port: i32| scene.record("sg-0000000a", &[port]);
    scene
        .rulekeeper_reading(&["apply", "-f", "-"], &record(443))
        .exits(0);
    // Somebody wrote the item past these tools, with a number that was used before.
    scene.put_history("sg-0000000a", 1).await;
    let applied = scene
        .rulekeeper_reading(&["apply", "-f", "-"], &record(80))
        .exits(0);
    assert_eq!(applied.items()[0]["generation"], 3);
    assert_eq!(
        scene.rulekeeper(&["show", "sg-0000000a"]).exits(0).item()["generation"],
        3
    );
}
