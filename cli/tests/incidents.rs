//! `incidents`, by the real binary against moto.

mod common;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use common::{ACCOUNT, REGION, Scene};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const WEB: &str = "tcp 443 from 10.0.0.0/8";
const ROLE: &str = "arn:aws:iam::123456789012:role/controller";

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn map(fields: &[(&str, AttributeValue)]) -> HashMap<String, AttributeValue> {
    let fields = fields.iter().cloned();
    fields
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// An incident of so many seconds ago by the controller, as the function writes it.
fn written() -> HashMap<String, AttributeValue> {
    let number = |number: &str| AttributeValue::N(number.to_owned());
    let rule = map(&[
        ("rule", text(WEB)),
        ("outcome", text("restored")),
        ("rule_id", text("sgr-0a")),
    ]);
    let trigger = map(&[
        ("kind", text("event")),
        ("event_name", text("RevokeSecurityGroupIngress")),
        ("principal", text(ROLE)),
    ]);
    let timing = map(&[
        ("event_age_ms", number("2140")),
        ("restored_ms", number("61")),
    ]);
    map(&[
        ("trigger", AttributeValue::M(trigger)),
        ("outcome", text("restored")),
        ("reason", text("1 of 1 dropped rule restored")),
        ("rules", AttributeValue::L(vec![AttributeValue::M(rule)])),
        ("timing", AttributeValue::M(timing)),
        ("revision", number("1")),
    ])
}

/// The key of an incident so long ago.
fn ago(minutes: i64) -> String {
    let then = Timestamp::now() - SignedDuration::from_mins(minutes);
    let then = Timestamp::from_second(then.as_second()).expect("a time");
    format!("{then}#event-{minutes}")
}

/// When what this incident is about was back.
fn restored_at(key: &str) -> String {
    let dropped: Timestamp = key
        .split('#')
        .next()
        .expect("a time")
        .parse()
        .expect("a time");
    (dropped + SignedDuration::from_millis(2_201)).to_string()
}

fn keys(done: &Value) -> Vec<&str> {
    let incidents = done["items"].as_array().expect("a list");
    incidents
        .iter()
        .filter_map(|one| one["key"].as_str())
        .collect()
}

#[tokio::test]
async fn what_the_functions_code_wrote_is_told() {
    let scene = Scene::new("incidents").await;
    let group = scene.group("incidents", &[443, 80]).await;
    scene.rulekeeper(&["pin", &group]).exits(0);
    let none = scene.rulekeeper(&["incidents"]).exits(0);
    assert_eq!(none.items(), [] as [Value; 0]);
    let none = scene
        .rulekeeper(&["incidents", "--output", "table"])
        .exits(0);
    assert!(none.out.starts_with("no incidents since 20"), "{none:?}");
    assert!(none.out.ends_with("Z; looked at 1 group\n"), "{none:?}");

    scene.revoke(&group, 443).await;
    let event = scene.event("revoke-by-permission.json", &group);
    let replayed = scene
        .rulekeeper(&["replay", &scene.file("event.json", &event), "--execute"])
        .exits(0)
        .item();
    assert_eq!(replayed["outcome"], "restored", "{replayed}");
    scene.revoke(&group, 80).await;
    scene.rulekeeper(&["restore", &group]).exits(0);

    let told = scene
        .rulekeeper(&["incidents", "--since", "20y"])
        .exits(0)
        .json();
    let [found, from_event] = told["items"].as_array().expect("a list").as_slice() else {
        panic!("{told:#}")
    };
    let address = json!({"account": ACCOUNT, "region": REGION, "id": group});
    assert_eq!(
        (&found["group"], &from_event["group"]),
        (&address, &address)
    );
    assert_eq!(found["trigger"]["kind"], "operator");
    assert_eq!(found.get("open_ms"), None);
    for attribute in [
        "trigger",
        "outcome",
        "reason",
        "rules",
        "generation",
        "unexpected",
    ] {
        assert_eq!(from_event[attribute], replayed[attribute], "{attribute}");
    }
    let timing = |name: &str| from_event["timing"][name].as_u64().expect("a number");
    assert_eq!(replayed["timing"]["event_age_ms"], timing("event_age_ms"));
    assert_eq!(
        from_event["open_ms"].as_u64(),
        Some(timing("event_age_ms") + timing("restored_ms"))
    );

    let table = scene
        .rulekeeper(&[
            "incidents",
            &group,
            "--since",
            "20y",
            "--details",
            "--output",
            "table",
        ])
        .exits(0)
        .out;
    for line in [
        "  restored: 1 of 1 dropped rule restored\n  found by arn:aws:",
        "; open for an unknown time\n    restored  tcp 80 from 10.0.0.0/8  sgr-",
        "\n  RevokeSecurityGroupIngress by arn:aws:",
    ] {
        assert!(table.contains(line), "{line} is not in {table}");
    }
}

#[tokio::test]
async fn only_what_happened_since_is_told_and_of_all_groups_the_newest_first() {
    let scene = Scene::new("incidents-since").await;
    let (a, b) = ("sg-0000000a", "sg-0000000b");
    for group in [a, b] {
        scene
            .write_attribute(group, "rules", AttributeValue::L(Vec::new()))
            .await;
    }
    let (new, older, old) = (ago(1), ago(90), ago(8 * 24 * 60));
    for (group, key) in [(a, &new), (b, &older), (a, &old), ("sg-0000000c", &new)] {
        scene.put_incident(group, key, written()).await;
    }
    let told = |arguments: &[&str]| {
        let arguments = [&["incidents"][..], arguments].concat();
        scene.rulekeeper(&arguments).exits(0).json()
    };
    let usual = told(&[]);
    assert_eq!(
        keys(&usual),
        [new.as_str(), older.as_str()],
        "seven days, recorded groups"
    );
    assert_eq!(keys(&told(&["--since", "1h"])), [new.as_str()]);
    assert_eq!(
        keys(&told(&["--since", "9d"])),
        [new.as_str(), older.as_str(), old.as_str()]
    );
    assert_eq!(keys(&told(&[b, a, b])), [new.as_str(), older.as_str()]);
    assert_eq!(
        told(&["sg-0000000c"])["items"][0]["group"]["id"],
        "sg-0000000c"
    );
    let typo = scene.rulekeeper(&["incidents", "sg-0000000d"]).exits(1);
    assert!(
        typo.err.contains("have no record and no incident"),
        "{typo:?}"
    );
    let expected = json!({
        "group": {"account": ACCOUNT, "region": REGION, "id": a}, "key": new,
        "trigger": {"kind": "event", "event_name": "RevokeSecurityGroupIngress", "principal": ROLE},
        "outcome": "restored", "reason": "1 of 1 dropped rule restored",
        "rules": [{"rule": WEB, "outcome": "restored", "rule_id": "sgr-0a"}],
        "timing": {"event_age_ms": 2140, "restored_ms": 61}, "revision": 1, "open_ms": 2201,
        "restored_at": restored_at(&new),
    });
    assert_eq!(usual["items"][0], expected);
}

#[tokio::test]
async fn open_incidents_and_those_of_a_caller_are_found_and_say_what_was_missing_before() {
    let scene = Scene::new("incidents-open").await;
    let group = scene.group("incidents-open", &[443, 80]).await;
    scene.rulekeeper(&["pin", &group]).exits(0);
    let drop = async |port, session: &str| {
        scene.revoke(&group, port).await;
        let event = scene.event("revoke-by-permission.json", &group);
        let mut event: Value = serde_json::from_str(&event).expect("JSON");
        let permission = "/detail/requestParameters/ipPermissions/items/0";
        let permission = event.pointer_mut(permission).expect("a permission");
        permission["fromPort"] = port.into();
        permission["toPort"] = port.into();
        event["detail"]["responseElements"] = json!({"_return": true});
        event["detail"]["eventID"] = format!("event-{port}").into();
        let now = Timestamp::from_second(Timestamp::now().as_second()).expect("a time");
        event["detail"]["eventTime"] = now.to_string().into();
        event["detail"]["sourceIPAddress"] = "203.0.113.7".into();
        event["detail"]["userIdentity"]["principalId"] = format!("AROA:{session}").into();
        let file = scene.file("event.json", &event.to_string());
        let never = ["--never", "tcp 80 from 10.0.0.0/8"];
        let replay = [&["replay", &file, "--execute"][..], &never].concat();
        scene.rulekeeper(&replay)
    };
    let first = drop(80, "anna@example.com").await.exits(3).item();
    assert_eq!(
        (&first["outcome"], &first["rules"][0]["dropped_by"]),
        (&json!("failed"), &json!("this_event"))
    );
    assert_eq!(first["trigger"]["session"], "anna@example.com");
    assert_eq!(first["trigger"]["source_ip"], "203.0.113.7");
    let second = drop(443, "berta@example.com").await.exits(3).item();
    assert_eq!(second["outcome"], "restored", "{second:#}");
    assert_eq!(
        second["reason"],
        "1 of 1 dropped rule restored; also missing: 1 failed"
    );

    let found = |more: &[&str]| {
        let arguments = [&["incidents", "--since", "20y"][..], more].concat();
        let items = scene.rulekeeper(&arguments).exits(0).items();
        items
            .iter()
            .map(|it| it["trigger"]["event_id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(found(&["--open"]), ["event-80"]);
    assert_eq!(found(&["--principal", "berta"]), ["event-443"]);
    assert_eq!(found(&["--until", "2015-01-01"]), [] as [&str; 0]);
    let status = scene.rulekeeper(&["status", &group]).exits(3).item();
    assert_eq!(
        (
            &status["state"],
            &status["session"],
            &status["key"].is_string()
        ),
        (&json!("failed"), &json!("anna@example.com"), &true)
    );
}

#[tokio::test]
async fn an_item_that_cannot_be_read_is_listed_and_hides_nothing() {
    let scene = Scene::new("incidents-unreadable").await;
    let (by_hand, good) = (ago(5), ago(10));
    let mut wrong = written();
    wrong.insert("rules".to_owned(), text("all\u{1b}[2J"));
    scene.put_incident("sg-0000000a", &by_hand, wrong).await;
    scene.put_incident("sg-0000000a", &good, written()).await;
    scene
        .put_incident("sg-0000000a", "a note", HashMap::new())
        .await;
    let told = scene
        .rulekeeper(&["incidents", "sg-0000000a"])
        .exits(0)
        .json();
    assert_eq!(keys(&told), [by_hand.as_str(), good.as_str(), "a note"]);
    let said = told["items"][0]["unreadable"].as_str().unwrap_or_default();
    assert!(said.starts_with("rules: "), "{told:#}");
    assert_eq!(told["items"][2]["unreadable"], "trigger: is missing");
    let table = scene
        .rulekeeper(&["incidents", "sg-0000000a", "--details", "--output", "table"])
        .exits(0)
        .out;
    let last =
        format!("a note  {ACCOUNT}/{REGION}/sg-0000000a  unreadable\n  trigger: is missing\n");
    assert!(table.contains(&last), "{table}");
    assert!(!table.contains('\u{1b}'), "{table}");
}

#[tokio::test]
async fn incidents_of_more_than_a_page_are_all_told() {
    let scene = Scene::new("incidents-pages").await;
    for minutes in 0..12 {
        let mut long = written();
        long.insert("reason".to_owned(), text(&"x".repeat(200_000)));
        scene.put_incident("sg-0000000a", &ago(minutes), long).await;
    }
    let told = scene
        .rulekeeper(&["incidents", "sg-0000000a"])
        .exits(0)
        .json();
    assert_eq!(keys(&told).len(), 12);
}

#[tokio::test]
async fn a_table_that_is_not_there_is_a_failure() {
    let scene = Scene::new("incidents-no-table").await;
    let done = scene
        .rulekeeper(&["incidents", "--table", "nowhere"])
        .exits(1);
    assert!(
        done.err.contains("there is no table \"nowhere\" in "),
        "{done:?}"
    );
    let done = scene
        .rulekeeper(&["incidents", "--since", "19000 years"])
        .exits(1);
    assert!(done.err.contains("before the first day"), "{done:?}");
}

/// The data in a page.
fn embedded(page: &str) -> Value {
    let from = "<script type=\"application/json\" id=\"incidents\">";
    let (_, rest) = page.split_once(from).expect("the data");
    let (data, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(data).expect("JSON")
}

#[tokio::test]
async fn a_page_holds_what_the_json_output_shows_and_replaces_the_page_before_it() {
    let scene = Scene::new("incidents-page").await;
    for minutes in 0..3 {
        let mut hostile = written();
        hostile.insert("reason".to_owned(), text("</script><script>alert(1)"));
        scene
            .put_incident("sg-0000000a", &ago(minutes + 1), hostile)
            .await;
    }
    let file = scene.path("page.html");
    std::fs::write(&file, "the page before").expect("a file");
    let done = scene
        .rulekeeper(&["incidents", "sg-0000000a", "--html", &file])
        .exits(0);
    assert_eq!(done.out, "", "the page is in place of the list");
    assert!(
        done.err.starts_with("wrote 3 incidents since 20"),
        "{done:?}"
    );
    assert!(
        done.err
            .contains(&format!(" to {file}: 1 group looked at, ")),
        "{done:?}"
    );
    let page = std::fs::read_to_string(&file).expect("a page");
    let shown = scene
        .rulekeeper(&["incidents", "sg-0000000a"])
        .exits(0)
        .json();
    let told = |page: &str| {
        let mut document = embedded(page);
        assert_eq!(document["open"], json!([]), "it has no record");
        assert_eq!(document["open_checked"], json!(true));
        let fields = document.as_object_mut().expect("a document");
        for only_in_the_page in ["open", "open_checked", "changes", "since"] {
            assert!(
                fields.remove(only_in_the_page).is_some(),
                "{only_in_the_page}"
            );
        }
        document
    };
    let mut shown = shown;
    let since = shown.as_object_mut().and_then(|it| it.remove("since"));
    assert!(since.is_some_and(|since| since.is_string()));
    assert_eq!(told(&page), shown);
    assert!(!page.contains("<script>alert"), "no text leaves its place");
    let folder = std::path::Path::new(&file).parent().expect("a folder");
    let beside = std::fs::read_dir(folder).expect("a folder");
    let names: Vec<_> = beside
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .collect();
    assert_eq!(names, ["page.html"], "nothing is left beside it");

    let both = scene
        .rulekeeper(&[
            "incidents",
            "sg-0000000a",
            "--html",
            &file,
            "--output",
            "json",
        ])
        .exits(0);
    assert_eq!(both.json()["items"], shown["items"]);
    let to_stdout = scene
        .rulekeeper(&["incidents", "sg-0000000a", "--html", "-"])
        .exits(0);
    assert!(
        to_stdout.out.starts_with("<!doctype html>"),
        "{:.80}",
        to_stdout.out
    );
    assert_eq!(told(&to_stdout.out), shown);
    assert!(
        to_stdout.err.contains("to standard output"),
        "{}",
        to_stdout.err
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_page_goes_where_a_link_leads_and_takes_no_device_away() {
    let scene = Scene::new("incidents-page-link").await;
    scene.put_incident("sg-0000000a", &ago(1), written()).await;
    // The link first: once what it leads to is gone, it looks as if there were none.
    let (link, file) = (scene.path("link.html"), scene.path("real.html"));
    std::fs::write(&file, "before").expect("a file");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    scene
        .rulekeeper(&["incidents", "sg-0000000a", "--html", &link])
        .exits(0);
    let page = std::fs::read_to_string(&file).expect("a page");
    assert!(page.starts_with("<!doctype html>"));
    assert!(
        std::fs::symlink_metadata(&link)
            .expect("the link")
            .is_symlink()
    );

    let done = scene
        .rulekeeper(&["incidents", "sg-0000000a", "--html", "/dev/null"])
        .exits(1);
    assert!(
        done.err
            .contains("error: /dev/null is no regular file\n\nhint: Name a file, or -"),
        "{done:?}"
    );
}

#[tokio::test]
async fn on_a_terminal_too_the_page_is_written_and_the_list_is_not_shown() {
    let scene = Scene::new("incidents-page-terminal").await;
    for group in ["sg-0000000a", "sg-0000000b"] {
        scene
            .write_attribute(group, "rules", AttributeValue::L(Vec::new()))
            .await;
        scene.put_incident(group, &ago(1), written()).await;
    }
    let file = scene.path("page.html");
    let shown = scene
        .terminal(&["incidents", "--html", &file])
        .end()
        .exits(0)
        .out;
    assert!(shown.contains("wrote 2 incidents since"), "{shown:?}");
    assert!(!shown.contains(WEB), "{shown:?}");
    let page = std::fs::read_to_string(&file).expect("a page");
    assert_eq!(keys(&embedded(&page)).len(), 2);
}
