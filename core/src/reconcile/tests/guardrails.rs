//! Rules that the function's configuration forbids.

use super::*;
use crate::decide::changes::KnownCall;
use crate::decide::guardrail::Guardrails;
use crate::event::Evidence;
use crate::report::RuleReport;

const SSH: &str = "tcp 22 from 0.0.0.0/0";

async fn handled_with(
    never: &str,
    ec2: &FakeEc2,
    table: &FakeTable,
    settings: Settings,
) -> GroupResult {
    handled_as(&revoke(), never, ec2, table, settings).await
}

async fn handled_as(
    event: &Value,
    never: &str,
    ec2: &FakeEc2,
    table: &FakeTable,
    settings: Settings,
) -> GroupResult {
    let Intent::Reconcile(lookup) = intent(event) else {
        panic!("the event asks for a reconcile")
    };
    let missing = MissingReferences::default();
    let never: Guardrails = never.parse().expect("guardrails");
    let world = World {
        never: &never,
        settings,
        ..world(ec2, table, &missing)
    };
    reconcile(world, &lookup, Budget::of(SECONDS_30)).await
}

fn line<'r>(report: &'r Report, rule: &str) -> &'r RuleReport {
    let mut lines = report.rules.iter();
    lines.find(|line| line.rule == key(rule)).expect("a line")
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_rule_fails_and_is_never_asked_for_and_the_others_come_back() {
    let table = FakeTable::with(&record(&[OFFICE, SSH, "all from ::/0"]));
    let ec2 = FakeEc2::new(&[]);
    let never = "tcp 22 from 0.0.0.0/0; tcp 22 from ::/0";
    let report = handled_with(never, &ec2, &table, settings()).await;
    // The event took OFFICE, and the others were missing too.
    assert_eq!(report.outcome, GroupOutcome::Restored);
    assert!(
        report.reason.ends_with("also missing: 2 failed"),
        "{}",
        report.reason
    );
    assert!(!report.retryable, "another try would not help");
    assert_eq!(ec2.live(), [OFFICE]);
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 1);
    for (rule, guardrail) in [(SSH, SSH), ("all from ::/0", "tcp 22 from ::/0")] {
        let line = line(&report, rule);
        assert_eq!(
            (line.outcome, line.error_code.as_deref()),
            (RuleOutcome::Failed, Some("Guardrail"))
        );
        let reason = line.reason.as_deref().unwrap_or_default();
        assert!(reason.ends_with(guardrail), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn rules_that_allow_it_together_fail_even_if_one_of_them_is_live() {
    let halves = ["tcp 22 from 0.0.0.0/1", "tcp 22 from 128.0.0.0/1"];
    let table = FakeTable::with(&record(&halves));
    let ec2 = FakeEc2::new(&halves[..1]);
    let report = handled_with(SSH, &ec2, &table, settings()).await;
    assert_eq!(outcomes(&report), ["tcp 22 from 128.0.0.0/1 failed"]);
    assert_eq!(ec2.live(), [halves[0]]);
}

#[tokio::test(start_paused = true)]
async fn a_prefix_list_is_forbidden_by_its_entries_and_told_if_they_are_not_known() {
    let rules = ["tcp 22 from pl-0a", "tcp 22 from pl-0b"];
    let table = FakeTable::with(&record(&rules));
    let ec2 = FakeEc2::new(&[]);
    let everywhere = "0.0.0.0/0".parse().expect("a source");
    {
        let mut state = ec2.state();
        for list in ["pl-0a", "pl-0b"] {
            let list = list.parse().expect("an id");
            state.prefix_lists.insert(list, 1);
        }
        let list = "pl-0a".parse().expect("an id");
        state.prefix_list_entries.insert(list, [everywhere].into());
    }
    let report = handled_with(SSH, &ec2, &table, settings()).await;
    assert_eq!(
        outcomes(&report),
        ["tcp 22 from pl-0a failed", "tcp 22 from pl-0b restored"]
    );
    let warned = report.warnings.iter().any(|it| it.contains("pl-0b"));
    assert!(
        warned && report.warnings.len() == 1,
        "{:?}",
        report.warnings
    );
}

#[tokio::test(start_paused = true)]
async fn without_missing_rules_nothing_is_looked_up() {
    let table = FakeTable::with(&record(&["tcp 22 from pl-0a"]));
    let ec2 = FakeEc2::new(&["tcp 22 from pl-0a"]);
    let report = handled_with(SSH, &ec2, &table, settings()).await;
    assert_eq!(report.outcome, GroupOutcome::Converged);
    assert_eq!(ec2.called("GetManagedPrefixListEntries"), 0);
}

#[tokio::test(start_paused = true)]
async fn in_observe_mode_nothing_is_promised_that_a_guardrail_forbids() {
    let table = FakeTable::with(&record(&[OFFICE, SSH]));
    let ec2 = FakeEc2::new(&[]);
    let observing = Settings {
        mode: Mode::Observe,
        ..settings()
    };
    let report = handled_with(SSH, &ec2, &table, observing).await;
    assert_eq!(report.outcome, GroupOutcome::Observed);
    let reason = |rule| line(&report, rule).reason.as_deref().unwrap_or_default();
    assert!(reason(SSH).starts_with("it would fail"), "{}", reason(SSH));
    assert!(
        reason(OFFICE).starts_with("would be authorized"),
        "{}",
        reason(OFFICE)
    );
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_enters_the_record_meanwhile_is_forbidden_too() {
    let listed = "arn:aws:iam::111122223333:role/controller";
    let mut kept = record(&[OFFICE]);
    kept.principals = vec![Principal {
        arn: listed.to_owned(),
        policy: Policy::Accept,
        settle_seconds: None,
    }];
    let table = FakeTable::with(&kept);
    let ec2 = FakeEc2::new(&[]);
    // It is known that the listed one authorized the rule, and now somebody else takes both before anybody saw it.
    let mut state = GroupState::default();
    let evidence = Evidence {
        authorized: [(key(SSH), None)].into(),
        ..Evidence::default()
    };
    let call = KnownCall {
        at: "2026-11-22T09:29:00Z".parse().expect("a time"),
        by: listed.to_owned(),
        person: None,
        call: Call::Authorize,
        reference: None,
        evidence,
    };
    state.note_call(call, now());
    table.put_state(group(), &state);
    let mut event = revoke();
    event["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"] =
        "arn:aws:iam::111122223333:role/somebody".into();
    let items = event.pointer_mut("/requestParameters/ipPermissions/items");
    let items = items.and_then(Value::as_array_mut).expect("rules");
    let mut open = items[0].clone();
    open["fromPort"] = 22.into();
    open["toPort"] = 22.into();
    open["ipRanges"]["items"][0]["cidrIp"] = "0.0.0.0/0".into();
    items.push(open);
    let report = handled_as(&event, SSH, &ec2, &table, settings()).await;
    assert_eq!(ec2.live(), [OFFICE], "{report:#?}");
    assert_eq!(report.changes.len(), 1, "it entered the record");
    assert_eq!(line(&report, SSH).error_code.as_deref(), Some("Guardrail"));
}
