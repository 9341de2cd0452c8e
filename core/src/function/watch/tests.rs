use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::*;
use crate::decide::guardrail::Entries;
use crate::fakes::{FakeEc2, FakeTable, group, key, record, refused, settings};
use crate::function::permissions::{Ec2Read, TableWrite, TryGroups, TryTable};
use crate::model::{ActualRules, GroupRange, IngressRule, PrefixListId};
use crate::ports::{
    Authorized, Clouds, DesiredPage, Failure, GroupMarks, KnownScopes, Loaded, NewGeneration,
    SweepQueue, SweepTask, Table, WriteError,
};
use crate::report::{GroupOutcome, incident::Incident};

const ALL: [&str; 3] = [
    "tcp 443 from 10.0.0.0/8",
    "tcp 80 from 10.0.0.0/8",
    "tcp 22 from 10.0.0.0/8",
];

/// What several runs share: EC2, the table and the lease.
#[derive(Clone)]
struct Shared(Arc<Parts>);

struct Parts {
    ec2: FakeEc2,
    table: FakeTable,
    lease: Mutex<Lease>,
    /// Whether the table takes no lease.
    lease_error: Mutex<bool>,
}

impl Shared {
    fn new(live: &[&str]) -> Self {
        let mut watched = record(&ALL);
        watched.watch = true;
        Self(Arc::new(Parts {
            ec2: FakeEc2::new(live),
            table: FakeTable::with(&watched),
            lease: Mutex::default(),
            lease_error: Mutex::default(),
        }))
    }

    fn lease(&self) -> Lease {
        self.0
            .lease
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn drop_rule(&self, rule: &str) {
        self.0.ec2.state().live.remove(&key(rule));
    }

    fn handler(&self) -> Handler<Self> {
        Handler::new(self.clone(), settings(), clock)
    }
}

thread_local! {
    static BEGAN: Instant = Instant::now();
}

/// A clock that goes with tokio's paused time.
fn clock() -> Timestamp {
    let passed = BEGAN.with(Instant::elapsed);
    crate::fakes::now() + SignedDuration::try_from(passed).expect("a short time")
}

fn home() -> Home {
    Home::of_function("arn:aws:lambda:eu-west-1:111122223333:function:rulekeeper-watch")
}

const EVERY_2_S: WatchRequest = WatchRequest { every_seconds: 2 };

/// Watches for a time, and returns the last report and the reports of groups.
async fn watch(shared: &Shared, run: &str, seconds: u64) -> (WatchReport, Vec<GroupOutcome>) {
    let told = RefCell::new(Vec::new());
    let handler = shared.handler();
    let time = Duration::from_secs(seconds) + RECONCILE_MAX + LOOK_MAX;
    let answer = handler
        .watch(&EVERY_2_S, &home(), run, time, async |answer: &Answer| {
            let outcomes = answer.reports().into_iter().map(|it| it.outcome);
            told.borrow_mut().extend(outcomes);
        })
        .await;
    match answer {
        Answer::Watch { watch } => (watch, told.into_inner()),
        other => panic!("{other:?}"),
    }
}

async fn after(seconds: u64, act: impl FnOnce()) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    act();
}

#[tokio::test(start_paused = true)]
async fn a_dropped_rule_is_back_after_the_second_look_and_one_describe_is_a_look() {
    let shared = Shared::new(&ALL);
    let began = Instant::now();
    let back = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        shared.drop_rule(ALL[0]);
        while shared.0.ec2.live().len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    };
    let ((report, outcomes), back) = tokio::join!(watch(&shared, "one", 20), back);
    // Looks at 6 and 8 s show it missing.
    assert!(back < Duration::from_millis(8_100), "{back:?}");
    assert_eq!(outcomes, [GroupOutcome::Restored]);
    assert_eq!((report.groups, report.reconciled, report.looks), (1, 1, 10));
    assert_eq!(report.reason.as_deref(), Some("its time is over"));
    assert_eq!(shared.0.ec2.called("DescribeSecurityGroups"), 10);
    let incidents = shared.0.table.incidents.lock().expect("not poisoned");
    assert!(incidents[0].key.ends_with("#watch"), "{}", incidents[0].key);
}

#[tokio::test(start_paused = true)]
async fn a_controller_between_its_two_calls_is_not_disturbed() {
    let shared = Shared::new(&ALL);
    let controller = async {
        for turn in 0..8 {
            tokio::time::sleep(Duration::from_millis(1_900 + turn * 10)).await;
            shared.drop_rule(ALL[0]);
            tokio::time::sleep(Duration::from_millis(400)).await;
            let mut ec2 = shared.0.ec2.state();
            ec2.add(&key(ALL[0]), None, Default::default());
        }
    };
    let ((report, _), ()) = tokio::join!(watch(&shared, "one", 30), controller);
    assert_eq!(report.reconciled, 0);
    assert_eq!(shared.0.ec2.called("AuthorizeSecurityGroupIngress"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_missing_is_reconciled_once_until_something_changes() {
    let shared = Shared::new(&ALL[1..]);
    let mut paused = record(&ALL);
    (paused.watch, paused.mode) = (true, crate::desired::Mode::Observe);
    shared
        .0
        .table
        .put(group(), serde_json::Value::Object(paused.to_json()));
    let change = after(41, || shared.drop_rule(ALL[1]));
    let ((report, outcomes), ()) = tokio::join!(watch(&shared, "one", 80), change);
    assert_eq!(outcomes, [GroupOutcome::Observed, GroupOutcome::Observed]);
    assert_eq!(shared.0.ec2.called("AuthorizeSecurityGroupIngress"), 0);
    assert_eq!(report.failed_reads, 0);
}

#[tokio::test(start_paused = true)]
async fn runs_hand_over_without_a_gap_and_never_look_at_the_same_time() {
    let shared = Shared::new(&ALL);
    let first = watch(&shared, "first", 1_000);
    let second = async {
        tokio::time::sleep(Duration::from_secs(61)).await;
        watch(&shared, "second", 40).await
    };
    // Invoked twice by one schedule: the later one is heir.
    let third = async {
        tokio::time::sleep(Duration::from_millis(61_100)).await;
        watch(&shared, "third", 40).await
    };
    let looks = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let before = shared.0.ec2.called("DescribeSecurityGroups");
        tokio::time::sleep(Duration::from_secs(30)).await;
        shared.0.ec2.called("DescribeSecurityGroups") - before
    };
    let ((first, _), (second, _), (third, _), looks) = tokio::join!(first, second, third, looks);
    assert_eq!(first.reason.as_deref(), Some("third goes on"));
    assert_eq!(second.reason.as_deref(), Some("third watches in its place"));
    assert_eq!(third.reason.as_deref(), Some("its time is over"));
    // One look each two seconds, and at most one more or less where they changed.
    assert!((14..=16).contains(&looks), "{looks}");
    assert_eq!((second.looks, shared.lease().holder), (0, None));
}

#[tokio::test(start_paused = true)]
async fn after_a_run_was_killed_the_next_one_waits_for_the_end_of_its_lease() {
    let shared = Shared::new(&ALL);
    let killed = tokio::time::timeout(Duration::from_secs(10), watch(&shared, "killed", 1_000));
    assert!(killed.await.is_err());
    shared.drop_rule(ALL[0]);
    let began = Instant::now();
    let back = async {
        while shared.0.ec2.live().len() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    };
    let ((report, _), back) = tokio::join!(watch(&shared, "next", 60), back);
    assert_eq!(report.reconciled, 1);
    assert!((25..36).contains(&back.as_secs()), "{back:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_renew_its_lease_stops_before_another_may_begin() {
    let shared = Shared::new(&ALL);
    let trouble = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        *shared.0.lease_error.lock().expect("not poisoned") = true;
        // The lease covers ten more seconds of work until now.
        tokio::time::sleep(Duration::from_secs(21)).await;
        shared.drop_rule(ALL[0]);
    };
    let ((report, outcomes), ()) = tokio::join!(watch(&shared, "one", 60), trouble);
    assert_eq!(outcomes, []);
    assert!(report.failed_reads > 20, "{report:?}");
    assert!(report.last_error.is_some());
}

#[tokio::test(start_paused = true)]
async fn throttling_makes_the_watch_slower_for_a_while_and_it_says_so() {
    let shared = Shared::new(&ALL);
    let throttled = ApiError {
        operation: "DescribeSecurityGroups",
        failure: Failure::Refused {
            code: "RequestLimitExceeded".to_owned(),
        },
        message: "too many".to_owned(),
    };
    shared
        .0
        .ec2
        .state()
        .look_errors
        .extend([throttled.clone(), throttled]);
    let (report, _) = watch(&shared, "one", 40).await;
    assert_eq!((report.throttled, report.failed_reads), (2, 2));
    assert!(
        report
            .last_error
            .is_some_and(|it| it.contains("RequestLimitExceeded"))
    );
    // Pauses of 4, 8, 4 and then 2 s.
    assert_eq!((report.longest_pause_ms, report.looks), (8_000, 15));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_ec2_does_not_understand_costs_its_own_group_alone() {
    let shared = Shared::new(&ALL);
    let odd = GroupAddress {
        id: "sg-0a".parse().expect("an id"),
        ..group()
    };
    let mut watched = record(&ALL);
    watched.watch = true;
    shared
        .0
        .table
        .put(odd.clone(), serde_json::Value::Object(watched.to_json()));
    shared.0.ec2.state().malformed_groups.insert(odd.id);
    let change = after(3, || shared.drop_rule(ALL[2]));
    let ((report, outcomes), ()) = tokio::join!(watch(&shared, "one", 30), change);
    assert_eq!((report.groups, outcomes), (2, vec![GroupOutcome::Restored]));
    // Halved once; the id is then left out.
    assert_eq!(
        shared.0.ec2.called("DescribeSecurityGroups"),
        report.looks + 2
    );
    assert_eq!(report.failed_reads, 1);
}

#[tokio::test(start_paused = true)]
async fn without_an_account_and_a_region_nobody_watches() {
    let shared = Shared::new(&ALL);
    let handler = shared.handler();
    let told = async |_: &Answer| panic!("there is nothing to tell");
    let time = Duration::from_secs(60);
    let nowhere = Home::default();
    let answer = handler.watch(&EVERY_2_S, &nowhere, "one", time, told);
    let answer = serde_json::to_value(answer.await).expect("JSON");
    let reason = "the function's account and Region are not known";
    assert_eq!(answer["watch"]["reason"], reason);
    assert_eq!(shared.lease(), Lease::default());
}

impl SecurityGroups for Shared {
    async fn ingress_rules(
        &self,
        groups: &[GroupId],
    ) -> Result<BTreeMap<GroupId, ActualRules>, ApiError> {
        self.0.ec2.ingress_rules(groups).await
    }

    async fn described_rules(
        &self,
        groups: &[GroupId],
    ) -> Result<BTreeMap<GroupId, BTreeSet<RuleKey>>, ApiError> {
        self.0.ec2.described_rules(groups).await
    }

    async fn authorize_ingress(
        &self,
        group: &GroupId,
        batch: &crate::decide::plan::Batch,
    ) -> Result<Vec<Authorized>, ApiError> {
        self.0.ec2.authorize_ingress(group, batch).await
    }

    async fn existing_groups(
        &self,
        groups: &BTreeSet<GroupId>,
    ) -> Result<BTreeMap<GroupId, String>, ApiError> {
        self.0.ec2.existing_groups(groups).await
    }

    async fn groups_referring_to(&self, group: &GroupId) -> Result<BTreeSet<GroupId>, ApiError> {
        self.0.ec2.groups_referring_to(group).await
    }

    async fn prefix_lists(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> Result<BTreeMap<PrefixListId, u32>, ApiError> {
        self.0.ec2.prefix_lists(lists).await
    }

    async fn prefix_list_entries(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> Result<Entries, ApiError> {
        self.0.ec2.prefix_list_entries(lists).await
    }

    async fn default_vpc_group(&self, name: &str) -> Result<Option<GroupId>, ApiError> {
        self.0.ec2.default_vpc_group(name).await
    }
}

impl Table for Shared {
    async fn load(&self, group: &GroupAddress) -> Result<Loaded, ApiError> {
        self.0.table.load(group).await
    }

    async fn desired_page(
        &self,
        scope: &Scope,
        range: &GroupRange,
    ) -> Result<DesiredPage, ApiError> {
        self.0.table.desired_page(scope, range).await
    }

    async fn marks(&self, scope: &Scope, range: &GroupRange) -> Result<GroupMarks, ApiError> {
        self.0.table.marks(scope, range).await
    }

    async fn mark_orphaned(&self, group: &GroupAddress, at: &str) -> Result<(), ApiError> {
        self.0.table.mark_orphaned(group, at).await
    }

    async fn write(&self, change: &NewGeneration) -> Result<u64, WriteError> {
        self.0.table.write(change).await
    }

    async fn save_state(
        &self,
        group: &GroupAddress,
        state: &crate::decide::changes::GroupState,
    ) -> Result<bool, ApiError> {
        self.0.table.save_state(group, state).await
    }

    async fn record_incident(&self, incident: &Incident) -> Result<(), ApiError> {
        self.0.table.record_incident(incident).await
    }
}

impl ScopeTable for Shared {
    /// Another account too, in which there is no role.
    async fn known_scopes(&self) -> Result<KnownScopes, ApiError> {
        let mut known = KnownScopes::default();
        let other = Scope {
            account: "444455556666".parse().expect("an account"),
            ..group().scope
        };
        known.scopes.insert(other, None);
        Ok(known)
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

impl WatchTable for Shared {
    async fn watched(&self, scope: &Scope) -> Result<Vec<(String, Value)>, ApiError> {
        assert_eq!(*scope, group().scope, "there is no role elsewhere");
        let all = GroupRange::default();
        let mut items = self.0.table.desired_page(scope, &all).await?.items;
        items.retain(|(_, item)| item["watch"] == true);
        Ok(items)
    }

    async fn lease(&self) -> Result<Lease, ApiError> {
        Ok(Shared::lease(self))
    }

    async fn write_lease(&self, lease: &Lease) -> Result<bool, ApiError> {
        if *self.0.lease_error.lock().expect("not poisoned") {
            return Err(refused("ProvisionedThroughputExceededException"));
        }
        let mut written = self.0.lease.lock().expect("not poisoned");
        let is_unchanged = written.revision == lease.revision;
        if is_unchanged {
            *written = Lease {
                revision: lease.revision + 1,
                ..lease.clone()
            };
        }
        Ok(is_unchanged)
    }
}

impl SweepQueue for Shared {
    async fn waiting(&self) -> Result<u64, ApiError> {
        Ok(0)
    }

    async fn send(&self, _: &[SweepTask]) -> Result<(), ApiError> {
        Ok(())
    }
}

impl TryGroups for Shared {
    async fn try_read(&self, _: Ec2Read) -> Result<(), ApiError> {
        Ok(())
    }

    async fn try_authorize(&self, _: &GroupId, _: &IngressRule) -> Result<(), ApiError> {
        Ok(())
    }
}

impl TryTable for Shared {
    async fn try_write(&self, _: TableWrite, _: &Scope) -> Result<(), ApiError> {
        Ok(())
    }
}

impl TryClouds for Shared {
    async fn try_assume(&self, _: &Scope, _: Budget) -> Option<(String, Result<(), String>)> {
        None
    }
}

impl Clouds for Shared {
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
        _: Budget,
    ) -> (Self, Self) {
        if !self.0.ec2.state().look_errors.is_empty() {
            // As the adapter notes it.
            calls.note_throttled();
        }
        (self.clone(), self.clone())
    }

    fn sweep_queue(&self, _: &Calls, _: Budget) -> Option<Self> {
        None
    }
}
