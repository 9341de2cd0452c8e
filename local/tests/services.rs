//! DynamoDB, `aws lambda invoke`, the admin API, and the binary.

mod common;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use common::{Client, with_table};
use rulekeeper_local::{Stack, StackConfig};
use serde_json::{Value, json};

#[test]
fn function_body() {
    common::act_as_function();
}

fn put(sk: &str, condition: Option<&str>) -> Value {
    let mut put = json!({"TableName": "records", "Item": {"pk": {"S": "p"}, "sk": {"S": sk}}});
    if let Some(condition) = condition {
        put["ConditionExpression"] = json!(condition);
    }
    put
}

#[test]
fn the_table_keeps_items_conditions_and_transactions() {
    let (_stack, client) = with_table();
    let fresh = Some("attribute_not_exists(pk)");
    assert_eq!(client.dynamodb("PutItem", &put("a", fresh)).status, 200);
    let again = client.dynamodb("PutItem", &put("a", fresh));
    again.assert_refused(400, "ConditionalCheckFailedException");
    let both = json!({"TransactItems": [{"Put": put("b", fresh)}, {"Put": put("a", fresh)}]});
    let cancelled = client.dynamodb("TransactWriteItems", &both);
    cancelled.assert_refused(400, "TransactionCanceledException");
    let query = json!({
        "TableName": "records", "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "p"}},
    });
    assert_eq!(
        client.dynamodb("Query", &query).json()["Count"],
        1,
        "a cancelled transaction writes nothing"
    );
    let elsewhere = Client {
        region: "eu-west-1".into(),
        ..client
    };
    assert!(
        elsewhere
            .dynamodb("Query", &query)
            .body
            .contains("ResourceNotFoundException"),
        "Regions are apart"
    );
}

#[test]
fn unknown_targets_and_versions_are_refused_loudly() {
    let (_stack, client) = with_table();
    let target = [("X-Amz-Target", "AWSStepFunctions.StartExecution")];
    let reply = client.http("POST", "/", &target, "{}");
    reply.assert_refused(400, "rulekeeper-local");
    let old = client.http("POST", "/", &[], "Action=DescribeVpcs&Version=2014-01-01");
    assert!(
        old.code() == "InvalidAction" && old.body.contains("rulekeeper-local"),
        "{}",
        old.body
    );
    client
        .admin("GET", "nothing", "")
        .assert_refused(404, "/_local/nothing");
    client
        .admin("POST", "health", "")
        .assert_refused(404, "POST");
}

#[test]
fn lambda_is_invoked_as_by_the_aws_cli() {
    let (stack, client) = with_table();
    let path = "/2015-03-31/functions/rulekeeper/invocations";
    let reply = client.http("POST", path, &[], r#"{"n":1}"#);
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, r#"{"echo":{"n":1}}"#)
    );
    let failed = client.http("POST", path, &[], r#"{"do":"error"}"#);
    assert_eq!(
        failed.header("x-amz-function-error").as_deref(),
        Some("Unhandled")
    );
    let event = client.http("POST", path, &[("X-Amz-Invocation-Type", "Event")], "{}");
    assert_eq!(event.status, 202);
    assert_eq!(client.admin("POST", "lambda/wait-idle", "").status, 200);
    assert_eq!(stack.lambda().invocations().len(), 3);
    let by_arn = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A111122223333%3Afunction%3Arulekeeper/invocations";
    assert_eq!(client.http("POST", by_arn, &[], "{}").status, 200);
    // A megabyte for events, six for other payloads, and six for answers; this function's are longer than its events.
    let of_bytes = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    let sized = |bytes, kind| {
        client.http(
            "POST",
            path,
            &[("X-Amz-Invocation-Type", kind)],
            &of_bytes(bytes),
        )
    };
    let (event_max, payload_max) = (1024 * 1024, 6 * 1024 * 1024);
    assert_eq!(sized(event_max, "Event").status, 202);
    sized(event_max + 1, "Event").assert_refused(413, "1048576");
    assert_eq!(sized(event_max + 1, "RequestResponse").status, 200);
    sized(payload_max + 1, "RequestResponse").assert_refused(413, "6291456");
    sized(payload_max, "RequestResponse").assert_refused(200, "Function.ResponseSizeTooLarge");
    let unknown = client.http("POST", "/2015-03-31/functions/other/invocations", &[], "{}");
    assert_eq!(
        (
            unknown.status,
            unknown.header("x-amzn-errortype").as_deref()
        ),
        (404, Some("ResourceNotFoundException"))
    );
}

#[test]
fn the_admin_api_turns_dials_and_shows_what_happened() {
    let (stack, client) = with_table();
    assert_eq!(
        client.admin("GET", "health", "").json(),
        json!({"status": "ok"})
    );
    assert_eq!(
        client.admin("PATCH", "dials", r#"{"quota": 5}"#).json()["quota"],
        5
    );
    assert_eq!(stack.cloud().dials().quota, 5);
    assert_eq!(
        client.admin("PATCH", "dials", r#"{"quotas": 5}"#).status,
        400,
        "misspelt dials are refused"
    );
    client.admin(
        "POST",
        "faults",
        r#"{"action": "DescribeVpcs", "kind": "error", "code": "InternalError", "status": 500}"#,
    );
    assert_eq!(client.ec2("DescribeVpcs", "").status, 500);
    let calls = client.admin("GET", "calls?action=DescribeVpcs", "").json();
    assert_eq!(calls[0]["outcome"], "InternalError");
    assert_eq!(client.admin("DELETE", "calls", "").json(), json!([]));
    assert_eq!(client.admin("DELETE", "dials", "").json()["quota"], 60);

    assert_eq!(
        client.admin("PATCH", "bridge", r#"{"hold": true}"#).json()["hold"],
        true
    );
    client.admin(
        "POST",
        "trail",
        r#"{"eventName": "DeleteSecurityGroup", "n": 1}"#,
    );
    client.admin(
        "POST",
        "trail",
        r#"{"eventName": "DeleteSecurityGroup", "n": 2}"#,
    );
    assert_eq!(
        client
            .admin("GET", "bridge/held", "")
            .json()
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    client.admin("POST", "bridge/release", r#"{"order": [1]}"#);
    assert_eq!(
        client
            .admin("POST", "lambda/wait-idle?timeout_ms=9000", "")
            .status,
        200
    );
    let lambda = client.admin("GET", "lambda", "").json();
    assert_eq!(lambda["invocations"][0]["payload"]["detail"]["n"], 2);
    client.admin("POST", "schedule", "");
    client.admin("POST", "lambda/wait-idle", "");
    assert!(
        !client
            .admin("GET", "lambda/logs", "")
            .json()
            .as_array()
            .is_none_or(Vec::is_empty)
    );
    assert_eq!(
        client
            .admin("GET", "trail", "")
            .json()
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    assert_eq!(
        client.admin("GET", "bridge/log", "").json()[0]["fate"],
        "held"
    );

    let vpcs = client.ec2("DescribeVpcs", "").text("vpcId");
    let other = client
        .ec2("CreateVpc", "CidrBlock=10.9.0.0/16")
        .text("vpcId");
    let peering = client.admin(
        "POST",
        "peerings",
        &json!({"vpcs": [vpcs, other]}).to_string(),
    );
    assert!(
        peering.json()["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("pcx-"))
    );
    assert_eq!(client.admin("POST", "peerings", "{}").status, 400);
}

#[test]
fn a_taken_port_and_a_bad_table_are_clear_errors() {
    let (stack, _client) = with_table();
    let port = stack
        .endpoint()
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let taken = Stack::start(StackConfig {
        port,
        ..StackConfig::default()
    })
    .expect_err("the port is taken");
    assert!(taken.to_string().contains(&port.to_string()));
    let bad = Stack::start(StackConfig {
        table: Some("x".into()),
        ..StackConfig::default()
    });
    assert!(
        bad.expect_err("too short a name")
            .to_string()
            .contains("table x")
    );
}

#[test]
fn the_binary_prints_the_environment_and_ends_on_sigterm() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rulekeeper-local"))
        .args([
            "serve",
            "--table",
            "records",
            "--region",
            "eu-west-1",
            "--account",
            "444455556666",
            "--delay",
            "10ms",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let exports: std::collections::BTreeMap<_, _> = lines
        .take(7)
        .map(|line| {
            let line = line.expect("a line");
            let (name, value) = line
                .strip_prefix("export ")
                .and_then(|rest| rest.split_once('='))
                .expect("an export");
            (name.to_owned(), value.to_owned())
        })
        .collect();
    assert_eq!(
        (
            exports["AWS_REGION"].as_str(),
            exports["RULEKEEPER_TABLE"].as_str()
        ),
        ("eu-west-1", "records")
    );
    let key = exports["AWS_ACCESS_KEY_ID"].clone();
    let client = Client {
        endpoint: exports["AWS_ENDPOINT_URL"].clone(),
        key,
        region: "eu-west-1".into(),
    };
    assert_eq!(
        client.sts("GetCallerIdentity", "").text("Account"),
        "444455556666"
    );
    assert_eq!(
        client
            .dynamodb("DescribeTable", &json!({"TableName": "records"}))
            .json()["Table"]["TableStatus"],
        "ACTIVE"
    );
    let ended = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .expect("kill runs");
    assert!(ended.success());
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn wrong_usage_is_explained() {
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rulekeeper-local"))
            .args(args)
            .output()
            .expect("it runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, text) = run(&["serve", "--function", "/nonexistent"]);
    assert!(code == Some(1) && text.contains("/nonexistent"), "{text}");
    let (code, text) = run(&["serve", "--delay", "5"]);
    assert!(code == Some(2) && text.contains("250ms"), "{text}");
    let (code, text) = run(&["serve", "--account", "12"]);
    assert!(code == Some(2) && text.contains("12 digits"), "{text}");
}
