//! The rules of the replays: TCP only, from one source; and the traffic that they let through.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use aws_sdk_ec2::types::IpPermission;
use ipnet::Ipv4Net;
use rulekeeper_bench::client;
use serde_json::Value;

/// Ports of TCP from one source.
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

/// Ports from a group or a range of addresses.
pub(crate) fn tcp(from: u16, to: u16, source: &str) -> Rule {
    let source = source.to_owned();
    Rule { from, to, source }
}

impl Rule {
    /// Reads the notation; `None` if it is not a rule of TCP.
    pub(crate) fn parse(notation: &str) -> Option<Self> {
        let (ports, source) = notation.strip_prefix("tcp ")?.split_once(" from ")?;
        let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
        Some(tcp(from.parse().ok()?, to.parse().ok()?, source))
    }

    /// The rules of a set in the `responseElements` of one of CloudTrail's records.
    pub(crate) fn of_set(record: &Value, set: &str) -> Vec<Self> {
        let items = record["responseElements"][set]["items"].as_array();
        let items = items.into_iter().flatten();
        items.filter_map(Self::of_entry).collect()
    }

    fn of_entry(entry: &Value) -> Option<Self> {
        let port = |name: &str| entry[name].as_u64().and_then(|port| port.try_into().ok());
        let source = [
            &entry["cidrIpv4"],
            &entry["referencedGroupId"],
            &entry["referencedGroupInfo"]["groupId"],
        ];
        let source = source.iter().find_map(|source| source.as_str())?;
        Some(tcp(port("fromPort")?, port("toPort")?, source))
    }
}

/// Rules in one line.
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

/// The rules that `there` lacks: another description makes no other rule.
pub(crate) fn missing(rules: &Described, there: &Described) -> Described {
    let mut missing = rules.clone();
    missing.retain(|rule, _| !there.contains_key(rule));
    missing
}

/// The rules in permissions, which have one protocol and port range and many sources.
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

/// New connections that have to get through.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    /// To which port.
    pub(crate) port: u16,
    /// From where.
    pub(crate) from: Origin,
}

/// Where connections come from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// Members of a group.
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
    /// From the members of a group.
    pub(crate) fn from_group(port: u16, group: &str) -> Self {
        let from = Origin::Group(group.to_owned());
        Self { port, from }
    }

    /// From an address.
    pub(crate) fn from_address(port: u16, address: [u8; 4]) -> Self {
        let from = Origin::Address(address.into());
        Self { port, from }
    }

    /// Whether a rule lets it through.
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
