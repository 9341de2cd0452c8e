use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::decide::changes::{Contest, Pending, PendingReason, Reopened};
use crate::desired::{DesiredRecord, Mode, Pause, Policy, Principal};
use crate::event::{Intent, Lookup, intent};
use crate::fakes::{FakeEc2, FakeTable, group, key, now, record, revoke_event, world};
use crate::ports::{Budget, Table};
use crate::reconcile::{MissingReferences, reconcile};

const WEB: &str = "tcp 443 from 10.0.0.0/8";
const OLD: &str = "tcp 80 from 10.0.0.0/8";
const DNS: &str = "udp 53 from 10.0.0.0/8";

fn entry(policy: Policy) -> Principal {
    Principal {
        arn: "*controller".to_owned(),
        policy,
        settle_seconds: None,
    }
}

fn revoke() -> Lookup {
    let Intent::Reconcile(lookup) = intent(&revoke_event(443, json!({"_return": true}))) else {
        panic!("the event asks for a reconcile")
    };
    *lookup
}

/// The plan after a revoke of 443 by the controller, or after none.
async fn plan_of(
    desired: &DesiredRecord,
    live: &[&str],
    state: GroupState,
    call: bool,
    quota: u32,
) -> GroupPlan {
    let (ec2, table) = (FakeEc2::new(live), FakeTable::with(desired));
    let heavy = "pl-0a".parse().expect("an id");
    ec2.state().prefix_lists.insert(heavy, 55);
    assert_eq!(table.save_state(&group(), &state).await, Ok(true));
    let missing = MissingReferences::default();
    let mut world = world(&ec2, &table, &missing);
    world.settings.mode = Mode::Observe;
    world.settings.writes = false;
    world.settings.rules_per_group = quota;
    let mut lookup = revoke();
    if !call {
        lookup.call = None;
        lookup.evidence = Default::default();
    }
    let budget = Budget::of(std::time::Duration::from_secs(30));
    let result = reconcile(world, &lookup, budget).await;
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 0);
    result.plan.expect("a plan")
}

fn actions(plan: &GroupPlan) -> Vec<String> {
    let lines = plan.rules.iter();
    let lines = lines.map(|line| format!("{} {}", line.action.name(), line.rule));
    lines.collect()
}

fn after(minutes: i64) -> Timestamp {
    now() + SignedDuration::from_mins(minutes)
}

#[tokio::test(start_paused = true)]
async fn where_nobody_is_listed_what_no_live_rule_replaces_comes_back() {
    let desired = record(&[WEB, OLD]);
    let live = ["tcp 80-90 from 10.0.0.0/8"];
    let plan = plan_of(&desired, &live, GroupState::default(), false, 60).await;
    assert_eq!(
        actions(&plan),
        [format!("restore {WEB}"), format!("superseded {OLD}")]
    );
    assert_eq!((plan.generation, plan.missing()), (7, 1));
    assert_eq!(plan.unexpected, live);
    let json = serde_json::to_value(&plan.rules[0]).expect("JSON");
    let reason = "no principal is listed, so every dropped rule comes back";
    assert_eq!(
        json,
        json!({"rule": WEB, "action": "restore", "reason": reason})
    );
}

#[tokio::test(start_paused = true)]
async fn a_rule_waits_for_its_cause_and_leaves_when_that_is_a_decision() {
    let mut desired = record(&[WEB, OLD, DNS, "tcp 1 from 10.0.0.0/8"]);
    desired.principals = vec![entry(Policy::Accept)];
    let live = [DNS, "tcp 1 from 10.0.0.0/8"];
    let plan = plan_of(&desired, &live, GroupState::default(), true, 60).await;
    assert_eq!(
        actions(&plan),
        [format!("leave {WEB}"), format!("wait {OLD}")]
    );
    let [leaves, waits] = &plan.rules[..] else {
        panic!("two: {plan:?}")
    };
    let by = "arn:aws:iam::111122223333:role/controller";
    assert_eq!(leaves.by.as_deref(), Some(by));
    assert_eq!(leaves.reason, format!("the revoke by {by} is accepted"));
    assert_eq!((waits.until, &waits.by), (Some(after(3)), &None));
    assert_eq!(plan.missing(), 1, "what leaves is not missing");
}

#[tokio::test(start_paused = true)]
async fn what_the_state_knows_of_a_rule_is_said() {
    let mut desired = record(&[WEB, OLD, DNS]);
    desired.principals = vec![entry(Policy::Follow)];
    let by = "arn:aws:iam::111122223333:role/terraform".to_owned();
    let mut state = GroupState::default();
    let pending = Pending {
        at: now(),
        by: by.clone(),
        why: PendingReason::LargeChange,
    };
    state.pending.insert(key(WEB), pending.clone());
    let contest = Contest {
        step: 2,
        until: after(2),
        by: Some(by.clone()),
    };
    state.contested.insert(key(OLD), contest);
    state.decided.insert(key(OLD), now());
    let open = "tcp 22 from 0.0.0.0/0";
    let reopened = Reopened {
        at: now(),
        by: by.clone(),
    };
    state.reopened.insert(key(open), reopened);
    let plan = plan_of(&desired, &[DNS, open], state, false, 60).await;
    assert_eq!(
        actions(&plan),
        [format!("pending {WEB}"), format!("contested {OLD}")]
    );
    assert_eq!(plan.rules[0].reason, pending.reason());
    assert_eq!(plan.rules[1].until, Some(after(2)));
    assert_eq!(plan.rules[1].by.as_ref(), Some(&by));
    let close = &plan.reopened[0].close;
    assert!(
        close.starts_with("aws ec2 revoke-security-group-ingress"),
        "{close}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_cannot_come_back_and_one_without_room_are_told_from_the_rest() {
    let gone = "tcp 9 from sg-0000000000000000b";
    let desired = record(&[WEB, OLD, gone]);
    let mut state = GroupState::default();
    state.unrestorable.insert(key(gone), now());
    let plan = plan_of(&desired, &[], state, false, 1).await;
    let said = actions(&plan);
    assert!(said.contains(&format!("unrestorable {gone}")), "{said:?}");
    assert_eq!(
        said.iter().filter(|it| it.starts_with("restore")).count(),
        1
    );
    let full = plan
        .rules
        .iter()
        .find(|it| it.action == PlannedAction::NoRoom);
    let reason = &full.expect("one without room").reason;
    assert!(reason.contains("of a quota of 1: room for 0"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_counts_the_weights_of_prefix_lists() {
    let plan = plan_of(
        &record(&[WEB, OLD]),
        &["tcp 443 from pl-0a"],
        GroupState::default(),
        false,
        56,
    )
    .await;
    assert_eq!(
        actions(&plan),
        [format!("restore {WEB}"), format!("no_room {OLD}")]
    );
}

#[tokio::test(start_paused = true)]
async fn a_paused_group_and_one_that_observes_say_so_for_each_rule() {
    let mut desired = record(&[WEB]);
    let reason = Some("migration".to_owned());
    let until = after(60);
    desired.pause = Some(Pause { until, reason });
    let plan = plan_of(&desired, &[], GroupState::default(), false, 60).await;
    let line = &plan.rules[0];
    assert_eq!(
        (line.action, line.until),
        (PlannedAction::Paused, Some(until))
    );
    let expected = format!("paused until {until}: migration; otherwise it would be restored: ");
    assert!(line.reason.starts_with(&expected), "{}", line.reason);

    desired.pause = None;
    desired.mode = Mode::Observe;
    let plan = plan_of(&desired, &[], GroupState::default(), false, 60).await;
    assert_eq!(actions(&plan), [format!("observe {WEB}")]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_may_write_makes_no_plan() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[WEB])));
    let missing = MissingReferences::default();
    let budget = Budget::of(std::time::Duration::from_secs(30));
    let result = reconcile(world(&ec2, &table, &missing), &revoke(), budget).await;
    assert_eq!(result.plan, None);
    assert_eq!(table.recorded().len(), 1);
}
