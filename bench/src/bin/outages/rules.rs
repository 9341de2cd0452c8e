//! The rules of the replays, which are TCP only, and the traffic that passes them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use aws_sdk_ec2::types::IpPermission;
use ipnet::Ipv4Net;
use rulekeeper_bench::client;
use serde_json::Value;

/// TCP ports from one source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    from: u16,
    to: u16,
    source: String,
}

/// Rules with their descriptions.
pub(crate) type Described = BTreeMap<Rule, String>;

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, source } = self;
        if from == to {
            write!(f, "tcp {from} from {source}")
        } else {
            write!(f, "tcp {from}-{to} from {source}")
        }
    }
}

/// A rule for a group or for a range of IPv4 addresses.
pub(crate) fn tcp(from: u16, to: u16, source: &str) -> Rule {
    let source = source.to_owned();
    Rule { from, to, source }
}

impl Rule {
    /// Parses the notation; `None` if the rule is not TCP.
    pub(crate) fn parse(notation: &str) -> Option<Self> {
        let (ports, source) = notation.strip_prefix("tcp ")?.split_once(" from ")?;
        let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
        Some(tcp(from.parse().ok()?, to.parse().ok()?, source))
    }

    /// First port, last port, and source.
    pub(crate) fn parts(&self) -> (u16, u16, &str) {
        (self.from, self.to, &self.source)
    }

    /// The rules of a set in the `responseElements` of a CloudTrail record.
    pub(crate) fn of_set(record: &Value, set: &str) -> Vec<Self> {
        let items = record["responseElements"][set]["items"].as_array();
        let items = items.into_iter().flatten();
        items.filter_map(Self::of_item).collect()
    }

    fn of_item(item: &Value) -> Option<Self> {
        let port = |name: &str| item[name].as_u64().and_then(|port| port.try_into().ok());
        let source = [
            &item["cidrIpv4"],
            &item["referencedGroupId"],
            &item["referencedGroupInfo"]["groupId"],
        ];
        let source = source.iter().find_map(|source| source.as_str())?;
        Some(tcp(port("fromPort")?, port("toPort")?, source))
    }
}

/// Rules on one line.
pub(crate) fn list<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> String {
    let names: Vec<String> = rules.into_iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// The rules as the EC2 API takes them.
pub(crate) fn permissions(rules: &Described) -> Vec<IpPermission> {
    let permission = |(rule, description): (&Rule, &String)| {
        client::tcp(rule.from, rule.to, &rule.source, description)
    };
    rules.iter().map(permission).collect()
}

/// Rules with the same description.
pub(crate) fn described(rules: &[Rule], description: &str) -> Described {
    let rules = rules.iter().cloned();
    rules.map(|rule| (rule, description.to_owned())).collect()
}

/// The rules that are not in `others`. Descriptions are not compared.
pub(crate) fn missing(rules: &Described, others: &Described) -> Described {
    let mut missing = rules.clone();
    missing.retain(|rule, _| !others.contains_key(rule));
    missing
}

/// The rules in permissions, each of which has one port range and many sources.
pub(crate) fn rules_in(permissions: &[IpPermission]) -> Described {
    let mut rules = Described::new();
    for permission in permissions {
        let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
        let (Some(from), Some(to)) = (port(permission.from_port), port(permission.to_port)) else {
            continue;
        };
        let groups = permission.user_id_group_pairs().iter();
        let groups = groups.map(|pair| (pair.group_id(), pair.description()));
        let ranges = permission.ip_ranges().iter();
        let ranges = ranges.map(|range| (range.cidr_ip(), range.description()));
        for (source, description) in groups.chain(ranges) {
            let rule = tcp(from, to, source.unwrap_or_default());
            rules.insert(rule, description.unwrap_or_default().to_owned());
        }
    }
    rules
}

/// New connections that must pass.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    /// The port that they go to.
    pub(crate) port: u16,
    /// Where they come from.
    pub(crate) from: Origin,
}

/// Where connections come from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// The members of a group.
    Group(String),
    /// One address.
    Address(Ipv4Addr),
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            Origin::Group(id) => write!(f, "port {} from {id}", self.port),
            Origin::Address(address) => write!(f, "port {} from {address}", self.port),
        }
    }
}

impl Traffic {
    /// Connections from the members of a group.
    pub(crate) fn from_group(port: u16, group: &str) -> Self {
        let from = Origin::Group(group.to_owned());
        Self { port, from }
    }

    /// Connections from an address.
    pub(crate) fn from_address(port: u16, address: [u8; 4]) -> Self {
        let from = Origin::Address(address.into());
        Self { port, from }
    }

    /// Whether it passes a rule.
    pub(crate) fn passes(&self, rule: &Rule) -> bool {
        let source = match &self.from {
            Origin::Group(id) => *id == rule.source,
            Origin::Address(address) => {
                let range: Result<Ipv4Net, _> = rule.source.parse();
                range.is_ok_and(|range| range.contains(address))
            }
        };
        source && (rule.from..=rule.to).contains(&self.port)
    }
}
