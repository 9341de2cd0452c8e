//! Updates of the record, and what is remembered.

use super::*;
use crate::decide::changes::{KnownCall, Verdict, WaitReason};
use crate::desired::Policy;
use crate::reconcile::converge::VERIFY_AFTER;
use crate::reconcile::record_update::update_record;

#[tokio::test(start_paused = true)]
async fn a_change_is_not_judged_by_a_read_that_was_begun_before_it_had_settled() {
    let mut followed = record(&[OFFICE]);
    followed.principals = vec![Principal {
        arn: "arn:aws:iam::111122223333:role/controller".to_owned(),
        policy: Policy::Follow,
        settle_seconds: None,
    }];
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&followed));
    let Intent::Reconcile(lookup) = intent(&revoke()) else {
        panic!("a reconcile")
    };
    let missing = MissingReferences::default();
    let mut world = world(&ec2, &table, &missing);
    world.now = || now() + SignedDuration::from_secs(10);
    for (at, settles) in [(now(), true), ((world.now)(), false)] {
        let mut loaded = table.load(&group()).await.expect("readable");
        let item = loaded.desired.take().expect("there");
        let mut snapshot = Snapshot::read(&group(), item, loaded).expect("understood");
        let actual = ActualRules::default();
        let mut live = LiveRead { actual, at };
        let calls: Vec<KnownCall> = KnownCall::of(&lookup).into_iter().collect();
        let update = update_record(&world, &mut snapshot, &mut live, &calls, true).await;
        let verdict = &update.verdicts[&key(OFFICE)];
        let is_settling = matches!(
            verdict,
            Verdict::Wait {
                why: WaitReason::Settles { .. },
                ..
            }
        );
        assert_eq!(is_settling, settles, "read at {at}: {verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restore_is_remembered_for_when_it_was_and_not_for_when_it_had_been_verified() {
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&record(&[OFFICE])));
    // Every read is stale.
    ec2.state().stale_reads = std::iter::repeat_n(vec![], 9).collect();
    drop(handled(&ec2, &table, &revoke()).await);
    let states = table.states.lock().expect("not poisoned");
    let state = GroupState::from_json(&states[&group()]).expect("readable");
    // The clock of these tests stands still, so the duration of the reads makes the restore look earlier.
    let verifying: Duration = VERIFY_AFTER.iter().sum();
    let restored = now() - SignedDuration::try_from(verifying).expect("short");
    assert_eq!(state.last_restored(&key(OFFICE)), Some(restored));
}

#[tokio::test(start_paused = true)]
async fn attributes_of_a_later_version_stay_through_every_generation_of_an_invocation() {
    let mut accepting = record(&[OFFICE, "tcp 80 from 10.0.0.0/8"]);
    accepting.principals = ["one", "two"]
        .map(|name| Principal {
            arn: format!("arn:aws:iam::111122223333:role/{name}"),
            policy: Policy::Accept,
            settle_seconds: None,
        })
        .into();
    let mut item = accepting.to_json();
    item.insert("later".to_owned(), json!({"deep": [1]}));
    let (ec2, table) = (FakeEc2::new(&[]), FakeTable::with(&accepting));
    table.put(group(), Value::Object(item.clone()));
    let calls = [
        (443, &accepting.principals[0]),
        (80, &accepting.principals[1]),
    ];
    let calls: Vec<KnownCall> = calls
        .into_iter()
        .filter_map(|(port, principal)| {
            let mut event = revoke_event(port, json!({"_return": true}));
            event["eventID"] = port.into();
            let Intent::Reconcile(mut lookup) = intent(&event) else {
                panic!("a reconcile")
            };
            lookup.trigger.principal = Some(principal.arn.clone());
            KnownCall::of(&lookup)
        })
        .collect();
    let missing = MissingReferences::default();
    let world = world(&ec2, &table, &missing);
    let loaded = table.load(&group()).await.expect("readable");
    let mut snapshot = Snapshot::read(&group(), Value::Object(item), loaded).expect("understood");
    let (actual, at) = (ActualRules::default(), now());
    let mut live = LiveRead { actual, at };
    let before = snapshot.record.generation;
    let update = update_record(&world, &mut snapshot, &mut live, &calls, true).await;
    assert_eq!(update.changes.len(), 2, "{update:?}");
    let written = table.load(&group()).await.expect("readable").desired;
    let written = written.expect("there");
    assert_eq!(written["generation"], before + 2);
    assert_eq!(written["later"], json!({"deep": [1]}));
    assert_eq!(
        snapshot.item, written,
        "what the next generation would replace"
    );
}
