//! All is well, nothing can be seen, and whose clock is off.

use std::collections::BTreeMap;

use rulekeeper_local::Call;
use serde_json::{Value, json};

use crate::common::{ACCOUNT, REGION, bare, run};
use crate::scene::{MEMBER, OPERATOR, Scene, TABLE, said, unskipped};

/// A call that cannot have changed anything.
fn is_harmless(call: &Call) -> bool {
    let reads = ["Describe", "Get", "List", "Query", "BatchGetItem", "Test"];
    let asks = ["Invoke", "AssumeRole"];
    let refused = ["DryRunOperation", "ConditionalCheckFailedException"];
    reads
        .iter()
        .chain(&asks)
        .any(|verb| call.action.starts_with(verb))
        || call
            .outcome
            .as_deref()
            .is_some_and(|outcome| refused.contains(&outcome))
}

#[tokio::test]
async fn all_is_well_and_nothing_is_changed() {
    let scene = Scene::new().await;
    let before = (
        scene.items().await,
        scene.stack.cloud().ec2().rules(&scene.group),
    );
    scene.stack.cloud().clear_calls();
    let done = scene.rulekeeper(&["doctor", "--scope", MEMBER]).exits(0);
    let checks = done.json()["items"].as_array().expect("a list").clone();
    let mut kinds = BTreeMap::<String, usize>::new();
    for check in &checks {
        assert_eq!(check["outcome"], "ok", "{check:#}");
        assert_eq!(check.get("fix"), None, "{check:#}");
        let kind = check["check"].as_str().expect("text").to_owned();
        *kinds.entry(kind).or_default() += 1;
    }
    let expected = json!({
        "credentials": 1, "clock": 2, "table": 1, "table_expiry": 1, "table_recovery": 1, "table_encryption": 1,
        "table_protection": 1, "records": 1, "settings": 1, "function": 1, "function_table": 1, "function_mode": 1,
        "function_concurrency": 1, "function_failures": 1, "function_guardrails": 1, "event_rule": 1, "schedule": 1, "trail": 1, "queue": 2,
        "topic": 2,
        "role": 12, "member_role": 7, "operator": 4,
    });
    assert_eq!(json!(kinds), expected);

    let calls = scene.stack.cloud().calls();
    let harmful: Vec<_> = calls.iter().filter(|call| !is_harmless(call)).collect();
    assert!(harmful.is_empty(), "{harmful:#?}");
    for (action, refused) in [
        ("AuthorizeSecurityGroupIngress", "DryRunOperation"),
        ("PutItem", "ConditionalCheckFailedException"),
        ("UpdateItem", "ConditionalCheckFailedException"),
        ("DeleteItem", "ConditionalCheckFailedException"),
    ] {
        let mut tried = calls.iter().filter(|call| call.action == action).peekable();
        assert!(tried.peek().is_some(), "{action} was tried");
        assert!(
            tried.all(|call| call.outcome.as_deref() == Some(refused)),
            "{action}"
        );
    }
    let after = (
        scene.items().await,
        scene.stack.cloud().ec2().rules(&scene.group),
    );
    assert_eq!(after, before);

    let shown = scene
        .rulekeeper(&["doctor", "--output", "table"])
        .exits(0)
        .out;
    assert!(shown.ends_with("\n\n39 checks: 39 ok\n"), "{shown}");
    assert!(shown.starts_with("You\n---\nok credentials "), "{shown}");
    let wide = shown.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None, "{shown}");
}

#[tokio::test]
async fn before_anything_is_deployed_it_looks_at_what_is_there_and_says_what_it_does_not_look_at() {
    let scene = Scene::with(|config| config.table = None).await;
    scene.adjust(|estate| estate.function.absent = true);
    let pre = |code| {
        let mut command = bare(&["doctor", "--pre"]);
        command.envs(scene.stack.client_env());
        let done = run(command, "").exits(code).items();
        let checks = done.iter();
        let part = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
        let names = checks.map(|check| {
            let name = format!("{} {}", part(check, "check"), part(check, "outcome"));
            (name, check.clone())
        });
        names.collect::<Vec<_>>()
    };
    let well = pre(0);
    let mut kinds = BTreeMap::<&str, usize>::new();
    for (name, check) in &well {
        *kinds.entry(name).or_default() += 1;
        assert!(check["section"].is_string(), "{check:#}");
    }
    let expected = json!({
        "credentials ok": 1, "clock ok": 1, "trail ok": 1, "ec2 ok": 3, "quota skipped": 1, "deploy ok": 2,
        "deploy skipped": 1,
    });
    assert_eq!(json!(kinds), expected);
    let quota = well.iter().find(|(name, _)| name == "quota skipped");
    said(
        &quota.expect("it is there").1,
        "not looked at",
        "--quota-code L-0EA8095F --query Quota.Value --region eu-west-1",
    );
    scene.adjust(|estate| estate.trails.clear());
    scene.refuse("DescribeVpcs", "UnauthorizedOperation", OPERATOR);
    let wrong = pre(1);
    let failed: Vec<_> = wrong
        .iter()
        .filter(|(name, _)| name.ends_with("failed"))
        .map(|(_, check)| check)
        .collect();
    assert_eq!(failed.len(), 2, "{failed:#?}");
    said(
        failed[0],
        "has no trail",
        "start-logging --name management --region eu-west-1",
    );
    said(failed[1], "UnauthorizedOperation", "Allow ec2:DescribeVpcs");
}

#[tokio::test]
async fn what_may_not_be_looked_at_is_a_finding_and_keeps_nothing_else_from_being_found() {
    let scene = Scene::new().await;
    let refused = [
        (
            "DescribeTrails",
            "trail eu-west-1: failed",
            "cloudtrail:DescribeTrails",
        ),
        (
            "GetFunctionConcurrency",
            "function_concurrency rulekeeper: failed",
            "lambda:GetFunctionConcurrency",
        ),
        (
            "TestEventPattern",
            "event_rule rulekeeper-ingress-dropped: failed",
            "events:TestEventPattern",
        ),
        (
            "DescribeTable",
            "table rulekeeper: failed",
            "dynamodb:DescribeTable",
        ),
        (
            "GetCallerIdentity",
            "credentials STS: failed",
            "sts:GetCallerIdentity",
        ),
    ];
    for (action, _, _) in refused {
        scene.refuse(action, "AccessDeniedException", OPERATOR);
    }
    // STS does not say whose records are meant.
    let all = scene.doctor(&["--account", ACCOUNT], 1);
    for (action, name, allow) in refused {
        let check = all.get(name).unwrap_or_else(|| panic!("{name}: {all:#?}"));
        said(check, "could not be found out", &format!("Allow {allow}"));
        assert!(
            check["found"]
                .as_str()
                .is_some_and(|found| found.contains(action)),
            "{check:#}"
        );
    }
    assert_eq!(unskipped(&all).len(), refused.len(), "{all:#?}");
}

#[test]
fn without_credentials_a_table_or_a_region_there_is_not_much_to_see() {
    let mut command = bare(&["doctor", "--table", TABLE]);
    command.env("AWS_REGION", REGION);
    let done = run(command, "").exits(1).json();
    let checks = done["items"].as_array().expect("a list");
    assert_eq!(checks[0]["check"], "credentials");
    said(&checks[0], "there are no AWS credentials", "--profile");
    assert!(
        checks[1..]
            .iter()
            .all(|check| check["outcome"] == "skipped"),
        "{done:#}"
    );

    let mut command = bare(&["doctor"]);
    command.env("AWS_REGION", REGION);
    assert!(run(command, "").exits(2).err.contains("no table is named"));
    let done = run(bare(&["doctor", "--table", TABLE]), "").exits(2);
    assert!(done.err.contains("no AWS Region is set"), "{done:?}");
    let done = run(bare(&["doctor", "--scope", "444455556666"]), "").exits(2);
    assert!(done.err.contains("444455556666/eu-central-1"), "{done:?}");
}

#[tokio::test]
async fn a_clock_that_is_off() {
    let scene = Scene::new().await;
    // Both are those of this machine.
    let both = |outcome: &str| {
        ["the function", "this machine"].map(|whose| format!("clock {whose}: {outcome}"))
    };
    scene.adjust(|estate| estate.clock_offset_ms = 360_000);
    let all = scene.doctor(&[], 1);
    assert_eq!(unskipped(&all), both("failed"), "{all:#?}");
    let ours = &all["clock this machine: failed"];
    said(
        ours,
        "s behind AWS: from five minutes on AWS may refuse every call",
        "timedatectl",
    );
    scene.adjust(|estate| estate.clock_offset_ms = -30_000);
    let all = scene.doctor(&[], 0);
    assert_eq!(unskipped(&all), both("warning"), "{all:#?}");
    said(
        &all["clock this machine: warning"],
        "s ahead of AWS: pauses",
        "timedatectl",
    );
    scene.adjust(|estate| estate.clock_offset_ms = 2_000);
    assert!(scene.doctor(&[], 0).is_empty());
}
