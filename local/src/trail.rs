//! CloudTrail: a record for every changing EC2 call, in AWS's shape (CloudTrail User Guide, "CloudTrail record contents", and published records).

use serde_json::{Map, Value, json};

use crate::ec2::{Answer, Ec2Error, Params};
use crate::identity::Caller;
use crate::{ids, times};

/// Largest `requestParameters` and `responseElements`, and longest error message (CloudTrail User Guide, "CloudTrail record
/// contents").
const FIELD_BYTES_MAX: usize = 100 * 1024;
const TEXT_CHARS_MAX: usize = 1024;

/// A field that is not too large. What stands in place of one that is has been published nowhere: the guide says only that
/// it has `omitted`.
fn cut(field: Value) -> Value {
    match field.to_string().len() > FIELD_BYTES_MAX {
        true => json!({ "omitted": true }),
        false => field,
    }
}

/// The record of one call.
pub(crate) fn record(
    caller: &Caller,
    action: &str,
    params: &Params,
    request_id: &str,
    result: &Result<Answer, Ec2Error>,
) -> Value {
    let mut identity = caller.identity.user_identity.clone();
    if !caller.access_key.is_empty() && identity["type"] != "AWSService" {
        identity["accessKeyId"] = json!(caller.access_key);
    }
    let requested = cut(request_parameters(action, params));
    let mut record = json!({
        "eventVersion": "1.11",
        "userIdentity": identity,
        "eventTime": times::to_the_second(),
        "eventSource": "ec2.amazonaws.com",
        "eventName": action,
        "awsRegion": caller.region,
        "sourceIPAddress": caller.identity.source_ip.as_deref().unwrap_or("127.0.0.1"),
        "userAgent": caller.identity.user_agent.as_deref().unwrap_or(&caller.user_agent),
        "requestParameters": requested,
        "responseElements": null,
        "requestID": request_id,
        "eventID": ids::uuid(),
        "readOnly": false,
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": caller.identity.account,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": caller.host,
        },
    });
    match result {
        Ok(answer) => record["responseElements"] = cut(response_elements(answer, request_id)),
        Err(refusal) => {
            record["errorCode"] = json!(refusal.trail_code());
            let shown = refusal.message.chars().take(TEXT_CHARS_MAX);
            record["errorMessage"] = json!(shown.collect::<String>());
        }
    }
    record
}

/// The answer with lists as `{"items": […]}` and `return` as `_return`.
fn response_elements(answer: &Answer, request_id: &str) -> Value {
    let mut elements = Map::from_iter([("requestId".to_owned(), json!(request_id))]);
    for (name, value) in answer {
        let name = if name == "return" {
            "_return"
        } else {
            name.as_str()
        };
        elements.insert(name.to_owned(), with_items(value));
    }
    Value::Object(elements)
}

fn with_items(value: &Value) -> Value {
    match value {
        Value::Array(list) => items(list.iter().map(with_items).collect()),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), with_items(value)))
            .collect(),
        other => other.clone(),
    }
}

/// `{"items": […]}`, or `{}` for an empty list.
fn items(list: Vec<Value>) -> Value {
    if list.is_empty() {
        json!({})
    } else {
        json!({ "items": list })
    }
}

/// The parameters as the caller sent them: not canonical, nothing added.
fn request_parameters(action: &str, params: &Params) -> Value {
    match action {
        "ModifySecurityGroupRules" => {
            json!({ "ModifySecurityGroupRulesRequest": modify_request(params) })
        }
        "CreateManagedPrefixList" | "ModifyManagedPrefixList" | "DeleteManagedPrefixList" => {
            json!({ format!("{action}Request"): pascal(params) })
        }
        _ => camel_request(action, params),
    }
}

fn camel_request(action: &str, params: &Params) -> Value {
    let mut out = fields(
        params,
        &[
            "GroupId",
            "GroupName",
            "GroupDescription",
            "VpcId",
            "CidrBlock",
            "IpProtocol",
            "FromPort",
            "ToPort",
            "CidrIp",
            "SourceSecurityGroupName",
            "SourceSecurityGroupOwnerId",
            "DryRun",
        ],
    );
    let takes_permissions = action.contains("SecurityGroupIngress")
        || action.contains("SecurityGroupEgress")
        || action.contains("RuleDescriptions");
    if takes_permissions {
        let list = params
            .list("IpPermissions")
            .into_iter()
            .map(permission)
            .collect();
        out.insert("ipPermissions".into(), items(list));
    }
    let by_id: Vec<_> = params
        .values("SecurityGroupRuleId")
        .into_iter()
        .map(|id| json!({ "securityGroupRuleId": id }))
        .collect();
    if !by_id.is_empty() {
        out.insert("securityGroupRuleIds".into(), items(by_id));
    }
    let descriptions = params.list("SecurityGroupRuleDescription");
    if !descriptions.is_empty() {
        let list = descriptions
            .into_iter()
            .map(|node| fields(node, &["SecurityGroupRuleId", "Description"]));
        out.insert(
            "securityGroupRuleDescriptions".into(),
            items(list.map(Value::Object).collect()),
        );
    }
    let specifications = params.list("TagSpecification");
    if !specifications.is_empty() {
        let list = specifications.into_iter().map(
            |node| json!({ "resourceType": node.get("ResourceType"), "tags": tag_list(node) }),
        );
        out.insert("tagSpecificationSet".into(), items(list.collect()));
    }
    if action == "CreateTags" {
        let resources = params
            .values("ResourceId")
            .into_iter()
            .map(|id| json!({ "resourceId": id }))
            .collect();
        out.insert("resourcesSet".into(), items(resources));
        out.insert("tagSet".into(), items(tag_list(params)));
    }
    Value::Object(out)
}

/// The members that a node has, under their names in records; ports and flags become numbers and booleans where they read as such.
fn fields(node: &Params, names: &[&str]) -> Map<String, Value> {
    let value = |name: &str, text: &str| match name {
        "FromPort" | "ToPort" => text
            .parse()
            .map_or_else(|_| json!(text), |port: i64| json!(port)),
        "DryRun" => text
            .parse()
            .map_or_else(|_| json!(text), |flag: bool| json!(flag)),
        _ => json!(text),
    };
    let sent = names
        .iter()
        .filter_map(|name| Some((name, node.get(name)?)));
    sent.map(|(name, text)| (camel(name), value(name, text)))
        .collect()
}

/// `GroupId` as `groupId`.
fn camel(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_ascii_lowercase() + rest
}

fn tag_list(node: &Params) -> Vec<Value> {
    node.list("Tag")
        .into_iter()
        .map(|tag| json!({ "key": tag.get("Key"), "value": tag.get("Value").unwrap_or_default() }))
        .collect()
}

fn permission(node: &Params) -> Value {
    const GROUP_PAIR: &[&str] = &[
        "UserId",
        "GroupId",
        "GroupName",
        "Description",
        "VpcId",
        "VpcPeeringConnectionId",
    ];
    let mut out = fields(node, &["IpProtocol", "FromPort", "ToPort"]);
    for (name, members) in [
        ("Groups", GROUP_PAIR),
        ("IpRanges", &["CidrIp", "Description"]),
        ("Ipv6Ranges", &["CidrIpv6", "Description"]),
        ("PrefixListIds", &["PrefixListId", "Description"]),
    ] {
        let list = node.list(name).into_iter();
        let list = list.map(|item| Value::Object(fields(item, members)));
        out.insert(camel(name), items(list.collect()));
    }
    Value::Object(out)
}

/// `ModifySecurityGroupRules` is recorded in PascalCase, each rule with a `tag` number (cloud-custodian's documentation; `aws-samples/cloud-trail-lake-query-samples`); that several rules make a list is inferred.
fn modify_request(params: &Params) -> Value {
    let mut out = Map::new();
    if let Some(id) = params.get("GroupId") {
        out.insert("GroupId".into(), json!(id));
    }
    let mut rules: Vec<_> = params
        .list("SecurityGroupRule")
        .into_iter()
        .zip(1..)
        .map(|(node, number)| {
            let mut rule = json!({ "tag": number });
            if let Some(id) = node.get("SecurityGroupRuleId") {
                rule["SecurityGroupRuleId"] = json!(id);
            }
            if let Some(wanted) = node.child("SecurityGroupRule") {
                rule["SecurityGroupRule"] = pascal(wanted);
            }
            rule
        })
        .collect();
    match rules.len() {
        0 => {}
        1 => {
            out.insert("SecurityGroupRule".into(), rules.remove(0));
        }
        _ => {
            out.insert("SecurityGroupRule".into(), json!(rules));
        }
    }
    Value::Object(out)
}

/// Parameters under their own names; numbers where the API model has numbers.
fn pascal(node: &Params) -> Value {
    const NUMBERS: [&str; 4] = ["FromPort", "ToPort", "MaxEntries", "CurrentVersion"];
    let names = node.names();
    if !names.is_empty() && names.iter().all(|name| name.parse::<u32>().is_ok()) {
        return names
            .iter()
            .filter_map(|name| node.child(name))
            .map(pascal)
            .collect();
    }
    let mut out = Map::new();
    for name in names
        .into_iter()
        .filter(|name| !matches!(*name, "Action" | "Version"))
    {
        let Some(child) = node.child(name) else {
            continue;
        };
        let value = match child.own() {
            None => pascal(child),
            Some(text) => match text.parse::<i64>() {
                Ok(number) if NUMBERS.contains(&name) => json!(number),
                _ => json!(text),
            },
        };
        out.insert(name.to_owned(), value);
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_requests_have_items_and_empty_objects() {
        let params = Params::parse(
            "Action=RevokeSecurityGroupIngress&GroupId=sg-1a2b3c4d&IpPermissions.1.IpProtocol=TCP&IpPermissions.1.FromPort=443\
             &IpPermissions.1.ToPort=443&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.1%2F8",
        );
        assert_eq!(
            request_parameters("RevokeSecurityGroupIngress", &params),
            json!({"groupId": "sg-1a2b3c4d", "ipPermissions": {"items": [{
                "ipProtocol": "TCP", "fromPort": 443, "toPort": 443, "groups": {},
                "ipRanges": {"items": [{"cidrIp": "10.0.0.1/8"}]}, "ipv6Ranges": {}, "prefixListIds": {},
            }]}})
        );
    }

    #[test]
    fn flat_requests_stand_beside_an_empty_list() {
        let params =
            Params::parse("GroupName=web&IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=0.0.0.0%2F0");
        assert_eq!(
            request_parameters("RevokeSecurityGroupIngress", &params),
            json!({"groupName": "web", "ipPermissions": {}, "ipProtocol": "tcp", "fromPort": 22, "toPort": 22, "cidrIp": "0.0.0.0/0"})
        );
    }

    #[test]
    fn modify_is_recorded_in_pascal_case() {
        let one = "GroupId=sg-1a2b3c4d&SecurityGroupRule.1.SecurityGroupRuleId=sgr-1\
                   &SecurityGroupRule.1.SecurityGroupRule.IpProtocol=tcp&SecurityGroupRule.1.SecurityGroupRule.FromPort=1";
        assert_eq!(
            request_parameters("ModifySecurityGroupRules", &Params::parse(one)),
            json!({"ModifySecurityGroupRulesRequest": {"GroupId": "sg-1a2b3c4d", "SecurityGroupRule": {
                "tag": 1, "SecurityGroupRuleId": "sgr-1", "SecurityGroupRule": {"IpProtocol": "tcp", "FromPort": 1},
            }}})
        );
        let two = format!("{one}&SecurityGroupRule.2.SecurityGroupRuleId=sgr-2");
        let both = request_parameters("ModifySecurityGroupRules", &Params::parse(&two));
        assert_eq!(
            both["ModifySecurityGroupRulesRequest"]["SecurityGroupRule"][1]["tag"],
            2
        );
    }
}
