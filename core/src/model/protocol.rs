//! Protocols with the ports or ICMP types that belong to them, in canonical form.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Why a protocol and its ports are not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProtocol {
    /// The protocol is neither a name that EC2 knows nor a number.
    #[error("protocol {0:?} is not tcp, udp, icmp, icmpv6, -1 (all) or a number from 0 to 255")]
    Unknown(String),
    /// A TCP or UDP rule lacks an end of its port range.
    #[error("{0} needs both from_port and to_port (0 and 65535 for all ports)")]
    PortsMissing(&'static str),
    /// A port is outside 0 to 65535, or the range is reversed.
    #[error("ports {0}-{1} are not a range within 0-65535")]
    PortsOutOfRange(i64, i64),
    /// An ICMP type or code is outside -1 to 255, or type -1 has a code other than -1.
    #[error(
        "ICMP type {0} with code {1}: both go from 0 to 255, or -1 for all, and type -1 needs code -1"
    )]
    IcmpOutOfRange(i64, i64),
    /// The text is not a protocol in rule notation.
    #[error(
        "{0:?} is not a protocol in rule notation, such as tcp 443, tcp 80-9093, icmp 8/-1, 50 or all"
    )]
    Notation(String),
}

/// A range of TCP or UDP ports within 0 to 65535, in order, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    from: u16,
    to: u16,
}

impl PortRange {
    fn new(from: i64, to: i64) -> Result<Self, InvalidProtocol> {
        match (u16::try_from(from), u16::try_from(to)) {
            (Ok(low), Ok(high)) if low <= high => Ok(Self {
                from: low,
                to: high,
            }),
            _ => Err(InvalidProtocol::PortsOutOfRange(from, to)),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            write!(f, "{}", self.from)
        } else {
            write!(f, "{}-{}", self.from, self.to)
        }
    }
}

/// The ICMP messages that a rule allows. EC2 puts the type into `FromPort` and the code into `ToPort`; -1 means all
/// (EC2 API Reference, `IpPermission`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IcmpSelector {
    /// Every type and code: `-1/-1`.
    All,
    /// One type with every code: `8/-1`.
    Type(u8),
    /// One type with one code: `3/4`.
    TypeAndCode(u8, u8),
}

impl IcmpSelector {
    /// An absent type or code means all. EC2 documents this for icmpv6, and icmp allows no other sensible reading.
    fn new(icmp_type: Option<i64>, code: Option<i64>) -> Result<Self, InvalidProtocol> {
        let (t, c) = (icmp_type.unwrap_or(-1), code.unwrap_or(-1));
        match (u8::try_from(t), u8::try_from(c)) {
            (Err(_), Err(_)) if t == -1 && c == -1 => Ok(Self::All),
            (Ok(icmp_type), Err(_)) if c == -1 => Ok(Self::Type(icmp_type)),
            (Ok(icmp_type), Ok(code)) => Ok(Self::TypeAndCode(icmp_type, code)),
            _ => Err(InvalidProtocol::IcmpOutOfRange(t, c)),
        }
    }

    fn type_and_code(self) -> (i32, i32) {
        match self {
            Self::All => (-1, -1),
            Self::Type(icmp_type) => (icmp_type.into(), -1),
            Self::TypeAndCode(icmp_type, code) => (icmp_type.into(), code.into()),
        }
    }

    /// The messages as numbers `type * 256 + code`, so that ranges of them can be compared.
    fn span(self) -> RangeInclusive<u32> {
        match self {
            Self::All => 0..=u32::from(u16::MAX),
            Self::Type(icmp_type) => {
                let first = u32::from(icmp_type) * 256;
                first..=first + 255
            }
            Self::TypeAndCode(icmp_type, code) => {
                let message = u32::from(icmp_type) * 256 + u32::from(code);
                message..=message
            }
        }
    }
}

impl fmt::Display for IcmpSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (icmp_type, code) = self.type_and_code();
        write!(f, "{icmp_type}/{code}")
    }
}

/// A protocol with its ports or ICMP messages, in canonical form: equal rules compare equal.
///
/// EC2 ignores the ports of all protocols except tcp, udp, icmp and icmpv6, so they are left out (EC2 API Reference,
/// `IpPermission.IpProtocol`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// All traffic, EC2's `-1`.
    All,
    /// TCP on a range of ports.
    Tcp(PortRange),
    /// UDP on a range of ports.
    Udp(PortRange),
    /// ICMP for IPv4.
    Icmp(IcmpSelector),
    /// ICMP for IPv6.
    Icmpv6(IcmpSelector),
    /// Any other protocol by its IANA number. Never 1, 6, 17 or 58.
    Number(u8),
}

impl Protocol {
    /// Reads EC2's three fields. Names ignore case. The numbers 1, 6, 17 and 58 become names. An absent port is absent,
    /// not zero.
    ///
    /// # Errors
    /// When the protocol is unknown, when tcp or udp lacks a port, or when a number is out of range.
    pub fn from_fields(
        protocol: &str,
        from_port: Option<i64>,
        to_port: Option<i64>,
    ) -> Result<Self, InvalidProtocol> {
        let ports = |name| match (from_port, to_port) {
            (Some(from), Some(to)) => PortRange::new(from, to),
            _ => Err(InvalidProtocol::PortsMissing(name)),
        };
        match protocol.trim().to_ascii_lowercase().as_str() {
            // Rule notation, Terraform and CloudFormation write `all`.
            "-1" | "all" => Ok(Self::All),
            "tcp" | "6" => ports("tcp").map(Self::Tcp),
            "udp" | "17" => ports("udp").map(Self::Udp),
            "icmp" | "1" => IcmpSelector::new(from_port, to_port).map(Self::Icmp),
            "icmpv6" | "58" => IcmpSelector::new(from_port, to_port).map(Self::Icmpv6),
            other => match other.parse::<u8>() {
                // A number with leading zeros, such as 06, is that number.
                Ok(number) if number.to_string() != other => {
                    Self::from_fields(&number.to_string(), from_port, to_port)
                }
                Ok(number) => Ok(Self::Number(number)),
                Err(_) => Err(InvalidProtocol::Unknown(protocol.to_owned())),
            },
        }
    }

    /// The protocol as EC2 and the record name it: `tcp`, `udp`, `icmp`, `icmpv6`, `-1` or a number.
    pub fn name(&self) -> String {
        match self {
            Self::All => "-1".to_owned(),
            Self::Tcp(_) => "tcp".to_owned(),
            Self::Udp(_) => "udp".to_owned(),
            Self::Icmp(_) => "icmp".to_owned(),
            Self::Icmpv6(_) => "icmpv6".to_owned(),
            Self::Number(number) => number.to_string(),
        }
    }

    /// `FromPort` and `ToPort` for a request or a record; `None` if the protocol has none.
    pub fn ports(&self) -> Option<(i32, i32)> {
        match self {
            Self::All | Self::Number(_) => None,
            Self::Tcp(range) | Self::Udp(range) => Some((range.from.into(), range.to.into())),
            Self::Icmp(selector) | Self::Icmpv6(selector) => Some(selector.type_and_code()),
        }
    }

    /// The part of `wanted` that this protocol allows, in the numbers of [`Protocol::span`]. The range may extend
    /// beyond `wanted`. `None` when the two have nothing in common.
    pub(crate) fn span_within(&self, wanted: &Self) -> Option<RangeInclusive<u32>> {
        match (self, wanted) {
            (Self::All, _) => Some(wanted.span()),
            (Self::Tcp(_), Self::Tcp(_))
            | (Self::Udp(_), Self::Udp(_))
            | (Self::Icmp(_), Self::Icmp(_))
            | (Self::Icmpv6(_), Self::Icmpv6(_)) => Some(self.span()),
            (Self::Number(ours), Self::Number(theirs)) if ours == theirs => Some(self.span()),
            _ => None,
        }
    }

    /// The ports or ICMP messages as a range of numbers. A protocol without either is the single number 0.
    pub(crate) fn span(&self) -> RangeInclusive<u32> {
        match self {
            Self::All | Self::Number(_) => 0..=0,
            Self::Tcp(range) | Self::Udp(range) => range.from.into()..=range.to.into(),
            Self::Icmp(selector) | Self::Icmpv6(selector) => selector.span(),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Tcp(range) => write!(f, "tcp {range}"),
            Self::Udp(range) => write!(f, "udp {range}"),
            Self::Icmp(selector) => write!(f, "icmp {selector}"),
            Self::Icmpv6(selector) => write!(f, "icmpv6 {selector}"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl FromStr for Protocol {
    type Err = InvalidProtocol;

    /// Reads rule notation: `all`, `tcp 443`, `udp 53-54`, `icmp 8/-1`, `icmpv6` (every message), `50`.
    fn from_str(text: &str) -> Result<Self, InvalidProtocol> {
        let wrong = || InvalidProtocol::Notation(text.to_owned());
        let number = |part: &str| part.parse::<i64>().map_err(|_| wrong());
        let (name, selector) = match text.trim().split_once(char::is_whitespace) {
            Some((name, selector)) => (name, Some(selector.trim())),
            None => (text.trim(), None),
        };
        let Some(selector) = selector else {
            let name = if name.eq_ignore_ascii_case("all") {
                "-1"
            } else {
                name
            };
            return Self::from_fields(name, None, None);
        };
        let (from, to) = match (selector.split_once('/'), selector.split_once('-')) {
            (Some((icmp_type, code)), _) => (number(icmp_type)?, number(code)?),
            (None, Some((from, to))) => (number(from)?, number(to)?),
            (None, None) => (number(selector)?, number(selector)?),
        };
        match Self::from_fields(name, Some(from), Some(to))? {
            Self::Icmp(_) | Self::Icmpv6(_) if !selector.contains('/') => Err(wrong()),
            Self::Tcp(_) | Self::Udp(_) if selector.contains('/') => Err(wrong()),
            Self::All | Self::Number(_) => Err(wrong()),
            protocol => Ok(protocol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(protocol: &str, from: Option<i64>, to: Option<i64>) -> String {
        match Protocol::from_fields(protocol, from, to) {
            Ok(protocol) => protocol.to_string(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn spellings_of_one_protocol_become_one() {
        assert_eq!(read("TCP", Some(443), Some(443)), "tcp 443");
        assert_eq!(read("6", Some(443), Some(443)), "tcp 443");
        assert_eq!(read("06", Some(443), Some(443)), "tcp 443");
        assert_eq!(read("17", Some(53), Some(54)), "udp 53-54");
        assert_eq!(read("1", Some(8), Some(-1)), "icmp 8/-1");
        assert_eq!(read("58", None, None), "icmpv6 -1/-1");
        assert_eq!(read("icmp", Some(-1), Some(-1)), "icmp -1/-1");
        assert_eq!(read("icmp", Some(3), Some(4)), "icmp 3/4");
    }

    #[test]
    fn ports_of_all_traffic_and_of_other_protocols_are_ignored_as_ec2_does() {
        assert_eq!(read("-1", None, None), "all");
        assert_eq!(read("-1", Some(-1), Some(-1)), "all");
        assert_eq!(read("-1", Some(0), Some(0)), "all");
        assert_eq!(read("All", Some(0), Some(65535)), "all");
        assert_eq!(read("50", Some(-1), Some(-1)), "50");
        assert_eq!(read("50", Some(7), Some(9)), "50");
    }

    #[test]
    fn absent_ports_are_absent_and_not_zero() {
        assert!(read("tcp", None, None).starts_with("error: tcp needs both"));
        assert!(read("udp", Some(53), None).starts_with("error: udp needs both"));
        assert_eq!(read("tcp", Some(0), Some(0)), "tcp 0");
    }

    #[test]
    fn impossible_numbers_are_refused_with_the_numbers() {
        assert_eq!(
            read("tcp", Some(443), Some(80)),
            "error: ports 443-80 are not a range within 0-65535"
        );
        assert!(read("tcp", Some(-1), Some(-1)).starts_with("error: ports -1--1"));
        assert!(read("udp", Some(0), Some(65_536)).starts_with("error: ports 0-65536"));
        assert!(read("icmp", Some(-1), Some(4)).starts_with("error: ICMP type -1 with code 4"));
        assert!(read("icmp", Some(256), Some(0)).starts_with("error: ICMP type 256"));
        assert!(read("256", None, None).starts_with("error: protocol \"256\""));
        assert!(read("gre", None, None).starts_with("error: protocol \"gre\""));
    }

    #[test]
    fn notation_refuses_a_selector_that_belongs_to_another_protocol() {
        for wrong in [
            "tcp 8/0",
            "icmp 8",
            "all 443",
            "50 443",
            "tcp",
            "tcp x",
            "tcp 1-2-3",
            "",
        ] {
            assert!(wrong.parse::<Protocol>().is_err(), "{wrong:?}");
        }
        assert_eq!("ALL".parse::<Protocol>(), Ok(Protocol::All));
        assert_eq!(
            "icmp".parse::<Protocol>(),
            Ok(Protocol::Icmp(IcmpSelector::All))
        );
    }
}
