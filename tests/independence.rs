//! The same function against an EC2 that is not ours: moto's, for the behaviours in which it is faithful.
//!
//! The local stack only runs the process here. Groups, rules and the table are moto's. Where moto is known to differ
//! from AWS the scenario stays away: it is not all-or-nothing, counts one quota for both families, keeps CIDRs as they
//! are given, and loses the descriptions of references and prefix lists. ARCHITECTURE.md lists the differences found.

mod support;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, IpPermission, IpRange, Ipv6Range, UserIdGroupPair};
use rulekeeper_local::{LambdaConfig, Stack, StackConfig};
use serde_json::{Value, json};
use support::{MotoTable, moto, notation, outcomes, revoke_event, rule_json, sdk_config};

/// The account of every moto.
const MOTO_ACCOUNT: &str = "123456789012";

struct Scene {
    ec2: Client,
    table: MotoTable,
    stack: Stack,
    vpc: String,
    group: String,
}

impl Scene {
    async fn new() -> Self {
        let table = MotoTable::create().await;
        let mut lambda = LambdaConfig::program(env!("CARGO_BIN_EXE_rulekeeper-function"));
        lambda
            .env
            .insert("RULEKEEPER_TABLE".to_owned(), table.name.clone());
        lambda
            .env
            .insert("AWS_ENDPOINT_URL".to_owned(), moto().to_owned());
        let config = StackConfig {
            account: MOTO_ACCOUNT.to_owned(),
            region: "eu-west-1".to_owned(),
            lambda,
            ..StackConfig::default()
        };
        let stack = Stack::start(config).expect("loopback ports are to be had");
        let ec2 = Client::new(&sdk_config(moto(), "eu-west-1"));
        let vpc = ec2
            .create_vpc()
            .cidr_block("10.0.0.0/16")
            .send()
            .await
            .expect("a VPC");
        let vpc = vpc.vpc.and_then(|vpc| vpc.vpc_id).expect("an id");
        let mut scene = Self {
            ec2,
            table,
            stack,
            vpc,
            group: String::new(),
        };
        scene.group = scene.create_group("node-group").await;
        scene
    }

    async fn create_group(&self, name: &str) -> String {
        let made = self
            .ec2
            .create_security_group()
            .group_name(name)
            .description(name)
            .vpc_id(&self.vpc)
            .send()
            .await;
        made.expect("a group").group_id.expect("an id")
    }

    async fn record(&self, rules: &[&str]) {
        let rules: Vec<Value> = rules.iter().map(|rule| rule_json(rule)).collect();
        self.record_rules(rules).await;
    }

    async fn record_rules(&self, rules: Vec<Value>) {
        let principals = json!([{"arn": role("lbc"), "policy": "follow"}, {"arn": role("terraform"), "policy": "accept"}]);
        let record = json!({"schema": 1, "generation": 1, "mode": "enforce", "rules": rules, "settle_seconds": 1, "cause_wait_seconds": 0,
            "principals": principals});
        self.table
            .put_desired(MOTO_ACCOUNT, &self.group, &record)
            .await;
    }

    async fn authorize(&self, permission: IpPermission) {
        let made = self
            .ec2
            .authorize_security_group_ingress()
            .group_id(&self.group)
            .ip_permissions(permission);
        made.send().await.expect("moto authorizes");
    }

    async fn revoke(&self, permission: IpPermission) {
        let revoked = self
            .ec2
            .revoke_security_group_ingress()
            .group_id(&self.group)
            .ip_permissions(permission);
        revoked.send().await.expect("moto revokes");
    }

    /// The rules of the record, in notation.
    async fn recorded(&self) -> Vec<String> {
        let items = self
            .table
            .items(&format!("desired#{MOTO_ACCOUNT}#eu-west-1"))
            .await;
        let rules = items[0]["rules"].as_l().expect("a list");
        rules.iter().map(notation).collect()
    }

    /// Hands over the event of a call that a role made just now.
    async fn handle_call(
        &self,
        call: &str,
        by: &str,
        rules: &[&str],
        error: Option<&str>,
    ) -> Value {
        let mut event = revoke_event(MOTO_ACCOUNT, &self.group, rules);
        let detail = &mut event["detail"];
        detail["eventName"] = call.into();
        detail["eventTime"] = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
            .into();
        detail["eventID"] = format!("{by} {call} {}", detail["eventTime"]).into();
        detail["userIdentity"] =
            json!({"type": "AssumedRole", "sessionContext": {"sessionIssuer": {"arn": role(by)}}});
        if let Some(error) = error {
            detail["errorCode"] = error.into();
            detail["responseElements"] = Value::Null;
        }
        let result = self.stack.lambda().invoke(event).await;
        assert_eq!(result.function_error, None, "{:#}", result.payload);
        result.payload
    }

    /// Port, source and description of each live rule, sorted.
    async fn live(&self) -> Vec<String> {
        let filter = Filter::builder()
            .name("group-id")
            .values(&self.group)
            .build();
        let rules = self
            .ec2
            .describe_security_group_rules()
            .filters(filter)
            .send()
            .await
            .expect("moto answers");
        let rules = rules.security_group_rules.unwrap_or_default();
        let line = |rule: &aws_sdk_ec2::types::SecurityGroupRule| {
            let source = rule
                .cidr_ipv4
                .as_deref()
                .or(rule.cidr_ipv6.as_deref())
                .map(str::to_owned);
            let group = rule
                .referenced_group_info
                .as_ref()
                .and_then(|group| group.group_id.clone());
            let protocol = rule.ip_protocol.as_deref().unwrap_or("?");
            format!(
                "{protocol} {:?} {}",
                rule.from_port.unwrap_or(-1),
                source.or(group).unwrap_or_default()
            )
        };
        let mut lines: Vec<String> = rules
            .iter()
            .filter(|rule| rule.is_egress != Some(true))
            .map(line)
            .collect();
        lines.sort();
        lines
    }

    async fn handle(&self, named: &[&str]) -> Value {
        let result = self
            .stack
            .lambda()
            .invoke(revoke_event(MOTO_ACCOUNT, &self.group, named))
            .await;
        assert_eq!(result.function_error, None, "{:#}", result.payload);
        result.payload
    }
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{MOTO_ACCOUNT}:role/{name}")
}

fn from_office(from_port: i32, to_port: i32) -> IpPermission {
    let office = IpRange::builder().cidr_ip("10.0.0.0/8").build();
    let ports = tcp(from_port).to_port(to_port);
    ports.ip_ranges(office).build()
}

fn tcp(port: i32) -> aws_sdk_ec2::types::builders::IpPermissionBuilder {
    IpPermission::builder()
        .ip_protocol("tcp")
        .from_port(port)
        .to_port(port)
}

#[tokio::test]
async fn rules_of_every_kind_come_back() {
    let scene = Scene::new().await;
    let other = scene.create_group("other").await;
    let referencing = format!("tcp 80-9093 from {other}");
    let own = format!("tcp 7946 from {}", scene.group);
    let rules = [
        "tcp 443 from 10.0.0.0/8",
        "udp 53 from 2001:db8::/32",
        "icmp 8/-1 from 10.0.0.0/8",
        "all from 10.20.0.0/16",
        "50 from 10.0.0.0/8",
        &referencing,
        &own,
    ];
    scene.record(&rules).await;
    let report = scene.handle(&rules).await;
    assert_eq!(report["outcome"], "restored", "{report:#}");
    assert_eq!(scene.live().await.len(), rules.len());
    assert!(
        report["rules"]
            .as_array()
            .expect("lines")
            .iter()
            .all(|line| line["rule_id"].is_string()),
        "{report:#}"
    );
    // What we authorized reads back as what the record says.
    let again = scene.handle(&rules).await;
    assert_eq!(again["outcome"], "converged", "{again:#}");
    assert_eq!(again["unexpected"], json!([]));
}

#[tokio::test]
async fn description_and_tags_come_back() {
    let scene = Scene::new().await;
    let mut rule = rule_json("tcp 443 from 10.0.0.0/8");
    rule["description"] = "office".into();
    rule["tags"] = json!({"team": "web"});
    scene.record_rules(vec![rule]).await;
    scene.handle(&["tcp 443 from 10.0.0.0/8"]).await;
    let filter = Filter::builder()
        .name("group-id")
        .values(&scene.group)
        .build();
    let rules = scene
        .ec2
        .describe_security_group_rules()
        .filters(filter)
        .send()
        .await
        .expect("moto answers");
    let rules = rules.security_group_rules.unwrap_or_default();
    let rule = rules
        .iter()
        .find(|rule| rule.is_egress != Some(true))
        .expect("restored");
    assert_eq!(rule.description.as_deref(), Some("office"));
    let tag = &rule.tags.as_ref().expect("tags")[0];
    assert_eq!(
        (tag.key.as_deref(), tag.value.as_deref()),
        (Some("team"), Some("web"))
    );
}

#[tokio::test]
async fn rules_that_are_there_already_are_left_alone() {
    let scene = Scene::new().await;
    scene
        .authorize(
            tcp(443)
                .ip_ranges(IpRange::builder().cidr_ip("10.0.0.0/8").build())
                .build(),
        )
        .await;
    scene
        .authorize(
            tcp(53)
                .ipv6_ranges(Ipv6Range::builder().cidr_ipv6("2001:db8::/32").build())
                .build(),
        )
        .await;
    let own = UserIdGroupPair::builder().group_id(&scene.group).build();
    scene
        .authorize(tcp(7946).user_id_group_pairs(own).build())
        .await;
    let reference = format!("tcp 7946 from {}", scene.group);
    let rules = [
        "tcp 443 from 10.0.0.0/8",
        "tcp 53 from 2001:db8::/32",
        &reference,
        "tcp 80 from 10.0.0.0/8",
    ];
    scene.record(&rules).await;
    let report = scene.handle(&["tcp 80 from 10.0.0.0/8"]).await;
    assert_eq!(outcomes(&report), ["tcp 80 from 10.0.0.0/8 restored"]);
    assert_eq!(scene.live().await.len(), 4);
}

#[tokio::test]
async fn a_reference_to_a_group_that_is_gone_costs_that_rule() {
    let scene = Scene::new().await;
    let gone = scene.create_group("gone").await;
    scene
        .ec2
        .delete_security_group()
        .group_id(&gone)
        .send()
        .await
        .expect("deleted");
    let bad = format!("tcp 8443 from {gone}");
    let rules = ["tcp 443 from 10.0.0.0/8", &bad, "tcp 80 from 10.0.0.0/8"];
    scene.record(&rules).await;
    let report = scene.handle(&rules).await;
    assert_eq!(report["outcome"], "partial", "{report:#}");
    assert_eq!(
        scene.live().await,
        ["tcp 443 10.0.0.0/8", "tcp 80 10.0.0.0/8"]
    );
    let failed = report["rules"]
        .as_array()
        .expect("lines")
        .iter()
        .find(|line| line["outcome"] == "failed");
    assert_eq!(
        failed.expect("one failed")["error_code"],
        "InvalidGroup.NotFound"
    );
}

#[tokio::test]
async fn a_group_that_is_gone_is_orphaned() {
    let scene = Scene::new().await;
    scene.record(&["tcp 443 from 10.0.0.0/8"]).await;
    scene
        .ec2
        .delete_security_group()
        .group_id(&scene.group)
        .send()
        .await
        .expect("deleted");
    let report = scene.handle(&["tcp 443 from 10.0.0.0/8"]).await;
    assert_eq!(report["outcome"], "orphaned", "{report:#}");
}

#[tokio::test]
async fn a_group_named_in_the_default_vpc_is_found() {
    let mut scene = Scene::new().await;
    let vpcs = scene
        .ec2
        .describe_vpcs()
        .filters(Filter::builder().name("is-default").values("true").build());
    let vpcs = vpcs
        .send()
        .await
        .expect("moto answers")
        .vpcs
        .unwrap_or_default();
    scene.vpc = vpcs[0].vpc_id.clone().expect("an id");
    scene.group = scene.create_group("Web-Default").await;
    scene.record(&["tcp 443 from 10.0.0.0/8"]).await;
    let mut event = revoke_event(MOTO_ACCOUNT, &scene.group, &["tcp 443 from 10.0.0.0/8"]);
    let request = &mut event["detail"]["requestParameters"];
    request.as_object_mut().expect("a map").remove("groupId");
    request["groupName"] = "web-default".into();
    let report = scene.stack.lambda().invoke(event).await.payload;
    assert_eq!(report["outcome"], "restored", "{report:#}");
}

#[tokio::test]
async fn a_sweep_finds_what_no_event_told() {
    let scene = Scene::new().await;
    scene.record(&["tcp 443 from 10.0.0.0/8"]).await;
    let answer = scene
        .stack
        .lambda()
        .invoke(json!({"sweep": {"region": "eu-west-1"}}))
        .await
        .payload;
    assert_eq!(
        answer["sweep"],
        json!({"groups": 1, "converged": 0, "restored": 1}),
        "{answer:#}"
    );
    assert_eq!(scene.live().await, ["tcp 443 10.0.0.0/8"]);
}

const NARROW: &str = "tcp 80-9093 from 10.0.0.0/8";
const WIDE: &str = "tcp 80-9100 from 10.0.0.0/8";

#[tokio::test]
async fn a_followed_replacement_enters_and_leaves_the_record() {
    let scene = Scene::new().await;
    scene.authorize(from_office(80, 9093)).await;
    scene.record(&[NARROW]).await;
    scene.revoke(from_office(80, 9093)).await;
    scene.authorize(from_office(80, 9100)).await;
    let (revoke, authorize) = tokio::join!(
        scene.handle_call("RevokeSecurityGroupIngress", "lbc", &[NARROW], None),
        scene.handle_call("AuthorizeSecurityGroupIngress", "lbc", &[WIDE], None)
    );
    assert_eq!(scene.recorded().await, [WIDE], "{revoke:#} {authorize:#}");
    assert_eq!(scene.live().await, ["tcp 80 10.0.0.0/8"]);
}

#[tokio::test]
async fn an_aborted_replacement_is_undone() {
    let scene = Scene::new().await;
    scene.authorize(from_office(80, 9093)).await;
    scene.record(&[NARROW]).await;
    for _ in 0..2 {
        scene.revoke(from_office(80, 9093)).await;
        let refused = Some("Client.InvalidGroup.NotFound");
        let report = scene
            .handle_call("AuthorizeSecurityGroupIngress", "lbc", &[WIDE], refused)
            .await;
        assert_eq!(
            outcomes(&report),
            [format!("{NARROW} restored")],
            "{report:#}"
        );
        let report = scene
            .handle_call("RevokeSecurityGroupIngress", "lbc", &[NARROW], None)
            .await;
        assert_eq!(
            outcomes(&report),
            [format!("{NARROW} already_present")],
            "{report:#}"
        );
    }
    assert_eq!(scene.recorded().await, [NARROW]);
}

#[tokio::test]
async fn an_accepted_revoke_leaves_the_record() {
    let scene = Scene::new().await;
    scene.authorize(from_office(80, 9100)).await;
    scene.record(&[NARROW, WIDE]).await;
    // The event names both, and one of them is still there.
    let report = scene
        .handle_call(
            "RevokeSecurityGroupIngress",
            "terraform",
            &[NARROW, WIDE],
            None,
        )
        .await;
    assert_eq!(
        report["changes"][0]["removed"],
        json!([NARROW]),
        "{report:#}"
    );
    assert_eq!(scene.recorded().await, [WIDE]);
}
