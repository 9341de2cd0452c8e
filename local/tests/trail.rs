//! CloudTrail records and their way through EventBridge.

mod common;

use std::time::Duration;

use common::{Client, cloud_with_group};
use rulekeeper_local::{Fault, Identity, Stack};
use serde_json::{Value, json};

const TCP_443: &str =
    "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=443&IpPermissions.1.ToPort=443";

fn last(stack: &Stack) -> Value {
    stack.cloud().records().pop().expect("a record")
}

/// Takes the queued events in place of the function.
fn drain(stack: &Stack) -> Vec<Value> {
    let mut events = Vec::new();
    while stack.lambda().load().queued > 0 {
        let next = common::send(
            &stack.runtime_api(),
            "GET",
            "/2018-06-01/runtime/invocation/next",
            &[],
            "",
        )
        .expect("an event");
        let id = next.header("lambda-runtime-aws-request-id").expect("an id");
        let path = format!("/2018-06-01/runtime/invocation/{id}/response");
        common::send(&stack.runtime_api(), "POST", &path, &[], "null").expect("accepted");
        events.push(next.json());
    }
    events
}

fn revoke_by_id(client: &Client, stack: &Stack, group: &str) -> String {
    let id = stack
        .cloud()
        .ec2()
        .quietly()
        .authorize(group, &["tcp 443 from 10.0.0.0/8"])
        .expect("made")
        .remove(0);
    let reply = client.ec2(
        "RevokeSecurityGroupIngress",
        &format!("GroupId={group}&SecurityGroupRuleId.1={id}"),
    );
    assert_eq!(reply.status, 200, "{}", reply.body);
    id
}

#[test]
fn a_record_has_the_envelope_that_aws_writes() {
    let (stack, client, group) = cloud_with_group();
    let rule = revoke_by_id(&client, &stack, &group);
    let record = last(&stack);
    for (pointer, value) in [
        ("/eventVersion", json!("1.11")),
        ("/eventSource", json!("ec2.amazonaws.com")),
        ("/eventName", json!("RevokeSecurityGroupIngress")),
        ("/awsRegion", json!("us-east-1")),
        ("/recipientAccountId", json!("111122223333")),
        ("/userAgent", json!("test-client/1.0")),
        ("/readOnly", json!(false)),
        ("/managementEvent", json!(true)),
        ("/eventType", json!("AwsApiCall")),
        ("/userIdentity/type", json!("IAMUser")),
        ("/userIdentity/accessKeyId", json!("AKIATEST")),
        ("/requestParameters/ipPermissions", json!({})),
        (
            "/requestParameters/securityGroupRuleIds/items/0/securityGroupRuleId",
            json!(rule),
        ),
        ("/responseElements/_return", json!(true)),
        (
            "/responseElements/revokedSecurityGroupRuleSet/items/0/securityGroupRuleId",
            json!(rule),
        ),
        (
            "/responseElements/revokedSecurityGroupRuleSet/items/0/cidrIpv4",
            json!("10.0.0.0/8"),
        ),
    ] {
        assert_eq!(
            record.pointer(pointer),
            Some(&value),
            "{pointer} in {record}"
        );
    }
    assert!(record.get("errorCode").is_none());
    assert_eq!(record["responseElements"]["requestId"], record["requestID"]);
    assert!(
        record["eventTime"]
            .as_str()
            .is_some_and(|time| time.len() == 20)
    );
    assert!(record["tlsDetails"].is_object() && record["eventID"].is_string());
}

#[test]
fn requests_are_recorded_as_they_were_sent() {
    let (stack, client, group) = cloud_with_group();
    let nested = format!(
        "GroupId={group}&{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.1.2.3/8&IpPermissions.1.IpRanges.1.Description=x"
    );
    client.ec2("AuthorizeSecurityGroupIngress", &nested);
    let record = last(&stack);
    let permission = &record["requestParameters"]["ipPermissions"]["items"][0];
    assert_eq!(
        permission["ipRanges"]["items"][0],
        json!({"cidrIp": "10.1.2.3/8", "description": "x"})
    );
    assert_eq!(
        (&permission["groups"], &permission["fromPort"]),
        (&json!({}), &json!(443))
    );
    let made = &record["responseElements"]["securityGroupRuleSet"]["items"][0];
    assert_eq!(
        (&made["cidrIpv4"], &made["groupOwnerId"]),
        (&json!("10.0.0.0/8"), &json!("111122223333"))
    );
    assert!(made["securityGroupRuleArn"].is_string());

    client.ec2(
        "RevokeSecurityGroupIngress",
        &format!("GroupId={group}&IpProtocol=tcp&FromPort=443&ToPort=443&CidrIp=10.0.0.0/8"),
    );
    assert_eq!(
        last(&stack)["requestParameters"],
        json!({"groupId": group, "ipPermissions": {}, "ipProtocol": "tcp", "fromPort": 443, "toPort": 443, "cidrIp": "10.0.0.0/8"})
    );

    client.ec2("CreateSecurityGroup", "GroupName=front&GroupDescription=d");
    client.ec2(
        "RevokeSecurityGroupIngress",
        &format!("GroupName=front&{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8"),
    );
    let by_name = last(&stack);
    assert_eq!(by_name["requestParameters"]["groupName"], "front");
    assert!(by_name["requestParameters"].get("groupId").is_none());
    let unknown = &by_name["responseElements"]["unknownIpPermissionSet"]["items"][0];
    assert_eq!(
        unknown["ipRanges"]["items"][0]["cidrIp"], "10.0.0.0/8",
        "{by_name}"
    );

    let all = "IpPermissions.1.IpProtocol=-1&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8";
    client.ec2(
        "AuthorizeSecurityGroupIngress",
        &format!("GroupId={group}&{all}"),
    );
    let record = last(&stack);
    assert!(
        record["requestParameters"]["ipPermissions"]["items"][0]
            .get("fromPort")
            .is_none()
    );
    assert_eq!(
        record["responseElements"]["securityGroupRuleSet"]["items"][0]["fromPort"],
        -1
    );
}

#[test]
fn failures_carry_a_prefixed_code_and_no_response() {
    let (stack, client, group) = cloud_with_group();
    client.ec2(
        "RevokeSecurityGroupIngress",
        &format!("GroupId={group}&IpProtocol=tcp&FromPort=1&ToPort=1&CidrIp=10.0.0.0/8"),
    );
    let record = last(&stack);
    assert_eq!(record["errorCode"], "Client.InvalidPermission.NotFound");
    assert_eq!(
        record["errorMessage"],
        "The specified rule does not exist in this security group."
    );
    assert!(record["responseElements"].is_null() && record.get("responseElements").is_some());
    stack
        .cloud()
        .inject(Fault::error("DeleteSecurityGroup", "InternalError", 500));
    client.ec2("DeleteSecurityGroup", &format!("GroupId={group}"));
    assert_eq!(last(&stack)["errorCode"], "Server.InternalError");
}

#[test]
fn updated_descriptions_and_a_refused_delete_are_recorded_and_delivered() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2().quietly();
    ec2.authorize(&group, &["tcp 443 from 10.0.0.0/8"])
        .expect("made");
    client.ec2(
        "UpdateSecurityGroupRuleDescriptionsIngress",
        &format!(
            "GroupId={group}&{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8\
             &IpPermissions.1.IpRanges.1.Description=office"
        ),
    );
    let record = last(&stack);
    let range = &record["requestParameters"]["ipPermissions"]["items"][0]["ipRanges"]["items"][0];
    assert_eq!(
        range,
        &json!({"cidrIp": "10.0.0.0/8", "description": "office"})
    );
    assert_eq!(record["responseElements"]["_return"], true);

    let vpc = client
        .ec2("DescribeSecurityGroups", &format!("GroupId.1={group}"))
        .text("vpcId");
    let holder = ec2.create_group("holder", &vpc).expect("a group");
    ec2.authorize(&holder, &[&format!("tcp 80 from {group}")])
        .expect("made");
    client.ec2("DeleteSecurityGroup", &format!("GroupId={group}"));
    let record = last(&stack);
    assert_eq!(record["errorCode"], "Client.DependencyViolation");
    assert_eq!(record["requestParameters"], json!({"groupId": group}));
    assert!(record["responseElements"].is_null());
    assert_eq!(drain(&stack).len(), 2);
}

#[test]
fn reads_and_other_services_leave_no_record() {
    let (stack, client, _group) = cloud_with_group();
    let before = stack.cloud().records().len();
    client.ec2("DescribeSecurityGroups", "");
    client.sts("GetCallerIdentity", "");
    client.ec2("RunInstances", "");
    assert_eq!(stack.cloud().records().len(), before);
}

#[test]
fn callers_show_as_what_they_are() {
    let (stack, client, group) = cloud_with_group();
    let account = "111122223333";
    let provider =
        "arn:aws:iam::111122223333:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/EXAMPLE";
    for (key, identity) in [
        (
            "ASIAROLE",
            Identity::assumed_role(account, "terraform", "run"),
        ),
        (
            "ASIAEKS",
            Identity::eks_service_account(account, "lbc", "session", provider),
        ),
        ("AKIAROOT", Identity::root(account)),
        (
            "SERVICE",
            Identity::service(account, "autoscaling.amazonaws.com"),
        ),
        (
            "ASIACFN",
            Identity::assumed_role(account, "deploy", "run")
                .invoked_by("cloudformation.amazonaws.com"),
        ),
    ] {
        stack.cloud().register(key, identity);
    }
    let identity = |key: &str| {
        client.with_key(key).ec2(
            "RevokeSecurityGroupIngress",
            &format!("GroupId={group}&SecurityGroupRuleId.1=sgr-0123456789abcdef0"),
        );
        last(&stack)
    };
    let role = &identity("ASIAROLE")["userIdentity"];
    assert_eq!(
        role["sessionContext"]["sessionIssuer"]["arn"],
        "arn:aws:iam::111122223333:role/terraform"
    );
    let eks = &identity("ASIAEKS")["userIdentity"]["sessionContext"]["webIdFederationData"];
    assert_eq!(
        eks,
        &json!({"federatedProvider": provider, "attributes": {}})
    );
    assert_eq!(identity("AKIAROOT")["userIdentity"]["type"], "Root");
    assert_eq!(
        identity("SERVICE")["userIdentity"],
        json!({"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"})
    );
    let cfn = identity("ASIACFN");
    assert_eq!(
        cfn["userIdentity"]["invokedBy"],
        "cloudformation.amazonaws.com"
    );
    assert_eq!(
        (&cfn["sourceIPAddress"], &cfn["userAgent"]),
        (
            &json!("cloudformation.amazonaws.com"),
            &json!("cloudformation.amazonaws.com")
        )
    );
    let put = client.admin(
        "PUT",
        "identities/ASIAWEB",
        r#"{"type":"AssumedRole","account":"444455556666","role":"r","session":"s"}"#,
    );
    assert_eq!(put.status, 200, "{}", put.body);
    assert_eq!(
        client
            .with_key("ASIAWEB")
            .sts("GetCallerIdentity", "")
            .text("Account"),
        "444455556666"
    );
}

#[test]
fn matching_events_arrive_in_the_envelope_of_eventbridge() {
    let (stack, client, group) = cloud_with_group();
    client.ec2(
        "CreateSecurityGroup",
        "GroupName=unmatched&GroupDescription=d",
    );
    revoke_by_id(&client, &stack, &group);
    let events = drain(&stack);
    assert_eq!(events.len(), 1, "only what the rule matches");
    let event = &events[0];
    assert_eq!(event["detail-type"], "AWS API Call via CloudTrail");
    assert_eq!(
        (&event["source"], &event["version"], &event["resources"]),
        (&json!("aws.ec2"), &json!("0"), &json!([]))
    );
    assert_eq!(event["time"], event["detail"]["eventTime"]);
    assert_eq!(
        (&event["account"], &event["region"]),
        (&json!("111122223333"), &json!("us-east-1"))
    );
    let fates: Vec<_> = stack
        .bridge()
        .log()
        .into_iter()
        .map(|event| event.fate)
        .collect();
    assert_eq!(fates, ["unmatched", "sent"]);
}

#[test]
fn failed_calls_are_delivered_unless_the_pattern_drops_them() {
    let (stack, client, group) = cloud_with_group();
    let fail = || {
        client.ec2(
            "RevokeSecurityGroupIngress",
            &format!("GroupId={group}&SecurityGroupRuleId.1=sgr-0123456789abcdef0"),
        )
    };
    fail();
    assert_eq!(drain(&stack).len(), 1);
    stack
        .bridge()
        .adjust(|delivery| delivery.drop_failed = true);
    fail();
    assert!(drain(&stack).is_empty());
}

#[test]
fn events_come_late_and_more_than_once() {
    let (stack, client, group) = cloud_with_group();
    stack.bridge().adjust(|delivery| {
        delivery.delay_ms = 80;
        delivery.duplicates = 2;
    });
    revoke_by_id(&client, &stack, &group);
    assert_eq!(stack.lambda().load().under_way, 3);
    assert_eq!(stack.lambda().load().queued, 0);
    std::thread::sleep(Duration::from_millis(200));
    let events = drain(&stack);
    assert_eq!(events.len(), 3);
    assert_eq!(
        events[0]["id"], events[2]["id"],
        "a repeat is the same event"
    );
}

#[test]
fn events_get_lost_one_by_one_regularly_or_by_chance() {
    let (stack, _client, _group) = cloud_with_group();
    let bridge = stack.bridge();
    let send = |count: usize| {
        (0..count).for_each(|n| {
            stack
                .cloud()
                .emit(json!({"eventName": "RevokeSecurityGroupIngress", "n": n}))
        });
        drain(&stack)
            .iter()
            .map(|event| event["detail"]["n"].as_u64().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    bridge.adjust(|delivery| delivery.lose_next = 2);
    assert_eq!(send(4), [2, 3]);
    bridge.adjust(|delivery| delivery.lose_every = 3);
    assert_eq!(send(6), [0, 1, 3, 4]);
    bridge.adjust(|delivery| {
        (delivery.lose_every, delivery.lose_fraction, delivery.seed) = (0, 0.5, 7)
    });
    let some = send(40);
    assert!((8..=32).contains(&some.len()), "{some:?}");
    bridge.adjust(|_| ());
    assert_eq!(send(40), some, "the same seed loses the same events");
}

#[test]
fn held_events_are_released_in_any_order() {
    let (stack, _client, _group) = cloud_with_group();
    stack.bridge().adjust(|delivery| delivery.hold = true);
    (0..3).for_each(|n| {
        stack
            .cloud()
            .emit(json!({"eventName": "DeleteSecurityGroup", "n": n}))
    });
    assert_eq!(
        (stack.bridge().held().len(), stack.lambda().load().queued),
        (3, 0)
    );
    stack.bridge().release(&[2, 0, 2]);
    let order: Vec<_> = drain(&stack)
        .iter()
        .map(|event| event["detail"]["n"].clone())
        .collect();
    assert_eq!(order, [2, 0, 2]);
    stack.bridge().release_all();
    assert_eq!(drain(&stack)[0]["detail"]["n"], 1);
}

#[test]
fn a_window_shuffles_events() {
    let (stack, _client, _group) = cloud_with_group();
    stack
        .bridge()
        .adjust(|delivery| (delivery.reorder_window_ms, delivery.seed) = (40, 1));
    (0..10).for_each(|n| {
        stack
            .cloud()
            .emit(json!({"eventName": "DeleteSecurityGroup", "n": n}))
    });
    std::thread::sleep(Duration::from_millis(150));
    let mut order: Vec<_> = drain(&stack)
        .iter()
        .filter_map(|event| event["detail"]["n"].as_u64())
        .collect();
    assert_eq!(order.len(), 10);
    assert!(!order.is_sorted());
    order.sort_unstable();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
}

#[test]
fn schedules_and_oversized_records() {
    let (stack, _client, _group) = cloud_with_group();
    stack.bridge().schedule("sweep");
    let big = "x".repeat(257 * 1024);
    stack
        .cloud()
        .emit(json!({"eventName": "DeleteSecurityGroup", "filler": big}));
    let events = drain(&stack);
    assert_eq!(events.len(), 1, "records over 256 KB don't get through");
    assert_eq!(events[0]["detail-type"], "Scheduled Event");
    assert_eq!(events[0]["source"], "aws.events");
    assert_eq!(
        events[0]["resources"],
        json!(["arn:aws:events:us-east-1:111122223333:rule/sweep"])
    );
}

#[test]
fn what_is_too_large_for_a_record_is_omitted_and_the_record_still_arrives() {
    let (stack, _client, group) = cloud_with_group();
    stack.cloud().adjust(|dials| dials.quota = 1_000);
    let ec2 = stack.cloud().ec2();
    // About 200 bytes a rule in the request, and more in the answer.
    let rules: Vec<String> = (0..900)
        .map(|port| format!("tcp {port} from 10.0.0.0/8"))
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    ec2.authorize(&group, &rules[..100]).expect("good");
    assert_eq!(last(&stack)["requestParameters"]["groupId"], group);
    ec2.authorize(&group, &rules[100..]).expect("good");
    ec2.revoke(&group, &rules).expect("live");
    let record = last(&stack);
    for field in ["requestParameters", "responseElements"] {
        assert_eq!(record[field], json!({"omitted": true}), "{field}");
    }
    assert_eq!(drain(&stack).len(), 3);
}
