//! Access to EC2 and to the table, wherever a group lives.

use std::future::Future;

use super::{Budget, Calls, ScopeTable, SecurityGroups, SweepQueue, Table};
use crate::model::Scope;

/// How our sessions of a role in another account are named.
pub const SESSION_NAME: &str = "rulekeeper";

/// Gives access to EC2 and to the table, wherever a group lives.
pub trait Clouds {
    /// EC2 in a scope.
    type Ec2: SecurityGroups;
    /// The table.
    type Table: Table + ScopeTable;
    /// The queue that feeds the function.
    type SweepQueue: SweepQueue;

    /// Whether a role is assumed in accounts that are not ours.
    fn has_role(&self) -> bool;

    /// Both, for a piece of work: they count their calls and end them in its time. `foreign` says that the scope's
    /// account is not the one we run in. Makes no call by itself.
    fn in_scope(
        &self,
        scope: &Scope,
        foreign: bool,
        pace: Pace,
        calls: &Calls,
        budget: Budget,
    ) -> impl Future<Output = (Self::Ec2, Self::Table)>;

    /// The queue, if there is one.
    fn sweep_queue(&self, calls: &Calls, budget: Budget) -> Option<Self::SweepQueue>;
}

/// How fast EC2 may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// As fast as it goes: somebody's rules are missing now.
    Free,
    /// Four fifths of what EC2 grants an account.
    Alone,
    /// A share beside two other sweeps.
    AmongThree,
}
