//! AWS identifiers, one type each, so that the compiler tells them apart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A string is not the identifier that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct InvalidIdentifier {
    value: String,
    expected: &'static str,
}

/// EC2's ids are a prefix, a hyphen and hexadecimal digits: 8 digits for old resources, 17 for new ones.
/// EC2 checks the length and the digits itself and answers `…Malformed`. This check refuses characters that could
/// change the meaning of a key or of a line of text.
fn has_shape(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        (1..=64).contains(&rest.len())
            && rest
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// A Region name becomes part of a host name, so it may hold only what a host label may hold.
fn is_region(text: &str) -> bool {
    (4..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as AWS writes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidIdentifier;

            fn from_str(text: &str) -> Result<Self, InvalidIdentifier> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidIdentifier { value: text.to_owned(), expected: $expected })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidIdentifier;

            fn try_from(text: String) -> Result<Self, InvalidIdentifier> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// A security group's id, such as `sg-0123456789abcdef0`.
    GroupId,
    "a security group id such as sg-0123456789abcdef0",
    |text| has_shape(text, "sg-")
);
identifier!(
    /// A security group rule's id, such as `sgr-0123456789abcdef0`. A rule that is revoked and authorized again gets a
    /// new id, so an id is evidence and never identity.
    RuleId,
    "a security group rule id such as sgr-0123456789abcdef0",
    |text| has_shape(text, "sgr-")
);
identifier!(
    /// A prefix list's id, such as `pl-0123456789abcdef0`.
    PrefixListId,
    "a prefix list id such as pl-0123456789abcdef0",
    |text| has_shape(text, "pl-")
);
identifier!(
    /// An AWS account: twelve digits.
    AccountId,
    "an AWS account id of twelve digits",
    is_account
);
identifier!(
    /// An AWS Region's name, such as `eu-west-1`.
    Region,
    "an AWS Region such as eu-west-1",
    is_region
);

/// An account and Region. A record, its group and the EC2 endpoint share one scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The account that owns the group.
    pub account: AccountId,
    /// The group's Region.
    pub region: Region,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

/// A security group's full address: its scope and its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupAddress {
    /// The account and Region.
    #[serde(flatten)]
    pub scope: Scope,
    /// The group.
    pub id: GroupId,
}

impl GroupAddress {
    /// The address, and behind it the group's name if it is known.
    pub fn named(&self, name: Option<&str>) -> String {
        match name {
            Some(name) => format!("{self} ({name})"),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for GroupAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_take_what_aws_writes_and_refuse_what_could_mean_something_else() {
        assert!("sg-0123456789abcdef0".parse::<GroupId>().is_ok());
        assert!("sg-12345678".parse::<GroupId>().is_ok());
        for wrong in [
            "",
            "sg-",
            "sgr-0123",
            "pl-0123",
            "sg-0123#x",
            "sg-01 23",
            "SG-0123",
            "sg-…",
        ] {
            assert!(wrong.parse::<GroupId>().is_err(), "{wrong:?}");
        }
        assert!("111122223333".parse::<AccountId>().is_ok());
        for wrong in ["11112222333", "1111222233334", "11112222333x", ""] {
            assert!(wrong.parse::<AccountId>().is_err(), "{wrong:?}");
        }
        assert!("us-gov-west-1".parse::<Region>().is_ok());
        for wrong in ["...", "evil.example/", "eu-west-", "EU-WEST-1", "1-eu"] {
            assert!(wrong.parse::<Region>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_refused_identifier_says_what_was_expected() {
        let error = "sg_1"
            .parse::<GroupId>()
            .expect_err("an underscore is not a hyphen");
        assert_eq!(
            error.to_string(),
            r#""sg_1" is not a security group id such as sg-0123456789abcdef0"#
        );
    }
}
