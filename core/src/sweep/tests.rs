use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::event::TriggerKind;
use crate::fakes::{FakeEc2, FakeTable, group, record, refused, world};
use crate::reconcile::MissingReferences;
use crate::report::RuleOutcome;

const OFFICE: &str = "tcp 443 from 10.0.0.0/8";

async fn swept(ec2: &FakeEc2, table: &FakeTable) -> SweepResult {
    let trigger = Trigger {
        kind: TriggerKind::Sweep,
        ..Trigger::default()
    };
    let missing = MissingReferences::default();
    let budget = Budget::of(Duration::from_secs(30));
    let scope = group().scope;
    sweep(
        world(ec2, table, &missing),
        &scope,
        &trigger,
        &Bounds::default(),
        budget,
        &|_, _| {},
    )
    .await
}

fn another(id: &str) -> GroupAddress {
    GroupAddress {
        id: id.parse().expect("an id"),
        ..group()
    }
}

#[tokio::test(start_paused = true)]
async fn groups_as_recorded_cost_one_read_for_all_and_no_report() {
    let (ec2, table) = (FakeEc2::new(&[OFFICE]), FakeTable::with(&record(&[OFFICE])));
    for number in 0..250 {
        table.put(another(&format!("sg-0{number}")), json!({"rules": []}));
    }
    let report = swept(&ec2, &table).await;
    assert_eq!(report.sweep["groups"], 251);
    assert_eq!(report.sweep["converged"], 251);
    assert!(report.reports.is_empty());
    assert_eq!(
        ec2.called("DescribeSecurityGroupRules"),
        2,
        "200 groups a read"
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_that_differs_is_read_again_before_anything_is_authorized() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    let report = swept(&ec2, &table).await;
    assert_eq!(report.reports[0].outcome, GroupOutcome::Restored);
    assert_eq!(ec2.live(), [OFFICE]);
    // One read to find out, one to decide, one to verify.
    assert_eq!(ec2.called("DescribeSecurityGroupRules"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_converged_group_with_a_superseded_rule_is_remarked_on() {
    let wider = "tcp 400-500 from 10.0.0.0/8";
    let (ec2, table) = (FakeEc2::new(&[wider]), FakeTable::with(&record(&[OFFICE])));
    let report = swept(&ec2, &table).await;
    assert_eq!(report.sweep["converged"], 1);
    assert!(report.reports.is_empty());
    let lines = &report.remarks[0].rules;
    assert_eq!(lines[0].outcome, RuleOutcome::Superseded);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_ec2_cannot_make_sense_of_costs_its_own_group_alone() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    table.put(another("sg-web"), json!({"rules": []}));
    ec2.state().malformed_groups.insert(another("sg-web").id);
    let report = swept(&ec2, &table).await;
    assert_eq!(report.sweep["groups"], 2);
    assert_eq!(ec2.live(), [OFFICE]);
    let failed = report
        .reports
        .iter()
        .find(|report| report.outcome == GroupOutcome::Failed);
    assert!(
        failed.is_some() && report.unread == 1,
        "{:#?}",
        report.reports
    );
    assert_eq!(report.reason, None);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_gone_is_looked_for_with_one_describe_and_reported() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    ec2.state().groups.clear();
    mark_gone(&table);
    let report = swept(&ec2, &table).await;
    assert_eq!(report.reports[0].outcome, GroupOutcome::Orphaned);
    let calls = BTreeMap::from([("DescribeSecurityGroups", 1)]);
    assert_eq!(ec2.calls.counted(), calls);
}

fn mark_gone(table: &FakeTable) {
    let mut states = table.states.lock().expect("not poisoned");
    let mark = json!({"revision": 1, "orphaned_at": "2026-11-22T09:00:00Z"});
    states.insert(group(), mark);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_lives_loses_its_mark_whether_or_not_it_has_its_rules() {
    for live in [&[][..], &[OFFICE]] {
        let (ec2, table) = (FakeEc2::new(live), FakeTable::with(&record(&[OFFICE])));
        if live.is_empty() {
            // The group is so new that EC2 neither knows nor shows it.
            let unknown = (refused("InvalidGroup.NotFound"), false);
            ec2.state().authorize_errors.push_back(unknown);
            ec2.state().lagging_groups = 1;
            let first = swept(&ec2, &table).await;
            assert_eq!(first.reports[0].outcome, GroupOutcome::Orphaned);
        } else {
            mark_gone(&table);
        }
        assert!(!table.orphans().is_empty());
        drop(swept(&ec2, &table).await);
        assert_eq!(ec2.live(), [OFFICE]);
        assert!(table.orphans().is_empty(), "{live:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_remembered_is_counted_and_told() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    *table.write_error.lock().expect("not poisoned") = Some(refused("AccessDeniedException"));
    let report = swept(&ec2, &table).await;
    assert_eq!((ec2.live(), report.unsaved), (vec![OFFICE.to_owned()], 1));
    let warnings = &report.reports[0].warnings;
    for said in [
        "what was done could not be saved",
        "the incident could not be recorded",
    ] {
        let tells =
            |warning: &String| warning.starts_with(said) && warning.contains("AccessDenied");
        assert!(warnings.iter().any(tells), "{said}: {warnings:?}");
    }
    // Nothing is to be written for a group that has its rules.
    assert_eq!(swept(&ec2, &table).await.unsaved, 0);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_cannot_be_finished_says_why() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    ec2.state()
        .read_errors
        .push_back(refused("RequestLimitExceeded"));
    let report = swept(&ec2, &table).await;
    assert!(
        report.retryable
            && report
                .reason
                .as_ref()
                .is_some_and(|reason| reason.contains("RequestLimitExceeded"))
    );

    *table.error.lock().expect("not poisoned") = Some(refused("AccessDeniedException"));
    let report = swept(&ec2, &table).await;
    assert!(!report.retryable && report.reason.is_some());
}

#[tokio::test(start_paused = true)]
async fn progress_reaches_every_group() {
    let (ec2, table) = (FakeEc2::new(&[OFFICE]), FakeTable::with(&record(&[OFFICE])));
    table.put(another("sg-0b"), json!({"rules": "unreadable"}));
    let (seen, missing) = (Mutex::new(Vec::new()), MissingReferences::default());
    let (budget, scope) = (Budget::of(Duration::from_secs(30)), group().scope);
    let progress = |done, total| seen.lock().expect("not poisoned").push((done, total));
    let report = sweep(
        world(&ec2, &table, &missing),
        &scope,
        &Trigger::default(),
        &Bounds::default(),
        budget,
        &progress,
    )
    .await;
    assert_eq!(
        *seen.lock().expect("not poisoned"),
        [(0, 2), (1, 2), (2, 2)]
    );
    assert_eq!(report.reports.len(), 1);
}
