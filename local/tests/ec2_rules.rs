//! Rules over HTTP: authorize and revoke. Behaviour from the EC2 API Reference and the sources named in the crate's documentation.

mod common;

use common::{Client, cloud_with_group};

const TCP_443: &str =
    "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=443&IpPermissions.1.ToPort=443";

fn authorize(client: &Client, group: &str, rest: &str) -> common::Reply {
    client.ec2(
        "AuthorizeSecurityGroupIngress",
        &format!("GroupId={group}&{rest}"),
    )
}

fn revoke(client: &Client, group: &str, rest: &str) -> common::Reply {
    client.ec2(
        "RevokeSecurityGroupIngress",
        &format!("GroupId={group}&{rest}"),
    )
}

fn rules(client: &Client, group: &str) -> common::Reply {
    client.ec2(
        "DescribeSecurityGroupRules",
        &format!("Filter.1.Name=group-id&Filter.1.Value.1={group}"),
    )
}

#[test]
fn authorize_answers_with_one_entry_per_rule_id_and_arn_and_tags_included() {
    let (_stack, client, group) = cloud_with_group();
    let reply = authorize(
        &client,
        &group,
        &format!(
            "{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.1.2.3/8&IpPermissions.1.IpRanges.1.Description=a%26b\
             &IpPermissions.1.Ipv6Ranges.1.CidrIpv6=2001:DB8::1/32&IpPermissions.1.Groups.1.GroupId={group}\
             &TagSpecification.1.ResourceType=security-group-rule&TagSpecification.1.Tag.1.Key=team&TagSpecification.1.Tag.1.Value=blue"
        ),
    );
    assert_eq!(reply.status, 200, "{}", reply.body);
    let ids = reply.all("securityGroupRuleId");
    assert_eq!(ids.len(), 3);
    assert!(
        ids.iter()
            .all(|id| id.starts_with("sgr-") && id.len() == 21)
    );
    assert_eq!(
        reply.text("cidrIpv4"),
        "10.0.0.0/8",
        "host bits are cleared"
    );
    assert_eq!(reply.text("cidrIpv6"), "2001:db8::/32", "IPv6 is canonical");
    assert_eq!(reply.text("description"), "a&amp;b");
    assert_eq!(
        reply.text("userId"),
        "111122223333",
        "a self-reference reads back with its owner"
    );
    assert_eq!(reply.all("key"), ["team"; 3]);
    let arn = format!(
        "arn:aws:ec2:us-east-1:111122223333:security-group-rule/{}",
        ids[0]
    );
    assert_eq!(reply.text("securityGroupRuleArn"), arn);
    let again = rules(&client, &group);
    assert!(ids.iter().all(|id| again.body.contains(id.as_str())));
}

#[test]
fn a_repeated_rule_is_a_duplicate_whatever_its_spelling_and_description() {
    let (stack, client, group) = cloud_with_group();
    stack
        .cloud()
        .ec2()
        .authorize(&group, &["tcp 443 from 10.0.0.0/8", "all from 0.0.0.0/0"])
        .expect("authorized");
    let same = "IpPermissions.1.IpProtocol=6&IpPermissions.1.FromPort=443&IpPermissions.1.ToPort=443\
                &IpPermissions.1.IpRanges.1.CidrIp=10.9.9.9/8&IpPermissions.1.IpRanges.1.Description=other";
    let reply = authorize(&client, &group, same);
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "InvalidPermission.Duplicate")
    );
    assert_eq!(
        reply.text("Message"),
        "the specified rule &quot;peer: 10.0.0.0/8, TCP, from port: 443, to port: 443, ALLOW&quot; already exists"
    );
    let all = "IpPermissions.1.IpProtocol=-1&IpPermissions.1.FromPort=5&IpPermissions.1.ToPort=6&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0";
    let reply = authorize(&client, &group, all);
    assert_eq!(
        reply.code(),
        "InvalidPermission.Duplicate",
        "ports of all-traffic rules are ignored"
    );
    assert!(
        reply
            .text("Message")
            .contains("peer: 0.0.0.0/0, ALL, ALLOW")
    );
}

#[test]
fn a_wider_rule_and_all_tcp_ports_are_other_rules_than_all_traffic() {
    let (stack, _client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    ec2.authorize(&group, &["tcp 22 from 10.0.0.0/24"])
        .expect("narrow");
    ec2.authorize(
        &group,
        &["all from 10.0.0.0/24", "tcp 0-65535 from 10.0.0.0/24"],
    )
    .expect("wider ones beside it");
    assert_eq!(ec2.rules(&group).len(), 3);
}

#[test]
fn a_refused_batch_adds_nothing() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    ec2.authorize(&group, &["tcp 443 from 10.0.0.0/8"])
        .expect("authorized");
    let ranges = "IpPermissions.1.IpRanges.1.CidrIp=192.168.0.0/16&IpPermissions.1.IpRanges.2.CidrIp=10.0.0.0/8";
    assert_eq!(
        authorize(&client, &group, &format!("{TCP_443}&{ranges}")).code(),
        "InvalidPermission.Duplicate"
    );
    let missing = "IpPermissions.1.IpRanges.1.CidrIp=192.168.0.0/16&IpPermissions.1.Groups.1.GroupId=sg-0123456789abcdef0";
    assert_eq!(
        authorize(&client, &group, &format!("{TCP_443}&{missing}")).code(),
        "InvalidGroup.NotFound"
    );
    assert_eq!(ec2.rules(&group), ["tcp 443 from 10.0.0.0/8"]);
}

#[test]
fn one_rule_twice_in_a_request_is_another_error_than_a_duplicate() {
    let (_stack, client, group) = cloud_with_group();
    let twice = format!(
        "{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.1/8&IpPermissions.2.IpProtocol=TCP&IpPermissions.2.FromPort=443\
         &IpPermissions.2.ToPort=443&IpPermissions.2.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.2.IpRanges.1.Description=x"
    );
    let reply = authorize(&client, &group, &twice);
    assert_eq!(reply.code(), "InvalidParameterValue");
    assert_eq!(
        reply.text("Message"),
        "The same permission must not appear multiple times"
    );
}

#[test]
fn malformed_requests_are_refused_with_the_codes_of_ec2() {
    let (_stack, client, group) = cloud_with_group();
    let cidr = "IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8";
    for (params, code) in [
        (
            format!("{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/33"),
            "InvalidParameterValue",
        ),
        (
            format!("{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.1"),
            "InvalidParameterValue",
        ),
        (TCP_443.to_owned(), "InvalidParameterValue"),
        (
            format!("IpPermissions.1.IpProtocol=tcp&{cidr}"),
            "InvalidParameterValue",
        ),
        (
            format!("IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=1&{cidr}"),
            "InvalidParameterValue",
        ),
        (
            format!("IpPermissions.1.IpProtocol=banana&{cidr}"),
            "InvalidParameterValue",
        ),
        (
            format!("IpPermissions.1.IpProtocol=256&{cidr}"),
            "InvalidParameterValue",
        ),
        (
            format!("IpPermissions.1.FromPort=1&{cidr}"),
            "InvalidParameterValue",
        ),
        (
            format!("{TCP_443}&IpPermissions.1.Groups.1.GroupId=web"),
            "InvalidGroupId.Malformed",
        ),
        (
            format!("{TCP_443}&IpPermissions.1.PrefixListIds.1.PrefixListId=list"),
            "InvalidPrefixListId.Malformed",
        ),
        (
            format!("{TCP_443}&IpPermissions.1.PrefixListIds.1.PrefixListId=pl-0123456789abcdef0"),
            "InvalidPrefixListID.NotFound",
        ),
        (
            format!("{TCP_443}&IpPermissions.1.Bogus=1&{cidr}"),
            "UnknownParameter",
        ),
        (
            format!("{TCP_443}&{cidr}&IpProtocol=tcp"),
            "InvalidParameterCombination",
        ),
        (String::new(), "MissingParameter"),
        (
            format!(
                "{TCP_443}&{cidr}&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=a"
            ),
            "InvalidParameterValue",
        ),
    ] {
        let reply = authorize(&client, &group, &params);
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, code),
            "{params}: {}",
            reply.body
        );
    }
    assert_eq!(
        client
            .ec2(
                "AuthorizeSecurityGroupIngress",
                &format!("{TCP_443}&{cidr}")
            )
            .code(),
        "MissingParameter"
    );
    let unknown = authorize(
        &client,
        "sg-0123456789abcdef0",
        &format!("{TCP_443}&{cidr}"),
    );
    assert_eq!(
        unknown.text("Message"),
        "The security group 'sg-0123456789abcdef0' does not exist"
    );
}

#[test]
fn the_flat_form_takes_a_range_or_opens_everything_to_a_group_of_the_default_vpc() {
    let (stack, client, group) = cloud_with_group();
    let flat = authorize(
        &client,
        &group,
        "IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=10.0.0.9/8",
    );
    assert_eq!(flat.text("cidrIpv4"), "10.0.0.0/8");
    assert_eq!(
        revoke(
            &client,
            &group,
            "IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=10.0.0.0/8"
        )
        .status,
        200
    );
    let made = client
        .ec2("CreateSecurityGroup", "GroupName=front&GroupDescription=d")
        .text("groupId");
    let by_name = client.ec2(
        "AuthorizeSecurityGroupIngress",
        "GroupName=front&SourceSecurityGroupName=front",
    );
    assert_eq!(by_name.status, 200, "{}", by_name.body);
    let want: Vec<_> = ["icmp -1/-1", "tcp 0-65535", "udp 0-65535"]
        .iter()
        .map(|traffic| format!("{traffic} from {made}"))
        .collect();
    assert_eq!(stack.cloud().ec2().rules(&made), want);
}

#[test]
fn a_revoked_rule_comes_back_with_a_new_id_and_without_its_tags() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    let first = ec2
        .authorize_described(&group, "tcp 22 from 10.0.0.0/8", "ssh", &[("team", "blue")])
        .expect("made");
    let gone = revoke(&client, &group, &format!("SecurityGroupRuleId.1={first}"));
    assert_eq!(gone.text("securityGroupRuleId"), first);
    assert!(
        gone.body.contains("<revokedSecurityGroupRuleSet>") && gone.text("description") == "ssh",
        "{}",
        gone.body
    );
    let second = ec2
        .authorize(&group, &["tcp 22 from 10.0.0.0/8"])
        .expect("made again")
        .remove(0);
    assert_ne!(first, second);
    assert!(!rules(&client, &group).body.contains("blue"));
}

#[test]
fn revoke_outside_the_default_vpc_is_all_or_nothing() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    let id = ec2
        .authorize(&group, &["tcp 443 from 10.0.0.0/8"])
        .expect("authorized")
        .remove(0);
    let both = format!(
        "{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.1.IpRanges.2.CidrIp=11.0.0.0/8"
    );
    let reply = revoke(&client, &group, &both);
    assert_eq!(reply.code(), "InvalidPermission.NotFound");
    assert_eq!(
        reply.text("Message"),
        "The specified rule does not exist in this security group."
    );
    let ids = format!("SecurityGroupRuleId.1={id}&SecurityGroupRuleId.2=sgr-0123456789abcdef0");
    assert_eq!(
        revoke(&client, &group, &ids).code(),
        "InvalidSecurityGroupRuleId.NotFound"
    );
    assert_eq!(
        revoke(&client, &group, "SecurityGroupRuleId.1=rule").code(),
        "InvalidSecurityGroupRuleId.Malformed"
    );
    assert_eq!(ec2.rules(&group).len(), 1);
}

#[test]
fn revoke_in_the_default_vpc_reports_what_it_did_not_find() {
    let (stack, client, _) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    let group = ec2
        .create_group("front", &ec2.default_vpc().expect("a VPC"))
        .expect("a group");
    ec2.authorize(&group, &["tcp 443 from 10.0.0.0/8"])
        .expect("authorized");
    let params = format!(
        "GroupName=FRONT&{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.1.IpRanges.2.CidrIp=11.0.0.0/8"
    );
    let reply = client.ec2("RevokeSecurityGroupIngress", &params);
    assert_eq!((reply.status, reply.text("return").as_str()), (200, "true"));
    assert!(
        reply.text("unknownIpPermissionSet").contains("11.0.0.0/8"),
        "{}",
        reply.body
    );
    assert!(ec2.rules(&group).is_empty());
}

#[test]
fn an_older_answer_leaves_the_revoked_rules_out() {
    let (stack, client, group) = cloud_with_group();
    stack
        .cloud()
        .ec2()
        .authorize(&group, &["tcp 443 from 10.0.0.0/8"])
        .expect("authorized");
    stack
        .cloud()
        .adjust(|dials| dials.omit_revoked_rule_set = true);
    let reply = revoke(
        &client,
        &group,
        &format!("{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8"),
    );
    assert!(reply.status == 200 && !reply.body.contains("revokedSecurityGroupRuleSet"));
}

#[test]
fn outbound_rules_live_apart_from_inbound_ones() {
    let (stack, client, group) = cloud_with_group();
    let range = format!("GroupId={group}&{TCP_443}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8");
    assert_eq!(
        client
            .ec2("AuthorizeSecurityGroupEgress", &range)
            .text("isEgress"),
        "true"
    );
    assert!(stack.cloud().ec2().rules(&group).is_empty());
    assert_eq!(
        client.ec2("RevokeSecurityGroupIngress", &range).code(),
        "InvalidPermission.NotFound"
    );
    assert_eq!(client.ec2("RevokeSecurityGroupEgress", &range).status, 200);
}

#[test]
fn dry_runs_check_permission_only() {
    let (stack, client, group) = cloud_with_group();
    let broken = format!("GroupId={group}&DryRun=true&IpPermissions.1.IpProtocol=banana");
    let reply = client.ec2("AuthorizeSecurityGroupIngress", &broken);
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (412, "DryRunOperation")
    );
    stack
        .cloud()
        .adjust(|dials| dials.denied.insert("AuthorizeSecurityGroupIngress".into()));
    let reply = client.ec2("AuthorizeSecurityGroupIngress", &broken);
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (403, "UnauthorizedOperation")
    );
}
