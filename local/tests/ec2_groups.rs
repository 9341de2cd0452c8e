//! Groups, VPCs, prefix lists, quotas and references over HTTP.

mod common;

use common::{Client, cloud_with_group};
use rulekeeper_local::{Identity, Stack, StackConfig};

fn authorize(client: &Client, group: &str, rest: &str) -> common::Reply {
    let tcp =
        "IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=443&IpPermissions.1.ToPort=443";
    client.ec2(
        "AuthorizeSecurityGroupIngress",
        &format!("GroupId={group}&{tcp}&{rest}"),
    )
}

#[test]
fn a_new_region_has_a_default_vpc_with_its_group_and_the_prefix_lists_of_aws() {
    let stack = Stack::start(StackConfig::default()).expect("the stack starts");
    let client = Client::of(&stack);
    let vpcs = client.ec2(
        "DescribeVpcs",
        "Filter.1.Name=is-default&Filter.1.Value.1=true",
    );
    assert_eq!(vpcs.all("vpcId").len(), 1);
    let groups = client.ec2("DescribeSecurityGroups", "GroupName.1=default");
    assert_eq!(groups.all("groupName"), ["default"]);
    assert_eq!(groups.text("vpcId"), vpcs.text("vpcId"));
    let lists = client.ec2(
        "DescribeManagedPrefixLists",
        "Filter.1.Name=owner-id&Filter.1.Value.1=AWS",
    );
    assert_eq!(lists.all("prefixListId").len(), 4);
    let again = client.ec2("CreateDefaultVpc", "");
    assert_eq!(again.code(), "DefaultVpcAlreadyExists");
}

#[test]
fn groups_are_created_found_by_filter_and_refused_when_unknown() {
    let (_stack, client, group) = cloud_with_group();
    let vpc = client
        .ec2("DescribeSecurityGroups", &format!("GroupId.1={group}"))
        .text("vpcId");
    let params = format!("GroupName=web&GroupDescription=d&VpcId={vpc}");
    assert_eq!(
        client.ec2("CreateSecurityGroup", &params).code(),
        "InvalidGroup.Duplicate"
    );
    let tagged = "TagSpecification.1.ResourceType=security-group&TagSpecification.1.Tag.1.Key=env&TagSpecification.1.Tag.1.Value=prod";
    let other = client.ec2(
        "CreateSecurityGroup",
        &format!("GroupName=other&GroupDescription=second&VpcId={vpc}&{tagged}"),
    );
    assert_eq!(other.status, 200, "{}", other.body);
    for (name, value, count) in [
        ("group-name", "web", 1),
        ("vpc-id", vpc.as_str(), 3),
        ("owner-id", "111122223333", 4),
        ("tag:env", "prod", 1),
        ("tag-key", "env", 1),
        ("description", "sec*", 1),
        ("group-id", "sg-0123456789abcdef0", 0),
    ] {
        let found = client.ec2(
            "DescribeSecurityGroups",
            &format!("Filter.1.Name={name}&Filter.1.Value.1={value}"),
        );
        assert_eq!(
            found.all("groupDescription").len(),
            count,
            "{name}: {}",
            found.body
        );
    }
    let unknown = client.ec2(
        "DescribeSecurityGroups",
        &format!("GroupId.1={group}&GroupId.2=sg-0123456789abcdef0"),
    );
    assert_eq!(
        unknown.code(),
        "InvalidGroup.NotFound",
        "one unknown id fails the whole call"
    );
    assert_eq!(
        client
            .ec2("DescribeSecurityGroups", "GroupName.1=web")
            .code(),
        "InvalidGroup.NotFound",
        "names are for the default VPC"
    );
    let filter = client.ec2(
        "DescribeSecurityGroups",
        "Filter.1.Name=ip-permission.cidr&Filter.1.Value.1=x",
    );
    assert!(filter.text("Message").contains("rulekeeper-local"));
    assert_eq!(client.ec2("DescribeInstances", "").code(), "InvalidAction");
}

#[test]
fn a_group_that_another_of_its_vpc_names_cannot_be_deleted() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    let vpc = client
        .ec2("DescribeSecurityGroups", &format!("GroupId.1={group}"))
        .text("vpcId");
    let balancer = ec2.create_group("balancer", &vpc).expect("a group");
    ec2.authorize(&group, &[&format!("tcp 80 from {balancer}")])
        .expect("authorized");
    ec2.authorize(&balancer, &[&format!("tcp 80 from {balancer}")])
        .expect("itself is no obstacle");
    assert_eq!(
        client
            .ec2("DeleteSecurityGroup", &format!("GroupId={balancer}"))
            .code(),
        "DependencyViolation"
    );
    ec2.revoke(&group, &[&format!("tcp 80 from {balancer}")])
        .expect("revoked");
    assert_eq!(
        client
            .ec2("DeleteSecurityGroup", &format!("GroupId={balancer}"))
            .status,
        200
    );
    assert_eq!(
        client
            .ec2("DeleteSecurityGroup", &format!("GroupId={balancer}"))
            .code(),
        "InvalidGroup.NotFound"
    );
}

#[test]
fn groups_of_unconnected_vpcs_cannot_be_named_and_stale_ones_lose_their_owner() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    let home = client
        .ec2("DescribeSecurityGroups", &format!("GroupId.1={group}"))
        .text("vpcId");
    let away = ec2.create_vpc("10.1.0.0/16").expect("a VPC");
    let peer = ec2.create_group("peer", &away).expect("a group");
    let pair = format!("IpPermissions.1.Groups.1.GroupId={peer}");
    let refused = authorize(&client, &group, &pair);
    assert_eq!(refused.code(), "InvalidGroup.NotFound");
    assert_eq!(
        refused.text("Message"),
        "You have specified two resources that belong to different networks."
    );
    let peering = stack.cloud().peer(&home, &away);
    let made = authorize(&client, &group, &pair);
    assert_eq!(
        made.text("vpcPeeringConnectionId"),
        peering,
        "{}",
        made.body
    );
    ec2.delete_group(&peer)
        .expect("a peer's reference is no obstacle");
    let stale = client.ec2(
        "DescribeSecurityGroupRules",
        &format!("SecurityGroupRuleId.1={}", made.text("securityGroupRuleId")),
    );
    let info = stale.text("referencedGroupInfo");
    assert!(info.contains(&peer) && !info.contains("userId"), "{info}");
    let revoke = format!(
        "GroupId={group}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=443&IpPermissions.1.ToPort=443&{pair}"
    );
    assert_eq!(
        client.ec2("RevokeSecurityGroupIngress", &revoke).status,
        200
    );
    assert_eq!(
        authorize(&client, &group, &pair).code(),
        "InvalidGroup.NotFound",
        "it cannot be re-created"
    );
}

#[test]
fn groups_of_other_accounts_need_the_account() {
    let (stack, client, group) = cloud_with_group();
    let home = client
        .ec2("DescribeSecurityGroups", &format!("GroupId.1={group}"))
        .text("vpcId");
    let theirs = stack
        .cloud()
        .ec2()
        .acting_as(Identity::user("444455556666", "them"));
    let away = theirs.create_vpc("10.2.0.0/16").expect("a VPC");
    let peer = theirs.create_group("peer", &away).expect("a group");
    stack.cloud().peer(&home, &away);
    let pair = format!("IpPermissions.1.Groups.1.GroupId={peer}");
    assert_eq!(
        authorize(&client, &group, &pair).code(),
        "InvalidGroup.NotFound"
    );
    let made = authorize(
        &client,
        &group,
        &format!("{pair}&IpPermissions.1.Groups.1.UserId=444455556666"),
    );
    assert_eq!(made.text("userId"), "444455556666", "{}", made.body);
}

#[test]
fn the_quota_counts_families_apart_and_references_in_both() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    stack.cloud().adjust(|dials| dials.quota = 3);
    ec2.authorize(
        &group,
        &[
            "tcp 1 from 10.0.0.0/8",
            "tcp 2 from 10.0.0.0/8",
            "tcp 1 from ::/0",
            "tcp 2 from ::/0",
        ],
    )
    .expect("two of each family");
    ec2.authorize(&group, &[&format!("tcp 1 from {group}")])
        .expect("one for both");
    let full = authorize(
        &client,
        &group,
        "IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0",
    );
    assert_eq!(full.code(), "RulesPerSecurityGroupLimitExceeded");
    assert_eq!(
        full.text("Message"),
        "The maximum number of rules per security group has been reached."
    );
    ec2.revoke(&group, &["tcp 1 from ::/0"])
        .expect("room for IPv6 only");
    let v4 = authorize(
        &client,
        &group,
        "IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8",
    );
    assert_eq!(v4.code(), "RulesPerSecurityGroupLimitExceeded");
    assert_eq!(
        authorize(
            &client,
            &group,
            "IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0"
        )
        .status,
        200
    );
    let out = format!(
        "GroupId={group}&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0"
    );
    assert_eq!(
        client.ec2("AuthorizeSecurityGroupEgress", &out).status,
        200,
        "outbound has room of its own"
    );
}

#[test]
fn prefix_lists_cost_their_maximum_or_their_weight() {
    let (stack, client, group) = cloud_with_group();
    let ec2 = stack.cloud().ec2();
    let list = ec2.create_prefix_list("offices", 10).expect("a list");
    let cloudfront = client
        .ec2(
            "DescribeManagedPrefixLists",
            "Filter.1.Name=prefix-list-name&Filter.1.Value.1=*origin-facing",
        )
        .text("prefixListId");
    ec2.authorize(&group, &[&format!("tcp 443 from {cloudfront}")])
        .expect("55 of 60");
    assert_eq!(
        authorize(
            &client,
            &group,
            &format!("IpPermissions.1.PrefixListIds.1.PrefixListId={list}")
        )
        .code(),
        "RulesPerSecurityGroupLimitExceeded"
    );
    let modify = |size: u32| {
        client.ec2(
            "ModifyManagedPrefixList",
            &format!("PrefixListId={list}&MaxEntries={size}"),
        )
    };
    assert_eq!(modify(5).status, 200);
    assert_eq!(
        authorize(
            &client,
            &group,
            &format!("IpPermissions.1.PrefixListIds.1.PrefixListId={list}")
        )
        .status,
        200
    );
    assert_eq!(
        modify(6).code(),
        "RulesPerSecurityGroupLimitExceeded",
        "a user has no room for it"
    );
    let shown = client.ec2(
        "DescribeManagedPrefixLists",
        &format!("PrefixListId.1={list}"),
    );
    assert_eq!(
        shown.text("maxEntries"),
        "5",
        "a refused change changes nothing"
    );
    assert_eq!(
        client
            .ec2("DeleteManagedPrefixList", &format!("PrefixListId={list}"))
            .code(),
        "DependencyViolation"
    );
    ec2.revoke(&group, &[&format!("tcp 443 from {list}")])
        .expect("revoked");
    assert_eq!(
        client
            .ec2("DeleteManagedPrefixList", &format!("PrefixListId={list}"))
            .status,
        200
    );
    assert_eq!(
        client
            .ec2(
                "DescribeManagedPrefixLists",
                &format!("PrefixListId.1={list}")
            )
            .code(),
        "InvalidPrefixListID.NotFound"
    );
}

#[test]
fn prefix_list_entries_are_canonical_versioned_and_bounded() {
    let (_stack, client, _group) = cloud_with_group();
    let made = client.ec2(
        "CreateManagedPrefixList",
        "PrefixListName=offices&AddressFamily=IPv4&MaxEntries=2&Entry.1.Cidr=10.1.2.3/8&ClientToken=x",
    );
    let list = made.text("prefixListId");
    assert_eq!(made.text("version"), "1", "{}", made.body);
    let add = |rest: &str| {
        client.ec2(
            "ModifyManagedPrefixList",
            &format!("PrefixListId={list}&{rest}"),
        )
    };
    assert_eq!(
        add("CurrentVersion=1&AddEntry.1.Cidr=11.0.0.0/8").text("version"),
        "2"
    );
    assert_eq!(
        add("CurrentVersion=1&AddEntry.1.Cidr=12.0.0.0/8").code(),
        "PrefixListVersionMismatch"
    );
    assert_eq!(
        add("CurrentVersion=2&AddEntry.1.Cidr=12.0.0.0/8").code(),
        "PrefixListMaxEntriesExceeded"
    );
    assert_eq!(
        add("CurrentVersion=2&RemoveEntry.1.Cidr=10.0.0.0/8&AddEntry.1.Cidr=12.0.0.0/8").status,
        200
    );
    let page = client.ec2("DescribeManagedPrefixLists", "MaxResults=3");
    assert!(page.all("prefixListId").len() == 3 && !page.text("nextToken").is_empty());
}

#[test]
fn accounts_and_regions_are_kept_apart() {
    let (_stack, client, group) = cloud_with_group();
    let elsewhere = Client {
        region: "eu-west-1".into(),
        ..client.clone()
    };
    assert_eq!(
        elsewhere
            .ec2("DescribeSecurityGroups", &format!("GroupId.1={group}"))
            .code(),
        "InvalidGroup.NotFound"
    );
    let role = client.sts(
        "AssumeRole",
        "RoleArn=arn:aws:iam::444455556666:role/path/keeper&RoleSessionName=test",
    );
    let assumed = client.with_key(&role.text("AccessKeyId"));
    assert_eq!(
        assumed.ec2("DescribeSecurityGroups", "").text("ownerId"),
        "444455556666"
    );
    assert_eq!(
        assumed.sts("GetCallerIdentity", "").text("Arn"),
        "arn:aws:sts::444455556666:assumed-role/keeper/test"
    );
    assert_eq!(
        client.sts("GetCallerIdentity", "").text("Account"),
        "111122223333"
    );
    assert_eq!(
        client
            .sts("AssumeRole", "RoleArn=nonsense&RoleSessionName=test")
            .code(),
        "ValidationError"
    );
}
