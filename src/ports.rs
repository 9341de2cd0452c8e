//! The few verbs we need from the outside world.
//!
//! The port to EC2 can read and it can authorize. There is no way to revoke, modify or delete: nothing behind this
//! module could ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::actual::ActualRules;
use crate::changes::GroupState;
use crate::desired::DesiredRecord;
use crate::error::ApiError;
use crate::incident::Incident;
use crate::model::{
    GroupAddress, GroupId, IngressRule, Part, PrefixListId, RuleId, RuleKey, Scope, Tags,
};

/// EC2's security groups, in one account and Region.
pub trait SecurityGroups {
    /// The live ingress rules of each group asked for. A group that EC2 has nothing to say about has no rules here,
    /// which proves neither that it is empty nor that it exists. At most [`GROUPS_PER_READ`] groups.
    fn ingress_rules(
        &self,
        groups: &[GroupId],
    ) -> impl Future<Output = Result<BTreeMap<GroupId, ActualRules>, ApiError>>;

    /// The live ingress rules of one group, with the same reservation.
    fn rules_of(&self, group: &GroupId) -> impl Future<Output = Result<ActualRules, ApiError>> {
        async move {
            let mut rules = self.ingress_rules(std::slice::from_ref(group)).await?;
            Ok(rules.remove(group).unwrap_or_default())
        }
    }

    /// Authorizes all rules of the batch, or, as far as EC2's documentation can be relied on, none of them.
    fn authorize_ingress(
        &self,
        group: &GroupId,
        batch: &Batch,
    ) -> impl Future<Output = Result<Vec<Authorized>, ApiError>>;

    /// Which of these groups exist and are visible to us.
    fn existing_groups(
        &self,
        groups: &BTreeSet<GroupId>,
    ) -> impl Future<Output = Result<BTreeSet<GroupId>, ApiError>>;

    /// Which of these prefix lists exist and are visible to us, each with what a rule naming it counts towards the
    /// quota.
    fn prefix_lists(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> impl Future<Output = Result<BTreeMap<PrefixListId, u32>, ApiError>>;

    /// The group of this name, whatever its case, in the default VPC.
    fn default_vpc_group(
        &self,
        name: &str,
    ) -> impl Future<Output = Result<Option<GroupId>, ApiError>>;
}

/// The most groups of one [`SecurityGroups::ingress_rules`] call: EC2 takes 200 values per filter and answers
/// `FilterLimitExceeded` to more.
pub const GROUPS_PER_READ: usize = 200;

/// What the table holds about a group, read consistently.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loaded {
    /// The desired-state item.
    pub desired: Option<Value>,
    /// The run-time state.
    pub state: Option<Value>,
    /// The settings for all groups.
    pub settings: Option<Value>,
}

/// What sweeps must know of groups besides their records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Groups that are known to be gone.
    pub orphaned: BTreeSet<GroupId>,
    /// Groups about which something is to be judged even when nothing is missing.
    pub open: BTreeSet<GroupId>,
}

/// Some desired-state items.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredPage {
    /// The items by group id, in the order of the ids.
    pub items: Vec<(String, Value)>,
    /// The last id that was read, if there may be more behind it.
    pub last: Option<String>,
}

/// A record about to become current.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGeneration {
    /// The group.
    pub address: GroupAddress,
    /// Its new record, with generation, author, time and reason.
    pub record: DesiredRecord,
    /// The item as it was read, if there was one.
    pub replaces: Option<Value>,
    /// The run-time state to be written with it, on condition that it is still the one that was read.
    pub state: GroupState,
}

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody else wrote the record since it was read.
    #[error("the record of {group} changed while this command was at work, so it was not written; look at it with `rulekeeper show {}` and run the command again", group.id)]
    LostRace {
        /// The group.
        group: GroupAddress,
    },
    /// Somebody else wrote the run-time state since it was read.
    #[error(
        "the run-time state of {group} kept changing while this command was at work; run it again"
    )]
    StateChanged {
        /// The group.
        group: GroupAddress,
    },
    /// The table refused.
    #[error("the record could not be written: {0}")]
    Api(#[source] ApiError),
}

/// The table.
pub trait Table {
    /// Everything about a group, in one call.
    fn load(&self, group: &GroupAddress) -> impl Future<Output = Result<Loaded, ApiError>>;

    /// The first desired-state items of a part of an account and Region, in the order of their group ids; about 1 MB of
    /// them.
    fn desired_page(
        &self,
        scope: &Scope,
        part: &Part,
    ) -> impl Future<Output = Result<DesiredPage, ApiError>>;

    /// Every desired-state item of an account and Region, by group id.
    fn all_desired(
        &self,
        scope: &Scope,
    ) -> impl Future<Output = Result<Vec<(String, Value)>, ApiError>> {
        async move {
            let (mut all, mut part) = (Vec::new(), Part::default());
            loop {
                let page = self.desired_page(scope, &part).await?;
                all.extend(page.items);
                match page.last {
                    Some(last) => part = part.behind(&last),
                    None => return Ok(all),
                }
            }
        }
    }

    /// The groups in a part of an account and Region that need more than their record to be looked at.
    fn marks(&self, scope: &Scope, part: &Part) -> impl Future<Output = Result<Marks, ApiError>>;

    /// Notes that a group is gone. Doing it again changes nothing.
    fn mark_orphaned(
        &self,
        group: &GroupAddress,
        at: &str,
    ) -> impl Future<Output = Result<(), ApiError>>;

    /// Makes a record current and keeps what it replaces as history, on condition that nobody changed it meanwhile.
    /// Answers with the generation it was given: the record's own, unless history holds that number already.
    fn write(&self, change: &NewGeneration) -> impl Future<Output = Result<u64, WriteError>>;

    /// Writes the run-time state, counted one revision on; answers `false` when it is not the one that was read.
    fn save_state(
        &self,
        group: &GroupAddress,
        state: &GroupState,
    ) -> impl Future<Output = Result<bool, ApiError>>;

    /// Writes an incident, or merges it with what an earlier or concurrent handling of the same event wrote.
    fn record_incident(&self, incident: &Incident) -> impl Future<Output = Result<(), ApiError>>;
}

/// What the table knows of sweeps: which accounts and Regions have records, and where the last sweep of each stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The last group that was looked at, where a sweep could not be finished and nobody else goes on with it.
    pub scopes: BTreeMap<Scope, Option<String>>,
}

/// The table's part in sweeps of more than one invocation can look at.
pub trait FleetTable {
    /// Every scope that is known.
    fn fleet(&self) -> impl Future<Output = Result<Fleet, ApiError>>;

    /// Notes that a scope has records. Doing it again changes nothing.
    fn remember_scope(&self, scope: &Scope) -> impl Future<Output = Result<(), ApiError>>;

    /// Notes where the next sweep of a scope is to go on, or that it may begin at the beginning.
    fn go_on_after(
        &self,
        scope: &Scope,
        group: Option<&str>,
    ) -> impl Future<Output = Result<(), ApiError>>;
}

/// A sweep that somebody else is to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Where.
    pub scope: Scope,
    /// Which groups.
    pub part: Part,
    /// How often this was tried, from 1.
    pub attempt: u32,
    /// Not before so long from now; up to 15 minutes, in whole seconds.
    pub delay: Duration,
}

/// The queue that feeds the function.
pub trait Errands {
    /// How many errands wait or are under way, about.
    fn waiting(&self) -> impl Future<Output = Result<u64, ApiError>>;

    /// Puts errands into the queue. After an error some of them may be there.
    fn send(&self, errands: &[Errand]) -> impl Future<Output = Result<(), ApiError>>;
}

/// Rules to authorize in one call: they share their tags, and no rule is listed twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The rules, in the order in which they matter.
    pub rules: Vec<IngressRule>,
    /// The tags of every rule of this call; EC2 tags per call, not per rule.
    pub tags: Tags,
}

/// A rule that EC2 says it has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorized {
    /// Its identity.
    pub key: RuleKey,
    /// Its new id.
    pub id: Option<RuleId>,
}

/// Counts API calls, attempts that were repeated included, by operation. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Calls {
    /// Counts one call.
    pub fn count(&self, operation: &'static str) {
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(operation)
            .or_default() += 1;
    }

    /// The counts so far.
    pub fn counted(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
