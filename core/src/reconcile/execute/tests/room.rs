//! Too little room.

use super::*;

#[tokio::test(start_paused = true)]
async fn groups_over_quota_cost_no_call_each() {
    let ec2 = FakeEc2::new(&[]);
    let rules: Vec<String> = (1..=70)
        .map(|port| format!("tcp {port} from {}", group().id))
        .collect();
    let outcome = run(&ec2, &record_of(&rules)).await;
    assert_eq!(
        outcome
            .iter()
            .filter(|line| line.ends_with(" restored"))
            .count(),
        60,
        "{outcome:?}"
    );
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 3);
}

#[tokio::test(start_paused = true)]
async fn priority_holds_across_tags_when_room_is_short() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().quota = 20;
    let mut rules: Vec<String> = (1..=50)
        .map(|port| format!("tcp {port} from 10.0.0.0/8 #a"))
        .collect();
    rules[0] = format!("!{}", rules[0]);
    rules.extend((51..=60).map(|port| format!("!tcp {port} from 10.0.0.0/8 #b")));
    let record = record_of(&rules);
    let rules: Vec<IngressRule> = record.rules_in_order().into_iter().cloned().collect();
    let context = Context {
        group: &group(),
        record: &record,
        presumed_absent: &BTreeSet::new(),
        revoked_ids: &BTreeSet::new(),
        actual: &ec2.read(),
        quota: 20,
        missing: &MissingReferences::default(),
        foreseen: &BTreeSet::new(),
        budget: Budget::of(Duration::from_secs(60)),
    };
    let execution = authorize(&ec2, context, &rules).await;
    let important = record.rules.values().filter(|rule| rule.priority == 1);
    for rule in important {
        assert_eq!(
            execution.reports[&rule.key].outcome,
            RuleOutcome::Restored,
            "{}",
            rule.key
        );
    }
    assert_eq!(ec2.live().len(), 20);
}

/// Priorities 100 and 90 with different tags, and six rules of 0 with the tags of the first.
fn three_priorities() -> DesiredRecord {
    let mut rules = vec![
        "tcp 100 from 10.0.0.0/8 #a".to_owned(),
        "tcp 90 from 10.0.0.0/8 #b".to_owned(),
    ];
    rules.extend((1..=6).map(|port| format!("tcp {port} from 10.0.0.0/8 #a")));
    let mut record = record_of(&rules);
    for rule in record.rules.values_mut() {
        let name = rule.key.to_string();
        rule.priority = match name.as_str() {
            "tcp 100 from 10.0.0.0/8" => 100,
            "tcp 90 from 10.0.0.0/8" => 90,
            _ => 0,
        };
    }
    record
}

#[tokio::test(start_paused = true)]
async fn priority_holds_across_tags_where_a_live_prefix_list_takes_the_room() {
    let ec2 = FakeEc2::new(&["tcp 443 from pl-0a"]);
    ec2.state()
        .prefix_lists
        .insert("pl-0a".parse().expect("an id"), 55);
    let outcome = run(&ec2, &three_priorities()).await;
    let restored = |line: &&String| line.ends_with(" restored");
    assert!(outcome[..2].iter().all(|it| restored(&it)), "{outcome:?}");
    assert_eq!(outcome.iter().filter(restored).count(), 5, "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn priority_holds_across_tags_where_the_real_quota_is_lower_than_the_configured_one() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().quota = 5;
    let outcome = run(&ec2, &three_priorities()).await;
    let restored = |line: &&String| line.ends_with(" restored");
    assert!(outcome[..2].iter().all(|it| restored(&it)), "{outcome:?}");
    assert_eq!(outcome.iter().filter(restored).count(), 5, "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn seventy_rules_in_a_quota_of_sixty_fill_it_in_order_of_priority() {
    let ec2 = FakeEc2::new(&[]);
    let mut rules = ports(70);
    rules[69] = format!("!{}", rules[69]);
    let record = record_of(&rules);
    let outcome = run(&ec2, &record).await;
    assert_eq!(outcome[0], "tcp 70 from 10.0.0.0/8 restored");
    assert!(
        outcome[..60].iter().all(|line| line.ends_with(" restored")),
        "{outcome:?}"
    );
    assert!(
        outcome[60..]
            .iter()
            .all(|line| line.ends_with("failed (RulesPerSecurityGroupLimitExceeded)"))
    );
    // One call for the whole batch, one for what fits, and one to see that another rule does not fit.
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_finds_no_room_says_how_the_room_is_used() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().quota = 60;
    let record = record_of(&ports(61));
    let missing = MissingReferences::default();
    let execution = run_with(&ec2, &record, Duration::from_secs(30), &missing).await;
    let failed = execution
        .reports
        .values()
        .find(|line| line.outcome == RuleOutcome::Failed)
        .expect("one too many");
    assert_eq!(
        failed.reason.as_deref(),
        Some(
            "no room: the group's rules count 60 for IPv4 and 0 for IPv6 of a quota of 60: room for 0"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_larger_than_we_were_told_is_used() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().quota = 65;
    let outcome = run(&ec2, &record_of(&ports(70))).await;
    assert_eq!(
        outcome
            .iter()
            .filter(|line| line.ends_with(" restored"))
            .count(),
        65,
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_smaller_than_we_were_told_is_filled() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().quota = 21;
    let outcome = run(&ec2, &record_of(&ports(40))).await;
    assert_eq!(
        outcome
            .iter()
            .filter(|line| line.ends_with(" restored"))
            .count(),
        21,
        "{outcome:?}"
    );
    assert!(
        ec2.called("AuthorizeSecurityGroupIngress") <= 14,
        "{}",
        ec2.called("AuthorizeSecurityGroupIngress")
    );
}
