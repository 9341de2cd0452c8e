//! The verbs against a table in memory.

use std::sync::PoisonError;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use rulekeeper_core::decide::changes::{Contest, GroupState, Pending, PendingReason, Reopened};
use rulekeeper_core::desired::{Policy, Principal};
use rulekeeper_core::fakes::{FakeEc2, FakeTable, account, group, key, now, record};
use rulekeeper_core::ports::WriteError;

const WEB: &str = "tcp 443 from 10.0.0.0/8";
const OLD: &str = "tcp 80 from 10.0.0.0/8";

fn author() -> Author {
    Author {
        arn: "arn:aws:iam::111122223333:user/maria".to_owned(),
        now: now(),
    }
}

fn item(table: &FakeTable) -> Option<Value> {
    let items = table.items.lock().unwrap_or_else(PoisonError::into_inner);
    items.get(&group()).cloned()
}

fn current(table: &FakeTable) -> DesiredRecord {
    let item = item(table).expect("a record");
    let reading = DesiredRecord::from_json(&item, &account());
    reading.expect("it can be read").record
}

fn state(table: &FakeTable) -> GroupState {
    let states = table.states.lock().unwrap_or_else(PoisonError::into_inner);
    GroupState::of_item(states.get(&group()))
}

/// Somebody changes the record by hand and does not count the generation on.
fn edit_by_hand(table: &FakeTable) {
    let mut item = item(table).expect("a record");
    item["note"] = "by hand".into();
    table.put(group(), item);
}

fn entry(arn: &str, policy: Policy) -> Principal {
    Principal {
        arn: arn.to_owned(),
        policy,
        settle_seconds: None,
    }
}

fn add(arn: &str, policy: Policy) -> PrincipalChange {
    PrincipalChange::Add {
        principal: entry(arn, policy),
        first: false,
    }
}

fn hours(text: &str) -> PauseLength {
    text.parse().expect("a length")
}

#[tokio::test]
async fn a_released_rule_leaves_the_record_and_what_was_going_on_about_it_ends() {
    let table = FakeTable::with(&record(&[WEB, OLD]));
    let mut contested = GroupState::default();
    let contest = Contest {
        step: 1,
        until: now(),
        by: None,
    };
    contested.contested.insert(key(OLD), contest);
    assert_eq!(table.save_state(&group(), &contested).await, Ok(true));

    let draft = release(&table, &group(), &[key(OLD), key(OLD)], Some("moved")).await;
    let draft = draft.expect("a draft");
    assert_eq!(current(&table).rules.len(), 2, "a draft writes nothing");
    let written = draft.write(&table, &author()).await.expect("written");
    assert_eq!(
        serde_json::to_value(&written).expect("JSON"),
        json!({"group": group(), "generation": 8, "changed": true, "added": [], "removed": [OLD]})
    );
    let after = current(&table);
    assert_eq!(after.rules.keys().collect::<Vec<_>>(), [&key(WEB)]);
    assert_eq!(after.reason.as_deref(), Some("released: moved"));
    assert_eq!(after.updated_by, Some(author().arn));
    let state = state(&table);
    assert_eq!(state.decided.get(&key(OLD)), Some(&now()));
    assert!(state.contested.is_empty());
    assert_eq!(table.archive().history[&group()].len(), 1);
}

#[tokio::test]
async fn a_rule_that_is_not_kept_cannot_be_released_and_the_record_is_told() {
    let table = FakeTable::with(&record(&[WEB]));
    let error = release(&table, &group(), &[key(WEB), key(OLD)], None).await;
    let said = error.expect_err("not in the record").to_string();
    assert!(
        said.contains(&format!("does not keep {OLD:?}; nothing was written")),
        "{said}"
    );
    assert!(
        said.ends_with(&format!("Its record holds:\n  {WEB}")),
        "{said}"
    );
    assert_eq!(current(&table).rules.len(), 1);
}

#[tokio::test]
async fn a_record_that_changed_since_it_was_read_is_not_overwritten() {
    let table = FakeTable::with(&record(&[WEB, OLD]));
    let drafts = [
        release(&table, &group(), &[key(OLD)], None).await,
        pause(&table, &group(), hours("2h"), "work", now()).await,
    ];
    let unpinning = unpin(&table, &group(), None).await.expect("a record");
    let (at, change) = (group(), add("*x", Policy::Follow));
    let listing = change_principals(&table, Some(&at), &change, false, None).await;
    let listing = listing.expect("a draft");
    edit_by_hand(&table);
    for draft in drafts {
        let error = draft.expect("a draft").write(&table, &author()).await;
        assert!(
            matches!(
                error,
                Err(OperatorError::Write(WriteError::LostRace { .. }))
            ),
            "{error:?}"
        );
    }
    let error = unpinning.write(&table, &author()).await;
    assert!(
        matches!(
            error,
            Err(OperatorError::Write(WriteError::LostRace { .. }))
        ),
        "{error:?}"
    );
    let error = listing.write(&table, &author()).await;
    assert!(
        matches!(
            error,
            Err(OperatorError::Write(WriteError::LostRace { .. }))
        ),
        "{error:?}"
    );
    assert_eq!(current(&table).note.as_deref(), Some("by hand"));
    assert!(table.archive().history.is_empty());
}

#[tokio::test]
async fn a_function_at_work_on_the_state_only_delays_a_write() {
    let table = FakeTable::with(&record(&[WEB, OLD]));
    table.archive().busy = 2;
    let draft = release(&table, &group(), &[key(OLD)], None)
        .await
        .expect("a draft");
    draft
        .write(&table, &author())
        .await
        .expect("written at last");
    table.archive().busy = 2;
    let unpinning = unpin(&table, &group(), None).await.expect("a record");
    unpinning
        .write(&table, &author())
        .await
        .expect("written at last");
    table.put(group(), Value::Object(record(&[WEB]).to_json()));
    table.archive().history.clear();
    table.archive().busy = 100;
    let unpinning = unpin(&table, &group(), None).await.expect("a record");
    let error = unpinning
        .write(&table, &author())
        .await
        .expect_err("never quiet");
    assert!(error.to_string().contains("kept changing"), "{error}");
}

#[tokio::test]
async fn an_unpinned_record_goes_into_history_and_pin_counts_on() {
    let table = FakeTable::with(&record(&[WEB]));
    let unpinning = unpin(&table, &group(), Some("gone"))
        .await
        .expect("a record");
    assert_eq!(unpinning.rules(), [key(WEB)]);
    let written = unpinning.write(&table, &author()).await.expect("written");
    assert_eq!((written.generation, written.unpinned), (8, true));
    assert_eq!(item(&table), None);
    assert_eq!(state(&table).decided.get(&key(WEB)), Some(&now()));
    assert!(matches!(
        unpin(&table, &group(), None).await,
        Err(OperatorError::NoRecord(_))
    ));

    let ec2 = FakeEc2::new(&[OLD]);
    let pinned = pin(&ec2, &table, &group(), &PinOptions::default(), &author()).await;
    assert_eq!(pinned.expect("pinned").generation, 9);
    let live = ec2.state().live[&key(OLD)].clone();
    let ids = state(&table).ids;
    assert!(ids.contains_key(&live.id.expect("an id")));
    let history = history(&table, &group()).await.expect("a history");
    let lines: Vec<_> = history
        .generations
        .iter()
        .map(|it| (it.generation, it.current, it.unpinned, it.since))
        .collect();
    assert_eq!(
        lines,
        [
            (9, true, false, Some(8)),
            (8, false, true, Some(7)),
            (7, false, false, None)
        ]
    );
    let [newest, gone, first] = &history.generations[..] else {
        panic!("three: {history:?}")
    };
    assert_eq!(
        (
            &newest.difference.added[..],
            newest.difference.removed.len()
        ),
        (&[key(OLD)][..], 0)
    );
    assert_eq!(
        (&gone.difference.removed[..], gone.reason.as_deref()),
        (&[key(WEB)][..], Some("unpinned: gone"))
    );
    assert_eq!(first.difference.added, [key(WEB)]);
}

#[tokio::test]
async fn a_record_that_cannot_be_understood_can_be_unpinned_and_is_told_in_history() {
    let table = FakeTable::default();
    table.put(
        group(),
        json!({"generation": 3, "rules": "all", "updated_by": "someone"}),
    );
    assert!(matches!(
        release(&table, &group(), &[key(WEB)], None).await,
        Err(OperatorError::Unreadable { .. })
    ));
    let unpinning = unpin(&table, &group(), None).await.expect("a record");
    unpinning.write(&table, &author()).await.expect("written");
    let history = history(&table, &group()).await.expect("a history");
    let bad = &history.generations[1];
    assert_eq!(bad.unreadable.as_deref(), Some("rules: is not a list"));
    assert_eq!(
        (bad.generation, bad.updated_by.as_deref()),
        (3, Some("someone"))
    );
    assert_eq!(
        history.generations[0].since, None,
        "nothing before it can be understood"
    );
    let error = rollback(&table, &group(), 3, None)
        .await
        .expect_err("unreadable");
    assert!(
        error.to_string().contains("generation 3")
            && error.to_string().contains("rules: is not a list"),
        "{error}"
    );
    let error = rollback(&table, &group(), 4, None)
        .await
        .expect_err("keeps nothing");
    assert!(
        matches!(error, OperatorError::NothingKept { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_pause_begins_now_and_a_resume_ends_it_once() {
    let table = FakeTable::with(&record(&[WEB]));
    let draft = pause(&table, &group(), hours("2h"), "migration", now())
        .await
        .expect("a draft");
    draft.write(&table, &author()).await.expect("written");
    let paused = current(&table);
    let pause = paused.pause.as_ref().expect("a pause");
    assert_eq!(pause.until, now() + SignedDuration::from_hours(2));
    assert_eq!(pause.reason.as_deref(), Some("migration"));
    assert_eq!(
        paused.reason.as_deref(),
        Some("paused until 2026-11-22T11:30:02Z: migration")
    );

    let resume_at = async |at: Timestamp| resume(&table, &group(), None, at).await;
    let over = resume_at(now() + SignedDuration::from_hours(3)).await;
    assert!(
        over.expect("a draft").changes_nothing(),
        "a pause that is over is none"
    );
    let draft = resume_at(now()).await.expect("a draft");
    assert_eq!(
        draft
            .write(&table, &author())
            .await
            .expect("written")
            .generation,
        9
    );
    assert_eq!(current(&table).pause, None);
    let again = resume_at(now()).await.expect("a draft");
    let written = again.write(&table, &author()).await.expect("nothing to do");
    assert_eq!((written.generation, written.changed), (9, false));
}

#[tokio::test]
async fn a_rollback_brings_everything_back_but_the_pause() {
    let mut first = record(&[WEB, OLD]);
    first.mode = Mode::Observe;
    first.note = Some("first".to_owned());
    first.principals = vec![entry("*lbc", Policy::Follow)];
    let table = FakeTable::with(&first);
    let draft = release(&table, &group(), &[key(OLD)], None)
        .await
        .expect("a draft");
    draft.write(&table, &author()).await.expect("8");
    let change = PrincipalChange::Remove {
        arn: "*lbc".to_owned(),
    };
    let draft = change_principals(&table, Some(&group()), &change, false, None)
        .await
        .expect("a draft");
    draft.write(&table, &author()).await.expect("9");
    let draft = pause(&table, &group(), hours("1h"), "work", now())
        .await
        .expect("a draft");
    draft.write(&table, &author()).await.expect("10");

    let draft = rollback(&table, &group(), 7, Some("a mistake"))
        .await
        .expect("a draft");
    assert_eq!(draft.difference().added, [key(OLD)]);
    let written = draft.write(&table, &author()).await.expect("written");
    assert_eq!(
        (written.generation, &written.added[..]),
        (11, &[key(OLD)][..])
    );
    let after = current(&table);
    assert_eq!(
        after.reason.as_deref(),
        Some("rolled back to generation 7: a mistake")
    );
    assert!(after.pause.is_some(), "the present pause stays");
    assert_eq!(
        after.pause.as_ref().and_then(|it| it.reason.as_deref()),
        Some("work")
    );
    let without_pause = DesiredRecord {
        pause: None,
        ..after
    };
    assert!(without_pause.same_content(&first));

    let again = rollback(&table, &group(), 11, None).await.expect("a draft");
    assert!(again.changes_nothing());
    let error = rollback(&table, &group(), 12, None)
        .await
        .expect_err("not there");
    assert!(
        error
            .to_string()
            .ends_with("has no generation 12; it has 7 to 11"),
        "{error}"
    );
}

#[tokio::test]
async fn a_rollback_works_after_unpin_and_replaces_a_record_that_cannot_be_understood() {
    let table = FakeTable::with(&record(&[WEB]));
    let unpinning = unpin(&table, &group(), None).await.expect("a record");
    unpinning.write(&table, &author()).await.expect("8");
    let draft = rollback(&table, &group(), 7, None).await.expect("a draft");
    assert_eq!(
        draft.write(&table, &author()).await.expect("9").generation,
        9
    );

    table.put(
        group(),
        json!({"generation": 9, "rules": 1, "paused_until": "2999-01-01T00:00:00Z"}),
    );
    let error = rollback(&table, &group(), 9, None)
        .await
        .expect_err("unreadable");
    assert!(
        matches!(error, OperatorError::UnreadableGeneration { .. }),
        "{error}"
    );
    let draft = rollback(&table, &group(), 7, None).await.expect("a draft");
    draft.write(&table, &author()).await.expect("10");
    assert!(current(&table).pause.is_some());

    table.put(
        group(),
        json!({"generation": 10, "rules": [], "paused_until": "tomorrow"}),
    );
    let error = rollback(&table, &group(), 7, None)
        .await
        .expect_err("paused or not?");
    assert!(error.to_string().contains("paused_until"), "{error}");
}

#[tokio::test]
async fn settings_are_written_with_generation_author_and_history() {
    let table = FakeTable::default();
    let write = async |change: PrincipalChange, reason| {
        let draft = change_principals(&table, None, &change, false, reason).await?;
        draft.write(&table, &author()).await
    };
    let first = write(add("*lbc", Policy::Follow), Some("eks"))
        .await
        .expect("1");
    assert_eq!(
        (first.generation, first.changed, first.group),
        (1, true, None)
    );
    let same = write(add("*lbc", Policy::Follow), None)
        .await
        .expect("nothing to do");
    assert_eq!((same.generation, same.changed), (1, false));
    let second = write(add("*terraform", Policy::Accept), None)
        .await
        .expect("2");
    assert_eq!(
        second.principals,
        [
            entry("*lbc", Policy::Follow),
            entry("*terraform", Policy::Accept)
        ]
    );
    let replaced = write(add("*lbc", Policy::Restore), None).await.expect("3");
    assert_eq!(
        replaced.principals[0],
        entry("*lbc", Policy::Restore),
        "in place"
    );
    let front = PrincipalChange::Add {
        principal: entry("*terraform", Policy::Accept),
        first: true,
    };
    let front = write(front, None).await.expect("4");
    assert_eq!(front.principals[0].arn, "*terraform");
    let item = table.archive().settings.clone().expect("an item");
    assert_eq!(
        (&item["schema"], &item["generation"], &item["updated_by"]),
        (&json!(1), &json!(4), &json!(author().arn))
    );

    let error = write(
        PrincipalChange::Remove {
            arn: "*x".to_owned(),
        },
        None,
    )
    .await
    .expect_err("not listed");
    assert!(
        error
            .to_string()
            .ends_with("Listed are:\n  *terraform\n  *lbc"),
        "{error}"
    );
    write(
        PrincipalChange::Remove {
            arn: "*lbc".to_owned(),
        },
        None,
    )
    .await
    .expect("5");
    let history = settings_history(&table).await.expect("a history");
    let numbers: Vec<_> = history.generations.iter().map(|it| it.generation).collect();
    assert_eq!(numbers, [5, 4, 3, 2, 1]);
    let first = &history.generations[4];
    assert_eq!(
        first.reason.as_deref(),
        Some("principal *lbc listed with policy follow: eks")
    );
    assert_eq!(
        first.difference.attributes["principals"].to,
        json!([{"arn": "*lbc", "policy": "follow"}])
    );
}

#[tokio::test]
async fn settings_that_changed_meanwhile_are_not_overwritten() {
    let table = FakeTable::default();
    let draft = change_principals(&table, None, &add("*a", Policy::Follow), false, None).await;
    let other = change_principals(&table, None, &add("*b", Policy::Follow), false, None).await;
    other
        .expect("a draft")
        .write(&table, &author())
        .await
        .expect("written");
    let error = draft.expect("a draft").write(&table, &author()).await;
    assert!(
        matches!(error, Err(OperatorError::SettingsChanged)),
        "{error:?}"
    );
    table.archive().settings = Some(json!({"principals": [{"arn": "*a"}]}));
    let error = principals(&table, None).await.expect_err("unreadable");
    assert!(
        error
            .to_string()
            .contains("principals[0]: lacks arn or policy"),
        "{error}"
    );
}

#[tokio::test]
async fn doubtful_patterns_need_a_yes_and_hidden_ones_are_warned_of() {
    let table = FakeTable::with(&record(&[WEB]));
    let at = group();
    let draft = async |change: &PrincipalChange, confirmed| {
        change_principals(&table, Some(&at), change, confirmed, None).await
    };
    for (arn, policy) in [("lbc", Policy::Follow), ("*", Policy::Accept)] {
        let error = draft(&add(arn, policy), false).await.expect_err("doubtful");
        assert!(error.to_string().contains("--yes"), "{error}");
        draft(&add(arn, policy), true).await.expect("confirmed");
    }
    let wide = draft(&add("arn:aws:iam::*:role/lbc*", Policy::Follow), false)
        .await
        .expect("a draft");
    assert_eq!(wide.warning(), None);
    wide.write(&table, &author()).await.expect("written");
    let narrow = "arn:aws:iam::111122223333:role/lbc-*";
    let hidden = draft(&add(narrow, Policy::Accept), false)
        .await
        .expect("a draft");
    let warning = hidden.warning().expect("a warning");
    assert!(
        warning.contains("has no effect") && warning.contains("role/lbc*"),
        "{warning}"
    );
    let first = PrincipalChange::Add {
        principal: entry(narrow, Policy::Accept),
        first: true,
    };
    assert_eq!(draft(&first, false).await.expect("a draft").warning(), None);

    hidden.write(&table, &author()).await.expect("written");
    table.archive().settings = Some(json!({"principals": [{"arn": "*", "policy": "accept"}]}));
    let list = principals(&table, Some(&at)).await.expect("a list");
    let lines: Vec<_> = list
        .principals
        .iter()
        .map(|it| {
            (
                it.principal.arn.as_str(),
                it.from,
                it.hidden_by.is_some(),
                it.doubt.is_some(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("arn:aws:iam::*:role/lbc*", Origin::Record, false, false),
            (narrow, Origin::Record, true, false),
            ("*", Origin::Settings, false, true),
        ]
    );
}

fn pending() -> Pending {
    Pending {
        at: now(),
        by: "arn:aws:iam::111122223333:role/terraform".to_owned(),
        why: PendingReason::LargeChange,
    }
}

#[tokio::test]
async fn confirming_lets_go_of_what_is_pending_and_of_nothing_else() {
    let table = FakeTable::with(&record(&[WEB, OLD]));
    let none = confirm(&table, &group(), None).await.expect("a draft");
    assert!(none.changes_nothing());
    let mut known = GroupState::default();
    known.pending.insert(key(OLD), pending());
    assert_eq!(table.save_state(&group(), &known).await, Ok(true));
    let draft = confirm(&table, &group(), Some("CHG-1")).await;
    let written = draft.expect("a draft").write(&table, &author()).await;
    let written = written.expect("written");
    assert_eq!((written.changed, written.removed), (true, vec![key(OLD)]));
    let after = current(&table);
    assert_eq!(after.rules.keys().collect::<Vec<_>>(), [&key(WEB)]);
    assert_eq!(
        after.reason.as_deref(),
        Some("confirmed: what was closed stays closed: CHG-1")
    );
    let state = state(&table);
    assert!(state.pending.is_empty() && state.decided.contains_key(&key(OLD)));
}

#[tokio::test]
async fn the_list_names_what_waits_and_what_needs_a_person() {
    let table = FakeTable::with(&record(&[WEB, OLD]));
    let mut known = GroupState::default();
    known.pending.insert(key(OLD), pending());
    known.unrestorable.insert(key("tcp 9 from sg-0b"), now());
    known.missing_since.insert(key(WEB), now());
    let open = key("tcp 22 from 0.0.0.0/0");
    let reopened = Reopened {
        at: now(),
        by: "arn:x".to_owned(),
    };
    known.reopened.insert(open.clone(), reopened);
    assert_eq!(table.save_state(&group(), &known).await, Ok(true));
    let listed = list(&table, &group().scope, now()).await.expect("a list");
    let [one] = &listed[..] else {
        panic!("one: {listed:?}")
    };
    assert_eq!(
        one.standing.in_words().as_deref(),
        Some("1 reopened, 1 pending, 1 waiting"),
        "a rule outside the record is not unrestorable"
    );
    let json = serde_json::to_value(one).expect("JSON");
    assert_eq!(
        (&json["pending"], &json["waiting"]),
        (&json!([OLD]), &json!([WEB]))
    );
    let close = json["reopened"][0]["close"].as_str().unwrap_or_default();
    assert!(
        close.starts_with("aws ec2 revoke-security-group-ingress"),
        "{json}"
    );
    let groups = super::reopened(&table, &group().scope).await;
    assert_eq!(groups.expect("groups"), [group()]);
}

#[tokio::test]
async fn a_group_that_is_gone_is_told_so_though_nothing_is_missing_of_it() {
    let table = FakeTable::with(&record(&[]));
    let gone = GroupAddress {
        id: "sg-0000000000000000b".parse().expect("a group id"),
        ..group()
    };
    table.put(gone.clone(), Value::Object(record(&[]).to_json()));
    let listed = list(&table, &group().scope, now()).await;
    let mut listed = listed.expect("a list");
    let states = |listed: &[Listed]| listed.iter().map(|it| it.state).collect::<Vec<_>>();
    assert_eq!(states(&listed), ["enforce", "enforce"]);
    let ec2 = FakeEc2::new(&[]);
    let told = find_gone(&ec2, &mut listed, &|_, _| {}).await;
    assert_eq!(told, Ok(()));
    assert_eq!(states(&listed), ["enforce", "orphaned"]);
    assert_eq!(ec2.called("DescribeSecurityGroups"), 1);
}
