//! Access to EC2 and to the table, for any account and Region.

use std::future::Future;

use super::{Budget, Calls, ScopeTable, SecurityGroups, SweepQueue, Table, WatchTable};
use crate::model::Scope;

/// The session name when we assume a role in another account.
pub const SESSION_NAME: &str = "rulekeeper";

/// Gives access to EC2 and to the table, for any account and Region.
pub trait Clouds {
    /// EC2 in a scope.
    type Ec2: SecurityGroups;
    /// The table.
    type Table: Table + ScopeTable + WatchTable;
    /// The queue that feeds the function.
    type SweepQueue: SweepQueue;

    /// Whether we assume a role in other accounts.
    fn has_role(&self) -> bool;

    /// EC2 and the table, for one piece of work. Both count their calls in `calls` and end them within `budget`.
    /// `foreign` says that the scope's account is not ours. This makes no call by itself.
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

/// How fast we may call EC2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// As fast as possible: rules are missing now.
    Free,
    /// Four fifths of EC2's limit for an account.
    Alone,
    /// A share of it, next to two other sweeps.
    AmongThree,
    /// A fourth of it, for the watch.
    Watch,
}
