//! The controller: the service account of a pod on EKS.

use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, Ipv6Range, PrefixListId, SecurityGroupRule, UserIdGroupPair,
};
use rulekeeper_local::Stack;

use rulekeeper_bench::Failure;
use rulekeeper_bench::client::{Client, Refusal, refusal, service_account};

/// Somebody who owns a part of a security group and has two calls to change it.
#[derive(Debug)]
pub(crate) struct Controller {
    client: Client,
}

impl Controller {
    pub(crate) fn new(stack: &Stack) -> Self {
        let identity = service_account(stack, "LoadBalancerController");
        Self {
            client: Client::new(stack, "ASIADEMOCONTROLLER00", identity),
        }
    }

    /// The ingress rules of a group, as DescribeSecurityGroupRules shows them.
    pub(crate) async fn rules(&self, group: &str) -> Result<Vec<SecurityGroupRule>, Failure> {
        let filter = Filter::builder().name("group-id").values(group).build();
        let call = self
            .client
            .ec2
            .describe_security_group_rules()
            .filters(filter)
            .send();
        let rules = call.await.map_err(refusal)?.security_group_rules;
        let ingress = |rule: &SecurityGroupRule| rule.is_egress != Some(true);
        Ok(rules.into_iter().flatten().filter(ingress).collect())
    }

    /// RevokeSecurityGroupIngress of one rule by its properties.
    pub(crate) async fn revoke(&self, group: &str, rule: IpPermission) -> Result<(), Refusal> {
        self.client.revoke(group, vec![rule]).await
    }

    /// RevokeSecurityGroupIngress of many rules by their ids.
    pub(crate) async fn revoke_all(
        &self,
        group: &str,
        rules: &[SecurityGroupRule],
    ) -> Result<(), Refusal> {
        let ids = rules
            .iter()
            .filter_map(|rule| rule.security_group_rule_id.clone());
        let call = self
            .client
            .ec2
            .revoke_security_group_ingress()
            .group_id(group);
        call.set_security_group_rule_ids(Some(ids.collect()))
            .send()
            .await
            .map_err(refusal)?;
        Ok(())
    }

    /// AuthorizeSecurityGroupIngress, all in one call.
    pub(crate) async fn authorize(
        &self,
        group: &str,
        rules: Vec<IpPermission>,
    ) -> Result<(), Refusal> {
        self.client.authorize(group, rules).await
    }
}

/// Ports of TCP from a group.
pub(crate) fn tcp(from: i32, to: i32, group: &str, description: &str) -> IpPermission {
    let source = UserIdGroupPair::builder()
        .group_id(group)
        .description(description);
    let permission = IpPermission::builder().ip_protocol("tcp");
    let permission = permission.from_port(from).to_port(to);
    permission.user_id_group_pairs(source.build()).build()
}

/// A rule as it was described, made ready to be authorized again: what a backup script would keep.
pub(crate) fn as_permission(rule: &SecurityGroupRule) -> IpPermission {
    let description = rule.description.clone();
    let group = rule.referenced_group_info.as_ref().map(|referenced| {
        UserIdGroupPair::builder()
            .set_group_id(referenced.group_id.clone())
            .set_user_id(referenced.user_id.clone())
            .set_description(description.clone())
            .build()
    });
    let ipv4 = rule.cidr_ipv4.as_ref().map(|cidr| {
        let range = IpRange::builder().cidr_ip(cidr);
        range.set_description(description.clone()).build()
    });
    let ipv6 = rule.cidr_ipv6.as_ref().map(|cidr| {
        let range = Ipv6Range::builder().cidr_ipv6(cidr);
        range.set_description(description.clone()).build()
    });
    let list = rule.prefix_list_id.as_ref().map(|id| {
        let list = PrefixListId::builder().prefix_list_id(id);
        list.set_description(description.clone()).build()
    });
    IpPermission::builder()
        .set_ip_protocol(rule.ip_protocol.clone())
        .set_from_port(rule.from_port)
        .set_to_port(rule.to_port)
        .set_user_id_group_pairs(group.map(|group| vec![group]))
        .set_ip_ranges(ipv4.map(|range| vec![range]))
        .set_ipv6_ranges(ipv6.map(|range| vec![range]))
        .set_prefix_list_ids(list.map(|list| vec![list]))
        .build()
}
