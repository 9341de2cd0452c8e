mod cause;
mod guardrails;
mod order;
mod outlook;
mod record_update;
mod stale;
mod throttled;

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::decide::changes::GroupState;
use crate::desired::{Mode, Policy, Principal};
use crate::event::{Intent, intent};
use crate::fakes::{
    FakeEc2, FakeTable, group, key, now, record, refused, revoke_event, settings, world,
};
use crate::model::{ActualRule, ActualRules};
use crate::ports::{ApiError, Failure};

const SECONDS_30: Duration = Duration::from_secs(30);

async fn handled(ec2: &FakeEc2, table: &FakeTable, event: &Value) -> GroupResult {
    handled_within(ec2, table, event, SECONDS_30).await
}

async fn handled_within(
    ec2: &FakeEc2,
    table: &FakeTable,
    event: &Value,
    remaining: Duration,
) -> GroupResult {
    let Intent::Reconcile(lookup) = intent(event) else {
        panic!("the event asks for a reconcile")
    };
    let missing = MissingReferences::default();
    reconcile(world(ec2, table, &missing), &lookup, Budget::of(remaining)).await
}

fn outcomes(report: &Report) -> Vec<String> {
    report
        .rules
        .iter()
        .map(|line| format!("{} {}", line.rule, line.outcome.name()))
        .collect()
}

/// A revoke of `tcp 443 from 10.0.0.0/8` whose response names the rule's id, as newer records do.
fn revoke_with_id(id: &str) -> Value {
    let rule_set = json!({"items": [{"groupId": group().id, "securityGroupRuleId": id, "isEgress": false,
        "ipProtocol": "tcp", "fromPort": 443, "toPort": 443, "cidrIpv4": "10.0.0.0/8"}]});
    revoke_event(
        443,
        json!({"_return": true, "revokedSecurityGroupRuleSet": rule_set}),
    )
}

fn revoke() -> Value {
    revoke_event(443, json!({"_return": true}))
}

const OFFICE: &str = "tcp 443 from 10.0.0.0/8";

#[tokio::test(start_paused = true)]
async fn a_dropped_rule_comes_back_in_two_round_trips_and_the_report_says_so() {
    let mut desired = record(&[OFFICE, "tcp 80 from 10.0.0.0/8"]);
    let rule = desired.rules.get_mut(&key(OFFICE)).expect("recorded");
    rule.description = Some("office".to_owned());
    let (ec2, table) = (
        FakeEc2::new(&["tcp 80 from 10.0.0.0/8", "tcp 22 from 0.0.0.0/0"]),
        FakeTable::with(&desired),
    );
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(report.outcome, GroupOutcome::Restored);
    assert_eq!(report.reason, "1 of 1 dropped rule restored");
    assert_eq!(report.generation, Some(7));
    assert_eq!(outcomes(&report), ["tcp 443 from 10.0.0.0/8 restored"]);
    assert_eq!(report.unexpected, ["tcp 22 from 0.0.0.0/0"]);
    assert_eq!(report.timing.event_age_ms, Some(2_000));
    let incident = &table.recorded()[0];
    assert_eq!(incident.attributes["timing"]["event_age_ms"], 2_000);
    assert_eq!(
        report.trigger.principal.as_deref(),
        Some("arn:aws:iam::111122223333:role/controller")
    );
    // One read before and one after.
    assert_eq!(ec2.called("DescribeSecurityGroupRules"), 2);
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 1);
    let live = ec2.state().live[&key(OFFICE)].clone();
    assert_eq!(live.description.as_deref(), Some("office"));
    assert_eq!(report.rules[0].rule_id, live.id);
}

#[tokio::test(start_paused = true)]
async fn the_state_and_the_incident_are_written_at_the_same_time() {
    let listed = Principal {
        arn: "arn:aws:iam::111122223333:role/terraform".to_owned(),
        policy: Policy::Accept,
        settle_seconds: None,
    };
    for principals in [vec![], vec![listed]] {
        let ec2 = FakeEc2::new(&[]);
        let mut desired = record(&[OFFICE]);
        desired.principals = principals;
        let table = FakeTable::with(&desired);
        *table.write_takes.lock().expect("not poisoned") = Duration::from_millis(100);
        let report = handled(&ec2, &table, &revoke()).await;
        assert_eq!(report.outcome, GroupOutcome::Restored);
        assert_eq!(
            (
                table.recorded().len(),
                table.states.lock().expect("not poisoned").len()
            ),
            (1, 1)
        );
        assert_eq!(report.timing.total_ms, 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_that_the_table_fails_to_write_is_written_once_more() {
    for (errors, is_saved) in [(1, true), (2, false)] {
        let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
        let broken = ApiError {
            operation: "UpdateItem",
            failure: Failure::Server {
                code: "InternalServerError".to_owned(),
            },
            message: "try later".to_owned(),
        };
        let errors = std::iter::repeat_n(broken, errors);
        table
            .save_errors
            .lock()
            .expect("not poisoned")
            .extend(errors);
        let report = handled(&ec2, &table, &revoke()).await;
        assert_eq!(report.outcome, GroupOutcome::Restored);
        assert_eq!(
            table.states.lock().expect("not poisoned").len(),
            usize::from(is_saved)
        );
        assert_eq!(
            report.warnings.is_empty(),
            is_saved,
            "{:?}",
            report.warnings
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_rule_that_is_missing_comes_back_not_only_those_the_event_names() {
    let (ec2, table) = (
        FakeEc2::new(&[]),
        FakeTable::with(&record(&[OFFICE, "udp 53 from ::/0"])),
    );
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(
        outcomes(&report),
        [
            "tcp 443 from 10.0.0.0/8 restored",
            "udp 53 from ::/0 restored"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_event_again_changes_nothing_and_says_that_the_rule_is_there() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    let first = handled(&ec2, &table, &revoke_with_id("sgr-0old")).await;
    let second = handled(&ec2, &table, &revoke_with_id("sgr-0old")).await;
    assert_eq!(first.outcome, GroupOutcome::Restored);
    assert_eq!(second.outcome, GroupOutcome::Converged);
    assert_eq!(
        outcomes(&second),
        ["tcp 443 from 10.0.0.0/8 already_present"]
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 1);
    assert_eq!(table.recorded()[0].key, table.recorded()[1].key);
}

#[tokio::test(start_paused = true)]
async fn a_rule_dropped_while_we_work_comes_back_too() {
    let rules = [OFFICE, "tcp 80 from 10.0.0.0/8"];
    let (ec2, table) = (
        FakeEc2::new(&["tcp 80 from 10.0.0.0/8"]),
        FakeTable::with(&record(&rules)),
    );
    let first_read: Vec<ActualRule> = ec2.state().live.values().cloned().collect();
    ec2.state().stale_reads = [first_read].into();
    ec2.state().live.clear();
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(report.outcome, GroupOutcome::Restored);
    assert_eq!(report.count(RuleOutcome::Restored), 2);
    assert_eq!(ec2.live().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_superseded_rule_stays_away_and_is_reported() {
    let (ec2, table) = (
        FakeEc2::new(&["tcp 80-9100 from sg-0a"]),
        FakeTable::with(&record(&["tcp 80-9093 from sg-0a"])),
    );
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(report.outcome, GroupOutcome::Converged);
    assert_eq!(report.reason, "1 rule superseded");
    assert_eq!(
        report.rules[0].reason.as_deref(),
        Some("live rules allow the same: tcp 80-9100 from sg-0a")
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 0);
}

#[tokio::test(start_paused = true)]
async fn observing_and_paused_groups_are_reported_and_left_alone() {
    let mut observed = record(&[OFFICE]);
    observed.mode = Mode::Observe;
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&observed));
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(report.outcome, GroupOutcome::Observed);
    assert_eq!(outcomes(&report), ["tcp 443 from 10.0.0.0/8 held"]);

    let mut paused = record(&[OFFICE]);
    let until = "2026-11-22T10:00:00Z".parse().expect("a time");
    paused.pause = Some(crate::desired::Pause {
        until,
        reason: Some("migration".to_owned()),
    });
    let table = FakeTable::with(&paused);
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(report.outcome, GroupOutcome::Held);
    assert_eq!(
        report.reason,
        "paused until 2026-11-22T10:00:00Z: migration"
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 0);
    assert!(ec2.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_function_in_observe_mode_overrides_every_record() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    let Intent::Reconcile(lookup) = intent(&revoke()) else {
        panic!("a reconcile")
    };
    let missing = MissingReferences::default();
    let mut world = world(&ec2, &table, &missing);
    world.settings = Settings {
        mode: Mode::Observe,
        ..settings()
    };
    let report = reconcile(world, &lookup, Budget::of(SECONDS_30)).await;
    assert_eq!(report.outcome, GroupOutcome::Observed);
    assert!(ec2.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_group_without_a_record_is_unmanaged() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::default());
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(report.outcome, GroupOutcome::Unmanaged);
    assert!(table.recorded().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_understood_is_never_half_used() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::default());
    let good =
        json!({"protocol": "tcp", "from_port": 443, "to_port": 443, "cidr_ipv4": "10.0.0.0/8"});
    let bad = json!({"protocol": "tcp", "from_port": 443, "cidr_ipv4": "10.0.0.0/8"});
    table.put(
        group(),
        json!({"schema": 1, "generation": 3, "rules": [good, bad]}),
    );
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(report.outcome, GroupOutcome::Failed);
    assert!(
        report
            .reason
            .contains("rules[1]: tcp needs both from_port and to_port"),
        "{}",
        report.reason
    );
    assert!(report.unreadable && !report.unread && !report.retryable);
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_gone_is_marked_as_orphaned() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    ec2.state().groups.clear();
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(report.outcome, GroupOutcome::Orphaned);
    assert_eq!(outcomes(&report), ["tcp 443 from 10.0.0.0/8 failed"]);
    assert!(!report.retryable);
    assert!(table.orphans().contains(&group().id));
}

#[tokio::test(start_paused = true)]
async fn the_event_of_its_deletion_leaves_a_gone_group_its_mark() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    ec2.state().groups.clear();
    let since = "2026-11-22T09:00:00Z";
    table
        .mark_orphaned(&group(), since)
        .await
        .expect("writable");
    let mut deletion = revoke();
    deletion["eventName"] = json!("DeleteSecurityGroup");
    deletion["requestParameters"] = json!({"groupId": group().id});
    drop(handled(&ec2, &table, &deletion).await);
    let loaded = table.load(&group()).await.expect("readable");
    let state = GroupState::of_item(loaded.state.as_ref());
    assert_eq!(state.calls.len(), 1, "the deletion is noted");
    assert_eq!(state.orphaned_at.as_deref(), Some(since));
}

#[tokio::test(start_paused = true)]
async fn what_a_lookup_shows_is_not_remembered_as_missing_any_more() {
    let rule = "tcp 443 from sg-0new";
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[rule])));
    let Intent::Reconcile(lookup) = intent(&revoke()) else {
        panic!("a reconcile")
    };
    let missing = MissingReferences::default();
    let world = world(&ec2, &table, &missing);
    let first = reconcile(world, &lookup, Budget::of(SECONDS_30)).await;
    assert_eq!(outcomes(&first), [format!("{rule} failed")]);
    ec2.state().groups.insert("sg-0new".parse().expect("an id"));
    let second = reconcile(world, &lookup, Budget::of(SECONDS_30)).await;
    assert_eq!(outcomes(&second), [format!("{rule} restored")]);
}

#[tokio::test(start_paused = true)]
async fn states_that_cannot_be_read_are_worth_another_try_only_if_that_can_help() {
    let silent = ApiError {
        failure: Failure::NoAnswer,
        ..refused("")
    };
    for (error, retryable) in [(silent, true), (refused("UnauthorizedOperation"), false)] {
        let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
        ec2.state().read_errors.push_back(error.clone());
        let report = handled(&ec2, &table, &revoke()).await;
        assert_eq!(
            (report.outcome, report.retryable),
            (GroupOutcome::Failed, retryable)
        );

        let ec2 = FakeEc2::new(&[]);
        *table.error.lock().expect("not poisoned") = Some(error);
        let report = handled(&ec2, &table, &revoke()).await;
        assert_eq!(
            (report.outcome, report.retryable),
            (GroupOutcome::Failed, retryable)
        );
        assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_incident_that_cannot_be_written_undoes_nothing_and_is_reported() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    let Intent::Reconcile(lookup) = intent(&revoke()) else {
        panic!("a reconcile")
    };
    let missing = MissingReferences::default();
    let world = world(&ec2, &table, &missing);
    let mut loaded = table.load(&group()).await.expect("readable");
    let item = loaded.desired.take().expect("there");
    let snapshot = Snapshot::read(&group(), item, loaded).expect("understood");
    *table.error.lock().expect("not poisoned") = Some(refused("ResourceNotFoundException"));
    let started = Started::now(&world, &lookup.trigger);
    let budget = Budget::of(SECONDS_30);
    let live = LiveRead {
        actual: ActualRules::default(),
        at: now(),
    };
    let passes = Passes::new(world, snapshot, live, &lookup, None, budget);
    let report = converge(world, started, passes, &lookup).await;
    assert_eq!(report.outcome, GroupOutcome::Restored);
    assert!(
        report
            .warnings
            .iter()
            .any(|warning| warning.starts_with("the incident could not be recorded")),
        "{:?}",
        report.warnings
    );
}

#[tokio::test(start_paused = true)]
async fn a_group_named_only_by_name_is_looked_up_in_the_default_vpc() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    ec2.state()
        .default_vpc_groups
        .insert("web".to_owned(), group().id);
    let mut event = revoke();
    event["requestParameters"] = json!({"groupName": "web", "ipPermissions": {}});
    assert_eq!(
        handled(&ec2, &table, &event).await.outcome,
        GroupOutcome::Restored
    );

    event["requestParameters"]["groupName"] = "elsewhere".into();
    let report = handled(&ec2, &table, &event).await;
    assert_eq!(report.outcome, GroupOutcome::Ignored);
    assert_eq!(
        report.reason,
        "the default VPC of 111122223333/eu-west-1 has no group named \"elsewhere\""
    );
}

#[tokio::test(start_paused = true)]
async fn every_invocation_ends_before_its_deadline() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    ec2.state().authorize_errors =
        std::iter::repeat_n((refused("RequestLimitExceeded"), false), 999).collect();
    let began = Instant::now();
    let report = handled_within(&ec2, &table, &revoke(), Duration::from_secs(3)).await;
    assert!(report.retryable);
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn two_deliveries_of_one_event_leave_one_incident_that_says_what_was_restored() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    drop(handled(&ec2, &table, &revoke()).await);
    drop(handled(&ec2, &table, &revoke()).await);
    let written = table.recorded();
    let [first, second] = &written[..] else {
        panic!("two writes: {written:?}")
    };
    // The merged item does not depend on which one is written first.
    for (mut later, earlier) in [(second.clone(), first), (first.clone(), second)] {
        later.merge(&earlier.attributes);
        assert_eq!(later.attributes["rules"][0]["outcome"], "restored");
        assert_eq!(later.attributes["outcome"], "restored");
    }
    assert_eq!(
        first.attributes["expires_at"],
        now().as_second() + 90 * 24 * 3_600
    );
}

#[tokio::test(start_paused = true)]
async fn a_plan_notices_that_the_group_is_gone_and_changes_nothing() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    ec2.state().groups.clear();
    let Intent::Reconcile(lookup) = intent(&revoke()) else {
        panic!("a reconcile")
    };
    let missing = MissingReferences::default();
    let mut world = world(&ec2, &table, &missing);
    world.settings = Settings {
        mode: Mode::Observe,
        writes: false,
        ..settings()
    };
    let report = reconcile(world, &lookup, Budget::of(SECONDS_30)).await;
    assert_eq!(report.outcome, GroupOutcome::Orphaned);
    assert!(table.recorded().is_empty());
    assert!(table.orphans().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_group_of_a_foreign_account_that_we_cannot_see_is_not_remembered_as_gone() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    ec2.state().groups.clear();
    let Intent::Reconcile(lookup) = intent(&revoke()) else {
        panic!("a reconcile")
    };
    let missing = MissingReferences::default();
    let mut world = world(&ec2, &table, &missing);
    world.without_role = true;
    let report = reconcile(world, &lookup, Budget::of(SECONDS_30)).await;
    assert_eq!(report.outcome, GroupOutcome::Orphaned);
    assert!(report.warnings[0].contains("RULEKEEPER_ROLE_NAME"));
    assert!(table.orphans().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_finishes_the_work_makes_the_incident_whole() {
    let rules = [OFFICE, "tcp 80 from 10.0.0.0/8"];
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&rules)));
    ec2.state()
        .bad_rules
        .insert(key(rules[1]), "InvalidParameterValue");
    drop(handled(&ec2, &table, &revoke()).await);
    ec2.state().bad_rules.clear();
    drop(handled(&ec2, &table, &revoke()).await);
    let written = table.recorded();
    for (mut later, earlier) in [
        (written[1].clone(), &written[0]),
        (written[0].clone(), &written[1]),
    ] {
        later.merge(&earlier.attributes);
        assert_eq!(later.attributes["outcome"], "restored");
        let reason = "1 of 1 dropped rule restored; also missing: 1 restored";
        assert_eq!(later.attributes["reason"], reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_failed_and_came_back_by_other_hands_is_not_reported_as_missing() {
    let refused_rule = "tcp 80 from 10.0.0.0/8";
    let (ec2, table) = (
        FakeEc2::new(&[]),
        FakeTable::with(&record(&[OFFICE, refused_rule])),
    );
    ec2.state()
        .bad_rules
        .insert(key(refused_rule), "InvalidParameterValue");
    // The first read is empty. The verifying read shows both rules.
    let live = FakeEc2::new(&[OFFICE, refused_rule]);
    let both: Vec<ActualRule> = live.state().live.values().cloned().collect();
    ec2.state().stale_reads = [vec![], both].into();
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(
        outcomes(&report),
        [
            "tcp 443 from 10.0.0.0/8 restored",
            "tcp 80 from 10.0.0.0/8 restored_elsewhere"
        ]
    );
    assert_eq!(report.outcome, GroupOutcome::Restored);
}
