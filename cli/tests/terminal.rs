//! What is asked on a terminal, and what comes of the answers.

mod common;

use aws_sdk_dynamodb::types::AttributeValue;
use common::{OLD, Scene, WEB, follow};
use serde_json::json;

#[tokio::test]
async fn nothing_is_done_without_a_yes_and_the_question_shows_what_would_be() {
    let (scene, group) = Scene::pinned("terminal-no").await;
    scene.rulekeeper(&["release", &group, OLD]).exits(0);
    let items = scene.items().await;
    let pause = ["pause", &group, "--for", "1h", "--reason", "work"];
    let cases: [(&[&str], &str); 6] = [
        (&["release", &group, WEB], &format!("  - {WEB}\n")),
        (&["unpin", &group], &format!("  - {WEB}\n")),
        (&["rollback", &group, "--to", "1"], &format!("  + {OLD}\n")),
        (&pause, "pause_reason: - → \"work\"\n"),
        (
            &["principal", "add", "*lbc", "--policy", "follow"],
            "  follow  -  *lbc\n",
        ),
        (&follow("*lbc", &group), "  follow  -  *lbc\n"),
    ];
    for (verb, shown) in cases {
        for answer in ["", "n", "maybe"] {
            let mut terminal = scene.terminal(verb);
            let asked = terminal.asked();
            assert!(asked.contains(shown), "{verb:?}: {asked}");
            terminal.answer(answer);
            let ended = terminal.end().exits(1);
            assert!(ended.out.ends_with("nothing was written\n"), "{ended:?}");
        }
    }
    assert_eq!(scene.items().await, items);
}

#[tokio::test]
async fn a_yes_writes_and_a_second_one_restores() {
    let (scene, group) = Scene::pinned("terminal-yes").await;
    let mut terminal = scene.terminal(&["release", &group, OLD]);
    terminal.asked();
    terminal.answer("y");
    let ended = terminal.end().exits(0);
    assert!(
        ended.out.contains("generation 2 is written") && ended.out.contains("untouched"),
        "{ended:?}"
    );
    scene.revoke(&group, 80).await;

    let mut terminal = scene.terminal(&["rollback", &group, "--to", "1"]);
    terminal.asked();
    terminal.answer("yes");
    let asked = terminal.asked();
    assert!(
        asked.contains("generation 3 is written") && asked.contains("Put back now"),
        "{asked}"
    );
    terminal.answer("n");
    let ended = terminal.end().exits(0);
    assert!(
        ended.out.contains(&format!("`rulekeeper restore {group}`")),
        "{ended:?}"
    );
    assert_eq!(scene.ports(&group).await, [443]);

    scene
        .rulekeeper(&["rollback", &group, "--to", "2", "--no-restore"])
        .exits(0);
    let mut terminal = scene.terminal(&["rollback", &group, "--to", "1"]);
    for _ in 0..2 {
        terminal.asked();
        terminal.answer("y");
    }
    let ended = terminal.end().exits(0);
    assert!(ended.out.contains("restored: 1 of 1"), "{ended:?}");
    assert_eq!(scene.ports(&group).await, [80, 443]);
}

#[tokio::test]
async fn nothing_is_asked_with_yes_nor_when_there_is_nothing_to_do() {
    let (scene, group) = Scene::pinned("terminal-quiet").await;
    for verb in [
        &["pause", &group, "--for", "1h", "--reason", "x", "--yes"][..],
        &["resume", &group, "--yes"],
        &["resume", &group],
        &["rollback", &group, "--to", "3"],
        &["principal", "add", "*lbc", "--policy", "follow", "--yes"],
        &["principal", "add", "*lbc", "--policy", "follow"],
        &["release", &group, OLD, "--yes"],
    ] {
        let ended = scene.terminal(verb).end().exits(0);
        assert!(!ended.out.contains("[y/N]"), "{verb:?}: {ended:?}");
    }
    scene.revoke(&group, 80).await;
    let ended = scene
        .terminal(&["rollback", &group, "--to", "1", "--yes"])
        .end()
        .exits(0);
    assert!(ended.out.contains("restored: 1 of 1"), "{ended:?}");
    scene.terminal(&["unpin", &group, "--yes"]).end().exits(0);
}

#[tokio::test]
async fn an_answer_after_somebody_else_wrote_loses_the_race() {
    let (scene, group) = Scene::pinned("terminal-race").await;
    for (number, verb) in [
        &["release", &group, OLD][..],
        &["unpin", &group],
        &["pause", &group, "--for", "1h", "--reason", "x"],
        &follow("*lbc", &group),
    ]
    .into_iter()
    .enumerate()
    {
        let mut terminal = scene.terminal(verb);
        terminal.asked();
        // By hand, and the generation is not counted on.
        let note = AttributeValue::S(format!("edit {number}"));
        scene.write_attribute(&group, "note", note).await;
        terminal.answer("y");
        let ended = terminal.end().exits(1);
        assert!(
            ended.out.contains("changed while this command was at work"),
            "{verb:?}: {ended:?}"
        );
    }
    let shown = scene.rulekeeper(&["show", &group]).exits(0).item();
    assert_eq!(
        (&shown["generation"], &shown["note"]),
        (&json!(1), &json!("edit 3"))
    );

    let mut terminal = scene.terminal(&["principal", "add", "*lbc", "--policy", "follow"]);
    terminal.asked();
    scene
        .rulekeeper(&["principal", "add", "*other", "--policy", "follow"])
        .exits(0);
    terminal.answer("y");
    let ended = terminal.end().exits(1);
    assert!(
        ended
            .out
            .contains("the settings changed while this command was at work"),
        "{ended:?}"
    );
}
