//! The control planes: trails, rules, the function's configuration, backups; and AWS's clock.

mod common;

use common::{Client, with_table};
use rulekeeper_local::{Fault, Rule};
use serde_json::{Value, json};

#[test]
fn function_body() {
    common::act_as_function();
}

const TRAILS: &str = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101";
const EVENTS: &str = "AWSEvents";

#[test]
fn trails_show_where_they_are_with_their_status_and_selectors() {
    let (stack, client) = with_table();
    let trails = |client: &Client, request: Value| {
        let found = client.json(TRAILS, "DescribeTrails", &request).json();
        found["trailList"].as_array().map_or(0, Vec::len)
    };
    let elsewhere = Client {
        region: "eu-north-1".into(),
        ..client.clone()
    };
    assert_eq!(trails(&client, json!({})), 1);
    assert_eq!(
        trails(&elsewhere, json!({})),
        1,
        "a trail of every Region has a shadow here"
    );
    assert_eq!(trails(&elsewhere, json!({"includeShadowTrails": false})), 0);
    let name = json!({"Name": "management"});
    assert_eq!(
        client.json(TRAILS, "GetTrailStatus", &name).json(),
        json!({"IsLogging": true})
    );
    let unknown = client.json(TRAILS, "GetTrailStatus", &json!({"Name": "other"}));
    unknown.assert_refused(400, "TrailNotFoundException");
    stack
        .cloud()
        .adjust_estate(|estate| estate.trails[0].logging = false);
    assert_eq!(
        client.json(TRAILS, "GetTrailStatus", &name).json(),
        json!({"IsLogging": false})
    );
    let selectors = client
        .json(
            TRAILS,
            "GetEventSelectors",
            &json!({"TrailName": "management"}),
        )
        .json();
    assert_eq!(selectors["EventSelectors"][0]["ReadWriteType"], "All");
    let stop = client.json(TRAILS, "StopLogging", &name);
    stop.assert_refused(400, "rulekeeper-local");
}

#[test]
fn events_travel_only_while_a_trail_logs_and_a_rule_is_enabled() {
    let (stack, client) = with_table();
    let sent_so_far = |client: &Client| {
        client.ec2("CreateSecurityGroup", "GroupName=a&GroupDescription=a");
        client.ec2("DeleteSecurityGroup", "GroupName=a");
        stack
            .bridge()
            .log()
            .iter()
            .filter(|event| event.fate == "sent")
            .count()
    };
    assert_eq!(sent_so_far(&client), 1);
    client.admin("PATCH", "estate", r#"{"trails": [{"logging": false}]}"#);
    assert_eq!(sent_so_far(&client), 1);
    client.admin("DELETE", "estate", "");
    stack
        .cloud()
        .adjust_estate(|estate| estate.rules[0].enabled = false);
    assert_eq!(sent_so_far(&client), 1);
    stack
        .cloud()
        .adjust_estate(|estate| estate.rules[0] = Rule::ingress_dropped());
    assert_eq!(sent_so_far(&client), 2);
    assert_eq!(
        client.admin("PATCH", "estate", r#"{"trail": []}"#).status,
        400,
        "misspelt members are refused"
    );
}

#[test]
fn rules_are_found_by_their_target_and_patterns_can_be_tried() {
    let (stack, client) = with_table();
    let arn = "arn:aws:lambda:us-east-1:111122223333:function:rulekeeper";
    let names = client
        .json(EVENTS, "ListRuleNamesByTarget", &json!({"TargetArn": arn}))
        .json();
    assert_eq!(
        names["RuleNames"],
        json!(["rulekeeper-ingress-dropped", "rulekeeper-sweep"])
    );
    let other = client
        .json(
            EVENTS,
            "ListRuleNamesByTarget",
            &json!({"TargetArn": "arn:other"}),
        )
        .json();
    assert_eq!(other["RuleNames"], json!([]));
    let name = json!({"Name": "rulekeeper-ingress-dropped"});
    let rule = client.json(EVENTS, "DescribeRule", &name).json();
    assert_eq!(rule["State"], "ENABLED");
    stack
        .cloud()
        .adjust_estate(|estate| estate.rules[0].dead_letters = Some("dead-letter-queue".into()));
    let targets = client
        .json(
            EVENTS,
            "ListTargetsByRule",
            &json!({"Rule": "rulekeeper-ingress-dropped"}),
        )
        .json();
    assert_eq!(targets["Targets"][0]["Arn"], arn);
    assert_eq!(
        targets["Targets"][0]["DeadLetterConfig"]["Arn"],
        "arn:aws:sqs:us-east-1:111122223333:dead-letter-queue"
    );
    let unknown = client.json(EVENTS, "DescribeRule", &json!({"Name": "other"}));
    unknown.assert_refused(400, "ResourceNotFoundException");

    let event = json!({"id": "1", "account": "1", "source": "aws.ec2", "time": "t", "region": "r", "resources": [],
        "detail-type": "AWS API Call via CloudTrail",
        "detail": {"eventSource": "ec2.amazonaws.com", "eventName": "DeleteSecurityGroup"}});
    let tried = |pattern: &str, event: &Value| {
        let request = json!({"EventPattern": pattern, "Event": event.to_string()});
        client.json(EVENTS, "TestEventPattern", &request)
    };
    let pattern = rule["EventPattern"].as_str().expect("text");
    assert_eq!(tried(pattern, &event).json(), json!({"Result": true}));
    let bare = tried(pattern, &json!({"source": "aws.ec2"}));
    bare.assert_refused(400, "\\\"id\\\" is missing");
    let unknown = tried(r#"{"source": [{"wildcard": "aws.*"}]}"#, &event);
    unknown.assert_refused(400, "InvalidEventPatternException");
    unknown.assert_refused(400, "wildcard");
}

#[test]
fn the_functions_configuration_can_be_read_and_its_calls_are_in_the_journal() {
    let (stack, client) = with_table();
    let get = |path: &str| client.http("GET", path, &[], "");
    let list = get("/2015-03-31/functions/").json();
    assert_eq!(list["Functions"][0]["FunctionName"], "rulekeeper");
    let configuration = get("/2015-03-31/functions/rulekeeper/configuration").json();
    assert_eq!(
        (&configuration["State"], &configuration["Runtime"]),
        (&json!("Active"), &json!("provided.al2023"))
    );
    assert_eq!(
        get("/2019-09-30/functions/rulekeeper/concurrency").json(),
        json!({})
    );
    let config = "/2019-09-25/functions/rulekeeper/event-invoke-config";
    assert_eq!(get(config).status, 404, "none is configured");
    stack.cloud().adjust_estate(|estate| {
        estate.function.on_failure = Some("dead-letter-queue".into());
        estate.function.reserved_concurrency = Some(0);
    });
    let configured = get(config).json();
    assert_eq!(
        configured["DestinationConfig"]["OnFailure"]["Destination"],
        "arn:aws:sqs:us-east-1:111122223333:dead-letter-queue"
    );
    let path = "/2015-03-31/functions/rulekeeper/invocations";
    let refused = client.http("POST", path, &[], "{}");
    assert_eq!(
        (
            refused.status,
            refused.header("x-amzn-errortype").as_deref()
        ),
        (429, Some("TooManyRequestsException"))
    );
    stack
        .cloud()
        .adjust_estate(|estate| estate.function.absent = true);
    assert_eq!(
        get("/2015-03-31/functions/rulekeeper/configuration").status,
        404
    );
    assert_eq!(
        get("/2015-03-31/functions").json(),
        json!({"Functions": []})
    );
    let other = get("/2015-03-31/functions/rulekeeper/policy");
    other.assert_refused(404, "rulekeeper-local");
    stack
        .cloud()
        .inject(Fault::error("ListFunctions", "AccessDeniedException", 403));
    assert_eq!(get("/2015-03-31/functions").status, 403);
    let outcomes: Vec<_> = stack
        .cloud()
        .calls()
        .into_iter()
        .filter_map(|call| call.outcome)
        .collect();
    assert_eq!(outcomes.first().map(String::as_str), Some("Success"));
    assert_eq!(
        outcomes.last().map(String::as_str),
        Some("AccessDeniedException")
    );
}

#[test]
fn tables_have_what_the_template_gives_them_and_the_clock_can_be_off() {
    let (stack, client) = with_table();
    let name = json!({"TableName": "records"});
    let table = client.dynamodb("DescribeTable", &name).json();
    assert_eq!(table["Table"]["DeletionProtectionEnabled"], true);
    let expiry = client.dynamodb("DescribeTimeToLive", &name).json();
    assert_eq!(
        expiry["TimeToLiveDescription"]["AttributeName"],
        "expires_at"
    );
    let recovery = || {
        let backups = client.dynamodb("DescribeContinuousBackups", &name).json();
        backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"].clone()
    };
    assert_eq!(recovery(), "ENABLED");
    stack.cloud().adjust_estate(|estate| estate.backups = false);
    assert_eq!(recovery(), "DISABLED");
    let none = client.dynamodb("DescribeContinuousBackups", &json!({"TableName": "others"}));
    none.assert_refused(400, "ResourceNotFoundException");

    let date = || {
        client
            .sts("GetCallerIdentity", "")
            .header("date")
            .expect("a date")
    };
    let now = || {
        jiff::fmt::rfc2822::parse(&date())
            .expect("a date")
            .timestamp()
            .as_second()
    };
    let true_now = now();
    stack
        .cloud()
        .adjust_estate(|estate| estate.clock_offset_ms = -3_600_000);
    assert!((3_595..=3_605).contains(&(true_now - now())));
}
