//! Dials: staleness, throttles, faults, latency, denial, hooks, and the journal.

mod common;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Client, cloud_with_group};
use rulekeeper_local::{Bucket, Fault, Identity, Latency};
use serde_json::json;

fn rules(client: &Client, group: &str) -> usize {
    let reply = client.ec2(
        "DescribeSecurityGroupRules",
        &format!("Filter.1.Name=group-id&Filter.1.Value.1={group}"),
    );
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply
        .all("isEgress")
        .into_iter()
        .filter(|egress| egress == "false")
        .count()
}

fn authorize(client: &Client, group: &str, port: u16) -> std::io::Result<common::Reply> {
    let params =
        format!("GroupId={group}&IpProtocol=tcp&FromPort={port}&ToPort={port}&CidrIp=10.0.0.0/8");
    client.try_ec2("AuthorizeSecurityGroupIngress", &params)
}

#[test]
fn reads_lag_behind_by_the_staleness() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    ec2.authorize(&group, &["tcp 1 from 10.0.0.0/8"])
        .expect("authorized");
    stack.cloud().adjust(|dials| dials.staleness_ms = 300);
    let changed = Instant::now();
    ec2.revoke(&group, &["tcp 1 from 10.0.0.0/8"])
        .expect("revoked");
    assert_eq!(rules(&client, &group), 1, "the revoked rule still shows");
    let twice = authorize(&client, &group, 1).expect("an answer");
    assert_eq!(twice.status, 200, "writes see what is true: {}", twice.body);
    let duplicate = authorize(&client, &group, 1).expect("an answer");
    assert_eq!(duplicate.code(), "InvalidPermission.Duplicate");
    ec2.revoke(&group, &["tcp 1 from 10.0.0.0/8"])
        .expect("revoked");
    while rules(&client, &group) == 1 {
        assert!(
            changed.elapsed() < Duration::from_secs(5),
            "it never caught up"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(changed.elapsed() >= Duration::from_millis(300));
}

#[test]
fn the_next_describes_of_a_group_can_answer_from_before_its_last_change() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    let other = ec2
        .create_group("other", &ec2.default_vpc().expect("a VPC"))
        .expect("a group");
    ec2.authorize(&group, &["tcp 1 from 10.0.0.0/8"])
        .expect("authorized");
    ec2.revoke(&group, &["tcp 1 from 10.0.0.0/8"])
        .expect("revoked");
    stack
        .cloud()
        .adjust(|dials| dials.stale_describes.insert(group.clone(), 2));
    assert_eq!(rules(&client, &other), 0);
    assert_eq!([0; 3].map(|_: i32| rules(&client, &group)), [1, 1, 0]);
    assert!(stack.cloud().dials().stale_describes.is_empty());
}

#[test]
fn a_bucket_throttles_each_account_and_region_by_itself() {
    let (stack, client, group) = cloud_with_group();
    stack.cloud().adjust(|dials| {
        dials.throttles.insert(
            "DescribeSecurityGroupRules".into(),
            Bucket {
                burst: 2.0,
                per_second: 0.0,
            },
        )
    });
    assert_eq!((rules(&client, &group), rules(&client, &group)), (0, 0));
    let refused = client.ec2("DescribeSecurityGroupRules", "");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "RequestLimitExceeded")
    );
    assert_eq!(refused.text("Message"), "Request limit exceeded.");
    let elsewhere = Client {
        region: "eu-west-1".into(),
        ..client
    };
    assert_eq!(elsewhere.ec2("DescribeSecurityGroupRules", "").status, 200);
}

#[test]
fn an_error_may_hide_that_the_call_worked() {
    let (stack, client, group) = cloud_with_group();
    stack.cloud().inject(
        Fault::error("AuthorizeSecurityGroupIngress", "InternalError", 500).taking_effect(),
    );
    stack.cloud().inject(Fault::error(
        "AuthorizeSecurityGroupIngress",
        "Unavailable",
        503,
    ));
    let first = authorize(&client, &group, 1).expect("an answer");
    assert_eq!(
        (first.status, first.code().as_str()),
        (500, "InternalError")
    );
    let second = authorize(&client, &group, 2).expect("an answer");
    assert_eq!(
        (second.status, second.code().as_str()),
        (503, "Unavailable")
    );
    assert_eq!(stack.cloud().ec2().rules(&group), ["tcp 1 from 10.0.0.0/8"]);
    assert_eq!(
        authorize(&client, &group, 3).expect("an answer").status,
        200
    );
}

#[test]
fn connections_drop_before_or_after_the_call_takes_effect() {
    let (stack, client, group) = cloud_with_group();
    stack
        .cloud()
        .inject(Fault::drop_connection("AuthorizeSecurityGroupIngress"));
    stack
        .cloud()
        .inject(Fault::drop_connection("AuthorizeSecurityGroupIngress").taking_effect());
    assert!(authorize(&client, &group, 1).is_err());
    assert!(authorize(&client, &group, 2).is_err());
    assert_eq!(stack.cloud().ec2().rules(&group), ["tcp 2 from 10.0.0.0/8"]);
    let outcomes: Vec<_> = stack
        .cloud()
        .calls()
        .into_iter()
        .map(|call| call.outcome.unwrap_or_default())
        .collect();
    assert_eq!(outcomes, ["ConnectionDropped", "ConnectionDropped"]);
}

#[test]
fn silence_never_answers() {
    let (stack, client, group) = cloud_with_group();
    stack
        .cloud()
        .inject(Fault::silence("AuthorizeSecurityGroupIngress"));
    let (done, waiting) = mpsc::channel();
    std::thread::spawn(move || done.send(authorize(&client, &group, 1).is_ok()));
    assert_eq!(
        waiting.recv_timeout(Duration::from_millis(150)),
        Err(mpsc::RecvTimeoutError::Timeout)
    );
    assert_eq!(stack.cloud().calls()[0].outcome.as_deref(), Some("Silence"));
}

#[test]
fn faults_choose_by_principal_and_group_and_wait_their_turn() {
    let (stack, client, group) = cloud_with_group();
    stack.cloud().register(
        "AKIAFUNCTION",
        Identity::assumed_role("111122223333", "keeper", "s"),
    );
    let keeper = client.with_key("AKIAFUNCTION");
    stack.cloud().inject(
        Fault::error("AuthorizeSecurityGroupIngress", "InternalError", 500)
            .by("role/keeper")
            .mentioning(&group)
            .after(1),
    );
    let status = |client: &Client, port| authorize(client, &group, port).expect("an answer").status;
    assert_eq!(
        [status(&client, 1), status(&keeper, 2), status(&client, 3)],
        [200; 3]
    );
    assert_eq!((status(&keeper, 4), status(&keeper, 5)), (500, 200));
}

#[test]
fn latency_is_added() {
    let (stack, client, group) = cloud_with_group();
    stack.cloud().adjust(|dials| {
        dials.latency.insert(
            "*".into(),
            Latency {
                fixed_ms: 60,
                jitter_ms: 5,
            },
        );
    });
    let started = Instant::now();
    assert_eq!(rules(&client, &group), 0);
    assert!(started.elapsed() >= Duration::from_millis(60));
    assert!(stack.cloud().calls()[0].took_us >= 60_000);
}

#[test]
fn denied_actions_name_themselves_and_create_tags_counts_on_creation() {
    let (stack, client, group) = cloud_with_group();
    stack
        .cloud()
        .adjust(|dials| dials.denied.insert("CreateTags".into()));
    let rule = format!("GroupId={group}&IpProtocol=tcp&FromPort=1&ToPort=1&CidrIp=10.0.0.0/8");
    let tags = "TagSpecification.1.ResourceType=security-group-rule&TagSpecification.1.Tag.1.Key=a";
    let refused = client.ec2("AuthorizeSecurityGroupIngress", &format!("{rule}&{tags}"));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (403, "UnauthorizedOperation")
    );
    assert!(
        refused.text("Message").contains("ec2:CreateTags"),
        "{}",
        refused.body
    );
    assert_eq!(
        client.ec2("AuthorizeSecurityGroupIngress", &rule).status,
        200
    );
    stack.cloud().adjust(|dials| {
        dials
            .denied
            .extend(["AssumeRole".to_owned(), "GetItem".to_owned()])
    });
    let sts = client.sts(
        "AssumeRole",
        "RoleArn=arn:aws:iam::444455556666:role/x&RoleSessionName=test",
    );
    assert_eq!((sts.status, sts.code().as_str()), (403, "AccessDenied"));
    let item = client.dynamodb("GetItem", &json!({}));
    item.assert_refused(400, "AccessDeniedException");
}

#[test]
fn dials_reach_dynamodb_and_sts() {
    let (stack, client, _group) = cloud_with_group();
    stack
        .cloud()
        .inject(Fault::error("ListTables", "InternalServerError", 500));
    let failed = client.dynamodb("ListTables", &json!({}));
    assert_eq!(failed.status, 500);
    assert_eq!(
        failed.json()["__type"],
        "com.amazonaws.dynamodb.v20120810#InternalServerError"
    );
    let reasons = ["None", "TransactionConflict", "ConditionalCheckFailed"];
    stack.cloud().inject(Fault::cancelled(&reasons));
    let cancelled = client.dynamodb("TransactWriteItems", &json!({}));
    cancelled.assert_refused(400, "[None, TransactionConflict, ConditionalCheckFailed]");
    let said = cancelled.json();
    assert_eq!(
        said["__type"],
        "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
    );
    let codes = said["CancellationReasons"]
        .as_array()
        .expect("reasons")
        .iter();
    assert!(
        codes
            .map(|reason| reason["Code"].as_str())
            .eq(reasons.map(Some))
    );
    stack.cloud().inject(Fault::drop_connection("ListTables"));
    assert!(client.try_dynamodb("ListTables", &json!({})).is_err());
    stack.cloud().adjust(|dials| {
        dials.throttles.insert(
            "ListTables".into(),
            Bucket {
                burst: 0.0,
                per_second: 0.0,
            },
        )
    });
    let throttled = client.dynamodb("ListTables", &json!({}));
    throttled.assert_refused(400, "#ThrottlingException");
    stack
        .cloud()
        .inject(Fault::error("GetCallerIdentity", "ServiceUnavailable", 503));
    assert_eq!(
        client.sts("GetCallerIdentity", "").code(),
        "ServiceUnavailable"
    );
}

#[test]
fn a_hook_slips_a_rival_in_before_a_call() {
    let (stack, client, group) = cloud_with_group();
    let there = group.clone();
    stack
        .cloud()
        .before("AuthorizeSecurityGroupIngress", move |cloud| {
            cloud
                .ec2()
                .authorize(&there, &["tcp 1 from 10.0.0.0/8"])
                .expect("the rival is first");
        });
    assert_eq!(
        authorize(&client, &group, 1).expect("an answer").code(),
        "InvalidPermission.Duplicate"
    );
    assert_eq!(
        authorize(&client, &group, 2).expect("an answer").status,
        200,
        "hooks run once"
    );
}

#[test]
fn the_journal_tells_every_call_in_order() {
    let (stack, client, group) = cloud_with_group();
    authorize(&client, &group, 1).expect("an answer");
    authorize(&client, &group, 1).expect("an answer");
    client.sts("GetCallerIdentity", "");
    client.dynamodb(
        "GetItem",
        &json!({"TableName": "none", "Key": {"pk": {"S": "x"}}}),
    );
    let calls = stack.cloud().calls();
    let outcomes: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call.sequence,
                call.service.as_str(),
                call.action.as_str(),
                call.outcome.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            (1, "ec2", "AuthorizeSecurityGroupIngress", Some("Success")),
            (
                2,
                "ec2",
                "AuthorizeSecurityGroupIngress",
                Some("InvalidPermission.Duplicate")
            ),
            (3, "sts", "GetCallerIdentity", Some("Success")),
            (4, "dynamodb", "GetItem", Some("ResourceNotFoundException")),
        ]
    );
    assert_eq!(calls[0].group.as_deref(), Some(group.as_str()));
    assert_eq!(
        (calls[0].user_agent.as_str(), calls[0].region.as_str()),
        ("test-client/1.0", "us-east-1")
    );
    assert_eq!(calls[1].status, Some(400));
    assert_eq!(stack.cloud().count("AuthorizeSecurityGroupIngress"), 2);
    stack.cloud().clear_calls();
    assert_eq!(stack.cloud().count("AuthorizeSecurityGroupIngress"), 0);
}

#[test]
fn expired_items_stay_until_they_are_deleted_before_a_call() {
    let (stack, client) = common::with_table();
    for (sk, expires_at) in [("old", "1700000000"), ("new", "4102444800")] {
        let item = json!({"pk": {"S": "p"}, "sk": {"S": sk}, "expires_at": {"N": expires_at}});
        let put = json!({"TableName": "records", "Item": item});
        assert_eq!(client.dynamodb("PutItem", &put).status, 200);
    }
    let query = json!({"TableName": "records", "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "p"}}});
    let count = || client.dynamodb("Query", &query).json()["Count"].clone();
    assert_eq!(count(), 2);
    for (before, left) in [("GetItem", 2), ("Query", 1)] {
        stack
            .cloud()
            .adjust(|dials| dials.expire_before = Some(before.to_owned()));
        assert_eq!(count(), left, "{before}");
    }
}
