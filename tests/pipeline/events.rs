//! Every form of the event, end to end.

use std::fs;
use std::path::Path;

use rulekeeper_local::Params;
use serde_json::{Value, json};

use crate::support::{Scene, outcomes};

const OFFICE: &str = "tcp 443 from 10.0.0.0/8";

fn sample(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("events")
        .join(format!("{name}.json"));
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("samples are JSON")
}

#[tokio::test]
async fn a_revoke_by_rule_id_is_restored_whether_or_not_the_record_tells_the_rule() {
    for omit in [false, true] {
        let scene = Scene::new().await;
        scene
            .stack
            .cloud()
            .adjust(|dials| dials.omit_revoked_rule_set = omit);
        scene.keep(&[OFFICE]).await;
        let ec2 = scene.stack.cloud().ec2();
        let id = ec2.rule_id(&scene.group, OFFICE).expect("live");
        ec2.revoke_ids(&scene.group, &[&id]).expect("live");
        scene.settle().await;
        assert_eq!(scene.live(), [OFFICE]);
        assert_eq!(
            outcomes(&scene.answer()),
            ["tcp 443 from 10.0.0.0/8 restored"]
        );
    }
}

#[tokio::test]
async fn a_revoke_by_group_name_is_resolved_in_the_default_vpc() {
    for omit in [false, true] {
        let mut scene = Scene::new().await;
        let ec2 = scene.stack.cloud().ec2();
        let default_vpc = ec2.default_vpc().expect("there is one");
        // The same name in another VPC must not be taken for it.
        ec2.clone()
            .quietly()
            .create_group("web", &scene.vpc)
            .expect("a namesake");
        scene.group = ec2
            .clone()
            .quietly()
            .create_group("web", &default_vpc)
            .expect("a group");
        scene
            .stack
            .cloud()
            .adjust(|dials| dials.omit_revoked_rule_set = omit);
        scene.keep(&[OFFICE]).await;
        let params = Params::from_pairs([
            ("GroupName", "web"),
            ("IpProtocol", "tcp"),
            ("FromPort", "443"),
            ("ToPort", "443"),
            ("CidrIp", "10.0.0.0/8"),
        ]);
        ec2.call("RevokeSecurityGroupIngress", &params)
            .expect("default VPCs take names");
        scene.settle().await;
        assert_eq!(scene.live(), [OFFICE], "{:#}", scene.answer());
    }
}

#[tokio::test]
async fn a_modified_rule_gets_its_recorded_content_back_beside_the_new() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    let ec2 = scene.stack.cloud().ec2();
    let id = ec2.rule_id(&scene.group, OFFICE).expect("live");
    let params = Params::from_pairs([
        ("GroupId", scene.group.as_str()),
        ("SecurityGroupRule.1.SecurityGroupRuleId", &id),
        ("SecurityGroupRule.1.SecurityGroupRule.IpProtocol", "tcp"),
        ("SecurityGroupRule.1.SecurityGroupRule.FromPort", "443"),
        ("SecurityGroupRule.1.SecurityGroupRule.ToPort", "443"),
        (
            "SecurityGroupRule.1.SecurityGroupRule.CidrIpv4",
            "10.1.0.0/16",
        ),
    ]);
    ec2.call("ModifySecurityGroupRules", &params)
        .expect("narrowed");
    scene.settle().await;
    assert_eq!(scene.live(), [OFFICE, "tcp 443 from 10.1.0.0/16"]);
}

#[tokio::test]
async fn what_dropped_nothing_is_ignored_without_any_call() {
    let scene = Scene::new().await;
    scene.keep(&[OFFICE]).await;
    scene.stack.cloud().clear_calls();
    let ignored = [
        "revoke-denied",
        "revoke-not-found",
        "revoke-dry-run",
        "revoke-failed-unprefixed-code",
        "revoke-egress",
        "modify-rules-failed",
        "not-cloudtrail",
        "garbage",
        "garbage-array",
    ];
    for name in ignored {
        let result = scene.stack.lambda().invoke(sample(name)).await;
        assert_eq!(result.function_error, None, "{name}");
        assert_eq!(
            result.payload["outcome"], "ignored",
            "{name}: {:#}",
            result.payload
        );
        assert!(
            result.payload["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty()),
            "{name}"
        );
        assert_eq!(result.payload["calls"], json!({}), "{name}");
    }
    assert_eq!(scene.stack.cloud().calls(), []);
}

#[tokio::test]
async fn odd_payloads_are_ignored_and_never_an_error() {
    let scene = Scene::new().await;
    let odd = [
        Value::Null,
        json!(7),
        json!("text"),
        json!([]),
        json!({}),
        json!({"detail": 7}),
        json!({"detail": {"eventName": 7}}),
        json!({"detail": {"eventName": "RevokeSecurityGroupIngress"}}),
        json!({"detail": {"eventName": "RevokeSecurityGroupIngress", "awsRegion": "eu-west-1",
            "recipientAccountId": "111122223333", "requestParameters": null}}),
        json!({"detail": {"eventName": "RevokeSecurityGroupIngress", "awsRegion": "../evil",
            "recipientAccountId": "111122223333", "requestParameters": {"groupId": "sg-0a"}}}),
        json!({"sweep": {"account": "not an account"}}),
    ];
    for payload in odd {
        let result = scene.stack.lambda().invoke(payload.clone()).await;
        assert_eq!(result.function_error, None, "{payload}");
        assert_eq!(
            result.payload["outcome"], "ignored",
            "{payload}: {:#}",
            result.payload
        );
    }
}

/// One record serves every sample: each that asks for a reconcile of it, whatever its form, puts everything back.
#[tokio::test]
async fn every_sample_that_asks_for_it_restores_the_sample_record() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("events/README.md"))
        .expect("there");
    let reconciled: Vec<String> = readme
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let name = cells.get(1)?.strip_prefix("[`")?.split('`').next()?;
            cells
                .get(3)?
                .starts_with("reconciles")
                .then(|| name.to_owned())
        })
        .collect();
    assert!(reconciled.len() > 30, "{reconciled:?}");
    for name in reconciled {
        // A table of its own counters: so many restores of one rule would be a fight.
        let scene = Scene::new().await;
        scene.record(&[OFFICE]).await;
        let mut event = sample(&name);
        // Only the group is another: ids are EC2's to give. A group by name is found by the name it has here.
        let text = event
            .to_string()
            .replace("sg-0123456789abcdef0", &scene.group);
        event = serde_json::from_str(&text).expect("still JSON");
        if name == "revoke-by-group-name-only" || name == "revoke-in-member-account" {
            continue;
        }
        let result = scene.stack.lambda().invoke(event).await;
        assert_eq!(
            result.payload["outcome"], "restored",
            "{name}: {:#}",
            result.payload
        );
        assert_eq!(scene.live(), [OFFICE], "{name}");
        scene
            .stack
            .cloud()
            .ec2()
            .quietly()
            .revoke(&scene.group, &[OFFICE])
            .expect("live");
    }
}

#[tokio::test]
async fn truncated_parameters_lead_to_a_sweep() {
    let scene = Scene::new().await;
    scene.record(&[OFFICE]).await;
    let result = scene
        .stack
        .lambda()
        .invoke(sample("revoke-omitted-parameters-without-rule-set"))
        .await;
    assert_eq!(result.payload["sweep"]["groups"], 1, "{:#}", result.payload);
    assert_eq!(scene.live(), [OFFICE]);
}

#[tokio::test]
async fn every_kind_of_rule_comes_back() {
    let scene = Scene::new().await;
    let ec2 = scene.stack.cloud().ec2().quietly();
    let other = ec2.create_group("other", &scene.vpc).expect("a group");
    let list = ec2
        .create_prefix_list("partners", 5)
        .expect("a prefix list");
    let rules = [
        "all from 10.20.0.0/16".to_owned(),
        "50 from 10.0.0.0/8".to_owned(),
        "icmp 8/-1 from 10.0.0.0/8".to_owned(),
        "icmp -1/-1 from 10.9.0.0/16".to_owned(),
        "icmpv6 -1/-1 from 2001:db8::/32".to_owned(),
        "udp 53 from ::/0".to_owned(),
        "tcp 0-65535 from 192.0.2.1/32".to_owned(),
        format!("tcp 7946 from {}", scene.group),
        format!("tcp 80-9093 from {other}"),
        format!("tcp 443 from {list}"),
    ];
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    scene.keep(&rules).await;
    let before = scene.live();
    scene.revoke(&rules).await;
    assert_eq!(scene.live(), before, "{:#}", scene.answer());
    assert_eq!(scene.answer()["calls"]["AuthorizeSecurityGroupIngress"], 1);
}
