//! A folder of record files as the source: exported, applied, changed and pruned, by the real binary against moto.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{ACCOUNT, OLD, REGION, Scene, WEB, scratch};
use serde_json::{Value, json};

const NEW: &str = "tcp 8443 from 10.0.0.0/8";

/// A folder of this test that is not there.
fn nowhere(name: &str) -> PathBuf {
    let folder = scratch(name).join("records");
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn outcomes(items: &[Value]) -> Vec<(&str, &str)> {
    items
        .iter()
        .map(|item| {
            (
                item["group"]["id"].as_str().expect("an id"),
                item["outcome"].as_str().expect("an outcome"),
            )
        })
        .collect()
}

fn sorted<'a>(mut of: Vec<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    of.sort_unstable();
    of
}

#[tokio::test]
async fn a_folder_is_exported_applied_twice_changed_and_pruned() {
    let (scene, web) = Scene::pinned("git-folder").await;
    let other = scene.group("git-folder-other", &[443]).await;
    scene.rulekeeper(&["pin", &other]).exits(0);
    let folder = nowhere("git-folder");
    let dir = folder.to_str().expect("UTF-8");
    let export = ["export", "--all", "--output-dir", dir];
    let told = scene.rulekeeper(&export).exits(0).items();
    let both = |outcome| sorted(vec![(web.as_str(), outcome), (other.as_str(), outcome)]);
    assert_eq!(outcomes(&told), both("written"));
    let schema = fs::read_to_string(folder.join("rulekeeper.schema.json")).expect("a schema");
    assert_eq!(schema, scene.rulekeeper(&["schema"]).exits(0).out);

    let file = folder.join(format!("{web}.yaml"));
    let text = fs::read_to_string(&file).expect("a file");
    let head = format!(
        "# yaml-language-server: $schema=rulekeeper.schema.json\n# git-folder\ngroup: {web}\nschema: 1\n"
    );
    assert!(text.starts_with(&head), "{text}");
    assert!(
        !text.contains("generation") && !text.contains("updated"),
        "{text}"
    );
    // A comment is no difference, and no export takes it away.
    let commented = text.clone() + "# ours\n";
    fs::write(&file, &commented).expect("a file");
    let again = scene.rulekeeper(&export).exits(0).items();
    assert_eq!(outcomes(&again), both("unchanged"));
    assert_eq!(fs::read_to_string(&file).expect("a file"), commented);

    let items = scene.items().await;
    for arguments in [
        &["apply", "-f", dir][..],
        &["apply", "-f", dir, "--dry-run", "--prune"],
    ] {
        let applied = scene.rulekeeper(arguments).exits(0);
        assert_eq!(applied.err, "", "{arguments:?}");
        assert_eq!(outcomes(&applied.items()), both("unchanged"));
    }

    // Another port, which is not live; the one before it is.
    let changed = text.replace("from_port: 80", "from_port: 8443");
    let changed = changed.replace("to_port: 80", "to_port: 8443");
    fs::write(&file, changed).expect("a file");
    let dry = scene
        .rulekeeper(&["apply", "-f", dir, "--dry-run"])
        .exits(3);
    let address = format!("{ACCOUNT}/{REGION}/{web} (git-folder)");
    let said = format!(
        "{address}: 1 rule is not live: the next look opens what nothing hinders\n  {NEW}\n\
         {address}: 1 live rule is kept no more\n  {OLD}\n"
    );
    assert_eq!(dry.err, said);
    let dry = dry.items();
    let item = dry.iter().find(|item| item["group"]["id"] == *web);
    let item = item.expect("the record");
    assert_eq!(
        (&item["outcome"], &item["generation"]),
        (&json!("would_write"), &json!(1))
    );
    assert_eq!(
        (&item["difference"]["added"], &item["difference"]["removed"]),
        (&json!([NEW]), &json!([OLD]))
    );
    assert_eq!(
        (&item["not_live"], &item["kept_no_more"]),
        (&json!([{"rule": NEW}]), &json!([OLD]))
    );
    let table = scene
        .rulekeeper(&["apply", "-f", dir, "--dry-run", "--output", "table"])
        .exits(3)
        .out;
    let expected = format!(
        "{address}: {} differs from generation 1\n  + {NEW}\n  - {OLD}\n1 to write, 1 unchanged\n",
        file.display()
    );
    assert_eq!(table, expected);
    assert_eq!(scene.items().await, items, "a dry run writes nothing");

    // A script is told the same and asked nothing.
    let applied = scene
        .rulekeeper(&["apply", "-f", dir, "--reason", "CHG-1"])
        .exits(0);
    assert_eq!(applied.err, said);
    let expected = sorted(vec![(&web, "written"), (&other, "unchanged")]);
    assert_eq!(outcomes(&applied.items()), expected);
    let history = scene.rulekeeper(&["history", &web]).exits(0).json();
    let reason = format!("applied {}: CHG-1", file.display());
    assert_eq!(history["items"][0]["reason"], reason);
    assert_eq!(scene.ports(&web).await, [80, 443], "apply touches no rule");

    fs::remove_file(folder.join(format!("{other}.yaml"))).expect("it goes");
    scene
        .rulekeeper(&["apply", "-f", dir, "--dry-run"])
        .exits(0);
    let dry = scene
        .rulekeeper(&["apply", "-f", dir, "--dry-run", "--prune"])
        .exits(3);
    let expected = vec![(web.as_str(), "unchanged"), (other.as_str(), "would_prune")];
    assert_eq!(outcomes(&dry.items()), expected);
    let refused = scene.rulekeeper(&["apply", "-f", dir, "--prune"]).exits(1);
    assert!(
        refused.err.contains(&format!(
            "(git-folder-other): to be taken out, no file holds it\n  - {WEB}\n"
        )) && refused
            .err
            .contains("--prune would take out 1 record; nothing was written"),
        "{refused:?}"
    );
    scene.rulekeeper(&["show", &other]).exits(0);
    let prune = ["apply", "-f", dir, "--prune", "--yes", "--reason", "CHG-2"];
    let pruned = scene.rulekeeper(&prune).exits(0);
    assert!(
        pruned.err.contains("1 live rule is kept no more"),
        "{pruned:?}"
    );
    let expected = vec![(web.as_str(), "unchanged"), (other.as_str(), "pruned")];
    assert_eq!(outcomes(&pruned.items()), expected);
    scene.rulekeeper(&["show", &other]).exits(1);
    let history = scene.rulekeeper(&["history", &other]).exits(0).json();
    let reason = format!("unpinned: not in {dir}: CHG-2");
    assert_eq!(history["items"][0]["reason"], reason);
    assert_eq!(scene.ports(&other).await, [443], "nor does a prune");
    scene.rulekeeper(&prune).exits(0);
}

#[tokio::test]
async fn a_prune_of_all_records_and_of_other_scopes_is_not_made_by_mistake() {
    let scene = Scene::new("git-scopes").await;
    let theirs = scene
        .record("sg-0000000000000000b", &[443])
        .replace(ACCOUNT, "444455556666");
    let records = [scene.record("sg-0000000000000000a", &[443]), theirs].join("---\n");
    let applied = scene
        .rulekeeper_reading(&["apply", "-f", "-"], &records)
        .exits(0);
    assert!(
        applied.err.contains(&format!(
            "warning: 444455556666/{REGION}: which rules are live is not known: 444455556666 is not the account"
        )),
        "{applied:?}"
    );
    assert!(
        applied.err.contains(&format!(
            "{ACCOUNT}/{REGION}/sg-0000000000000000a: the group does not exist"
        )),
        "{applied:?}"
    );
    let folder = nowhere("git-scopes");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(
        folder.join("c.yaml"),
        "group: sg-0000000000000000c\nrules: []\n",
    )
    .expect("a file");
    let dir = folder.to_str().expect("UTF-8");
    let refused = scene.rulekeeper(&["apply", "-f", dir, "--prune"]).exits(1);
    let said =
        format!("{ACCOUNT}/{REGION}: the files hold none of the 1 records that the table has");
    assert!(refused.err.contains(&said), "{refused:?}");
    scene.rulekeeper(&["show", "sg-0000000000000000c"]).exits(1);
    scene
        .rulekeeper(&["apply", "-f", dir, "--prune", "--yes"])
        .exits(0);
    scene.rulekeeper(&["show", "sg-0000000000000000a"]).exits(1);
    scene.rulekeeper(&["show", "sg-0000000000000000c"]).exits(0);

    let show = ["show", "sg-0000000000000000b", "--account", "444455556666"];
    scene.rulekeeper(&show).exits(0);
    // The file has its own account now, and the flags name another.
    fs::write(
        folder.join("c.yaml"),
        scene.record("sg-0000000000000000c", &[]) + "  []\n",
    )
    .expect("a file");
    let named = [
        "apply",
        "-f",
        dir,
        "--prune",
        "--yes",
        "--account",
        "444455556666",
        "--region",
        REGION,
    ];
    let pruned = scene.rulekeeper(&named).exits(0).items();
    assert_eq!(
        outcomes(&pruned),
        [
            ("sg-0000000000000000c", "unchanged"),
            ("sg-0000000000000000b", "pruned")
        ]
    );
    scene.rulekeeper(&show).exits(1);
}

#[tokio::test]
async fn the_same_content_is_unchanged_whatever_the_files_generation_and_a_pause_stays() {
    let (scene, group) = Scene::pinned("git-generation").await;
    let export = ["export", &group, "--with-generation"];
    let first = scene.rulekeeper(&export).exits(0).out;
    assert!(first.contains("\ngeneration: 1\n"), "{first}");
    let apply = |text: &str| scene.rulekeeper_reading(&["apply", "-f", "-"], text);
    let plain = first.replace("generation: 1\n", "");
    let other = plain.replace("port 80", "web");
    assert_eq!(apply(&other).exits(0).items()[0]["generation"], 2);
    assert!(
        apply(&first)
            .exits(1)
            .err
            .contains("is at generation 2 with other content")
    );
    assert_eq!(apply(&plain).exits(0).items()[0]["generation"], 3);
    let same = apply(&first).exits(0).items();
    assert_eq!(
        (&same[0]["outcome"], &same[0]["generation"]),
        (&json!("unchanged"), &json!(3))
    );

    let pause = ["pause", &group, "--for", "1h", "--reason", "work"];
    scene.rulekeeper(&pause).exits(0);
    assert_eq!(apply(&plain).exits(0).items()[0]["outcome"], "unchanged");
    apply(&other).exits(0);
    let shown = scene.rulekeeper(&["show", &group]).exits(0).item();
    assert_eq!(shown["pause_reason"], "work");
    let exported = scene.rulekeeper(&["export", &group]).exits(0).out;
    assert!(!exported.contains("pause"), "{exported}");
    assert!(
        scene
            .rulekeeper(&export)
            .exits(0)
            .out
            .contains("pause_reason: work")
    );
}

#[tokio::test]
async fn an_export_of_all_replaces_no_file_unasked_and_names_what_it_cannot_read() {
    let (scene, group) = Scene::pinned("git-export").await;
    let folder = nowhere("git-export");
    let dir = folder.to_str().expect("UTF-8");
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(format!("{group}.yaml"));
    fs::write(&file, format!("group: {group}\nrules: []\n")).expect("a file");
    let export = ["export", "--all", "--output-dir", dir];
    let refused = scene.rulekeeper(&export).exits(1);
    assert!(
        refused
            .err
            .contains(&format!("differ from their records:\n{}", file.display())),
        "{refused:?}"
    );
    let mode = aws_sdk_dynamodb::types::AttributeValue::S("watch".to_owned());
    scene.write_attribute("sg-0000000d", "mode", mode).await;
    let forced = [&export[..], &["--force", "--with-scope"]].concat();
    let done = scene.rulekeeper(&forced).exits(1);
    assert_eq!(outcomes(&done.items()), [(group.as_str(), "written")]);
    assert!(
        done.err.contains("not exported: ") && done.err.contains("sg-0000000d"),
        "{done:?}"
    );
    let text = fs::read_to_string(&file).expect("a file");
    assert!(
        text.contains(&format!("\naccount: '{ACCOUNT}'\n")),
        "{text}"
    );
    let mut left: Vec<_> = fs::read_dir(&folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    left.sort();
    assert_eq!(
        left,
        ["rulekeeper.schema.json".to_owned(), format!("{group}.yaml")]
    );
}

#[tokio::test]
async fn on_a_terminal_it_asks_before_rules_open_or_are_kept_no_more() {
    let (scene, group) = Scene::pinned("git-terminal").await;
    let file = scene.file("web.yaml", &scene.record(&group, &[443, 8443]));
    let items = scene.items().await;
    let apply = ["apply", "-f", &file];
    let mut terminal = scene.terminal(&apply);
    let asked = terminal.asked();
    for part in [
        &format!("1 rule is not live: the next look opens what nothing hinders\n  {NEW}\n"),
        &format!("1 live rule is kept no more\n  {OLD}\n"),
        "Write 1 record? [y/N] ",
    ] {
        assert!(asked.contains(part), "{part} is not in {asked}");
    }
    terminal.answer("n");
    let ended = terminal.end().exits(1);
    assert!(ended.out.ends_with("nothing was written\n"), "{ended:?}");
    assert_eq!(scene.items().await, items);
    let mut terminal = scene.terminal(&apply);
    terminal.asked();
    terminal.answer("y");
    let ended = terminal.end().exits(0);
    assert!(ended.out.contains("generation 2 is written"), "{ended:?}");
    // Where every rule is live and none is let go, nothing is asked.
    let (scene, group) = Scene::pinned("git-quiet").await;
    let noted = scene.record(&group, &[443, 80]) + "note: x\n";
    let file = scene.file("web.yaml", &noted);
    let quiet = scene.terminal(&["apply", "-f", &file]).end().exits(0);
    assert!(quiet.out.contains("note: - → \"x\""), "{quiet:?}");
}
