//! The source of a rule: exactly one CIDR, prefix list or security group.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::{AccountId, GroupId, InvalidIdentifier, PrefixListId};

/// Why a text is not a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSource {
    /// The text is not an IPv4 CIDR.
    #[error("{0:?} is not an IPv4 CIDR such as 10.0.0.0/8 (a single address is /32)")]
    Ipv4(String),
    /// The text is not an IPv6 CIDR.
    #[error("{0:?} is not an IPv6 CIDR such as 2001:db8::/32 (a single address is /128)")]
    Ipv6(String),
    /// An id inside the source is invalid.
    #[error(transparent)]
    Identifier(#[from] InvalidIdentifier),
    /// The text is not a source in rule notation.
    #[error("{0:?} is not a source: give a CIDR, pl-…, sg-… or ACCOUNT/sg-…")]
    Notation(String),
}

/// A security group named as a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupRef {
    /// The group whose members may send.
    pub group_id: GroupId,
    /// The account that owns the group, if it is not the account of the group that holds the rule. EC2 reports our own
    /// account too; canonical form leaves it out.
    pub account_id: Option<AccountId>,
}

/// The one source of a rule, in canonical form. Host bits are cleared, as EC2 does before it stores or compares (EC2
/// API Reference, `AuthorizeSecurityGroupIngress`). Our own account is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// IPv4 addresses.
    Ipv4(Ipv4Net),
    /// IPv6 addresses.
    Ipv6(Ipv6Net),
    /// A prefix list.
    PrefixList(PrefixListId),
    /// Another security group, or the same one.
    ReferencedGroup(GroupRef),
}

/// Private and shared IPv4 addresses (RFC 1918, RFC 6598).
const PRIVATE: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// Unique local IPv6 addresses (RFC 4193).
const UNIQUE_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

impl Source {
    /// Whether it is public address space, at least in part.
    pub fn is_public(&self) -> bool {
        match self {
            Self::Ipv4(net) => !PRIVATE.iter().any(|range| range.contains(net)),
            Self::Ipv6(net) => !UNIQUE_LOCAL.contains(net),
            Self::PrefixList(_) | Self::ReferencedGroup(_) => false,
        }
    }

    /// The length of a CIDR's prefix.
    pub fn prefix_len(&self) -> Option<u8> {
        match self {
            Self::Ipv4(net) => Some(net.prefix_len()),
            Self::Ipv6(net) => Some(net.prefix_len()),
            Self::PrefixList(_) | Self::ReferencedGroup(_) => None,
        }
    }

    /// An IPv4 CIDR with its host bits cleared.
    ///
    /// # Errors
    /// When the text is not an IPv4 CIDR.
    pub fn ipv4(cidr: &str) -> Result<Self, InvalidSource> {
        let net: Ipv4Net = cidr
            .trim()
            .parse()
            .map_err(|_| InvalidSource::Ipv4(cidr.to_owned()))?;
        Ok(Self::Ipv4(net.trunc()))
    }

    /// An IPv6 CIDR with its host bits cleared. All spellings of one network compare equal.
    ///
    /// # Errors
    /// When the text is not an IPv6 CIDR.
    pub fn ipv6(cidr: &str) -> Result<Self, InvalidSource> {
        let net: Ipv6Net = cidr
            .trim()
            .parse()
            .map_err(|_| InvalidSource::Ipv6(cidr.to_owned()))?;
        Ok(Self::Ipv6(net.trunc()))
    }

    /// What is doubtful about the text of a CIDR: it names a host or a smaller network, and its mask allows more. EC2
    /// clears the host bits (EC2 API Reference, `AuthorizeSecurityGroupIngress`).
    pub fn host_bits(&self, cidr: &str) -> Option<String> {
        let address = cidr.trim().split('/').next()?;
        let differs = match self {
            Self::Ipv4(net) => address.parse() != Ok(net.network()),
            Self::Ipv6(net) => address.parse() != Ok(net.network()),
            Self::PrefixList(_) | Self::ReferencedGroup(_) => false,
        };
        differs.then(|| format!("{cidr} is the network {self}: it allows more than {address}"))
    }

    /// A prefix list.
    ///
    /// # Errors
    /// When the text is not a prefix list id.
    pub fn prefix_list(id: &str) -> Result<Self, InvalidSource> {
        Ok(Self::PrefixList(id.trim().parse()?))
    }

    /// A security group. `owner` is the account of the group that holds the rule; `account_id` is left out if it is the
    /// same.
    ///
    /// # Errors
    /// When either text is not a valid id.
    pub fn referenced_group(
        group_id: &str,
        account_id: Option<&str>,
        owner: &AccountId,
    ) -> Result<Self, InvalidSource> {
        let account_id = account_id.map(str::parse).transpose()?;
        Ok(Self::ReferencedGroup(GroupRef {
            group_id: group_id.trim().parse()?,
            account_id: account_id.filter(|account| account != owner),
        }))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(net) => net.fmt(f),
            Self::Ipv6(net) => net.fmt(f),
            Self::PrefixList(id) => id.fmt(f),
            Self::ReferencedGroup(GroupRef {
                group_id,
                account_id: None,
            }) => group_id.fmt(f),
            Self::ReferencedGroup(GroupRef {
                group_id,
                account_id: Some(account),
            }) => {
                write!(f, "{account}/{group_id}")
            }
        }
    }
}

impl FromStr for Source {
    type Err = InvalidSource;

    /// Reads rule notation: `10.0.0.0/8`, `2001:db8::/32`, `pl-…`, `sg-…`, `111122223333/sg-…`.
    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        let text = text.trim();
        if text.starts_with("pl-") {
            return Self::prefix_list(text);
        }
        if text.starts_with("sg-") {
            return Ok(Self::ReferencedGroup(GroupRef {
                group_id: text.parse()?,
                account_id: None,
            }));
        }
        match text.split_once('/') {
            Some((account, group)) if group.starts_with("sg-") => {
                Ok(Self::ReferencedGroup(GroupRef {
                    group_id: group.parse()?,
                    account_id: Some(account.parse()?),
                }))
            }
            Some(_) if text.contains(':') => Self::ipv6(text),
            Some(_) => Self::ipv4(text),
            None => Err(InvalidSource::Notation(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_cleared_and_spellings_of_one_network_are_one() {
        assert_eq!(
            Source::ipv4("100.68.0.18/18"),
            Source::ipv4("100.68.0.0/18")
        );
        assert_eq!(
            Source::ipv6("2001:DB8:0:0::1/32"),
            Source::ipv6("2001:db8::/32")
        );
        assert_eq!(
            Source::ipv4("208.236.235.254/0").map(|s| s.to_string()),
            Ok("0.0.0.0/0".to_owned())
        );
    }

    #[test]
    fn our_own_account_is_left_out_and_another_is_kept() {
        let owner: AccountId = "111122223333".parse().expect("twelve digits");
        let source = |account| {
            Source::referenced_group("sg-0a", account, &owner)
                .expect("a valid reference")
                .to_string()
        };
        assert_eq!(source(None), "sg-0a");
        assert_eq!(source(Some("111122223333")), "sg-0a");
        assert_eq!(source(Some("444455556666")), "444455556666/sg-0a");
    }

    #[test]
    fn texts_that_are_no_source_say_what_would_be() {
        for wrong in [
            "10.0.0.1",
            "sg_1",
            "",
            "10.0.0.0/33",
            "::/129",
            "1111/sg-0a",
            "pl-",
            "10.0.0.0/x",
        ] {
            assert!(wrong.parse::<Source>().is_err(), "{wrong:?}");
        }
    }
}
