//! The outside world of one account and Region, and the operator's settings.

use jiff::Timestamp;

use super::MissingReferences;
use crate::decide::guardrail::Guardrails;
use crate::desired::Mode;
use crate::ports::Calls;

/// The outside world of one account and Region, and how to act in it.
#[derive(Debug)]
pub struct World<'a, E, T> {
    /// EC2.
    pub ec2: &'a E,
    /// The table.
    pub table: &'a T,
    /// Counts the calls of both.
    pub calls: &'a Calls,
    /// References that were recently found missing.
    pub missing: &'a MissingReferences,
    /// Rules that are never authorized.
    pub never: &'a Guardrails,
    /// The operator's settings.
    pub settings: Settings,
    /// The groups belong to another account in which we have no role. A group that EC2 does not show us may still
    /// exist.
    pub without_role: bool,
    /// EC2 throttles our calls, so an event that the table can answer leads to no read.
    pub spares_reads: bool,
    /// The present time.
    pub now: fn() -> Timestamp,
}

// A derived impl would require the adapters to be `Copy` too.
impl<E, T> Clone for World<'_, E, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E, T> Copy for World<'_, E, T> {}

/// The operator's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// `Observe` overrides every record.
    pub mode: Mode,
    /// The account's quota of ingress rules per group.
    pub rules_per_group: u32,
    /// Whether to write to the table. A plan writes nothing.
    pub writes: bool,
}
