//! Described rules in the form that authorizes them again, as a backup script keeps them.

use aws_sdk_ec2::types::{
    IpPermission, IpRange, Ipv6Range, PrefixListId, SecurityGroupRule, UserIdGroupPair,
};

/// The permission that authorizes a described rule again.
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
