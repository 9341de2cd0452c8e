//! Rules over HTTP: the two describes, and the calls that change rules in place. Behaviour from the EC2 API Reference and the sources named in the crate's documentation.

mod common;

use common::{Client, cloud_with_group};

const TCP_443: &str =
    "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=443&IpPermissions.1.ToPort=443";

fn rules(client: &Client, group: &str) -> common::Reply {
    client.ec2(
        "DescribeSecurityGroupRules",
        &format!("Filter.1.Name=group-id&Filter.1.Value.1={group}"),
    )
}

#[test]
fn all_traffic_reads_back_differently_in_the_two_describes() {
    let (stack, client, group) = cloud_with_group();
    stack
        .cloud()
        .ec2()
        .authorize(&group, &["all from 10.0.0.0/8"])
        .expect("authorized");
    let flat = rules(&client, &group);
    assert_eq!(flat.all("fromPort"), ["-1"; 2], "one for each direction");
    let grouped = client.ec2("DescribeSecurityGroups", &format!("GroupId.1={group}"));
    assert!(grouped.all("fromPort").is_empty(), "{}", grouped.body);
    assert_eq!(grouped.all("ipProtocol"), ["-1"; 2]);
}

#[test]
fn describe_groups_merges_rules_with_the_same_ports() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    let other = format!("tcp 443 from {group}");
    ec2.authorize(
        &group,
        &[
            "tcp 443 from 10.0.0.0/8",
            "tcp 443 from 11.0.0.0/8",
            "tcp 443 from ::/0",
            &other,
            "tcp 80 from ::/0",
        ],
    )
    .expect("authorized");
    let reply = client.ec2(
        "DescribeSecurityGroups",
        &format!("Filter.1.Name=group-id&Filter.1.Value.1={group}"),
    );
    let inbound = reply.text("ipPermissions");
    assert_eq!(
        inbound.matches("<ipProtocol>tcp</ipProtocol>").count(),
        2,
        "{inbound}"
    );
    assert_eq!(inbound.matches("<cidrIp>").count(), 2);
    assert_eq!(inbound.matches("<groupId>").count(), 1);
}

#[test]
fn describing_rules_of_no_group_is_empty_and_malformed_ids_are_errors() {
    let (_stack, client, _group) = cloud_with_group();
    let none = rules(&client, "sg-0123456789abcdef0");
    assert!(
        none.status == 200 && none.all("item").is_empty(),
        "{}",
        none.body
    );
    assert_eq!(rules(&client, "web").code(), "InvalidGroupId.Malformed");
    let direct = client.ec2(
        "DescribeSecurityGroupRules",
        "SecurityGroupRuleId.1=sgr-0123456789abcdef0",
    );
    assert_eq!(direct.code(), "InvalidSecurityGroupRuleId.NotFound");
    let filter = client.ec2(
        "DescribeSecurityGroupRules",
        "Filter.1.Name=is-egress&Filter.1.Value.1=false",
    );
    assert!(filter.text("Message").contains("rulekeeper-local"));
}

#[test]
fn pages_follow_tokens_and_sizes_have_bounds() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    let wanted: Vec<_> = (0..11)
        .map(|n| format!("tcp {n} from 10.0.0.0/8"))
        .collect();
    ec2.authorize(
        &group,
        &wanted.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .expect("authorized");
    let mut seen = Vec::new();
    let mut token = String::new();
    let mut pages = 0;
    loop {
        let page = client.ec2(
            "DescribeSecurityGroupRules",
            &format!("Filter.1.Name=group-id&Filter.1.Value.1={group}&MaxResults=5{token}"),
        );
        seen.extend(page.all("securityGroupRuleId"));
        pages += 1;
        if page.text("nextToken").is_empty() {
            break;
        }
        token = format!("&NextToken={}", page.text("nextToken"));
    }
    seen.sort();
    seen.dedup();
    assert_eq!((pages, seen.len()), (3, 12), "eleven inbound, one outbound");
    for size in ["4", "1001"] {
        let refused = client.ec2("DescribeSecurityGroupRules", &format!("MaxResults={size}"));
        assert_eq!(refused.code(), "InvalidParameterValue");
    }
    assert_eq!(
        client
            .ec2("DescribeSecurityGroupRules", "NextToken=zzz")
            .code(),
        "InvalidNextToken"
    );
    stack.cloud().adjust(|dials| dials.page_limit = Some(3));
    assert_eq!(
        rules(&client, &group).all("securityGroupRuleId").len(),
        3,
        "pages may be shorter than asked"
    );
}

#[test]
fn rules_are_found_by_tag_and_at_most_200_filter_values_are_taken() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    let id = ec2
        .authorize_described(&group, "tcp 1 from 10.0.0.0/8", "", &[("team", "blue")])
        .expect("made");
    let found = client.ec2(
        "DescribeSecurityGroupRules",
        "Filter.1.Name=tag:team&Filter.1.Value.1=bl*",
    );
    assert_eq!(found.all("securityGroupRuleId"), [id]);
    let many: Vec<_> = (1..=201)
        .map(|n| format!("Filter.1.Value.{n}=sg-0123456789abcdef0"))
        .collect();
    let params = format!("Filter.1.Name=group-id&{}", many.join("&"));
    assert_eq!(
        client.ec2("DescribeSecurityGroupRules", &params).code(),
        "FilterLimitExceeded"
    );
    let params = format!("Filter.1.Name=group-id&{}", many[..200].join("&"));
    assert_eq!(
        client.ec2("DescribeSecurityGroupRules", &params).status,
        200
    );
}

#[test]
fn rule_tags_are_made_later_too_and_checked() {
    let (stack, client, group) = cloud_with_group();
    let id = stack
        .cloud()
        .ec2()
        .authorize(&group, &["tcp 1 from 10.0.0.0/8"])
        .expect("made")
        .remove(0);
    let tag = |pair: &str| {
        client.ec2(
            "CreateTags",
            &format!("ResourceId.1={id}&ResourceId.2={group}&{pair}"),
        )
    };
    assert_eq!(tag("Tag.1.Key=team&Tag.1.Value=blue").status, 200);
    assert!(rules(&client, &group).body.contains("blue"));
    assert_eq!(
        tag("Tag.1.Key=aws:team&Tag.1.Value=blue").code(),
        "InvalidParameterValue"
    );
    stack
        .cloud()
        .adjust(|dials| dials.refused_tag_keys.insert("team".into()));
    assert_eq!(
        tag("Tag.1.Key=team&Tag.1.Value=red").code(),
        "TagPolicyViolation"
    );
    assert_eq!(
        client
            .ec2("CreateTags", "ResourceId.1=i-1&Tag.1.Key=a")
            .code(),
        "UnsupportedOperation"
    );
}

#[test]
fn modify_keeps_id_and_tags_and_refuses_another_kind_of_source() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    let id = ec2
        .authorize_described(&group, "tcp 80 from 10.0.0.0/8", "old", &[("team", "blue")])
        .expect("made");
    ec2.authorize(&group, &["tcp 81 from 10.0.0.0/8"])
        .expect("made");
    let modify = |content: &str| {
        let content: Vec<_> = content
            .split(' ')
            .map(|part| format!("SecurityGroupRule.1.SecurityGroupRule.{part}"))
            .collect();
        let params = format!(
            "GroupId={group}&SecurityGroupRule.1.SecurityGroupRuleId={id}&{}",
            content.join("&")
        );
        client.ec2("ModifySecurityGroupRules", &params)
    };
    assert_eq!(
        modify("IpProtocol=tcp FromPort=90 ToPort=93 CidrIpv4=10.1.0.0/16 Description=new").status,
        200
    );
    assert_eq!(
        ec2.rule_id(&group, "tcp 90-93 from 10.1.0.0/16").as_deref(),
        Some(id.as_str())
    );
    assert!(rules(&client, &group).body.contains("blue"));
    let other_kind = modify("IpProtocol=tcp FromPort=90 ToPort=93 CidrIpv6=::/0");
    assert!(
        other_kind
            .text("Message")
            .starts_with("Invalid rule type for security group rule"),
        "{}",
        other_kind.body
    );
    assert_eq!(
        modify("IpProtocol=tcp FromPort=81 ToPort=81 CidrIpv4=10.0.0.0/8").code(),
        "InvalidPermission.Duplicate"
    );
    assert_eq!(
        modify("IpProtocol=tcp FromPort=1 ToPort=1").code(),
        "MissingParameter"
    );
    assert_eq!(
        modify("IpProtocol=tcp FromPort=1 ToPort=1 CidrIpv4=10.0.0.0/8 CidrIpv6=::/0").code(),
        "InvalidParameterCombination"
    );
    assert!(
        modify("CidrIpv4=10.0.0.0/8")
            .text("Message")
            .contains("must specify protocols explicitly")
    );
}

#[test]
fn descriptions_change_without_touching_the_rule() {
    let (stack, client, group) = cloud_with_group();
    let id = stack
        .cloud()
        .ec2()
        .authorize(&group, &["tcp 443 from 10.0.0.0/8"])
        .expect("made")
        .remove(0);
    let by_rule = format!(
        "GroupId={group}&{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.1.IpRanges.1.Description=one"
    );
    assert_eq!(
        client
            .ec2("UpdateSecurityGroupRuleDescriptionsIngress", &by_rule)
            .status,
        200
    );
    assert_eq!(rules(&client, &group).text("description"), "one");
    let by_id = format!(
        "GroupId={group}&SecurityGroupRuleDescription.1.SecurityGroupRuleId={id}&SecurityGroupRuleDescription.1.Description=two"
    );
    assert_eq!(
        client
            .ec2("UpdateSecurityGroupRuleDescriptionsIngress", &by_id)
            .status,
        200
    );
    assert_eq!(rules(&client, &group).text("description"), "two");
    assert!(rules(&client, &group).body.contains(&id));
}
