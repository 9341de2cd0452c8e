//! rulekeeper puts back security group ingress rules that were revoked and not authorized again.
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
//! - [`model`]: identifiers, protocols, sources, rules. Knows nobody.
//! - [`event`]: what arrived, read into an intent.
//! - [`desired`] and [`actual`]: what should be there, and what is.
//! - [`plan`] with [`cover`]: deciding. [`doubt`]: whether a read can be trusted.
//! - [`changes`] with [`principals`]: whose changes are meant, and who fights.
//! - [`ports`]: the few verbs asked of EC2 and of the table. [`aws`] is the only room that speaks to the AWS SDK.
//! - [`execute`] with [`quota`]: authorizing, and isolating what is refused. [`error`]: what an error code means.
//! - [`reconcile`] and [`sweep`]: the order of things, for one group and for all. `fleet`: sweeps in parts.
//! - [`report`], [`incident`], [`metrics`]: what came of it. [`handler`], [`config`]: the function around it all.
//! - [`doctor`]: whether the function's role allows what it will need, tried without changing anything.
//! - [`operator`]: what the CLI does beyond reconciling.
//!
//! # Invariants
//! 1. [`model`], [`plan`], [`cover`], [`changes`], [`principals`], [`doubt`] and [`event`] perform no I/O and read no clock.
//! 2. There is no way to revoke: no port offers it, and the role's policy does not allow it.
//! 3. Nothing is authorized that the record does not contain.
//! 4. One rule's failure never stops another's.
//! 5. A rule's identity is its [`model::RuleKey`]; never its description, its tags or its id.

#[macro_use]
mod broken;

pub mod actual;
pub mod aws;
pub mod budget;
pub mod changes;
pub mod config;
pub mod cover;
pub mod desired;
pub mod doctor;
pub mod doubt;
pub mod error;
pub mod event;
pub mod execute;
#[cfg(test)]
mod fakes;
mod fleet;
pub mod handler;
pub mod incident;
pub mod memory;
pub mod metrics;
pub mod model;
#[cfg(test)]
mod modelcheck;
pub mod operator;
pub mod plan;
pub mod ports;
pub mod principals;
pub mod quota;
pub mod reconcile;
pub mod report;
pub mod sweep;
