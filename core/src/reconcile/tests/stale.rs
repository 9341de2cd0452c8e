//! Stale reads.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_read_that_shows_the_revoked_id_is_stale_and_looked_at_again() {
    let (ec2, table) = (FakeEc2::new(&[OFFICE]), FakeTable::with(&record(&[OFFICE])));
    let before = ec2.state().live.remove(&key(OFFICE)).expect("live");
    let id = before.id.clone().expect("an id").to_string();
    ec2.state().stale_reads = [vec![before.clone()], vec![before]].into();
    let report = handled(&ec2, &table, &revoke_with_id(&id)).await;
    assert_eq!(outcomes(&report), ["tcp 443 from 10.0.0.0/8 restored"]);
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 1);
}

#[tokio::test(start_paused = true)]
async fn reads_that_stay_stale_are_settled_by_authorizing() {
    let (ec2, table) = (FakeEc2::new(&[OFFICE]), FakeTable::with(&record(&[OFFICE])));
    let before = ec2.state().live.remove(&key(OFFICE)).expect("live");
    let id = before.id.clone().expect("an id").to_string();
    ec2.state().stale_reads = std::iter::repeat_n(vec![before], 50).collect();
    let report = handled(&ec2, &table, &revoke_with_id(&id)).await;
    assert_eq!(outcomes(&report), ["tcp 443 from 10.0.0.0/8 restored"]);
    assert_eq!(ec2.live(), [OFFICE]);
}

/// A table that records OFFICE and HTTP, and in which OFFICE was restored five times of late.
async fn restored_five_times() -> FakeTable {
    let table = FakeTable::with(&record(&[OFFICE, HTTP]));
    let mut state = GroupState::default();
    for seconds in 1..=5 {
        let at = now() - SignedDuration::from_secs(60 - seconds);
        state.note_restored(&key(OFFICE), at, None);
    }
    assert_eq!(table.save_state(&group(), &state).await, Ok(true));
    table
}

const HTTP: &str = "tcp 80 from 10.0.0.0/8";

#[tokio::test(start_paused = true)]
async fn a_contested_rule_waits_although_the_first_look_shows_it() {
    // Reads that stay stale, and a rule that goes missing while we work.
    for stale_reads in [50, 1] {
        let (ec2, table) = (FakeEc2::new(&[OFFICE]), restored_five_times().await);
        let before = ec2.state().live.remove(&key(OFFICE)).expect("live");
        let id = before.id.clone().expect("an id").to_string();
        ec2.state().stale_reads = std::iter::repeat_n(vec![before], stale_reads).collect();
        let event = match stale_reads {
            1 => revoke_event(80, json!({"_return": true})),
            _ => revoke_with_id(&id),
        };
        let report = handled(&ec2, &table, &event).await;
        assert_eq!(
            outcomes(&report),
            [format!("{OFFICE} contested"), format!("{HTTP} restored")]
        );
        assert_eq!(ec2.live(), [HTTP]);
        assert!(
            report.notices[0].contains("is contested"),
            "{:?}",
            report.notices
        );
    }
}

#[tokio::test(start_paused = true)]
async fn no_wait_begins_for_a_rule_that_is_there() {
    let (ec2, table) = (FakeEc2::new(&[OFFICE, HTTP]), restored_five_times().await);
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(outcomes(&report), [format!("{OFFICE} already_present")]);
    let states = table.states.lock().expect("not poisoned");
    let state = GroupState::from_json(&states[&group()]).expect("readable");
    assert!(state.contested.is_empty() && report.notices.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_names_an_id_which_was_never_revoked_changes_nothing() {
    let (ec2, table) = (FakeEc2::new(&[OFFICE]), FakeTable::with(&record(&[OFFICE])));
    let id = ec2.state().live[&key(OFFICE)]
        .id
        .clone()
        .expect("an id")
        .to_string();
    let report = handled(&ec2, &table, &revoke_with_id(&id)).await;
    assert_eq!(report.outcome, GroupOutcome::Converged);
    assert_eq!(
        outcomes(&report),
        ["tcp 443 from 10.0.0.0/8 already_present"]
    );
    assert_eq!(ec2.live(), [OFFICE]);
}

#[tokio::test(start_paused = true)]
async fn missing_rules_do_not_wait_for_a_stale_read_of_another() {
    let (ec2, table) = (
        FakeEc2::new(&[OFFICE]),
        FakeTable::with(&record(&[OFFICE, "tcp 80 from 10.0.0.0/8"])),
    );
    let before = ec2.state().live.remove(&key(OFFICE)).expect("live");
    let id = before.id.clone().expect("an id").to_string();
    ec2.state().stale_reads = [vec![before]].into();
    let report = handled(&ec2, &table, &revoke_with_id(&id)).await;
    assert_eq!(report.outcome, GroupOutcome::Restored);
    assert_eq!(ec2.state().asked[0], ["tcp 80 from 10.0.0.0/8"]);
    assert_eq!(ec2.live().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_ids_a_rule_that_still_shows_is_looked_at_once_more() {
    let (ec2, table) = (FakeEc2::new(&[OFFICE]), FakeTable::with(&record(&[OFFICE])));
    let before = ec2.state().live.remove(&key(OFFICE)).expect("live");
    ec2.state().stale_reads = [vec![before]].into();
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(outcomes(&report), ["tcp 443 from 10.0.0.0/8 restored"]);

    let ec2 = FakeEc2::new(&[OFFICE]);
    let report = handled(&ec2, &table, &revoke()).await;
    assert_eq!(report.outcome, GroupOutcome::Converged);
    assert_eq!(ec2.called("DescribeSecurityGroupRules"), 2);
    assert_eq!(ec2.called("AuthorizeSecurityGroupIngress"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_modified_rule_that_still_shows_its_old_content_is_looked_at_once_more() {
    let (ec2, table) = (FakeEc2::new(&[OFFICE]), FakeTable::with(&record(&[OFFICE])));
    let before = ec2.state().live.remove(&key(OFFICE)).expect("live");
    let id = before.id.clone().expect("an id");
    let narrowed = ActualRule {
        key: key("tcp 443 from 10.1.0.0/16"),
        ..before.clone()
    };
    ec2.state().live.insert(narrowed.key.clone(), narrowed);
    ec2.state().stale_reads = [vec![before]].into();
    let mut event = revoke();
    event["eventName"] = "ModifySecurityGroupRules".into();
    event["requestParameters"] = json!({"ModifySecurityGroupRulesRequest": {"GroupId": group().id,
        "SecurityGroupRule": {"SecurityGroupRuleId": id, "tag": 1, "SecurityGroupRule":
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIpv4": "10.1.0.0/16"}}}});
    let report = handled(&ec2, &table, &event).await;
    assert_eq!(outcomes(&report), ["tcp 443 from 10.0.0.0/8 restored"]);
    assert_eq!(report.unexpected, ["tcp 443 from 10.1.0.0/16"]);
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_of_the_rule_that_stands_in_does_not_hide_the_drop() {
    let wider = "tcp 80-9100 from sg-0a";
    let (ec2, table) = (
        FakeEc2::new(&[wider]),
        FakeTable::with(&record(&["tcp 80-9093 from sg-0a"])),
    );
    ec2.state().groups.insert("sg-0a".parse().expect("an id"));
    let before = ec2.state().live.remove(&key(wider)).expect("live");
    let id = before.id.clone().expect("an id").to_string();
    for stale_reads in [1, 50] {
        ec2.state().live.clear();
        ec2.state().stale_reads = std::iter::repeat_n(vec![before.clone()], stale_reads).collect();
        let report = handled(&ec2, &table, &revoke_with_id(&id)).await;
        assert_eq!(
            outcomes(&report),
            ["tcp 80-9093 from sg-0a restored"],
            "{stale_reads} stale reads"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_after_a_server_error_is_not_taken_for_success() {
    let (ec2, table) = (FakeEc2::new(&[OFFICE]), FakeTable::with(&record(&[OFFICE])));
    let before = ec2.state().live.remove(&key(OFFICE)).expect("live");
    let id = before.id.clone().expect("an id").to_string();
    let failure = Failure::Server {
        code: "InternalError".to_owned(),
    };
    let error = ApiError {
        failure,
        ..refused("")
    };
    ec2.state().authorize_errors = [(error, false)].into();
    // The first read is fresh. The read after the error is stale.
    ec2.state().stale_reads = [vec![], vec![before]].into();
    let report = handled(&ec2, &table, &revoke_with_id(&id)).await;
    assert_eq!(outcomes(&report), ["tcp 443 from 10.0.0.0/8 restored"]);
    assert_eq!(ec2.live(), [OFFICE]);
    assert_ne!(
        report.rules[0].rule_id.as_ref().map(ToString::to_string),
        Some(id)
    );
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_without_time_for_another_is_no_proof_that_the_rule_is_there() {
    let (ec2, table) = (FakeEc2::new(&[OFFICE]), FakeTable::with(&record(&[OFFICE])));
    let id = ec2.state().live[&key(OFFICE)].id.clone().expect("an id");
    let report = handled_within(
        &ec2,
        &table,
        &revoke_with_id(id.as_str()),
        Duration::from_millis(50),
    )
    .await;
    assert_eq!(outcomes(&report), ["tcp 443 from 10.0.0.0/8 failed"]);
    assert!(report.retryable);
}
