//! Policies of roles, judged over HTTP and for what Lambda does in a role's name. This test program is its own function.

mod common;

use std::time::Duration;

use common::Client;
use rulekeeper_local::{Destinations, Identity, LambdaConfig, Policy, Role, Stack, StackConfig};
use serde_json::{Value, json};

const ACCOUNT: &str = "111122223333";
const SOON: Duration = Duration::from_secs(10);

#[test]
fn function_body() {
    common::act_as_function();
}

fn allow(action: &str, resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

/// A stack whose function's role has these statements, and a client in that role.
fn stack(statements: &[Value], lambda: LambdaConfig) -> (Stack, Client) {
    let role = Role {
        arn: format!("arn:aws:iam::{ACCOUNT}:role/rulekeeper-function"),
        organization: None,
        permissions: Policy::new(statements).expect("a policy"),
        trust: Policy::trust(&[]).expect("a trust policy"),
    };
    let stack = Stack::start(StackConfig {
        table: Some("records".to_owned()),
        roles: vec![role],
        lambda,
        ..StackConfig::default()
    })
    .expect("the stack starts");
    let session = Identity::assumed_role(ACCOUNT, "rulekeeper-function", "test");
    stack.cloud().register("AKIAINROLE", session);
    let client = Client::of(&stack).with_key("AKIAINROLE");
    (stack, client)
}

#[test]
fn each_service_refuses_in_its_own_words_what_no_statement_allows() {
    let group = format!("arn:aws:ec2:us-east-1:{ACCOUNT}:security-group/*");
    let table = format!("arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/records");
    let mut put = allow("dynamodb:PutItem", &table);
    put["Condition"] = json!({"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["state#*"]}});
    let (stack, client) = stack(
        &[allow("ec2:AuthorizeSecurityGroupIngress", &group), put],
        LambdaConfig::default(),
    );
    let quiet = stack.cloud().ec2().quietly();
    let vpc = quiet.create_vpc("10.0.0.0/16").expect("a VPC");
    let group = quiet.create_group("web", &vpc).expect("a group");
    let rule = format!("GroupId={group}&IpProtocol=tcp&FromPort=1&ToPort=1&CidrIp=10.0.0.0/8");
    let tags = "TagSpecification.1.ResourceType=security-group-rule&TagSpecification.1.Tag.1.Key=a";
    let with_tags = client.ec2("AuthorizeSecurityGroupIngress", &format!("{rule}&{tags}"));
    with_tags.assert_refused(403, "UnauthorizedOperation");
    with_tags.assert_refused(403, "security-group-rule/*");
    assert_eq!(
        client.ec2("AuthorizeSecurityGroupIngress", &rule).status,
        200
    );
    let read = client.ec2("DescribeSecurityGroupRules", "");
    read.assert_refused(
        403,
        "ec2:DescribeSecurityGroupRules on resource: * because no identity-based policy allows",
    );
    let revoke = client.ec2("RevokeSecurityGroupIngress", &rule);
    revoke.assert_refused(
        403,
        "rulekeeper-local does not know what IAM is asked for ec2:Revoke",
    );
    assert_eq!(
        quiet.rules(&group).len(),
        1,
        "what is refused has no effect"
    );

    let item =
        |key: &str| json!({"TableName": "records", "Item": {"pk": {"S": key}, "sk": {"S": "x"}}});
    assert_eq!(client.dynamodb("PutItem", &item("state#1")).status, 200);
    let settings = client.dynamodb("PutItem", &item("settings"));
    settings.assert_refused(400, "com.amazon.coral.service#AccessDeniedException");
    settings.assert_refused(400, &format!("dynamodb:PutItem on resource: {table}"));
    let parts = json!({"TransactItems": [{"Put": item("state#2")}, {"Put": item("settings")}]});
    client
        .dynamodb("TransactWriteItems", &parts)
        .assert_refused(400, "AccessDeniedException");
    let queue = json!({"QueueUrl": format!("http://x/{ACCOUNT}/parts"), "MessageBody": "x"});
    let sent = client.json("AmazonSQS", "SendMessage", &queue);
    sent.assert_refused(400, "sqs:SendMessage");
    let entries = json!({"Entries": [{"EventBusName": "results", "Source": "a", "DetailType": "b", "Detail": "{}"}]});
    let told = client.json("AWSEvents", "PutEvents", &entries);
    told.assert_refused(400, "event-bus/results");
    let elsewhere = "RoleArn=arn:aws:iam::444455556666:role/x&RoleSessionName=test";
    client
        .sts("AssumeRole", elsewhere)
        .assert_refused(403, "AccessDenied");
    assert_eq!(client.sts("GetCallerIdentity", "").status, 200);

    assert_eq!(
        stack.cloud().iam().refusals().len(),
        8,
        "{:#?}",
        stack.cloud().iam().refusals()
    );
    // Nobody else is judged.
    let other = client.with_key("AKIATEST");
    assert_eq!(other.ec2("DescribeSecurityGroupRules", "").status, 200);
}

/// A function with destinations, whose role may do what is in these statements.
fn with_destinations(statements: &[Value]) -> Stack {
    let destinations = Destinations {
        on_success: Some(format!(
            "arn:aws:events:us-east-1:{ACCOUNT}:event-bus/results"
        )),
        on_failure: Some(format!("arn:aws:sqs:us-east-1:{ACCOUNT}:dead")),
    };
    let lambda = LambdaConfig {
        retry_waits: Vec::new(),
        destinations,
        ..common::function()
    };
    stack(statements, lambda).0
}

#[tokio::test]
async fn lambda_logs_and_sends_records_in_the_roles_name_and_within_the_destinations_limits() {
    let all = with_destinations(&[allow("*", "*")]);
    for event in [
        json!({"n": 1}),
        json!({"do": "error"}),
        json!({"long": "x".repeat(140_000)}),
    ] {
        all.lambda().invoke_event(event);
        all.lambda().wait_idle(SOON).await.expect("idle");
    }
    let records = all.lambda().sent_records();
    let ends: Vec<_> = records
        .iter()
        .map(|sent| (sent.destination.rsplit(':').next(), sent.refused.is_none()))
        .collect();
    let bus = Some("event-bus/results");
    assert_eq!(ends, [(bus, true), (Some("dead"), true), (bus, false)]);
    let [told, dead, long] = &records[..] else {
        panic!("three records: {records:#?}")
    };
    assert_eq!(told.record["requestPayload"], json!({"n": 1}));
    assert_eq!(told.record["responsePayload"], json!({"echo": {"n": 1}}));
    assert_eq!(
        dead.record["requestContext"]["condition"],
        "RetriesExhausted"
    );
    assert_eq!(dead.record["responsePayload"]["errorType"], "Asked");
    let why = long.refused.as_deref().unwrap_or_default();
    assert!(
        why.ends_with("of at most 262144"),
        "the event counts as well as the answer: {why}"
    );
    assert!(!all.lambda().logs().is_empty());

    let none = with_destinations(&[]);
    none.lambda().invoke_event(json!({"n": 1}));
    none.lambda().wait_idle(SOON).await.expect("idle");
    let records = none.lambda().sent_records();
    let why = records[0].refused.as_deref();
    assert_eq!(why, Some("the role may not call events:PutEvents"));
    assert!(none.lambda().logs().is_empty());
    let refusals = none.cloud().iam().refusals().concat();
    for action in [
        "logs:CreateLogStream",
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
    ] {
        assert!(refusals.contains(action), "{action}: {refusals}");
    }
}
