//! One security group rule: protocol, ports, exactly one source; and its forms in EC2's answers.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::{Ipv4Net, Ipv6Net};
use serde_json::{Value, json};

use super::Ec2Error;
use crate::ids;

/// An IP protocol in the one spelling EC2 answers with: `tcp`, `udp`, `icmp`, `icmpv6`, `-1`, or another number.
///
/// Names in any case and the numbers 1, 6, 17 and 58 mean the same (EC2 API Reference, `IpPermission`; upper case is accepted according to moto's tests against AWS).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    /// `-1`: every protocol and port.
    All,
    /// `tcp`, 6.
    Tcp,
    /// `udp`, 17.
    Udp,
    /// `icmp`, 1.
    Icmp,
    /// `icmpv6`, 58.
    Icmpv6,
    /// Any other number from 0 to 255; opens all ports.
    Number(u8),
}

impl Protocol {
    pub(crate) fn parse(text: &str) -> Result<Self, Ec2Error> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "-1" => Self::All,
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "icmp" => Self::Icmp,
            "icmpv6" => Self::Icmpv6,
            number => match number.parse::<u8>() {
                Ok(6) => Self::Tcp,
                Ok(17) => Self::Udp,
                Ok(1) => Self::Icmp,
                Ok(58) => Self::Icmpv6,
                Ok(other) => Self::Number(other),
                Err(_) => {
                    return Err(Ec2Error::value(format!(
                        "Invalid value '{text}' for IP protocol. Unknown protocol."
                    )));
                }
            },
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("-1"),
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Icmp => f.write_str("icmp"),
            Self::Icmpv6 => f.write_str("icmpv6"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// The traffic that a rule allows: protocol and ports, or ICMP type and code.
///
/// `ports` is `Some` for tcp, udp (first and last port), icmp and icmpv6 (type and code, −1 for all), and `None` for everything else, which opens all ports even if the request has ports (EC2 API Reference, `IpPermission`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Traffic {
    /// The protocol.
    pub(crate) protocol: Protocol,
    /// First and last port, or ICMP type and code.
    pub(crate) ports: Option<(i64, i64)>,
}

impl Traffic {
    /// Every protocol and port.
    pub(crate) const ALL: Self = Self {
        protocol: Protocol::All,
        ports: None,
    };

    pub(crate) fn new(
        protocol: Protocol,
        from: Option<i64>,
        to: Option<i64>,
    ) -> Result<Self, Ec2Error> {
        let ports = match (&protocol, from, to) {
            (Protocol::All | Protocol::Number(_), _, _) => None,
            (Protocol::Icmpv6, None, None) => Some((-1, -1)),
            (Protocol::Tcp | Protocol::Udp, Some(from), Some(to)) => Some(port_range(from, to)?),
            (Protocol::Icmp | Protocol::Icmpv6, Some(kind), Some(code)) => Some(icmp(kind, code)?),
            (Protocol::Tcp | Protocol::Udp, _, _) => {
                return Err(Ec2Error::value(
                    "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.",
                ));
            }
            (Protocol::Icmp | Protocol::Icmpv6, _, _) => {
                return Err(Ec2Error::value(
                    "Invalid value for portRange. Must specify both ICMP type (from port) and code (to port) with ICMP.",
                ));
            }
        };
        Ok(Self { protocol, ports })
    }

    /// Ports as `DescribeSecurityGroupRules` and CloudTrail's `securityGroupRuleSet` show them: −1 and −1 where there are none.
    pub(crate) fn ports_or_all(&self) -> (i64, i64) {
        self.ports.unwrap_or((-1, -1))
    }
}

fn port_range(from: i64, to: i64) -> Result<(i64, i64), Ec2Error> {
    if let Some(port) = [from, to]
        .into_iter()
        .find(|port| !(0..=65535).contains(port))
    {
        return Err(Ec2Error::value(format!(
            "TCP/UDP port ({port}) out of range"
        )));
    }
    if from > to {
        return Err(Ec2Error::value(format!(
            "Invalid TCP/UDP port range ({from}:{to})"
        )));
    }
    Ok((from, to))
}

fn icmp(kind: i64, code: i64) -> Result<(i64, i64), Ec2Error> {
    if let Some(wrong) = [kind, code].into_iter().find(|n| !(-1..=255).contains(n)) {
        return Err(Ec2Error::value(format!(
            "ICMP type or code ({wrong}) out of range"
        )));
    }
    if kind == -1 && code != -1 {
        return Err(Ec2Error::value(format!(
            "ICMP code ({code}) must be -1 when the ICMP type is -1"
        )));
    }
    Ok((kind, code))
}

/// Where the traffic of a rule comes from, or goes to: exactly one of four kinds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// An IPv4 range, host bits cleared.
    Ipv4(Ipv4Net),
    /// An IPv6 range, host bits cleared, printed in the canonical form of RFC 5952.
    Ipv6(Ipv6Net),
    /// A prefix list.
    PrefixList(String),
    /// A security group and the account that owns it.
    Group {
        /// The group.
        id: String,
        /// Its owner.
        owner: String,
    },
}

impl Source {
    pub(crate) fn ipv4(text: &str) -> Result<Self, Ec2Error> {
        text.parse::<Ipv4Net>()
            .map(|net| Self::Ipv4(net.trunc()))
            .map_err(|_| malformed_cidr(text))
    }

    pub(crate) fn ipv6(text: &str) -> Result<Self, Ec2Error> {
        text.parse::<Ipv6Net>()
            .map(|net| Self::Ipv6(net.trunc()))
            .map_err(|_| malformed_cidr(text))
    }

    /// The source as `peer` in EC2's message for duplicates.
    pub(crate) fn peer(&self) -> String {
        match self {
            Self::Ipv4(net) => net.to_string(),
            Self::Ipv6(net) => net.to_string(),
            Self::PrefixList(id) | Self::Group { id, .. } => id.clone(),
        }
    }

    fn kind(&self) -> usize {
        match self {
            Self::Ipv4(_) => 0,
            Self::Ipv6(_) => 1,
            Self::PrefixList(_) => 2,
            Self::Group { .. } => 3,
        }
    }

    pub(crate) fn same_kind(&self, other: &Self) -> bool {
        self.kind() == other.kind()
    }
}

fn malformed_cidr(text: &str) -> Ec2Error {
    Ec2Error::value(format!("CIDR block {text} is malformed"))
}

/// The identity of a rule. Description, tags and id are not part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RuleKey {
    /// Outbound rather than inbound.
    pub(crate) egress: bool,
    /// Protocol and ports.
    pub(crate) traffic: Traffic,
    /// The one source.
    pub(crate) source: Source,
}

impl RuleKey {
    /// EC2's message for a rule that exists already (messages quoted in `galaxyproject/cloudlaunch` #56 and `lucidsoftware/cumulus` #101).
    pub(crate) fn duplicate(&self) -> Ec2Error {
        let peer = self.source.peer();
        let Traffic { protocol, ports } = &self.traffic;
        let name = match protocol {
            Protocol::All => "ALL".to_owned(),
            other => other.to_string().to_uppercase(),
        };
        let described = match (protocol, ports) {
            (Protocol::Icmp | Protocol::Icmpv6, Some((kind, code))) => {
                format!("{name}, type: {kind}, code: {code}")
            }
            (_, Some((from, to))) => format!("{name}, from port: {from}, to port: {to}"),
            (_, None) => name,
        };
        Ec2Error::new(
            "InvalidPermission.Duplicate",
            format!("the specified rule \"peer: {peer}, {described}, ALLOW\" already exists"),
        )
    }
}

/// One-line notation, such as `tcp 443 from 10.0.0.0/8`, `icmp 8/-1 from ::/0`, `all from sg-…`; `to` for outbound rules.
impl fmt::Display for RuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.traffic.protocol, self.traffic.ports) {
            (Protocol::All, _) => f.write_str("all")?,
            (protocol @ (Protocol::Icmp | Protocol::Icmpv6), Some((kind, code))) => {
                write!(f, "{protocol} {kind}/{code}")?;
            }
            (protocol, Some((from, to))) if from == to => write!(f, "{protocol} {from}")?,
            (protocol, Some((from, to))) => write!(f, "{protocol} {from}-{to}")?,
            (protocol, None) => write!(f, "{protocol}")?,
        }
        write!(
            f,
            " {} {}",
            if self.egress { "to" } else { "from" },
            self.source.peer()
        )
    }
}

/// The peering connection to a referenced group in another VPC. Answers show it; it is not part of a rule's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerLink {
    /// The other group's VPC.
    pub(crate) vpc_id: String,
    /// The peering connection.
    pub(crate) peering_id: String,
}

/// A rule of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// `sgr-…`, new with every authorize.
    pub(crate) id: String,
    /// Its identity.
    pub(crate) key: RuleKey,
    /// Free text, per source.
    pub(crate) description: Option<String>,
    /// Its tags.
    pub(crate) tags: BTreeMap<String, String>,
    /// Set for a group in a peered VPC.
    pub(crate) link: Option<PeerLink>,
    /// The referenced group is gone: its owner is no longer returned (EC2 API Reference, `UserIdGroupPair`).
    pub(crate) stale: bool,
}

impl Rule {
    /// A new rule without description and tags.
    pub(crate) fn new(key: RuleKey) -> Self {
        Self {
            id: ids::resource("sgr"),
            key,
            description: None,
            tags: BTreeMap::new(),
            link: None,
            stale: false,
        }
    }

    /// The rule as an entry of `securityGroupRuleSet`, for answers and for CloudTrail.
    pub(crate) fn entry(&self, group: &str, owner: &str, region: &str) -> Value {
        let mut entry = self.flat_entry(group);
        entry["groupOwnerId"] = json!(owner);
        let resource = format!("security-group-rule/{}", self.id);
        entry["securityGroupRuleArn"] = json!(ids::arn("ec2", region, owner, &resource));
        if let Source::Group { id, .. } = &self.key.source {
            entry["referencedGroupInfo"] = self.group_pair(id);
        }
        if !self.tags.is_empty() {
            entry["tagSet"] = super::tags::set(&self.tags);
        }
        entry
    }

    /// The rule as an entry of `revokedSecurityGroupRuleSet`: flat, without account and tags (EC2 API Reference, `RevokedSecurityGroupRule`).
    pub(crate) fn revoked_entry(&self, group: &str) -> Value {
        let mut entry = self.flat_entry(group);
        if let Source::Group { id, .. } = &self.key.source {
            entry["referencedGroupId"] = json!(id);
        }
        entry
    }

    /// What both entries have: everything but a referenced group.
    fn flat_entry(&self, group: &str) -> Value {
        let (from, to) = self.key.traffic.ports_or_all();
        let mut entry = json!({
            "securityGroupRuleId": self.id, "groupId": group, "isEgress": self.key.egress,
            "ipProtocol": self.key.traffic.protocol.to_string(), "fromPort": from, "toPort": to,
        });
        match &self.key.source {
            Source::Ipv4(net) => entry["cidrIpv4"] = json!(net.to_string()),
            Source::Ipv6(net) => entry["cidrIpv6"] = json!(net.to_string()),
            Source::PrefixList(id) => entry["prefixListId"] = json!(id),
            Source::Group { .. } => {}
        }
        if let Some(description) = &self.description {
            entry["description"] = json!(description);
        }
        entry
    }

    /// A referenced group with its owner and its peering connection.
    fn group_pair(&self, id: &str) -> Value {
        let mut pair = json!({ "groupId": id });
        if let (Source::Group { owner, .. }, false) = (&self.key.source, self.stale) {
            pair["userId"] = json!(owner);
        }
        if let Some(link) = &self.link {
            pair["vpcId"] = json!(link.vpc_id);
            pair["vpcPeeringConnectionId"] = json!(link.peering_id);
            pair["peeringStatus"] = json!("active");
        }
        pair
    }
}

/// Merges rules with the same protocol and ports into `IpPermission`s, as `DescribeSecurityGroups` does (shown by moto's tests against AWS).
pub(crate) fn permissions<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Value {
    let mut bundles: BTreeMap<&Traffic, [Vec<Value>; 4]> = BTreeMap::new();
    for rule in rules {
        let mut item = match &rule.key.source {
            Source::Ipv4(net) => json!({ "cidrIp": net.to_string() }),
            Source::Ipv6(net) => json!({ "cidrIpv6": net.to_string() }),
            Source::PrefixList(id) => json!({ "prefixListId": id }),
            Source::Group { id, .. } => rule.group_pair(id),
        };
        if let Some(description) = &rule.description {
            item["description"] = json!(description);
        }
        let bundle = bundles.entry(&rule.key.traffic).or_default();
        bundle[rule.key.source.kind()].push(item);
    }
    let items = bundles
        .into_iter()
        .map(|(traffic, [ipv4, ipv6, lists, groups])| {
            let mut bundle = json!({
                "ipProtocol": traffic.protocol.to_string(),
                "ipRanges": ipv4, "ipv6Ranges": ipv6, "prefixListIds": lists, "groups": groups,
            });
            if let Some((from, to)) = traffic.ports {
                bundle["fromPort"] = json!(from);
                bundle["toPort"] = json!(to);
            }
            bundle
        });
    Value::Array(items.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(protocol: &str, from: Option<i64>, to: Option<i64>, cidr: &str) -> RuleKey {
        let protocol = Protocol::parse(protocol).expect("a protocol");
        let traffic = Traffic::new(protocol, from, to).expect("traffic");
        let source = if cidr.contains(':') {
            Source::ipv6(cidr)
        } else {
            Source::ipv4(cidr)
        };
        RuleKey {
            egress: false,
            traffic,
            source: source.expect("a CIDR"),
        }
    }

    #[test]
    fn spellings_of_one_rule_have_one_key() {
        assert_eq!(
            key("6", Some(443), Some(443), "100.68.0.18/18"),
            key("TCP", Some(443), Some(443), "100.68.0.0/18")
        );
        assert_eq!(
            key("-1", Some(0), Some(0), "0.0.0.0/0"),
            key("-1", None, None, "0.0.0.0/0")
        );
        assert_eq!(
            key("58", None, None, "2001:DB8:0:0::1/32"),
            key("icmpv6", Some(-1), Some(-1), "2001:db8::/32")
        );
        assert_ne!(
            key("tcp", Some(0), Some(65535), "0.0.0.0/0"),
            key("-1", None, None, "0.0.0.0/0")
        );
    }

    #[test]
    fn duplicate_messages_read_as_ec2_writes_them() {
        assert_eq!(
            key("tcp", Some(443), Some(443), "10.0.0.0/8")
                .duplicate()
                .message,
            "the specified rule \"peer: 10.0.0.0/8, TCP, from port: 443, to port: 443, ALLOW\" already exists"
        );
        assert_eq!(
            key("-1", None, None, "0.0.0.0/0").duplicate().message,
            "the specified rule \"peer: 0.0.0.0/0, ALL, ALLOW\" already exists"
        );
    }

    #[test]
    fn impossible_ports_are_refused() {
        for (protocol, from, to) in [
            ("tcp", None, None),
            ("udp", Some(1), None),
            ("tcp", Some(90), Some(80)),
            ("tcp", Some(-1), Some(-1)),
            ("tcp", Some(1), Some(65536)),
            ("icmp", Some(-1), Some(3)),
            ("icmp", Some(256), Some(0)),
            ("icmp", None, None),
        ] {
            let protocol = Protocol::parse(protocol).expect("a protocol");
            let refused = Traffic::new(protocol, from, to).expect_err("impossible ports");
            assert_eq!(refused.code, "InvalidParameterValue");
        }
    }
}
