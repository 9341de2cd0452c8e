mod property;
mod room;
mod tags;

use super::*;
use crate::fakes::{FakeEc2, group, key, record, refused};
use crate::ports::Failure;

/// Outcome and code of each rule, in the order of the record.
async fn run(ec2: &FakeEc2, record: &DesiredRecord) -> Vec<String> {
    run_within(ec2, record, Duration::from_secs(30)).await
}

async fn run_within(ec2: &FakeEc2, record: &DesiredRecord, remaining: Duration) -> Vec<String> {
    let missing = MissingReferences::default();
    let execution = run_with(ec2, record, remaining, &missing).await;
    lines(record, &execution)
}

async fn run_with(
    ec2: &FakeEc2,
    record: &DesiredRecord,
    remaining: Duration,
    missing: &MissingReferences,
) -> Execution {
    let rules: Vec<IngressRule> = record.rules_in_order().into_iter().cloned().collect();
    let context = Context {
        group: &group(),
        record,
        presumed_absent: &BTreeSet::new(),
        revoked_ids: &BTreeSet::new(),
        actual: &ec2.read(),
        quota: 60,
        missing,
        foreseen: &BTreeSet::new(),
        budget: Budget::of(remaining),
    };
    authorize(ec2, context, &rules).await
}

fn lines(record: &DesiredRecord, execution: &Execution) -> Vec<String> {
    let line = |rule: &IngressRule| {
        let report = execution
            .reports
            .get(&rule.key)
            .expect("every rule has a line");
        let code = report
            .error_code
            .as_deref()
            .map(|code| format!(" ({code})"))
            .unwrap_or_default();
        format!("{} {}{code}", rule.key, report.outcome.name())
    };
    record.rules_in_order().into_iter().map(line).collect()
}

fn ports(count: usize) -> Vec<String> {
    (1..=count)
        .map(|port| format!("tcp {port} from 10.0.0.0/8"))
        .collect()
}

fn record_of(rules: &[String]) -> DesiredRecord {
    record(&rules.iter().map(String::as_str).collect::<Vec<_>>())
}

#[tokio::test(start_paused = true)]
async fn everything_goes_in_one_call() {
    let ec2 = FakeEc2::new(&[]);
    let outcome = run(&ec2, &record(&["tcp 1 from 10.0.0.0/8", "tcp 2 from ::/0"])).await;
    assert_eq!(
        outcome,
        ["tcp 1 from 10.0.0.0/8 restored", "tcp 2 from ::/0 restored"]
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reference_to_a_missing_group_costs_one_lookup_and_that_rule_alone() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state()
        .groups
        .insert("sg-0600d".parse().expect("an id"));
    let record = record(&[
        "tcp 1 from 10.0.0.0/8",
        "tcp 2 from sg-0bad",
        "tcp 3 from sg-0600d",
    ]);
    assert_eq!(
        run(&ec2, &record).await,
        [
            "tcp 1 from 10.0.0.0/8 restored",
            "tcp 2 from sg-0bad failed (InvalidGroup.NotFound)",
            "tcp 3 from sg-0600d restored"
        ]
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 2);
    assert_eq!(ec2.called("DescribeSecurityGroups"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lookup_that_is_not_answered_does_not_keep_the_others_out() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().slow_groups = Duration::from_secs(60);
    let record = record(&["tcp 1 from 10.0.0.0/8", "tcp 80 from sg-0bad0bad0bad0bad0"]);
    let began = Instant::now();
    assert_eq!(
        run(&ec2, &record).await,
        [
            "tcp 1 from 10.0.0.0/8 restored",
            "tcp 80 from sg-0bad0bad0bad0bad0 failed (InvalidGroup.NotFound)"
        ]
    );
    assert!(began.elapsed() <= Duration::from_secs(30) / 5 + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn what_was_found_missing_needs_no_second_lookup_for_a_minute() {
    let ec2 = FakeEc2::new(&[]);
    let (record, missing) = (
        record(&["tcp 1 from sg-0bad"]),
        MissingReferences::default(),
    );
    let failed = ["tcp 1 from sg-0bad failed (InvalidGroup.NotFound)"];
    for calls in [1, 1] {
        let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
        assert_eq!(lines(&record, &execution), failed);
        assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), calls);
    }
    tokio::time::advance(Duration::from_secs(61)).await;
    ec2.state().groups.insert("sg-0bad".parse().expect("an id"));
    let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
    assert_eq!(lines(&record, &execution), ["tcp 1 from sg-0bad restored"]);
}

#[tokio::test(start_paused = true)]
async fn another_accounts_group_is_not_taken_to_be_missing_because_we_cannot_see_it() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state()
        .hidden_groups
        .insert("sg-0f".parse().expect("an id"));
    let record = record(&["tcp 1 from 444455556666/sg-0f", "tcp 2 from sg-0bad"]);
    assert_eq!(
        run(&ec2, &record).await,
        [
            "tcp 1 from 444455556666/sg-0f restored",
            "tcp 2 from sg-0bad failed (InvalidGroup.NotFound)"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_reference_that_exists_and_is_out_of_reach_is_not_remembered_as_missing() {
    let ec2 = FakeEc2::new(&[]);
    let far: GroupId = "sg-0x".parse().expect("an id");
    ec2.state().groups.insert(far.clone());
    ec2.state().far_groups.insert(far);
    ec2.state()
        .bad_rules
        .insert(key("tcp 1 from sg-0x"), "InvalidGroup.NotFound");
    let (record, missing) = (record(&["tcp 1 from sg-0x"]), MissingReferences::default());
    let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
    assert_eq!(
        lines(&record, &execution),
        ["tcp 1 from sg-0x failed (InvalidGroup.NotFound)"]
    );
    let failed = &execution.reports[&key("tcp 1 from sg-0x")];
    assert!(!failed.retryable, "its VPC may not be connected any more");
    ec2.state().bad_rules.clear();
    let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
    assert_eq!(lines(&record, &execution), ["tcp 1 from sg-0x restored"]);
}

#[tokio::test(start_paused = true)]
async fn a_reference_that_ec2_shows_and_does_not_know_yet_is_tried_again_after_the_others() {
    let record = record(&[
        "tcp 1 from sg-0new",
        "tcp 2 from sg-0new",
        "tcp 3 from ::/0",
    ]);
    for (refusals, ended) in [(4, "restored"), (99, "failed (InvalidGroup.NotFound)")] {
        let ec2 = FakeEc2::new(&[]);
        ec2.state().groups.insert("sg-0new".parse().expect("an id"));
        ec2.state().unknown_yet = refusals;
        let missing = MissingReferences::default();
        let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
        assert_eq!(
            lines(&record, &execution),
            [
                format!("tcp 1 from sg-0new {ended}"),
                format!("tcp 2 from sg-0new {ended}"),
                "tcp 3 from ::/0 restored".to_owned()
            ]
        );
        let line = &execution.reports[&key("tcp 1 from sg-0new")];
        assert_eq!(line.retryable, ended != "restored", "it may pass");
        assert!(!line.reference_gone && !missing.holds(&group().scope, &line.rule));
        assert_eq!(ec2.called("DescribeSecurityGroups"), 1);
        assert_eq!(
            ec2.state().asked[1],
            ["tcp 3 from ::/0"],
            "it does not wait"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_ec2_shows_and_does_not_know_yet_is_tried_again() {
    let ec2 = FakeEc2::new(&[]);
    let unknown = std::iter::repeat_n((refused("InvalidGroup.NotFound"), false), 3);
    ec2.state().authorize_errors = unknown.collect();
    let record = record(&["tcp 1 from ::/0", "tcp 2 from ::/0"]);
    let restored = ["tcp 1 from ::/0 restored", "tcp 2 from ::/0 restored"];
    assert_eq!(run(&ec2, &record).await, restored);
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 4);
}

#[tokio::test(start_paused = true)]
async fn a_rule_on_which_ec2_stumbles_does_not_keep_the_others_out() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().stumbling.insert(key("tcp 3 from 10.0.0.0/8"));
    let missing = MissingReferences::default();
    let record = record_of(&ports(10));
    let execution = run_with(&ec2, &record, Duration::from_secs(60), &missing).await;
    let restored = execution
        .reports
        .values()
        .filter(|line| line.outcome == RuleOutcome::Restored)
        .count();
    assert_eq!(restored, 9, "{:#?}", execution.reports);
    let failed = &execution.reports[&key("tcp 3 from 10.0.0.0/8")];
    assert_eq!(failed.error_code.as_deref(), Some("HTTP 500"));
    assert!(failed.retryable, "a server error may pass");
}

#[tokio::test(start_paused = true)]
async fn a_missing_prefix_list_costs_that_rule_alone() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state()
        .prefix_lists
        .insert("pl-0600d".parse().expect("an id"), 10);
    let record = record(&[
        "tcp 1 from pl-0600d",
        "tcp 2 from pl-0bad",
        "tcp 3 from sg-0bad",
    ]);
    assert_eq!(
        run(&ec2, &record).await,
        [
            "tcp 1 from pl-0600d restored",
            "tcp 2 from pl-0bad failed (InvalidPrefixListID.NotFound)",
            "tcp 3 from sg-0bad failed (InvalidGroup.NotFound)"
        ]
    );
    assert_eq!(ec2.called("DescribeManagedPrefixLists"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_gone_ends_everything_at_once() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().groups.clear();
    let missing = MissingReferences::default();
    let record = record(&["tcp 1 from 10.0.0.0/8", "tcp 2 from 10.0.0.0/8 #team"]);
    let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
    assert!(execution.group_gone);
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 1);
    assert!(
        execution
            .reports
            .values()
            .all(|line| line.outcome == RuleOutcome::Failed && !line.retryable)
    );
}

#[tokio::test(start_paused = true)]
async fn somebody_who_was_faster_is_noticed_and_the_rest_is_restored() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().rival = vec![key("tcp 2 from 10.0.0.0/8")];
    let outcome = run(&ec2, &record_of(&ports(3))).await;
    assert_eq!(
        outcome,
        [
            "tcp 1 from 10.0.0.0/8 restored",
            "tcp 2 from 10.0.0.0/8 restored_elsewhere",
            "tcp 3 from 10.0.0.0/8 restored"
        ]
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 2);
    assert_eq!(ec2.called("DescribeSecurityGroupRules"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rival_rule_that_reads_do_not_show_yet_is_found_by_halving() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().rival = vec![key("tcp 2 from 10.0.0.0/8")];
    ec2.state().stale_reads = [vec![], vec![], vec![]].into();
    let outcome = run(&ec2, &record_of(&ports(3))).await;
    assert_eq!(outcome[0], "tcp 1 from 10.0.0.0/8 restored");
    assert_eq!(outcome[1], "tcp 2 from 10.0.0.0/8 restored_elsewhere");
    assert_eq!(outcome[2], "tcp 3 from 10.0.0.0/8 restored");
}

#[tokio::test(start_paused = true)]
async fn a_rivals_wider_rule_supersedes_what_was_still_waiting() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().rival = vec![key("tcp 2 from 10.0.0.0/8"), key("tcp 3-9 from 0.0.0.0/0")];
    let outcome = run(&ec2, &record_of(&ports(3))).await;
    assert_eq!(outcome[1], "tcp 2 from 10.0.0.0/8 restored_elsewhere");
    assert_eq!(outcome[2], "tcp 3 from 10.0.0.0/8 superseded");
}

#[tokio::test(start_paused = true)]
async fn refused_rules_are_isolated_by_halving() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state()
        .bad_rules
        .insert(key("tcp 17 from 10.0.0.0/8"), "InvalidParameterValue");
    let outcome = run(
        &ec2,
        &record_of(&ports(64).into_iter().take(60).collect::<Vec<_>>()),
    )
    .await;
    assert_eq!(
        outcome
            .iter()
            .filter(|line| line.ends_with(" restored"))
            .count(),
        59,
        "{outcome:?}"
    );
    assert!(outcome.contains(&"tcp 17 from 10.0.0.0/8 failed (InvalidParameterValue)".to_owned()));
    // 1 + 2 for each of the 6 levels of a batch of 60.
    assert!(
        ec2.called("AuthorizeSecurityGroupIngress") <= 13,
        "{}",
        ec2.called("AuthorizeSecurityGroupIngress")
    );
}

#[tokio::test(start_paused = true)]
async fn an_unknown_refusal_is_tried_once_more_and_then_reported_verbatim() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().authorize_errors = [(refused("Odd.Weather"), false)].into();
    assert_eq!(
        run(&ec2, &record_of(&ports(1))).await,
        ["tcp 1 from 10.0.0.0/8 restored"]
    );
    let ec2 = FakeEc2::new(&[]);
    ec2.state()
        .bad_rules
        .insert(key("tcp 1 from 10.0.0.0/8"), "Odd.Weather");
    assert_eq!(
        run(&ec2, &record_of(&ports(1))).await,
        ["tcp 1 from 10.0.0.0/8 failed (Odd.Weather)"]
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 2);
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_out() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().authorize_errors =
        std::iter::repeat_n((refused("RequestLimitExceeded"), false), 4).collect();
    assert_eq!(
        run(&ec2, &record_of(&ports(1))).await,
        ["tcp 1 from 10.0.0.0/8 restored"]
    );
    assert_eq!(ec2.called("DescribeSecurityGroupRules"), 0);
}

#[tokio::test(start_paused = true)]
async fn throttling_that_does_not_end_stops_in_time_and_is_worth_another_try() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().authorize_errors =
        std::iter::repeat_n((refused("RequestLimitExceeded"), false), 999).collect();
    let (missing, began) = (MissingReferences::default(), Instant::now());
    let execution = run_with(
        &ec2,
        &record_of(&ports(2)),
        Duration::from_secs(10),
        &missing,
    )
    .await;
    for line in execution.reports.values() {
        assert!(line.outcome == RuleOutcome::Failed && line.retryable);
        // Whose turn came is not told otherwise.
        assert_eq!(line.error_code.as_deref(), Some("RequestLimitExceeded"));
        let reason = line.reason.as_deref().unwrap_or_default();
        assert!(
            reason.starts_with("AuthorizeSecurityGroupIngress: "),
            "{reason}"
        );
    }
    assert!(
        began.elapsed() <= Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_error_that_worked_is_found_out_by_reading_before_repeating() {
    let ec2 = FakeEc2::new(&[]);
    let error = ApiError {
        failure: Failure::Server {
            code: "InternalError".to_owned(),
        },
        ..refused("")
    };
    ec2.state().authorize_errors = [(error, true)].into();
    assert_eq!(
        run(&ec2, &record_of(&ports(2))).await,
        [
            "tcp 1 from 10.0.0.0/8 restored",
            "tcp 2 from 10.0.0.0/8 restored"
        ]
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 1);
    assert_eq!(ec2.called("DescribeSecurityGroupRules"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_silence_that_changed_nothing_is_repeated_after_a_read() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().authorize_errors = [(
        ApiError {
            failure: Failure::NoAnswer,
            ..refused("")
        },
        false,
    )]
    .into();
    assert_eq!(
        run(&ec2, &record_of(&ports(1))).await,
        ["tcp 1 from 10.0.0.0/8 restored"]
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_that_no_look_explains_is_told_as_one_that_may_have_worked() {
    for millis in [300, 30_000] {
        let ec2 = FakeEc2::new(&[]);
        let silent = ApiError {
            failure: Failure::NoAnswer,
            ..refused("")
        };
        ec2.state().authorize_errors = std::iter::repeat_n((silent, false), 99).collect();
        let remaining = Duration::from_millis(millis);
        let missing = MissingReferences::default();
        let execution = run_with(&ec2, &record_of(&ports(1)), remaining, &missing).await;
        let line = execution.reports.values().next().expect("a line");
        assert_eq!(line.error_code.as_deref(), Some("NoAnswer"), "{millis}");
        let reason = line.reason.as_deref().unwrap_or_default();
        assert!(
            reason.ends_with("; it may have worked all the same"),
            "{reason}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_authorize_is_told_once_and_not_once_per_rule() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().authorize_errors =
        std::iter::repeat_n((refused("UnauthorizedOperation"), false), 99).collect();
    let outcome = run(&ec2, &record_of(&ports(8))).await;
    assert!(
        outcome
            .iter()
            .all(|line| line.ends_with("failed (UnauthorizedOperation)")),
        "{outcome:?}"
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 1);
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_worth_another_try() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().authorize_errors = [(refused("RequestExpired"), false)].into();
    let missing = MissingReferences::default();
    let execution = run_with(
        &ec2,
        &record_of(&ports(2)),
        Duration::from_secs(30),
        &missing,
    )
    .await;
    assert!(execution.reports.values().all(|line| line.retryable));
}

#[tokio::test(start_paused = true)]
async fn without_time_nothing_is_begun() {
    let ec2 = FakeEc2::new(&[]);
    let outcome = run_within(&ec2, &record_of(&ports(1)), Duration::ZERO).await;
    assert_eq!(outcome, ["tcp 1 from 10.0.0.0/8 failed (OutOfTime)"]);
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_success_that_reads_do_not_show_yet_is_ours_when_ec2_calls_it_a_duplicate() {
    let ec2 = FakeEc2::new(&[]);
    let silent = ApiError {
        failure: Failure::NoAnswer,
        ..refused("")
    };
    ec2.state().authorize_errors = [(silent, true)].into();
    ec2.state().stale_reads = [vec![]].into();
    assert_eq!(
        run(&ec2, &record_of(&ports(1))).await,
        ["tcp 1 from 10.0.0.0/8 restored"]
    );
}

fn unreadable() -> ApiError {
    ApiError {
        failure: Failure::Unusable,
        ..refused("")
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_unreadable_answer_made_is_restored_once_a_look_shows_it() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().authorize_errors = [(unreadable(), true)].into();
    // A look that cannot be read either is repeated.
    ec2.state().read_errors = [unreadable(), unreadable()].into();
    let missing = MissingReferences::default();
    let record = record_of(&ports(2));
    let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
    assert!(execution.last_restored.is_some());
    assert_eq!(execution.reports.len(), 2);
    for line in execution.reports.values() {
        assert_eq!(line.outcome, RuleOutcome::Restored);
        let reason = line.reason.as_deref();
        let said = "the answer could not be read, and the rule is there";
        assert_eq!(reason, Some(said));
    }
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_answer_that_made_nothing_is_asked_for_again() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().authorize_errors = [(unreadable(), false)].into();
    assert_eq!(
        run(&ec2, &record_of(&ports(2))).await,
        [
            "tcp 1 from 10.0.0.0/8 restored",
            "tcp 2 from 10.0.0.0/8 restored"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn rules_of_a_call_without_a_clear_end_are_ours_also_where_the_look_came_too_early() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().authorize_errors = [(unreadable(), true)].into();
    ec2.state().stale_reads = [vec![]].into();
    assert_eq!(
        run(&ec2, &record_of(&ports(2))).await,
        [
            "tcp 1 from 10.0.0.0/8 restored",
            "tcp 2 from 10.0.0.0/8 restored"
        ]
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_our_unclear_call_did_not_ask_for_was_restored_elsewhere() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().authorize_errors = [(unreadable(), true)].into();
    let record = record(&["tcp 1 from 10.0.0.0/8", "tcp 2 from 10.0.0.0/8 #team"]);
    ec2.state().rival = vec![key("tcp 2 from 10.0.0.0/8")];
    assert_eq!(
        run(&ec2, &record).await,
        [
            "tcp 1 from 10.0.0.0/8 restored",
            "tcp 2 from 10.0.0.0/8 restored_elsewhere"
        ]
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 1);
}

/// A read of rules that ends like this.
fn read_error(failure: Failure) -> ApiError {
    ApiError {
        operation: "DescribeSecurityGroupRules",
        failure,
        ..refused("")
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_well_costs_no_wait_and_names_the_new_ids() {
    let (ec2, began) = (FakeEc2::new(&[]), Instant::now());
    let missing = MissingReferences::default();
    let record = record_of(&ports(3));
    let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    for (rule, line) in &execution.reports {
        assert_eq!(line.rule_id, ec2.state().live[rule].id, "{rule}");
    }
    assert_eq!(execution.last_restored, Some(began));
}

#[tokio::test(start_paused = true)]
async fn the_waits_grow_while_ec2_throttles() {
    let (ec2, began) = (FakeEc2::new(&[]), Instant::now());
    let throttled = (refused("RequestLimitExceeded"), false);
    ec2.state().authorize_errors = std::iter::repeat_n(throttled, 4).collect();
    run(&ec2, &record_of(&ports(1))).await;
    // Half of 0.1, 0.2, 0.4 and 0.8 seconds at least.
    assert!(began.elapsed() >= Duration::from_millis(750));
}

#[tokio::test(start_paused = true)]
async fn what_ec2_shows_and_does_not_know_waits_for_each_of_four_tries() {
    for (rules, calls) in [
        (&["tcp 1 from sg-0new"][..], 4),
        // Together, without the third, and each alone.
        (
            &[
                "tcp 1 from sg-0new",
                "tcp 2 from sg-0new",
                "tcp 3 from ::/0",
            ],
            3 + 2 * 4,
        ),
    ] {
        let (ec2, began) = (FakeEc2::new(&[]), Instant::now());
        ec2.state().groups.insert("sg-0new".parse().expect("an id"));
        ec2.state().unknown_yet = 99;
        run(&ec2, &record(rules)).await;
        assert!(began.elapsed() >= Duration::from_millis(50 + 100 + 200));
        assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn two_rules_of_a_group_out_of_reach_fail_for_good() {
    let ec2 = FakeEc2::new(&[]);
    let far: GroupId = "sg-0x".parse().expect("an id");
    ec2.state().groups.insert(far.clone());
    ec2.state().far_groups.insert(far);
    let rules = ["tcp 1 from sg-0x", "tcp 2 from sg-0x"];
    for rule in rules {
        let code = "InvalidGroup.NotFound";
        ec2.state().bad_rules.insert(key(rule), code);
    }
    let missing = MissingReferences::default();
    let execution = run_with(&ec2, &record(&rules), Duration::from_secs(30), &missing).await;
    assert_eq!(execution.reports.len(), 2);
    assert!(execution.reports.values().all(|line| !line.retryable));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_was_seen_is_not_looked_up_again() {
    let ec2 = FakeEc2::new(&[]);
    let unknown = std::iter::repeat_n((refused("InvalidGroup.NotFound"), false), 3);
    ec2.state().authorize_errors = unknown.collect();
    run(&ec2, &record(&["tcp 1 from ::/0"])).await;
    assert_eq!(ec2.called("DescribeSecurityGroups"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rival_rule_that_no_read_shows_costs_a_halving_and_no_more() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().rival = vec![key("tcp 2 from 10.0.0.0/8")];
    ec2.state().stale_reads = vec![vec![]; 50].into();
    run(&ec2, &record_of(&ports(2))).await;
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_ends_with_our_time_is_not_waited_for() {
    let (ec2, began) = (FakeEc2::new(&[]), Instant::now());
    let late = ApiError {
        failure: Failure::OutOfTime,
        ..refused("")
    };
    ec2.state().authorize_errors = [(late, false)].into();
    let missing = MissingReferences::default();
    let record = record_of(&ports(1));
    let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
    assert!(execution.reports.values().all(|line| line.retryable));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(execution.last_restored, None);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_is_told_as_the_look_and_repeated_only_if_that_may_help() {
    let refused_read = || Failure::Refused {
        code: "UnauthorizedOperation".to_owned(),
    };
    let silent = (
        ApiError {
            failure: Failure::NoAnswer,
            ..refused("")
        },
        false,
    );
    let full = (refused("RulesPerSecurityGroupLimitExceeded"), false);
    for (first, failure, retryable) in [
        (silent, refused_read(), false),
        (full.clone(), refused_read(), false),
        (full, Failure::NoAnswer, true),
    ] {
        let ec2 = FakeEc2::new(&[]);
        ec2.state().authorize_errors = [first].into();
        ec2.state().read_errors = vec![read_error(failure.clone()); 9].into();
        let missing = MissingReferences::default();
        let record = record_of(&ports(1));
        let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
        let line = execution.reports.values().next().expect("a line");
        assert_eq!(
            (line.outcome, line.retryable),
            (RuleOutcome::Failed, retryable)
        );
        let said = line.reason.as_deref();
        assert_eq!(
            said,
            Some("DescribeSecurityGroupRules: refused with "),
            "{failure:?}"
        );
        assert_eq!(ec2.called("DescribeSecurityGroupRules"), 1, "{failure:?}");
    }
    // EC2's words about the rule stand for themselves.
    let ec2 = FakeEc2::new(&[]);
    let rule = "tcp 1 from 10.0.0.0/8";
    ec2.state()
        .bad_rules
        .insert(key(rule), "InvalidPermission.Malformed");
    let missing = MissingReferences::default();
    let execution = run_with(&ec2, &record(&[rule]), Duration::from_secs(30), &missing).await;
    let reason = execution.reports[&key(rule)].reason.as_deref();
    assert_eq!(reason, Some("refused with InvalidPermission.Malformed"));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_that_did_nothing_restored_nothing() {
    let ec2 = FakeEc2::new(&[]);
    let silent = ApiError {
        failure: Failure::NoAnswer,
        ..refused("")
    };
    ec2.state().authorize_errors = std::iter::repeat_n((silent, false), 99).collect();
    let missing = MissingReferences::default();
    let record = record_of(&ports(1));
    let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
    assert_eq!(execution.last_restored, None);
}
