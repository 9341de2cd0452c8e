//! If any principal is listed, a missing rule waits for the event that tells who removed it.

use super::*;
use crate::decide::changes::KnownCall;
use crate::desired::Policy;
use crate::event::{Evidence, Trigger, TriggerKind};
use crate::report::DroppedBy;
use crate::sweep::{Bounds, sweep};

const HTTP: &str = "tcp 80 from 10.0.0.0/8";

fn with_listed(policy: Policy) -> FakeTable {
    let mut listed = record(&[OFFICE, HTTP]);
    listed.principals = vec![Principal {
        arn: "arn:aws:iam::111122223333:role/controller".to_owned(),
        policy,
        settle_seconds: None,
    }];
    FakeTable::with(&listed)
}

fn recorded(table: &FakeTable) -> Vec<String> {
    let items = table.items.lock().expect("not poisoned");
    let item = &items[&group()];
    let record = crate::desired::DesiredRecord::from_json(item, &group().scope.account);
    let record = record.expect("readable").record;
    record.rules.keys().map(ToString::to_string).collect()
}

fn revoke_of(port: u16, event_id: &str) -> Value {
    let mut event = revoke_event(port, json!({"_return": true}));
    event["eventID"] = event_id.into();
    event
}

/// A sweep at this time.
async fn swept_at(
    ec2: &FakeEc2,
    table: &FakeTable,
    at: fn() -> jiff::Timestamp,
) -> crate::sweep::SweepResult {
    swept_for(ec2, table, at, Trigger::default()).await
}

async fn swept_for(
    ec2: &FakeEc2,
    table: &FakeTable,
    at: fn() -> jiff::Timestamp,
    trigger: Trigger,
) -> crate::sweep::SweepResult {
    let missing = MissingReferences::default();
    let mut world = world(ec2, table, &missing);
    world.now = at;
    let (scope, bounds) = (group().scope, Bounds::default());
    sweep(
        world,
        &scope,
        &trigger,
        &bounds,
        Budget::of(SECONDS_30),
        &|_, _| {},
    )
    .await
}

#[tokio::test(start_paused = true)]
async fn a_decision_of_two_calls_stays_closed_in_either_order_and_with_a_sweep_between() {
    for ports in [[443, 80], [80, 443]] {
        let (ec2, table) = (FakeEc2::new(&[]), with_listed(Policy::Accept));
        let first = handled(&ec2, &table, &revoke_of(ports[0], "a")).await;
        assert_eq!(first.outcome, GroupOutcome::Held, "{first:#?}");
        assert!(first.wake_at.is_some());
        let between = swept_at(&ec2, &table, now).await;
        assert_eq!(between.sweep["held"], 1);
        assert_eq!(between.wakes, [], "it was asked for already");
        let second = handled(&ec2, &table, &revoke_of(ports[1], "b")).await;
        assert_eq!(second.outcome, GroupOutcome::Converged, "{second:#?}");
        assert_eq!((ec2.live(), recorded(&table)), (vec![], vec![]));
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_unlisted_caller_took_comes_back_at_once_and_the_rest_waits() {
    let (ec2, table) = (FakeEc2::new(&[]), with_listed(Policy::Accept));
    let mut event = revoke();
    event["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] =
        "arn:aws:iam::111122223333:role/somebody".into();
    let report = handled(&ec2, &table, &event).await;
    assert_eq!(
        outcomes(&report),
        [format!("{OFFICE} restored"), format!("{HTTP} held")]
    );
    assert_eq!(ec2.live(), [OFFICE]);
}

#[tokio::test(start_paused = true)]
async fn what_stays_in_the_record_is_restored_before_the_record_is_written() {
    let (ec2, table) = (FakeEc2::new(&[OFFICE]), with_listed(Policy::Accept));
    // Somebody who is not listed takes one rule, and EC2 is too busy to put it back.
    let busy = std::iter::repeat_n((refused("RequestLimitExceeded"), false), 99);
    ec2.state().authorize_errors = busy.collect();
    let mut event = revoke_of(80, "a");
    event["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] =
        "arn:aws:iam::111122223333:role/somebody".into();
    let first = handled_within(&ec2, &table, &event, Duration::from_secs(3)).await;
    assert_eq!(first.outcome, GroupOutcome::Failed, "{first:#?}");

    ec2.state().authorize_errors.clear();
    ec2.state().live.clear();
    *table.write_takes.lock().expect("not poisoned") = Duration::from_secs(20);
    let report = handled(&ec2, &table, &revoke_of(443, "b")).await;
    assert_eq!(
        (ec2.live(), recorded(&table)),
        (vec![HTTP.to_owned()], vec![HTTP.to_owned()])
    );
    assert!(report.timing.restored_ms < Some(1_000), "{report:#?}");
    let mut lines = report.rules.iter();
    let line = lines.find(|line| line.rule == key(HTTP)).expect("a line");
    let by_another = matches!(&line.dropped_by, DroppedBy::Call { principal, .. } if principal.ends_with("/somebody"));
    assert!(by_another, "{line:?}");
    assert_eq!(ec2.called("DescribeSecurityGroupRules"), 3);
    let states = table.states.lock().expect("not poisoned");
    let state = GroupState::from_json(&states[&group()]).expect("readable");
    assert_eq!(state.restores(&key(HTTP)).count(), 1, "{state:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_rule_whose_event_is_lost_is_restored_after_the_wait_with_a_notice() {
    let (ec2, table) = (FakeEc2::new(&[]), with_listed(Policy::Follow));
    let first = swept_at(&ec2, &table, now).await;
    assert_eq!(first.sweep["held"], 1);
    assert_eq!(first.wakes.len(), 1);
    let too_early = swept_at(&ec2, &table, || now() + SignedDuration::from_secs(179)).await;
    assert_eq!((too_early.sweep["held"], ec2.live()), (1, vec![]));
    let late = swept_at(&ec2, &table, || now() + SignedDuration::from_secs(180)).await;
    assert_eq!(ec2.live(), [HTTP, OFFICE]);
    let notices = &late.reports[0].notices;
    assert!(
        notices
            .iter()
            .any(|notice| notice.contains("no event told who took it")),
        "{notices:?}"
    );
    let states = table.states.lock().expect("not poisoned");
    let state = GroupState::from_json(&states[&group()]).expect("readable");
    assert!(state.missing_since.is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_nobody_is_listed_nothing_waits() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE, HTTP])));
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(report.outcome, GroupOutcome::Restored);
    assert_eq!((ec2.live().len(), report.wake_at), (2, None));
}

#[tokio::test(start_paused = true)]
async fn a_time_that_only_a_wrong_clock_can_have_given_holds_no_rule() {
    for time in ["2026-11-22T12:00:00Z", "9999-12-30T22:00:00Z"] {
        for policy in [Policy::Accept, Policy::Follow] {
            let (ec2, table) = (FakeEc2::new(&[]), with_listed(policy));
            let mut event = revoke();
            event["eventTime"] = time.into();
            drop(handled(&ec2, &table, &event).await);
            let later = || now() + SignedDuration::from_secs(10);
            let report = swept_at(&ec2, &table, later).await;
            let expected: &[&str] = match policy {
                Policy::Follow => &[OFFICE],
                _ => &[],
            };
            assert_eq!(ec2.live(), expected, "{report:#?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_live_rule_outside_the_record_is_told_once_where_somebody_is_followed() {
    for policy in [Policy::Accept, Policy::Follow, Policy::Release] {
        let table = with_listed(policy);
        let stranger = "tcp 9 from 10.0.0.0/8";
        let ec2 = FakeEc2::new(&[OFFICE, HTTP, stranger]);
        let told = |swept: &crate::sweep::SweepResult| {
            let reports = swept.report.reports.iter().chain(&swept.report.remarks);
            let notices = reports.flat_map(|report| &report.notices);
            notices.filter(|notice| notice.contains(stranger)).count()
        };
        let first = told(&swept_at(&ec2, &table, now).await);
        assert_eq!(first == 1, policy != Policy::Release, "{policy}");
        assert_eq!(told(&swept_at(&ec2, &table, now).await), 0, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_names_no_group_is_a_cause_if_it_takes_rules_and_its_caller_is_not_listed() {
    for (role, call, restored) in [
        ("somebody", "RevokeSecurityGroupIngress", true),
        ("somebody", "ModifySecurityGroupRules", true),
        ("somebody", "DeleteSecurityGroup", false),
        ("controller", "RevokeSecurityGroupIngress", false),
    ] {
        let (ec2, table) = (FakeEc2::new(&[HTTP]), with_listed(Policy::Accept));
        let trigger = Trigger {
            event_name: Some(call.to_owned()),
            event_time: Some(now()),
            principal: Some(format!("arn:aws:iam::111122223333:role/{role}")),
            ..Trigger::default()
        };
        drop(swept_for(&ec2, &table, now, trigger).await);
        assert_eq!(ec2.live().len() == 2, restored, "{call} by {role}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_it_cannot_be_read_who_is_trusted_missing_rules_wait_and_the_call_is_remembered() {
    let (ec2, table) = (
        FakeEc2::new(&[HTTP]),
        FakeTable::with(&record(&[OFFICE, HTTP])),
    );
    let controller =
        json!([{"arn": "arn:aws:iam::111122223333:role/controller", "policy": "acept"}]);
    let mut settings = json!({"schema": 1, "generation": 1, "principals": controller});
    table.archive().settings = Some(settings.clone());
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(report.outcome, GroupOutcome::Held, "{report:#?}");
    assert!(report.unreadable && ec2.live() == [HTTP]);
    settings["principals"][0]["policy"] = "accept".into();
    table.archive().settings = Some(settings);
    drop(swept_at(&ec2, &table, now).await);
    assert_eq!(
        (recorded(&table), ec2.live()),
        (vec![HTTP.to_owned()], vec![HTTP.to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn a_person_who_closes_a_rule_again_is_told_about_once() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    let mut event = revoke();
    event["sessionCredentialFromConsole"] = "true".into();
    let first = handled(&ec2, &table, &event).await;
    assert_eq!(first.outcome, GroupOutcome::Restored);
    ec2.state().live.clear();
    event["eventTime"] = "2026-11-22T09:30:02Z".into();
    let second = handled(&ec2, &table, &event).await;
    assert_eq!(second.outcome, GroupOutcome::Contested, "{second:#?}");
    let told = second
        .notices
        .iter()
        .filter(|it| it.contains("rulekeeper release"));
    assert_eq!(told.count(), 1, "{:?}", second.notices);
}

#[tokio::test(start_paused = true)]
async fn what_the_first_read_does_not_show_yet_enters_the_record_all_the_same() {
    const NEW: &str = "tcp 81 from 10.0.0.0/8";
    let (ec2, table) = (
        FakeEc2::new(&[OFFICE, HTTP, NEW]),
        with_listed(Policy::Accept),
    );
    let mut before = ec2.state().live.clone();
    before.remove(&key(NEW));
    ec2.state().stale_reads = [before.into_values().collect()].into();
    let mut event = revoke_of(81, "a");
    event["eventName"] = "AuthorizeSecurityGroupIngress".into();
    let report = handled(&ec2, &table, &event).await;
    assert_eq!(recorded(&table), [HTTP, NEW, OFFICE], "{report:#?}");
    assert_eq!(report.notices, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_about_what_its_call_took_and_tells_apart_what_was_missing_before() {
    let gone = "tcp 80 from sg-0bad";
    let ec2 = FakeEc2::new(&[]);
    let table = FakeTable::with(&record(&[OFFICE, HTTP, gone]));
    ec2.state().live = FakeEc2::new(&[OFFICE, HTTP]).state().live.clone();
    let mut first = revoke_of(80, "a");
    first["requestParameters"]["ipPermissions"]["items"][0]["ipRanges"] = json!({});
    first["requestParameters"]["ipPermissions"]["items"][0]["groups"] =
        json!({"items": [{"groupId": "sg-0bad"}]});
    let first = handled(&ec2, &table, &first).await;
    assert_eq!(first.outcome, GroupOutcome::Failed, "{first:#?}");
    assert_eq!(first.rules[0].dropped_by, DroppedBy::ThisEvent);

    // Somebody else drops another rule later, and nobody tells of the third.
    ec2.state().live.clear();
    let mut second = revoke_of(443, "b");
    let somebody = "arn:aws:iam::111122223333:role/somebody";
    second["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] = somebody.into();
    let second = handled(&ec2, &table, &second).await;
    assert_eq!(second.outcome, GroupOutcome::Restored, "{second:#?}");
    assert_eq!(
        second.reason,
        "1 of 1 dropped rule restored; also missing: 1 restored, 1 held"
    );
    let by = |rule: &str| {
        let mut lines = second.rules.iter();
        let line = lines.find(|line| line.rule == key(rule)).expect("a line");
        line.dropped_by.clone()
    };
    assert_eq!(
        (by(OFFICE), by(HTTP)),
        (DroppedBy::ThisEvent, DroppedBy::Unknown)
    );
    assert_eq!(
        by(gone),
        DroppedBy::Call {
            principal: first.trigger.principal.clone().expect("a principal"),
            session: None,
            at: first.trigger.event_time.expect("a time"),
        }
    );
    let counted: Vec<&RuleKey> = second.counted().map(|line| &line.rule).collect();
    assert_eq!(counted, [&key(OFFICE), &key(HTTP)]);
    assert!(second.drift_open_ms().is_some());

    // A call that took no rule of the record leaves no incident.
    let incidents = table.recorded().len();
    let third = handled(&ec2, &table, &revoke_of(8080, "c")).await;
    assert_eq!(third.outcome, GroupOutcome::Held, "{third:#?}");
    assert_eq!(table.recorded().len(), incidents);
}

async fn by_operator(ec2: &FakeEc2, table: &FakeTable, now: bool) -> GroupResult {
    let lookup = Lookup {
        scope: group().scope,
        group: GroupLocator::Id(group().id),
        trigger: Trigger {
            kind: TriggerKind::Operator,
            now,
            ..Trigger::default()
        },
        call: None,
        evidence: Evidence::default(),
    };
    let missing = MissingReferences::default();
    let world = world(ec2, table, &missing);
    reconcile(world, &lookup, Budget::of(SECONDS_30)).await
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_will_not_wait_gets_back_what_waits() {
    let (ec2, table) = (FakeEc2::new(&[]), with_listed(Policy::Accept));
    let waits = by_operator(&ec2, &table, false).await;
    assert_eq!((waits.outcome, ec2.live()), (GroupOutcome::Held, vec![]));
    let back = by_operator(&ec2, &table, true).await;
    assert_eq!(back.outcome, GroupOutcome::Restored, "{back:#?}");
    assert_eq!(ec2.live(), [HTTP, OFFICE]);

    // What somebody trusted is known to have closed leaves the record all the same.
    let (ec2, table) = (FakeEc2::new(&[OFFICE]), with_listed(Policy::Accept));
    let Intent::Reconcile(taken) = intent(&revoke_of(80, "y")) else {
        panic!("the event asks for a reconcile")
    };
    let mut state = GroupState::default();
    state.note_call(KnownCall::of(&taken).expect("a call"), now());
    let item = serde_json::to_value(&state).expect("JSON");
    table
        .states
        .lock()
        .expect("not poisoned")
        .insert(group(), item);
    let left = by_operator(&ec2, &table, true).await;
    assert_eq!(ec2.live(), [OFFICE], "{left:#?}");
    assert_eq!(recorded(&table), [OFFICE]);

    // A fight is no reason to wait either.
    let table = FakeTable::with(&record(&[OFFICE]));
    for _ in 0..6 {
        ec2.state().live.clear();
        let _ = handled(&ec2, &table, &revoke()).await;
    }
    assert_eq!(ec2.live(), [] as [String; 0]);
    let contested = by_operator(&ec2, &table, false).await;
    assert_eq!(contested.outcome, GroupOutcome::Contested);
    let back = by_operator(&ec2, &table, true).await;
    assert_eq!(
        (back.outcome, ec2.live()),
        (GroupOutcome::Restored, vec![OFFICE.to_owned()])
    );
}
