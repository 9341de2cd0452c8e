//! Decisions as pure functions: no I/O, no clock, no randomness.

pub mod changes;
pub mod cover;
pub mod guardrail;
pub mod plan;
pub mod quota;
pub mod restorable;
pub mod staleness;
