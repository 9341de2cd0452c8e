//! The function's ports: the cloud, with delays and with what goes wrong.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use crate::case::Fault;
use crate::cloud::{Caller, FUNCTION};
use crate::run::{Invocation, Ours, Run};
use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::decide::guardrail::Entries;
use rulekeeper_core::decide::plan::Batch;
use rulekeeper_core::desired::DesiredRecord;
use rulekeeper_core::fakes::{account, group};
use rulekeeper_core::function::permissions::{Ec2Read, TableWrite, TryClouds, TryGroups, TryTable};
use rulekeeper_core::model::{
    ActualRules, GroupAddress, GroupId, GroupRange, IngressRule, PrefixListId, RuleKey, Scope,
};
use rulekeeper_core::ports::{
    ApiError, Authorized, Budget, Calls, Clouds, DesiredPage, Failure, GroupMarks, KnownScopes,
    Lease, Loaded, NewGeneration, Pace, ScopeTable, SecurityGroups, SweepQueue, SweepTask, Table,
    WatchTable, WriteError,
};
use rulekeeper_core::probe::{Fault as Mistake, is_made};
use rulekeeper_core::report::incident::Incident;

/// EC2, the table and the queue for one invocation.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) run: Rc<Run>,
    /// The invocation that an instance works on.
    pub(crate) present: Rc<RefCell<Rc<Invocation>>>,
    calls: Calls,
    budget: Option<Budget>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}

fn failed(operation: &'static str, failure: Failure) -> ApiError {
    ApiError {
        operation,
        message: format!("{failure:?} on purpose"),
        failure,
    }
}

fn refused(operation: &'static str, code: &str) -> ApiError {
    let code = code.to_owned();
    failed(operation, Failure::Refused { code })
}

impl Ports {
    pub(crate) fn new(run: &Rc<Run>, invocation: Rc<Invocation>) -> Self {
        Self {
            run: run.clone(),
            present: Rc::new(RefCell::new(invocation)),
            calls: Calls::default(),
            budget: None,
        }
    }

    fn invocation(&self) -> Rc<Invocation> {
        self.present.borrow().clone()
    }

    /// One call: it takes time before and after it takes effect, and may fail.
    async fn call<T>(
        &self,
        operation: &'static str,
        of_table: bool,
        effect: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        self.calls.count(operation);
        let number = self.run.next_call();
        self.invocation()
            .calls
            .set(self.invocation().calls.get() + 1);
        let seed = self.run.case.seed ^ (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut rng = Rng::with_seed(seed);
        let fault = self.run.fault(number, of_table);
        let call = async {
            sleep(Duration::from_millis(rng.u64(1..60))).await;
            let ended = self.with(operation, of_table, fault, effect).await;
            sleep(Duration::from_millis(rng.u64(1..60))).await;
            ended
        };
        let until = match (self.budget, of_table) {
            (Some(budget), true) if operation != "BatchGetItem" => budget.bookkeeping_until(),
            (Some(budget), _) => budget.calls_until,
            (None, _) => Instant::now() + Duration::from_secs(10),
        };
        let ended = timeout_at(until, call).await;
        ended.unwrap_or_else(|_| Err(failed(operation, Failure::OutOfTime)))
    }

    async fn with<T>(
        &self,
        operation: &'static str,
        of_table: bool,
        fault: Option<Fault>,
        effect: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let effect = async {
            let ended = effect.await;
            self.run.cloud.borrow_mut().note_live();
            ended
        };
        let Some(fault) = fault else {
            return effect.await;
        };
        self.run.note_fault(fault, of_table);
        let worked = match fault {
            Fault::Dies { worked }
            | Fault::Server { worked }
            | Fault::NoAnswer { worked }
            | Fault::Silent { worked }
            | Fault::Unusable { worked } => worked,
            Fault::Throttled | Fault::Conflict => false,
            Fault::Stale => return effect.await,
        };
        if worked {
            // A refusal is an answer, and there is none.
            drop(effect.await);
        }
        Err(match fault {
            Fault::Dies { .. } => {
                self.invocation().dies.notify_one();
                return std::future::pending().await;
            }
            Fault::Throttled if of_table => {
                refused(operation, "ProvisionedThroughputExceededException")
            }
            Fault::Conflict if of_table => refused(operation, "TransactionConflictException"),
            Fault::Throttled | Fault::Conflict => refused(operation, "RequestLimitExceeded"),
            Fault::NoAnswer { .. } => {
                sleep(Duration::from_secs(2)).await;
                failed(operation, Failure::NoAnswer)
            }
            Fault::Silent { .. } => return std::future::pending().await,
            Fault::Unusable { .. } => failed(operation, Failure::Unusable),
            Fault::Server { .. } | Fault::Stale => {
                let code = "InternalError".to_owned();
                failed(operation, Failure::Server { code })
            }
        })
    }

    async fn read<T>(
        &self,
        operation: &'static str,
        effect: impl AsyncFnOnce(&rulekeeper_core::fakes::FakeEc2) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let run = &self.run;
        let read = async {
            let ec2 = run.cloud.borrow().ec2.clone();
            effect(&ec2).await
        };
        self.call(operation, false, read).await
    }

    /// The same for the table.
    async fn table<T>(
        &self,
        operation: &'static str,
        effect: impl AsyncFnOnce(&rulekeeper_core::fakes::FakeTable) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let run = &self.run;
        let asked = async {
            let table = run.cloud.borrow().table.clone();
            effect(&table).await
        };
        self.call(operation, true, asked).await
    }
}

impl SecurityGroups for Ports {
    async fn ingress_rules(
        &self,
        groups: &[GroupId],
    ) -> Result<BTreeMap<GroupId, ActualRules>, ApiError> {
        let shows = async {
            let lag = self.run.lag(self.run.last_call());
            let at = Instant::now() - lag;
            let invocation = self.invocation();
            // Of several reads the latest counts.
            invocation
                .read_at
                .set(invocation.read_at.get().max(Some(at)));
            let ec2 = self.run.cloud.borrow().ec2.clone();
            if !lag.is_zero() {
                let before = self.run.cloud.borrow().live_at(at);
                let before = before.into_values().collect();
                ec2.state().stale_reads.push_back(before);
            }
            ec2.ingress_rules(groups).await
        };
        self.call("DescribeSecurityGroupRules", false, shows).await
    }

    /// Nobody watches here. What the watch does with a group, a sweep does too.
    async fn described_rules(
        &self,
        _: &[GroupId],
    ) -> Result<BTreeMap<GroupId, BTreeSet<RuleKey>>, ApiError> {
        Ok(BTreeMap::new())
    }

    async fn authorize_ingress(
        &self,
        id: &GroupId,
        batch: &Batch,
    ) -> Result<Vec<Authorized>, ApiError> {
        let invocation = self.invocation();
        let authorize = async {
            let run = &self.run;
            run.check_recorded(&invocation, batch);
            let ec2 = run.cloud.borrow().ec2.clone();
            let made = ec2.authorize_ingress(id, batch).await;
            if made.is_ok() {
                let at = Instant::now();
                let rules = batch.rules.iter().map(|rule| rule.key.clone());
                let keys: Vec<_> = rules.clone().collect();
                run.log.borrow_mut().ours.extend(rules.map(|rule| Ours {
                    rule,
                    at,
                    invocation: invocation.number,
                    began: invocation.began,
                    read_at: invocation.read_at.get(),
                }));
                run.own_authorize(&keys);
            }
            made
        };
        self.call("AuthorizeSecurityGroupIngress", false, authorize)
            .await
    }

    async fn existing_groups(
        &self,
        groups: &BTreeSet<GroupId>,
    ) -> Result<BTreeMap<GroupId, String>, ApiError> {
        self.read("DescribeSecurityGroups", async |ec2| {
            ec2.existing_groups(groups).await
        })
        .await
    }

    async fn groups_referring_to(&self, id: &GroupId) -> Result<BTreeSet<GroupId>, ApiError> {
        self.read("DescribeSecurityGroups", async |ec2| {
            ec2.groups_referring_to(id).await
        })
        .await
    }

    async fn prefix_lists(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> Result<BTreeMap<PrefixListId, u32>, ApiError> {
        self.read("DescribeManagedPrefixLists", async |ec2| {
            ec2.prefix_lists(lists).await
        })
        .await
    }

    async fn prefix_list_entries(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> Result<Entries, ApiError> {
        self.read("GetManagedPrefixListEntries", async |ec2| {
            ec2.prefix_list_entries(lists).await
        })
        .await
    }

    async fn default_vpc_group(&self, name: &str) -> Result<Option<GroupId>, ApiError> {
        self.read("DescribeVpcs", async |ec2| {
            ec2.default_vpc_group(name).await
        })
        .await
    }
}

impl Table for Ports {
    async fn load(&self, address: &GroupAddress) -> Result<Loaded, ApiError> {
        let mut loaded = self
            .table("BatchGetItem", async |table| table.load(address).await)
            .await?;
        if is_made(Mistake::RecordsAreReadLate) && address.id == group().id {
            let run = &self.run;
            let log = run.log.borrow();
            if let [.., (_, before), _] = &log.generations[..] {
                loaded.desired = Some(before.to_json().into());
            }
        }
        Ok(loaded)
    }

    async fn desired_page(
        &self,
        scope: &Scope,
        range: &GroupRange,
    ) -> Result<DesiredPage, ApiError> {
        self.table("Query", async |table| {
            table.desired_page(scope, range).await
        })
        .await
    }

    async fn marks(&self, scope: &Scope, range: &GroupRange) -> Result<GroupMarks, ApiError> {
        self.table("Query", async |table| table.marks(scope, range).await)
            .await
    }

    async fn mark_orphaned(&self, address: &GroupAddress, at: &str) -> Result<(), ApiError> {
        self.table("UpdateItem", async |table| {
            table.mark_orphaned(address, at).await
        })
        .await
    }

    async fn write(&self, change: &NewGeneration) -> Result<u64, WriteError> {
        let write = async |table: &rulekeeper_core::fakes::FakeTable| {
            let written = match is_made(Mistake::RecordsAreOverwritten) {
                true => {
                    let present = table.load(&change.address).await?;
                    let mut change = NewGeneration {
                        replaces: present.desired,
                        ..change.clone()
                    };
                    // The state and the history, in the same transaction, would stop the write too.
                    let state = GroupState::of_item(present.state.as_ref());
                    change.state.revision = state.revision;
                    if let Some(history) = table.archive().history.get_mut(&change.address) {
                        history.retain(|generation, _| *generation + 1 != change.record.generation);
                    }
                    table.write(&change).await
                }
                false => table.write(change).await,
            };
            if written.is_ok() {
                self.run.note_generation(&change.record);
            }
            Ok(written)
        };
        let written = self.table("TransactWriteItems", write).await;
        written.map_err(WriteError::Api)?
    }

    async fn save_state(
        &self,
        address: &GroupAddress,
        state: &GroupState,
    ) -> Result<bool, ApiError> {
        self.table("UpdateItem", async |table| {
            let mut state = state.clone();
            if is_made(Mistake::RestoresAreForgotten) {
                state.returned.clear();
            }
            if is_made(Mistake::StatesAreOverwritten) {
                let present = table.load(address).await?.state;
                state.revision = GroupState::of_item(present.as_ref()).revision;
            }
            table.save_state(address, &state).await
        })
        .await
    }

    async fn record_incident(&self, incident: &Incident) -> Result<(), ApiError> {
        self.table("PutItem", async |table| {
            table.record_incident(incident).await
        })
        .await
    }
}

impl ScopeTable for Ports {
    async fn known_scopes(&self) -> Result<KnownScopes, ApiError> {
        let known = async |_: &rulekeeper_core::fakes::FakeTable| Ok(KnownScopes::default());
        self.table("Query", known).await
    }

    async fn remember_scope(&self, _: &Scope) -> Result<(), ApiError> {
        Ok(())
    }

    async fn note_refused(&self, _: &Scope, _: Option<&str>) -> Result<(), ApiError> {
        Ok(())
    }

    async fn go_on_after(&self, _: &Scope, _: Option<&str>) -> Result<(), ApiError> {
        Ok(())
    }
}

impl WatchTable for Ports {
    async fn watched(&self, _: &Scope) -> Result<Vec<(String, Value)>, ApiError> {
        Ok(Vec::new())
    }

    async fn lease(&self) -> Result<Lease, ApiError> {
        Ok(Lease::default())
    }

    async fn write_lease(&self, _: &Lease) -> Result<bool, ApiError> {
        Ok(false)
    }
}

impl SweepQueue for Ports {
    async fn waiting(&self) -> Result<u64, ApiError> {
        Ok(0)
    }

    async fn send(&self, tasks: &[SweepTask]) -> Result<(), ApiError> {
        let send = async {
            for task in tasks {
                self.run.enqueue(task);
            }
            Ok(())
        };
        self.call("SendMessageBatch", true, send).await
    }
}

impl Clouds for Ports {
    type Ec2 = Self;
    type Table = Self;
    type SweepQueue = Self;

    fn has_role(&self) -> bool {
        false
    }

    async fn in_scope(
        &self,
        _: &Scope,
        _: bool,
        _: Pace,
        calls: &Calls,
        budget: Budget,
    ) -> (Self, Self) {
        let ports = Self {
            calls: calls.clone(),
            budget: Some(budget),
            ..self.clone()
        };
        (ports.clone(), ports)
    }

    fn sweep_queue(&self, calls: &Calls, budget: Budget) -> Option<Self> {
        self.run.case.has_queue.then(|| Self {
            calls: calls.clone(),
            budget: Some(budget),
            ..self.clone()
        })
    }
}

/// Nobody asks the doctor here.
impl TryGroups for Ports {
    async fn try_read(&self, _: Ec2Read) -> Result<(), ApiError> {
        Ok(())
    }

    async fn try_authorize(&self, _: &GroupId, _: &IngressRule) -> Result<(), ApiError> {
        Ok(())
    }
}

impl TryTable for Ports {
    async fn try_write(&self, _: TableWrite, _: &Scope) -> Result<(), ApiError> {
        Ok(())
    }
}

impl TryClouds for Ports {
    async fn try_assume(&self, _: &Scope, _: Budget) -> Option<(String, Result<(), String>)> {
        None
    }
}

/// The function as a caller.
pub(crate) fn function() -> Caller {
    Caller {
        role: FUNCTION.to_owned(),
        is_person: false,
    }
}

/// The record of the group, as it is now.
pub(crate) fn record_of(item: &serde_json::Value) -> DesiredRecord {
    let read = DesiredRecord::from_json(item, &account());
    read.expect("a record of the campaign can be read").record
}
