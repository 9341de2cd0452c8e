//! What is known before an outage: rules that guardrails forbid, and rules that could not come back.

use std::collections::BTreeSet;

use rulekeeper_local::{Fault, Params};
use serde_json::{Value, json};

use crate::support::{Scene, outcomes};

const OFFICE: &str = "tcp 443 from 10.0.0.0/8";

async fn guarded(never: &'static str) -> Scene {
    Scene::with(|config| {
        let env = &mut config.lambda.env;
        env.insert("RULEKEEPER_NEVER".to_owned(), never.to_owned());
    })
    .await
}

/// Writes a record past the command line, and makes the function look.
async fn restored(scene: &Scene, rules: &[&str]) -> Value {
    scene.record(rules).await;
    let event = crate::support::revoke_event("111122223333", &scene.group, &[OFFICE]);
    scene.stack.lambda().invoke(event).await.payload
}

#[tokio::test]
async fn no_record_crosses_a_guardrail_and_the_other_rules_come_back() {
    let scene = guarded("tcp 22 from 0.0.0.0/0; public/8").await;
    let quiet = scene.stack.cloud().ec2().quietly();
    let list = quiet.call(
        "CreateManagedPrefixList",
        &Params::from_pairs([
            ("PrefixListName", "half"),
            ("AddressFamily", "IPv4"),
            ("MaxEntries", "5"),
            ("Entry.1.Cidr", "0.0.0.0/1"),
        ]),
    );
    let list = list.expect("a list")["prefixList"]["prefixListId"].clone();
    let half = format!("tcp 22 from {}", list.as_str().expect("an id"));
    let rules = [
        OFFICE,
        "all from 0.0.0.0/0",
        "tcp 20-30 from 128.0.0.0/1",
        &half,
        "tcp 443 from ::/0",
        "tcp 443 from 198.51.100.0/24",
    ];
    let report = restored(&scene, &rules).await;
    // The event took one of them; the others are missing too.
    assert_eq!(report["outcome"], "restored", "{report:#}");
    let said = "1 of 1 dropped rule restored; also missing: 1 restored, 4 failed";
    assert_eq!(report["reason"], said);
    assert_eq!(report["chat"]["version"], "1.0");
    assert_eq!(
        scene.live(),
        ["tcp 443 from 10.0.0.0/8", "tcp 443 from 198.51.100.0/24"]
    );
    let lines = report["rules"].as_array().expect("lines");
    let failed = lines.iter().filter(|line| line["outcome"] == "failed");
    let failed: Vec<&Value> = failed.collect();
    assert!(
        failed.len() == 4 && failed.iter().all(|line| line["error_code"] == "Guardrail"),
        "{report:#}"
    );
    assert_eq!(report["calls"]["AuthorizeSecurityGroupIngress"], 1);
    assert_eq!(report["calls"]["GetManagedPrefixListEntries"], 1);
}

#[tokio::test]
async fn prefix_lists_of_several_pages_are_read_to_the_end_and_a_lost_one_is_told() {
    let scene = guarded("tcp 22 from 192.0.2.0/24").await;
    scene
        .stack
        .cloud()
        .adjust(|dials| dials.page_limit = Some(2));
    let mut pairs = vec![
        ("PrefixListName".to_owned(), "many".to_owned()),
        ("AddressFamily".to_owned(), "IPv4".to_owned()),
        ("MaxEntries".to_owned(), "5".to_owned()),
    ];
    for (number, cidr) in ["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "192.0.0.0/16"]
        .iter()
        .enumerate()
    {
        pairs.push((format!("Entry.{}.Cidr", number + 1), (*cidr).to_owned()));
    }
    let params = Params::from_pairs(
        pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str())),
    );
    let made = scene
        .stack
        .cloud()
        .ec2()
        .quietly()
        .call("CreateManagedPrefixList", &params);
    let list = made.expect("a list")["prefixList"]["prefixListId"].clone();
    let listed = format!("tcp 22 from {}", list.as_str().expect("an id"));
    let lost = "tcp 22 from pl-0bad0bad0bad0bad0";
    let report = restored(&scene, &[OFFICE, &listed, lost]).await;
    let lines: BTreeSet<String> = outcomes(&report).into_iter().collect();
    let expected = [
        format!("{lost} failed"),
        format!("{listed} failed"),
        format!("{OFFICE} restored"),
    ];
    assert_eq!(lines, expected.into(), "{report:#}");
    assert_eq!(report["calls"]["GetManagedPrefixListEntries"], 3);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("pl-0bad0bad0bad0bad0"), "{warnings}");
}

#[tokio::test]
async fn a_sweep_tells_what_could_not_come_back_and_the_outage_needs_no_refused_call_for_it() {
    let scene = Scene::new().await;
    let cloud = scene.stack.cloud();
    let ec2 = cloud.ec2().quietly();
    let peer_vpc = ec2.create_vpc("10.1.0.0/16").expect("a VPC");
    cloud.peer(&scene.vpc, &peer_vpc);
    let gone = ec2.create_group("gone", &peer_vpc).expect("a group");
    let reference = format!("tcp 8443 from {gone}");
    scene.keep(&[OFFICE, &reference]).await;
    let sweep = async || {
        let answer = scene
            .stack
            .lambda()
            .invoke(json!({"sweep": {}}))
            .await
            .payload;
        assert_eq!(answer["sweep"]["converged"], 1, "{answer:#}");
        answer
    };
    let before = sweep().await;
    assert_eq!(before.get("remarks"), None, "{before:#}");

    // Across a peering a group can be deleted while rules name it. Another process looks, because this one has.
    ec2.delete_group(&gone).expect("deletable");
    scene.stack.lambda().kill_instances();
    let told = sweep().await;
    let remark = &told["remarks"][0];
    assert_eq!(remark["unrestorable"], json!([reference]), "{told:#}");
    let notices = remark["notices"].to_string();
    assert!(
        notices.contains("could not come back if it were dropped now"),
        "{notices}"
    );
    let again = sweep().await;
    assert_eq!(again["remarks"][0]["unrestorable"], json!([reference]));
    assert_eq!(again["remarks"][0].get("notices"), None, "{again:#}");

    cloud.clear_calls();
    scene.revoke(&[OFFICE, &reference]).await;
    let report = scene.answer();
    assert_eq!(
        outcomes(&report),
        [format!("{OFFICE} restored"), format!("{reference} failed")],
        "{report:#}"
    );
    assert_eq!(scene.live(), [OFFICE]);
    let authorizes = cloud
        .calls()
        .into_iter()
        .filter(|call| call.action == "AuthorizeSecurityGroupIngress");
    let refused: Vec<bool> = authorizes
        .map(|call| call.outcome.as_deref() != Some("Success"))
        .collect();
    assert_eq!(
        refused,
        [false, true],
        "the good rule did not wait for a refusal"
    );
}

/// Once an hour an instance tries whether the role may authorize; here each instance sweeps once.
#[tokio::test]
async fn a_role_that_may_not_authorize_is_told_once_and_so_is_its_end() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    let cloud = scene.stack.cloud();
    let sweep = async || {
        scene.stack.lambda().kill_instances();
        let answer = scene.stack.lambda().invoke(json!({"sweep": {}})).await;
        answer.payload["permission"].clone()
    };
    assert_eq!(sweep().await, Value::Null);
    let refusal = Fault::error(
        "AuthorizeSecurityGroupIngress",
        "UnauthorizedOperation",
        403,
    );
    cloud.inject(refusal.always());
    for changed in [true, false] {
        let found = sweep().await;
        let may = (&found["authorize"], &found["tag"], &found["changed"]);
        assert_eq!(
            may,
            (&json!(false), &json!(false), &json!(changed)),
            "{found}"
        );
        let text = found["found"].as_str().unwrap_or_default();
        assert!(
            text.contains("may not authorize rules: UnauthorizedOperation"),
            "{text}"
        );
    }
    let logs = scene.stack.lambda().logs();
    assert!(
        logs.iter()
            .any(|line| line.text.contains("\"RulesUnrestorable\":1")),
        "{logs:#?}"
    );
    cloud.adjust(|dials| dials.faults.clear());
    let found = sweep().await;
    assert_eq!(
        (&found["authorize"], &found["changed"]),
        (&json!(true), &json!(true)),
        "{found}"
    );
    assert_eq!(sweep().await, Value::Null);
    // With tags, and without them if that is refused.
    let tried = cloud.calls().into_iter();
    let tried = tried.filter(|call| call.action == "AuthorizeSecurityGroupIngress");
    assert_eq!(tried.count(), 1 + 2 + 2 + 1 + 1);
    assert_eq!(scene.live(), [OFFICE]);
}
