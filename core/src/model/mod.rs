//! The vocabulary: identifiers, protocols, sources and rules. Each is parsed once at the edge and trusted afterwards.
//!
//! Nothing here performs I/O or reads a clock.

mod actual;
mod error_code;
mod ids;
mod protocol;
mod range;
mod rule;
mod source;
mod text;

pub(crate) use error_code::{is_expiry, is_server_fault, is_throttle};

pub use actual::{ActualRule, ActualRules};
pub use ids::{
    AccountId, GroupAddress, GroupId, InvalidIdentifier, PrefixListId, Region, RuleId, Scope,
};
pub use protocol::{IcmpSelector, InvalidProtocol, PortRange, Protocol};
pub use range::GroupRange;
pub use rule::{IngressRule, InvalidRule, RuleKey, Tags, in_words, settable_tags};
pub use source::{GroupRef, InvalidSource, Source};
pub(crate) use text::first_of;
pub use text::{head, shortened};
