//! Refused tags cost tags, not rules.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_refused_tag_costs_that_tag() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().bad_tags.insert("bad".to_owned());
    let outcome = run(&ec2, &record(&["tcp 1 from 10.0.0.0/8 #bad,good,fine"])).await;
    assert_eq!(
        outcome,
        ["tcp 1 from 10.0.0.0/8 restored (TagPolicyViolation)"]
    );
    let state = ec2.state();
    let live = state.live.values().next().expect("restored");
    assert_eq!(live.tags.keys().collect::<Vec<_>>(), ["fine", "good"]);
}

#[tokio::test(start_paused = true)]
async fn several_refused_tags_cost_the_tags_and_not_the_rule() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state()
        .bad_tags
        .extend(["bad".to_owned(), "worse".to_owned()]);
    let outcome = run(&ec2, &record(&["tcp 1 from 10.0.0.0/8 #bad,good,worse"])).await;
    assert_eq!(
        outcome,
        ["tcp 1 from 10.0.0.0/8 restored (TagPolicyViolation)"]
    );
    assert!(
        ec2.state()
            .live
            .values()
            .next()
            .expect("restored")
            .tags
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn tags_refused_under_a_code_that_does_not_say_so_cost_the_tags_too() {
    for code in ["InvalidParameterValue", "UnauthorizedOperation"] {
        let ec2 = FakeEc2::new(&[]);
        ec2.state().bad_tags.insert("bad".to_owned());
        ec2.state().bad_tag_code = code;
        let record = record(&["tcp 1 from 10.0.0.0/8 #bad", "tcp 2 from 10.0.0.0/8 #bad"]);
        let expected = [
            format!("tcp 1 from 10.0.0.0/8 restored ({code})"),
            format!("tcp 2 from 10.0.0.0/8 restored ({code})"),
        ];
        assert_eq!(run(&ec2, &record).await, expected);
        assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 2, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_rule_among_tagged_ones_does_not_cost_the_others_their_tags() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state()
        .bad_rules
        .insert(key("tcp 2 from 10.0.0.0/8"), "InvalidPermission.Malformed");
    let record = record(&[
        "tcp 1 from 10.0.0.0/8 #team",
        "tcp 2 from 10.0.0.0/8 #team",
        "tcp 3 from 10.0.0.0/8 #team",
        "tcp 4 from 10.0.0.0/8 #team",
    ]);
    let outcome = run(&ec2, &record).await;
    assert_eq!(
        outcome[1],
        "tcp 2 from 10.0.0.0/8 failed (InvalidPermission.Malformed)"
    );
    let state = ec2.state();
    assert_eq!(state.live.len(), 3);
    assert!(
        state
            .live
            .values()
            .all(|live| live.tags.contains_key("team")),
        "{:?}",
        state.live
    );
}

#[tokio::test(start_paused = true)]
async fn a_bad_rule_and_bad_tags_under_one_code_still_leave_the_good_rules_restored() {
    let ec2 = FakeEc2::new(&[]);
    ec2.state().bad_tags.insert("bad".to_owned());
    ec2.state().bad_tag_code = "InvalidParameterValue";
    ec2.state()
        .bad_rules
        .insert(key("tcp 2 from 10.0.0.0/8"), "InvalidParameterValue");
    let rules = [
        "tcp 1 from 10.0.0.0/8 #bad",
        "tcp 2 from 10.0.0.0/8 #bad",
        "tcp 3 from 10.0.0.0/8 #bad",
    ];
    run(&ec2, &record(&rules)).await;
    assert_eq!(
        ec2.live(),
        ["tcp 1 from 10.0.0.0/8", "tcp 3 from 10.0.0.0/8"]
    );
}
