//! Decisions about many groups, against a few in memory.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::*;
use crate::operator::unpin;
use rulekeeper_core::decide::guardrail::Entries;
use rulekeeper_core::decide::plan::Batch;
use rulekeeper_core::desired::{DesiredRecord, Mode};
use rulekeeper_core::fakes::{FakeTable, account, group, key, now, record, refused};
use rulekeeper_core::model::{ActualRule, PrefixListId, RuleKey, Tags};
use rulekeeper_core::ports::{Authorized, Failure, SecurityGroups, Table as _};

const WEB: &str = "tcp 443 from 10.0.0.0/8";
const OLD: &str = "tcp 80 from 10.0.0.0/8";

/// Groups that can be looked at and nothing else.
#[derive(Default)]
struct Groups {
    groups: Vec<(FoundGroup, Vec<&'static str>)>,
    /// An id that fails every read it is in.
    malformed: Option<GroupId>,
    reads: RefCell<Vec<usize>>,
}

impl Groups {
    fn with(mut self, id: &str, name: &str, rules: &[&'static str]) -> Self {
        let found = FoundGroup {
            id: id.parse().expect("a group id"),
            name: name.to_owned(),
            vpc: "vpc-1".to_owned(),
            tags: Tags::new(),
        };
        self.groups.push((found, rules.to_vec()));
        self
    }
}

impl SecurityGroups for Groups {
    async fn ingress_rules(
        &self,
        groups: &[GroupId],
    ) -> Result<BTreeMap<GroupId, ActualRules>, ApiError> {
        self.reads.borrow_mut().push(groups.len());
        if groups.iter().any(|id| self.malformed.as_ref() == Some(id)) {
            return Err(refused("InvalidGroupId.Malformed"));
        }
        let live = |rule: &&'static str| ActualRule {
            id: None,
            key: key(rule),
            description: None,
            tags: Tags::new(),
            reference_owner_unknown: false,
        };
        let wanted = self.groups.iter().filter(|(it, _)| groups.contains(&it.id));
        Ok(wanted
            .map(|(it, rules)| {
                let rules = ActualRules::new(rules.iter().map(live), Vec::new());
                (it.id.clone(), rules)
            })
            .collect())
    }

    async fn described_rules(
        &self,
        _: &[GroupId],
    ) -> Result<BTreeMap<GroupId, BTreeSet<RuleKey>>, ApiError> {
        panic!("pinning watches nothing")
    }

    async fn authorize_ingress(&self, _: &GroupId, _: &Batch) -> Result<Vec<Authorized>, ApiError> {
        panic!("pinning authorizes nothing")
    }

    async fn existing_groups(
        &self,
        _: &BTreeSet<GroupId>,
    ) -> Result<BTreeMap<GroupId, String>, ApiError> {
        panic!("the groups are known")
    }

    async fn groups_referring_to(&self, _: &GroupId) -> Result<BTreeSet<GroupId>, ApiError> {
        panic!("no reference is looked up")
    }

    async fn prefix_lists(
        &self,
        _: &BTreeSet<PrefixListId>,
    ) -> Result<BTreeMap<PrefixListId, u32>, ApiError> {
        panic!("no prefix list is looked up")
    }

    async fn prefix_list_entries(&self, _: &BTreeSet<PrefixListId>) -> Result<Entries, ApiError> {
        panic!("no prefix list is looked up")
    }

    async fn default_vpc_group(&self, _: &str) -> Result<Option<GroupId>, ApiError> {
        panic!("no name is looked up")
    }
}

impl Inventory for Groups {
    async fn groups(&self, selection: &Selection) -> Result<Vec<FoundGroup>, ApiError> {
        let groups = self.groups.iter().map(|(group, _)| group.clone());
        Ok(groups.filter(|group| selection.takes(group)).collect())
    }
}

fn all() -> Selection {
    Selection::Chosen {
        vpcs: BTreeSet::new(),
        tags: Vec::new(),
    }
}

fn address(id: &str) -> GroupAddress {
    GroupAddress {
        id: id.parse().expect("a group id"),
        ..group()
    }
}

fn recorded(table: &FakeTable, id: &str, record: &DesiredRecord) {
    table.put(address(id), Value::Object(record.to_json()));
}

fn author() -> Author {
    Author {
        arn: "arn:aws:iam::111122223333:user/maria".to_owned(),
        now: now(),
    }
}

async fn planned(groups: &Groups, table: &FakeTable, options: &BulkPinOptions) -> BulkPin {
    let scope = group().scope;
    let bulk_pin = plan_bulk_pin(groups, table, &scope, &all(), options, &|_, _| {}).await;
    bulk_pin.expect("a plan")
}

/// Each group's id, outcome, and the number of rules that come and go.
fn outcomes(groups: &[BulkPinGroup]) -> Vec<(&str, BulkPinOutcome, usize, usize)> {
    let line = |it: &'_ BulkPinGroup| (it.outcome, it.added.len(), it.removed.len());
    groups
        .iter()
        .map(|it| {
            let (outcome, added, removed) = line(it);
            (it.group.id.as_str(), outcome, added, removed)
        })
        .collect()
}

#[tokio::test]
async fn each_group_is_new_changed_unchanged_or_left_out_with_its_reason() {
    let groups = Groups::default()
        .with("sg-0a", "fresh", &[WEB])
        .with("sg-0b", "grown", &[WEB, OLD])
        .with("sg-0c", "same", &[WEB])
        .with("sg-0d", "dropped", &[])
        .with("sg-0e", "eks-cluster-sg-prod-1", &[WEB]);
    let table = FakeTable::default();
    for id in ["sg-0b", "sg-0c", "sg-0d"] {
        let mut record = record(&[WEB]);
        record.name = (id == "sg-0c").then(|| "same".to_owned());
        recorded(&table, id, &record);
    }
    let bulk_pin = planned(&groups, &table, &BulkPinOptions::default()).await;
    let shown = bulk_pin.groups();
    assert_eq!(
        outcomes(&shown),
        [
            ("sg-0a", BulkPinOutcome::New, 1, 0),
            ("sg-0b", BulkPinOutcome::Changed, 1, 0),
            ("sg-0c", BulkPinOutcome::Unchanged, 0, 0),
            ("sg-0d", BulkPinOutcome::LeftOut, 0, 1),
            ("sg-0e", BulkPinOutcome::LeftOut, 0, 0),
        ]
    );
    let reason = |place: usize| shown[place].reason.clone().unwrap_or_default();
    assert!(
        reason(3).starts_with("1 of the rules that it keeps is not live and would be forgotten"),
        "{}",
        reason(3)
    );
    assert!(
        reason(4).starts_with("Amazon EKS manages it"),
        "{}",
        reason(4)
    );
    assert_eq!(bulk_pin.to_write(), 2);

    let written = bulk_pin.write(&table, &author(), &|_, _| {}).await;
    let generations: Vec<_> = written
        .iter()
        .map(|it| (it.generation, it.changed))
        .collect();
    assert_eq!(
        generations,
        [
            (Some(1), true),
            (Some(8), true),
            (Some(7), false),
            (Some(7), false),
            (None, false),
        ]
    );
    let again = planned(&groups, &table, &BulkPinOptions::default()).await;
    assert_eq!(again.to_write(), 0, "what is written needs nothing more");
}

#[tokio::test]
async fn an_outage_is_pinned_only_when_records_are_to_be_replaced() {
    let groups = Groups::default().with("sg-0a", "swapped", &[OLD]);
    let table = FakeTable::default();
    recorded(&table, "sg-0a", &record(&[WEB]));
    let careful = planned(&groups, &table, &BulkPinOptions::default()).await;
    assert_eq!(
        outcomes(&careful.groups()),
        [("sg-0a", BulkPinOutcome::LeftOut, 1, 1)],
        "a rule that came does not make up for one that went"
    );
    let options = BulkPinOptions {
        replace: true,
        ..BulkPinOptions::default()
    };
    let bulk_pin = planned(&groups, &table, &options).await;
    assert_eq!(bulk_pin.to_write(), 1);
    let written = bulk_pin.write(&table, &author(), &|_, _| {}).await;
    assert_eq!(
        outcomes(&written),
        [("sg-0a", BulkPinOutcome::Changed, 1, 1)]
    );
}

#[tokio::test]
async fn a_vpcs_default_group_is_recorded_only_by_name() {
    let groups = Groups::default().with("sg-0a", "default", &[WEB]);
    let table = FakeTable::default();
    let chosen = planned(&groups, &table, &BulkPinOptions::default()).await;
    assert_eq!(
        outcomes(&chosen.groups()),
        [("sg-0a", BulkPinOutcome::LeftOut, 0, 0)]
    );
    assert_eq!(chosen.records().count(), 0);
    let options = BulkPinOptions {
        include_default: true,
        ..BulkPinOptions::default()
    };
    let named = planned(&groups, &table, &options).await;
    let records: Vec<_> = named.records().collect();
    assert_eq!(records.len(), 1);
    assert!(records[0].1.rules.contains_key(&key(WEB)));
}

#[tokio::test]
async fn a_services_group_is_recorded_when_asked_for_and_said_to_be_one() {
    let groups = Groups::default().with("sg-0a", "eks-cluster-sg-prod-1", &[WEB]);
    let options = BulkPinOptions {
        include_managed: true,
        ..BulkPinOptions::default()
    };
    let bulk_pin = planned(&groups, &FakeTable::default(), &options).await;
    let shown = bulk_pin.groups();
    assert_eq!(outcomes(&shown), [("sg-0a", BulkPinOutcome::New, 1, 0)]);
    let reason = shown[0].reason.as_deref();
    assert_eq!(
        reason,
        Some("Amazon EKS manages it (its name is eks-cluster-sg-prod-1)")
    );
}

#[tokio::test]
async fn mode_pause_and_principals_of_a_record_stay() {
    let groups = Groups::default().with("sg-0a", "web", &[WEB, OLD]);
    let table = FakeTable::default();
    let mut before = record(&[WEB]);
    before.mode = Mode::Observe;
    before.note = Some("keep".to_owned());
    recorded(&table, "sg-0a", &before);
    let bulk_pin = planned(&groups, &table, &BulkPinOptions::default()).await;
    let _ = bulk_pin.write(&table, &author(), &|_, _| {}).await;
    let item = table
        .load(&address("sg-0a"))
        .await
        .expect("a table")
        .desired;
    let after = DesiredRecord::from_json(&item.expect("a record"), &account());
    let after = after.expect("it can be read").record;
    assert_eq!((after.mode, after.note), (Mode::Observe, before.note));
    assert_eq!(after.rules.len(), 2);
}

#[tokio::test]
async fn what_fails_for_one_group_holds_back_nobody() {
    let groups = Groups::default()
        .with("sg-0a", "unreadable", &[WEB])
        .with("sg-0b", "fine", &[WEB])
        .with("sg-0c", "raced", &[WEB]);
    let table = FakeTable::default();
    table.put(address("sg-0a"), serde_json::json!({"rules": "all"}));
    let bulk_pin = planned(&groups, &table, &BulkPinOptions::default()).await;
    // Somebody pins the last one meanwhile.
    recorded(&table, "sg-0c", &record(&[OLD]));
    let written = bulk_pin.write(&table, &author(), &|_, _| {}).await;
    let ended: Vec<_> = written.iter().map(|it| (it.outcome, it.changed)).collect();
    assert_eq!(
        ended,
        [
            (BulkPinOutcome::Failed, false),
            (BulkPinOutcome::New, true),
            (BulkPinOutcome::Failed, false),
        ]
    );
    let reason = |place: usize| written[place].reason.clone().unwrap_or_default();
    assert!(reason(0).contains("rules: is not a list"), "{}", reason(0));
    assert!(
        reason(2).contains("changed while this command"),
        "{}",
        reason(2)
    );
    let kept = table
        .load(&address("sg-0c"))
        .await
        .expect("a table")
        .desired;
    assert_eq!(kept, Some(Value::Object(record(&[OLD]).to_json())));
}

#[tokio::test]
async fn rules_are_read_two_hundred_groups_at_a_time_and_a_read_that_fails_costs_its_own_groups() {
    let mut groups = Groups::default();
    for number in 0..450 {
        groups = groups.with(&format!("sg-{number:04x}"), "web", &[WEB]);
    }
    groups.malformed = Some("sg-0001".parse().expect("a group id"));
    let told = RefCell::new(Vec::new());
    let scope = group().scope;
    let tell = |done, total| told.borrow_mut().push((done, total));
    let options = BulkPinOptions::default();
    let table = FakeTable::default();
    let bulk_pin = plan_bulk_pin(&groups, &table, &scope, &all(), &options, &tell).await;
    let bulk_pin = bulk_pin.expect("a plan");
    assert_eq!(*groups.reads.borrow(), [200, 200, 50]);
    assert_eq!(told.borrow().len(), 450);
    assert_eq!(told.borrow().last(), Some(&(450, 450)));
    assert_eq!(bulk_pin.to_write(), 250);
    let first = &bulk_pin.groups()[0];
    let reason = first.reason.clone().unwrap_or_default();
    assert!(reason.contains("InvalidGroupId.Malformed"), "{reason}");
}

#[tokio::test]
async fn a_group_whose_record_was_taken_out_is_recorded_again_only_when_it_is_named() {
    let groups = Groups::default()
        .with("sg-0a", "left", &[WEB])
        .with("sg-0b", "back", &[WEB]);
    let table = FakeTable::default();
    let options = BulkPinOptions::default();
    let _ = planned(&groups, &table, &options)
        .await
        .write(&table, &author(), &|_, _| {})
        .await;
    for id in ["sg-0a", "sg-0b"] {
        let unpinning = unpin(&table, &address(id), Some("its own")).await;
        let unpinning = unpinning.expect("a record");
        unpinning.write(&table, &author()).await.expect("taken out");
    }
    // Somebody kept this one again, with other rules, and its history goes on.
    let again = DesiredRecord {
        generation: 3,
        ..record(&[])
    };
    recorded(&table, "sg-0b", &again);
    let bulk_pin = planned(&groups, &table, &options).await;
    let shown = bulk_pin.groups();
    assert_eq!(
        outcomes(&shown),
        [
            ("sg-0a", BulkPinOutcome::LeftOut, 1, 0),
            ("sg-0b", BulkPinOutcome::Changed, 1, 0),
        ]
    );
    let reason = shown[0].reason.clone().unwrap_or_default();
    assert!(
        reason.starts_with(
            "its record was taken out in generation 2 (unpinned: its own); `rulekeeper pin sg-0a`"
        ),
        "{reason}"
    );
    let options = BulkPinOptions {
        include_unpinned: true,
        ..options
    };
    let bulk_pin = planned(&groups, &table, &options).await;
    let written = bulk_pin.write(&table, &author(), &|_, _| {}).await;
    assert_eq!(written[0].generation, Some(3), "it counts on");
}

#[tokio::test]
async fn a_table_that_cannot_be_read_and_an_empty_selection_end_it() {
    let table = FakeTable::default();
    let groups = Groups::default().with("sg-0a", "web", &[WEB]);
    let scope = group().scope;
    let vpc = Selection::Chosen {
        vpcs: ["vpc-2".to_owned()].into(),
        tags: Vec::new(),
    };
    let options = BulkPinOptions::default();
    let none = plan_bulk_pin(&groups, &table, &scope, &vpc, &options, &|_, _| {}).await;
    let said = none.expect_err("no group").to_string();
    assert_eq!(
        said,
        "111122223333/eu-west-1 has no security group in vpc-2"
    );
    let error = ApiError {
        failure: Failure::NoAnswer,
        ..refused("")
    };
    *table.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
    let failed = plan_bulk_pin(&groups, &table, &scope, &all(), &options, &|_, _| {}).await;
    assert!(matches!(failed, Err(OperatorError::Api(it)) if it == error));
}

#[tokio::test]
async fn a_named_group_that_does_not_exist_is_failed_and_the_others_are_written() {
    let table = FakeTable::default();
    let groups = Groups::default().with("sg-0b", "web", &[WEB]);
    let named = ["sg-0a", "sg-0b"].map(|id| id.parse().expect("a group id"));
    let selection = Selection::Named(named.into());
    let (scope, options) = (group().scope, BulkPinOptions::default());
    let bulk_pin = plan_bulk_pin(&groups, &table, &scope, &selection, &options, &|_, _| {}).await;
    let written = bulk_pin
        .expect("a plan")
        .write(&table, &author(), &|_, _| {})
        .await;
    assert_eq!(
        outcomes(&written),
        [
            ("sg-0a", BulkPinOutcome::Failed, 0, 0),
            ("sg-0b", BulkPinOutcome::New, 1, 0),
        ]
    );
}
