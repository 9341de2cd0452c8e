//! The rules in a request, from `IpPermissions` or the older flat parameters.

use super::rule::{Protocol, RuleKey, Source, Traffic};
use super::{Ctx, Ec2Error, Params};
use crate::ids;

/// Longest description, in characters (EC2 API Reference, `IpRange`).
const DESCRIPTION_CHARS_MAX: usize = 255;

/// The flat parameters, from before `IpPermissions`.
pub(crate) const FLAT: [&str; 6] = [
    "IpProtocol",
    "FromPort",
    "ToPort",
    "CidrIp",
    "SourceSecurityGroupName",
    "SourceSecurityGroupOwnerId",
];

/// A rule in a request.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) key: RuleKey,
    pub(crate) description: Option<String>,
    /// Whether the request gave the account id of a group's owner.
    pub(crate) owner_given: bool,
}

/// Every rule in the request, in canonical form; refuses malformed rules and repeated ones.
///
/// The refusal of repeated rules and its message: `hashicorp/terraform-provider-aws` #2587.
pub(crate) fn wanted(
    ctx: &mut Ctx<'_>,
    params: &Params,
    egress: bool,
) -> Result<Vec<Wanted>, Ec2Error> {
    let flat = FLAT.iter().any(|name| params.text(name).is_some());
    let listed = params.list("IpPermissions");
    let wanted = match (flat, listed.is_empty()) {
        (true, false) => {
            return Err(Ec2Error::combination(
                "The parameter ipPermissions cannot be used with the parameter ipProtocol",
            ));
        }
        (true, true) => flat_rules(ctx, params, egress)?,
        (false, true) => return Err(Ec2Error::missing("ipPermissions")),
        (false, false) => {
            let mut all = Vec::new();
            for permission in listed {
                all.extend(expand(ctx, permission, egress)?);
            }
            all
        }
    };
    for (index, rule) in wanted.iter().enumerate() {
        if wanted[..index]
            .iter()
            .any(|earlier| earlier.key == rule.key)
        {
            return Err(Ec2Error::value(
                "The same permission must not appear multiple times",
            ));
        }
    }
    Ok(wanted)
}

/// One `IpPermission`, split into rules with one source each.
fn expand(ctx: &mut Ctx<'_>, permission: &Params, egress: bool) -> Result<Vec<Wanted>, Ec2Error> {
    permission.only(&[
        "IpProtocol",
        "FromPort",
        "ToPort",
        "Groups",
        "IpRanges",
        "Ipv6Ranges",
        "PrefixListIds",
    ])?;
    let traffic = traffic(permission)?;
    let mut rules = Vec::new();
    let mut add = |source, node: &Params, kind, owner_given| {
        rules.push(Wanted {
            key: RuleKey {
                egress,
                traffic: traffic.clone(),
                source,
            },
            description: description(node.get("Description"), kind)?,
            owner_given,
        });
        Ok::<(), Ec2Error>(())
    };
    for range in permission.list("IpRanges") {
        range.only(&["CidrIp", "Description"])?;
        add(
            Source::ipv4(range.get("CidrIp").unwrap_or_default())?,
            range,
            Kind::Cidr,
            false,
        )?;
    }
    for range in permission.list("Ipv6Ranges") {
        range.only(&["CidrIpv6", "Description"])?;
        add(
            Source::ipv6(range.get("CidrIpv6").unwrap_or_default())?,
            range,
            Kind::Cidr,
            false,
        )?;
    }
    for list in permission.list("PrefixListIds") {
        list.only(&["PrefixListId", "Description"])?;
        add(
            prefix_list(list.get("PrefixListId").unwrap_or_default())?,
            list,
            Kind::Other,
            false,
        )?;
    }
    for pair in permission.list("Groups") {
        pair.only(&[
            "GroupId",
            "GroupName",
            "UserId",
            "Description",
            "VpcId",
            "VpcPeeringConnectionId",
            "PeeringStatus",
        ])?;
        add(
            group_pair(ctx, pair)?,
            pair,
            Kind::Other,
            pair.text("UserId").is_some(),
        )?;
    }
    if rules.is_empty() {
        return Err(no_source());
    }
    Ok(rules)
}

/// The refusal of a permission without a source (`aws/aws-sdk-ruby` #1716).
pub(crate) fn no_source() -> Ec2Error {
    Ec2Error::value(
        "missing mandatory parameter: exactly one of remote-security-group, remote-ip-range, remote-ipv6-range, or prefix-list-id must be present",
    )
}

/// Protocol and ports of a permission, a flat request or a `SecurityGroupRuleRequest`.
pub(crate) fn traffic(node: &Params) -> Result<Traffic, Ec2Error> {
    let protocol = node.text("IpProtocol").ok_or_else(|| {
        Ec2Error::value("Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.")
    })?;
    Traffic::new(
        Protocol::parse(protocol)?,
        node.integer("FromPort")?,
        node.integer("ToPort")?,
    )
}

/// The set of characters that a description may use.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// IPv4 and IPv6 ranges.
    Cidr,
    /// Groups and prefix lists: the same without `&`.
    Other,
}

/// Checks a description (EC2 API Reference, `IpRange`, `UserIdGroupPair`, `PrefixListId`); an empty one counts as none.
pub(crate) fn description(text: Option<&str>, kind: Kind) -> Result<Option<String>, Ec2Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    if text.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(Ec2Error::value(format!(
            "Invalid rule description. The description exceeds the maximum length of {DESCRIPTION_CHARS_MAX} characters."
        )));
    }
    let allowed = |c: char| match c {
        '&' => matches!(kind, Kind::Cidr),
        c => c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=;{}!$*".contains(c),
    };
    if !text.chars().all(allowed) {
        return Err(Ec2Error::value(
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
        ));
    }
    Ok(Some(text.to_owned()))
}

pub(crate) fn prefix_list(id: &str) -> Result<Source, Ec2Error> {
    if !ids::is_well_formed(id, "pl") {
        return Err(Ec2Error::new(
            "InvalidPrefixListId.Malformed",
            format!("The prefix list ID '{id}' is malformed"),
        ));
    }
    Ok(Source::PrefixList(id.to_owned()))
}

pub(crate) fn group_id(id: &str) -> Result<&str, Ec2Error> {
    if ids::is_well_formed(id, "sg") {
        return Ok(id);
    }
    Err(Ec2Error::new(
        "InvalidGroupId.Malformed",
        format!("The security group ID '{id}' is malformed"),
    ))
}

/// A `UserIdGroupPair`, by id or, in the default VPC, by name.
pub(crate) fn group_pair(ctx: &mut Ctx<'_>, pair: &Params) -> Result<Source, Ec2Error> {
    let owner = pair.text("UserId").unwrap_or(ctx.account).to_owned();
    let id = match (pair.text("GroupId"), pair.text("GroupName")) {
        (Some(_), Some(_)) => {
            return Err(Ec2Error::combination(
                "The parameter groupName cannot be used with the parameter groupId",
            ));
        }
        (Some(id), None) => group_id(id)?.to_owned(),
        (None, Some(name)) => ctx.default_vpc_group(name)?,
        (None, None) => return Err(no_source()),
    };
    Ok(Source::Group { id, owner })
}

/// The flat form: one IPv4 range, or a group of the default VPC by name, which opens all TCP, UDP and ICMP (EC2 API Reference, AuthorizeSecurityGroupIngress).
fn flat_rules(ctx: &mut Ctx<'_>, params: &Params, egress: bool) -> Result<Vec<Wanted>, Ec2Error> {
    if let Some(name) = params.text("SourceSecurityGroupName") {
        if params.text("CidrIp").is_some() || params.text("IpProtocol").is_some() {
            return Err(Ec2Error::combination(
                "The parameter sourceSecurityGroupName cannot be used with the parameters cidrIp and ipProtocol",
            ));
        }
        let owner = params
            .text("SourceSecurityGroupOwnerId")
            .unwrap_or(ctx.account)
            .to_owned();
        let source = Source::Group {
            id: ctx.default_vpc_group(name)?,
            owner,
        };
        let all = [
            (Protocol::Tcp, (0, 65535)),
            (Protocol::Udp, (0, 65535)),
            (Protocol::Icmp, (-1, -1)),
        ];
        return Ok(all
            .into_iter()
            .map(|(protocol, ports)| Wanted {
                key: RuleKey {
                    egress,
                    traffic: Traffic {
                        protocol,
                        ports: Some(ports),
                    },
                    source: source.clone(),
                },
                description: None,
                owner_given: true,
            })
            .collect());
    }
    let traffic = traffic(params)?;
    let source = Source::ipv4(params.text("CidrIp").ok_or_else(no_source)?)?;
    Ok(vec![Wanted {
        key: RuleKey {
            egress,
            traffic,
            source,
        },
        description: None,
        owner_given: false,
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_keep_to_length_and_letters() {
        assert_eq!(
            description(Some(""), Kind::Cidr).expect("empty is none"),
            None
        );
        assert!(description(Some(&"x".repeat(255)), Kind::Cidr).is_ok());
        assert!(description(Some(&"x".repeat(256)), Kind::Cidr).is_err());
        assert!(description(Some("a&b"), Kind::Cidr).is_ok());
        assert!(description(Some("a&b"), Kind::Other).is_err());
        assert!(description(Some("quote\""), Kind::Cidr).is_err());
        assert!(description(Some("caffè"), Kind::Cidr).is_err());
    }
}
