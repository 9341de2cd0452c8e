//! While EC2 throttles, an event whose rules were already restored needs no read of EC2.

use super::*;
use jiff::Timestamp;

/// Handles the revoke of 9:30 while EC2 throttles. The table says that each of these rules was restored so many seconds
/// after the revoke.
async fn while_throttled(
    ec2: &FakeEc2,
    desired: &crate::desired::DesiredRecord,
    restored: &[(&str, i64)],
) -> GroupResult {
    let table = FakeTable::with(desired);
    let mut state = GroupState::default();
    for (rule, seconds) in restored {
        let at: Timestamp = "2026-11-22T09:30:00Z".parse().expect("a time");
        state.note_restored(&key(rule), at + SignedDuration::from_secs(*seconds), None);
    }
    table.put_state(group(), &state);
    let Intent::Reconcile(lookup) = intent(&revoke()) else {
        panic!("the event asks for a reconcile")
    };
    let missing = MissingReferences::default();
    let world = World {
        spares_reads: true,
        ..world(ec2, &table, &missing)
    };
    reconcile(world, &lookup, Budget::of(SECONDS_30)).await
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_rules_were_put_back_since_is_answered_from_the_table() {
    // The rule is missing in EC2, so a read would show it.
    let ec2 = FakeEc2::new(&[]);
    let report = while_throttled(&ec2, &record(&[OFFICE]), &[(OFFICE, 2)]).await;
    assert_eq!(report.outcome, GroupOutcome::Converged);
    assert_eq!(outcomes(&report), [format!("{OFFICE} already_present")]);
    let why = report.rules[0].reason.as_deref().unwrap_or_default();
    assert!(why.contains("2026-11-22T09:30:02Z"), "{why}");
    assert_eq!(ec2.calls.counted().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_put_back_before_the_event_is_looked_at() {
    for restored in [&[(OFFICE, 1)][..], &[("tcp 80 from 10.0.0.0/8", 60)], &[]] {
        let ec2 = FakeEc2::new(&[]);
        let report = while_throttled(&ec2, &record(&[OFFICE]), restored).await;
        assert_eq!(report.outcome, GroupOutcome::Restored, "{restored:?}");
        assert_eq!(ec2.live(), [OFFICE]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_about_no_rule_of_the_record_proves_nothing_of_the_group() {
    let ec2 = FakeEc2::new(&[]);
    let kept = "tcp 80 from 10.0.0.0/8";
    let report = while_throttled(&ec2, &record(&[kept]), &[(OFFICE, 60)]).await;
    assert_eq!(report.outcome, GroupOutcome::Restored);
    assert_eq!(ec2.live(), [kept]);
}

#[tokio::test(start_paused = true)]
async fn where_changes_may_be_meant_every_event_is_looked_at() {
    let ec2 = FakeEc2::new(&[]);
    let mut desired = record(&[OFFICE]);
    desired.principals = vec![Principal {
        arn: "arn:aws:iam::111122223333:role/terraform".to_owned(),
        policy: Policy::Accept,
        settle_seconds: None,
    }];
    let report = while_throttled(&ec2, &desired, &[(OFFICE, 60)]).await;
    // It was put back after this event, so who took it since is not known.
    assert_eq!(report.outcome, GroupOutcome::Held);
    assert!(ec2.called("DescribeSecurityGroupRules") > 0);
}
