//! rulekeeper's decisions and the order of its actions, without any AWS SDK.
//!
//! EC2 has no transaction for security group rules. Controllers revoke, then authorize, and when the authorize is
//! refused the group stays without its rules. rulekeeper holds a record of what a group should contain and, seconds
//! after a revoke, authorizes what is missing.
//!
//! ```text
//! event ─► intent ─► load (desired ∥ actual) ─► plan ─► authorize ─► verify ─► report
//!          pure      one round trip             pure    one round    I/O       incident, metrics, answer
//!                                                       trip
//! ```
//!
//! # Map
//! Each room imports only rooms above it in this list; `tests/rooms.rs` reads what they import.
//!
//! - [`model`]: identifiers, protocols, sources, rules, the live rules of a group. Pure.
//! - [`desired`]: the desired-state record, its lint, and the principals whose changes count. Pure.
//! - [`event`]: a payload read into an intent. Pure.
//! - [`report`]: the outcome of each rule, of a group and of a sweep; incidents. Pure.
//! - [`decide`]: which rules are missing, why, and what to do. Pure.
//! - [`ports`]: what we ask of EC2, of the table and of the queue; errors and time limits.
//! - [`reconcile`]: the steps for one group.
//! - [`sweep`]: the same for all groups of an account and Region, in ranges.
//! - [`function`]: from a payload to an answer; its metrics; what its role allows.
//!
//! The root package holds the adapters to AWS and the function's binary. `cli/` holds the operator's command line.
//!
//! # Invariants
//! 1. [`model`], [`desired`], [`event`], [`report`] and [`decide`] perform no I/O and read no clock.
//! 2. There is no way to revoke: no port offers it, and the role's policy does not allow it.
//! 3. We never authorize a rule that the record does not contain.
//! 4. One rule's failure never stops another's.
//! 5. A rule's identity is its [`model::RuleKey`], never its description, its tags or its id.

#[macro_use]
mod fault;

pub mod decide;
pub mod desired;
pub mod event;
#[cfg(any(test, feature = "fakes"))]
#[expect(missing_docs, reason = "tests are its only readers")]
pub mod fakes;
pub mod function;
pub mod model;
#[cfg(test)]
mod modelcheck;
pub mod ports;
#[cfg(any(test, feature = "fakes"))]
pub mod probe;
pub mod reconcile;
pub mod report;
pub mod sweep;
