//! The outside world of one account and Region, and the operator's settings.

use jiff::Timestamp;

use super::MissingReferences;
use crate::desired::Mode;
use crate::ports::Calls;

/// The outside world of one account and Region, and what is to be done in it.
#[derive(Debug)]
pub struct World<'a, E, T> {
    /// EC2.
    pub ec2: &'a E,
    /// The table.
    pub table: &'a T,
    /// Counts the calls that the two make.
    pub calls: &'a Calls,
    /// References found missing lately.
    pub missing: &'a MissingReferences,
    /// What the operator chose.
    pub settings: Settings,
    /// The groups belong to an account that is not ours, and we have no role there: what EC2 does not show us may
    /// exist all the same.
    pub blind: bool,
    /// Events come faster than EC2 can be asked about each.
    pub in_burst: bool,
    /// The present time.
    pub now: fn() -> Timestamp,
}

// Derived, these would ask the adapters to be `Copy` too.
impl<E, T> Clone for World<'_, E, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E, T> Copy for World<'_, E, T> {}

/// What the operator chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// `Observe` overrides every record.
    pub mode: Mode,
    /// The account's quota of ingress rules per group.
    pub rules_per_group: u32,
    /// Whether to write anything to the table. A plan writes nothing.
    pub writes: bool,
}
