//! Superseding against an oracle that tries every packet.
//!
//! A rule may stay missing only if live rules together allow every packet that it allowed. [`covering`] decides that with
//! rectangles; here each packet of a small universe is tried one by one.

use proptest::prelude::*;
use rulekeeper_core::decide::cover::covering;
use rulekeeper_core::model::RuleKey;

/// A packet: its protocol's number, its port or ICMP message, and its source.
#[derive(Debug, Clone, Copy)]
struct Packet {
    protocol: u8,
    port: u16,
    source: From,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum From {
    Ipv4(u32),
    Ipv6(u128),
    Group,
}

/// A rule, as its author reads it: nothing of it is shared with the code under test but its notation.
#[derive(Debug, Clone)]
struct Rule {
    /// `None` for all.
    protocol: Option<u8>,
    /// Both ends included; for ICMP `type * 256 + code`.
    ports: (u16, u16),
    source: Prefix,
    key: RuleKey,
}

#[derive(Debug, Clone, Copy)]
enum Prefix {
    Ipv4(u32, u8),
    Ipv6(u128, u8),
    Group,
}

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ESP: u8 = 50;
const BASE_IPV4: u32 = 0x0a00_0000;
const BASE_IPV6: u128 = 0x2001_0db8 << 96;

impl Rule {
    fn new(protocol: Option<u8>, ports: (u16, u16), source: Prefix) -> Self {
        let traffic = match protocol {
            None => "all".to_owned(),
            Some(TCP) => format!("tcp {}-{}", ports.0, ports.1),
            Some(ICMP) => match ports {
                (0, u16::MAX) => "icmp -1/-1".to_owned(),
                (from, to) if from == to => format!("icmp {}/{}", from >> 8, from & 255),
                (from, _) => format!("icmp {}/-1", from >> 8),
            },
            Some(number) => number.to_string(),
        };
        let from = match source {
            Prefix::Ipv4(bits, len) => format!("{}/{len}", std::net::Ipv4Addr::from(bits)),
            Prefix::Ipv6(bits, len) => format!("{}/{len}", std::net::Ipv6Addr::from(bits)),
            Prefix::Group => "sg-0a".to_owned(),
        };
        let key = format!("{traffic} from {from}");
        let key = key.parse().unwrap_or_else(|error| panic!("{key}: {error}"));
        Self {
            protocol,
            ports,
            source,
            key,
        }
    }

    fn allows(&self, packet: &Packet) -> bool {
        let has_ports = [TCP, ICMP].contains(&packet.protocol);
        let (from, to) = self.ports;
        let protocol = match self.protocol {
            None => true,
            Some(own) => {
                own == packet.protocol && (!has_ports || (from..=to).contains(&packet.port))
            }
        };
        let source = match (self.source, packet.source) {
            (Prefix::Ipv4(bits, len), From::Ipv4(address)) => {
                address.checked_shr(32 - u32::from(len)).unwrap_or(0)
                    == bits.checked_shr(32 - u32::from(len)).unwrap_or(0)
            }
            (Prefix::Ipv6(bits, len), From::Ipv6(address)) => {
                address.checked_shr(128 - u32::from(len)).unwrap_or(0)
                    == bits.checked_shr(128 - u32::from(len)).unwrap_or(0)
            }
            (Prefix::Group, From::Group) => true,
            _ => false,
        };
        protocol && source
    }
}

/// Whether every packet that one rule allows is allowed by one of the others.
fn allowed(wanted: &Rule, others: &[&Rule], packets: &[Packet]) -> bool {
    let mut wanted = packets.iter().filter(|packet| wanted.allows(packet));
    wanted.all(|packet| others.iter().any(|rule| rule.allows(packet)))
}

fn agrees(wanted: &Rule, others: &[&Rule], packets: &[Packet]) -> bool {
    let cover = covering(&wanted.key, others.iter().map(|rule| &rule.key));
    let expected = allowed(wanted, others, packets);
    assert_eq!(
        cover.is_some(),
        expected,
        "{} by {:?}",
        wanted.key,
        others
            .iter()
            .map(|rule| rule.key.to_string())
            .collect::<Vec<_>>()
    );
    // What is named as the cover is one, and none of it can be left out.
    if let Some(cover) = cover {
        let named = |left_out: Option<usize>| -> Vec<&Rule> {
            let named = cover.iter().enumerate();
            let named = named.filter(|(place, _)| Some(*place) != left_out);
            let rule = |key: &&RuleKey| others.iter().find(|rule| rule.key == **key).copied();
            named.filter_map(|(_, key)| rule(key)).collect()
        };
        assert!(allowed(wanted, &named(None), packets));
        for place in 0..cover.len() {
            assert!(
                !allowed(wanted, &named(Some(place)), packets),
                "{}",
                wanted.key
            );
        }
    }
    expected
}

/// Every prefix of a block of this many addresses.
fn prefixes(bits: u32, of: impl Fn(u32, u32) -> Prefix) -> Vec<Prefix> {
    let prefixes = (0..=bits).flat_map(|free| {
        let of = &of;
        (0..1u32 << (bits - free)).map(move |nth| of(nth << free, free))
    });
    prefixes.collect()
}

fn ipv4(bits: u32) -> Vec<Prefix> {
    prefixes(bits, |offset, free| {
        Prefix::Ipv4(BASE_IPV4 | offset, 32 - free as u8)
    })
}

fn ipv6(bits: u32) -> Vec<Prefix> {
    prefixes(bits, |offset, free| {
        Prefix::Ipv6(BASE_IPV6 | u128::from(offset), 128 - free as u8)
    })
}

fn ranges(most: u16) -> impl Iterator<Item = (u16, u16)> {
    (0..=most).flat_map(move |from| (from..=most).map(move |to| (from, to)))
}

/// Every set of so many of these rules, against every rule.
fn exhaust(rules: &[Rule], packets: &[Packet], size: usize) -> (u64, u64) {
    fn chosen<'r>(
        rules: &'r [Rule],
        size: usize,
        set: &mut Vec<&'r Rule>,
        each: &mut dyn FnMut(&[&'r Rule]),
    ) {
        each(set);
        if set.len() == size {
            return;
        }
        for (place, rule) in rules.iter().enumerate() {
            set.push(rule);
            chosen(&rules[place + 1..], size, set, each);
            set.pop();
        }
    }
    let (mut tried, mut covered) = (0, 0);
    chosen(rules, size, &mut Vec::new(), &mut |set| {
        for wanted in rules {
            tried += 1;
            covered += u64::from(agrees(wanted, set, packets));
        }
    });
    (tried, covered)
}

/// How many rules a set has at most.
const SIZE: usize = 4;

fn packets(
    protocols: &[u8],
    ports: &[u16],
    sources: impl Iterator<Item = From> + Clone,
) -> Vec<Packet> {
    let mut packets = Vec::new();
    for &protocol in protocols {
        for &port in ports {
            packets.extend(sources.clone().map(|source| Packet {
                protocol,
                port,
                source,
            }));
        }
    }
    packets
}

#[test]
fn every_set_of_port_ranges_and_ipv4_prefixes_agrees_with_every_packet() {
    let mut rules: Vec<Rule> = Vec::new();
    for source in ipv4(2) {
        rules.extend(ranges(2).map(|ports| Rule::new(Some(TCP), ports, source)));
    }
    let sources = (0..4).map(|offset| From::Ipv4(BASE_IPV4 | offset));
    let (tried, covered) = exhaust(&rules, &packets(&[TCP], &[0, 1, 2], sources), SIZE);
    assert!(tried > 4_000_000 && covered > 500_000, "{tried} {covered}");
}

#[test]
fn every_set_of_protocols_families_and_groups_agrees_with_every_packet() {
    let sources = ipv4(1).into_iter().chain(ipv6(1)).chain([Prefix::Group]);
    let rules: Vec<Rule> = sources
        .flat_map(|source| {
            [
                Rule::new(None, (0, 0), source),
                Rule::new(Some(TCP), (0, 1), source),
                Rule::new(Some(TCP), (1, 1), source),
                Rule::new(Some(ESP), (0, 0), source),
            ]
        })
        .collect();
    let ipv4 = (0..2).map(|offset| From::Ipv4(BASE_IPV4 | offset));
    let ipv6 = (0..2).map(|offset| From::Ipv6(BASE_IPV6 | offset));
    // 17 stands for every protocol that no rule names: of all traffic it is a part.
    let protocols = [TCP, ESP, 17];
    let packets = packets(&protocols, &[0, 1], ipv4.chain(ipv6).chain([From::Group]));
    let (tried, covered) = exhaust(&rules, &packets, SIZE);
    assert!(tried > 100_000 && covered > 10_000, "{tried} {covered}");
}

#[test]
fn every_set_of_icmp_types_and_codes_agrees_with_every_message() {
    let selectors = [
        (0, u16::MAX),
        (0x0300, 0x03ff),
        (0x0304, 0x0304),
        (0x0305, 0x0305),
        (0x0800, 0x08ff),
    ];
    let rules: Vec<Rule> = ipv4(1)
        .into_iter()
        .flat_map(|source| selectors.map(|ports| Rule::new(Some(ICMP), ports, source)))
        .collect();
    let messages = [
        0x0000, 0x0300, 0x0304, 0x0305, 0x03ff, 0x0800, 0x0801, 0xffff,
    ];
    let sources = (0..2).map(|offset| From::Ipv4(BASE_IPV4 | offset));
    let (tried, covered) = exhaust(&rules, &packets(&[ICMP], &messages, sources), SIZE);
    assert!(tried > 20_000 && covered > 5_000, "{tried} {covered}");
}

/// A rule of a larger universe: 64 addresses of each family, 256 ports.
fn rule() -> impl Strategy<Value = Rule> {
    let source = prop_oneof![
        prop::sample::select(ipv4(6)),
        prop::sample::select(ipv6(6)),
        Just(Prefix::Group),
    ];
    let ports = (0u16..256, 0u16..256).prop_map(|(one, other)| (one.min(other), one.max(other)));
    let protocol = prop_oneof![8 => Just(Some(TCP)), 1 => Just(Some(ESP)), 1 => Just(None)];
    (protocol, ports, source)
        .prop_map(|(protocol, ports, source)| Rule::new(protocol, ports, source))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn larger_sets_agree_with_every_packet(wanted in rule(), others in prop::collection::vec(rule(), 0..24)) {
        let ports: Vec<u16> = (0..256).collect();
        let ipv4 = (0..64).map(|offset| From::Ipv4(BASE_IPV4 | offset));
        let ipv6 = (0..64).map(|offset| From::Ipv6(BASE_IPV6 | offset));
        let packets = packets(&[TCP, ESP, 17], &ports, ipv4.chain(ipv6).chain([From::Group]));
        let mut others: Vec<&Rule> = others.iter().collect();
        others.sort_by(|one, other| one.key.cmp(&other.key));
        others.dedup_by(|one, other| one.key == other.key);
        agrees(&wanted, &others, &packets);
    }
}
