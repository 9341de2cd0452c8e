//! Rules that could not come back if they were dropped.

use std::collections::BTreeMap;

use super::*;
use crate::decide::restorable::{Obstacle, Unrestorable};
use crate::event::{Evidence, Trigger, TriggerKind};

const GONE: &str = "tcp 80 from sg-0bad";

fn outlook(rules: &[&str]) -> BTreeMap<RuleKey, Unrestorable> {
    let found = rules.iter().map(|rule| {
        let reason = "sg-0bad does not exist".to_owned();
        let why = Obstacle::ReferenceGone;
        (key(rule), Unrestorable { why, reason })
    });
    found.collect()
}

async fn swept(ec2: &FakeEc2, table: &FakeTable, found: &[&str]) -> GroupResult {
    let lookup = Lookup {
        scope: group().scope,
        group: GroupLocator::Id(group().id),
        trigger: Trigger {
            kind: TriggerKind::Sweep,
            ..Trigger::default()
        },
        call: None,
        evidence: Evidence::default(),
    };
    let missing = MissingReferences::default();
    let world = world(ec2, table, &missing);
    reconcile_with(world, &lookup, Some(outlook(found)), Budget::of(SECONDS_30)).await
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_could_not_come_back_is_told_when_it_begins_and_when_it_ends() {
    let table = FakeTable::with(&record(&[OFFICE, GONE]));
    let ec2 = FakeEc2::new(&[OFFICE, GONE]);
    let first = swept(&ec2, &table, &[GONE]).await;
    assert_eq!(first.outcome, GroupOutcome::Converged);
    assert_eq!(first.unrestorable, [key(GONE)]);
    assert_eq!(
        first.notices,
        ["tcp 80 from sg-0bad could not come back if it were dropped now: sg-0bad does not exist"]
    );
    let again = swept(&ec2, &table, &[GONE]).await;
    assert_eq!((again.notices.len(), again.unrestorable.len()), (0, 1));
    let ended = swept(&ec2, &table, &[]).await;
    assert_eq!(
        ended.notices,
        ["tcp 80 from sg-0bad could come back again if it were dropped"]
    );
    assert!(ended.unrestorable.is_empty());
    assert!(swept(&ec2, &table, &[]).await.notices.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_left_the_record_is_not_told_as_restorable() {
    let table = FakeTable::with(&record(&[OFFICE, GONE]));
    let ec2 = FakeEc2::new(&[OFFICE, GONE]);
    let _ = swept(&ec2, &table, &[GONE]).await;
    let item = record(&[OFFICE]).to_json();
    table.put(group(), item.into());
    let after = swept(&ec2, &table, &[]).await;
    assert!(after.notices.is_empty() && after.unrestorable.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_drop_needs_no_refused_call_before_the_good_rules_are_back() {
    let calls_until_back = async |is_known: bool| {
        let table = FakeTable::with(&record(&[OFFICE, GONE]));
        let ec2 = FakeEc2::new(&[OFFICE, GONE]);
        if is_known {
            let _ = swept(&ec2, &table, &[GONE]).await;
        }
        ec2.state().live.clear();
        let report = handled(&ec2, &table, &revoke()).await;
        let expected = [
            "tcp 443 from 10.0.0.0/8 restored",
            "tcp 80 from sg-0bad failed",
        ];
        assert_eq!(outcomes(&report), expected);
        assert!(
            report
                .rules
                .iter()
                .any(|line| line.error_code.as_deref() == Some("InvalidGroup.NotFound"))
        );
        let asked = ec2.state().asked.clone();
        asked.iter().position(|rules| *rules == [OFFICE])
    };
    assert_eq!(calls_until_back(false).await, Some(1));
    assert_eq!(calls_until_back(true).await, Some(0));
}

#[tokio::test(start_paused = true)]
async fn what_failed_once_does_not_fail_again_and_is_not_told_twice() {
    let table = FakeTable::with(&record(&[OFFICE, GONE]));
    let ec2 = FakeEc2::new(&[OFFICE, GONE]);
    let _ = swept(&ec2, &table, &[GONE]).await;
    ec2.state().live.clear();
    let dropped = handled(&ec2, &table, &revoke()).await;
    assert_eq!(dropped.outcome, GroupOutcome::Restored);
    assert!(
        dropped.reason.ends_with("also missing: 1 failed"),
        "{}",
        dropped.reason
    );
    let told = dropped
        .notices
        .iter()
        .filter(|notice| notice.contains("sg-0bad"));
    assert_eq!(
        told.count(),
        0,
        "it was told before the outage: {:?}",
        dropped.notices
    );
    let later = swept(&ec2, &table, &[GONE]).await;
    assert_eq!(outcomes(&later), ["tcp 80 from sg-0bad held"]);
    assert_eq!(later.unrestorable, [key(GONE)]);
    assert!(later.notices.is_empty(), "{:?}", later.notices);
}
