use super::*;
use crate::desired::{Policy, Principal};
use crate::fakes::{key, now, record};
use crate::model::{ActualRule, Tags};

const OLD: &str = "tcp 80-9093 from sg-0a";
const WIDER: &str = "tcp 80-9100 from sg-0a";
const LBC: &str = "arn:aws:iam::111122223333:role/lbc";

fn live(rules: &[&str]) -> ActualRules {
    let rules = rules.iter().map(|rule| ActualRule {
        id: None,
        key: key(rule),
        description: Some("live".to_owned()),
        tags: Tags::new(),
        reference_owner_unknown: false,
    });
    ActualRules::new(rules, Vec::new())
}

fn ago(seconds: i64) -> Timestamp {
    second(now()) - SignedDuration::from_secs(seconds)
}

fn judged(policy: Policy, recorded: &[&str], rules: &[&str], state: GroupState) -> Judgement {
    judged_with(None, policy, recorded, rules, state)
}

fn judged_with(
    observed: Option<&ObservedCall>,
    policy: Policy,
    recorded: &[&str],
    rules: &[&str],
    state: GroupState,
) -> Judgement {
    let principals = [Principal {
        arn: LBC.to_owned(),
        policy,
        settle_seconds: None,
    }];
    let situation = Situation {
        record: &record(recorded),
        principals: Principals {
            of_record: &principals,
            settle_of_record: None,
            of_all: &[],
            settle_of_all: None,
            cause_wait_of_record: None,
            cause_wait_of_all: None,
        },
        actual: &live(rules),
        observed,
        now: now(),
    };
    judge(situation, state)
}

fn revoked(at: i64) -> GroupState {
    let mut state = GroupState::default();
    state.note_revoked(LBC, [&key(OLD)], ago(at));
    state
}

/// The state after the wider rule entered the record because somebody authorized it.
fn having_entered(mut state: GroupState, by: &str) -> GroupState {
    let calls = state.calls.get_mut(by).expect("noted");
    let it = calls.authorized.get_mut(&key(WIDER)).expect("noted");
    (it.applied, it.entered) = (true, true);
    state
}

fn removed(judgement: &Judgement) -> Vec<RemovalReason> {
    let revision = judgement.revision.iter();
    revision
        .flat_map(|revision| revision.removed.iter().map(|(_, why)| why.clone()))
        .collect()
}

#[test]
fn an_accepted_principals_revoke_leaves_the_record() {
    let judgement = judged(Policy::Accept, &[OLD], &[], revoked(5));
    assert_eq!(removed(&judgement), [RemovalReason::Accepted]);
    assert_eq!(judgement.revision.expect("a revision").by, LBC);
    let unlisted = judged(Policy::Restore, &[OLD], &[], revoked(5));
    assert_eq!(unlisted.revision, None);
    let live = judged(Policy::Accept, &[OLD], &[OLD], revoked(5));
    assert_eq!(live.revision, None);
}

#[test]
fn a_revoke_of_a_rule_that_is_live_counts_when_its_event_proves_it_or_we_put_it_back() {
    let noted = |proven: bool, mut state: GroupState| {
        let observed = ObservedCall {
            by: LBC.to_owned(),
            at: ago(5),
            revoked: [key(OLD)].into(),
            proven,
            ..ObservedCall::default()
        };
        observed.note_in(&mut state, &live(&[OLD]));
        !state.calls.is_empty()
    };
    assert!(!noted(false, GroupState::default()));
    assert!(noted(true, GroupState::default()));
    let mut restored = GroupState::default();
    restored.note_restored([&key(OLD)], ago(3));
    assert!(noted(false, restored));
}

#[test]
fn an_accepted_revoke_counts_however_late_its_event_comes() {
    let judged_at_hand = |policy: Policy, proven: bool, state: &GroupState| {
        let observed = ObservedCall {
            by: LBC.to_owned(),
            at: ago(7_200),
            revoked: [key(OLD)].into(),
            news: [key(OLD)].into(),
            proven,
            ..ObservedCall::default()
        };
        let mut state = state.clone();
        observed.note_in(&mut state, &live(&[OLD]));
        removed(&judged_with(Some(&observed), policy, &[OLD], &[OLD], state)).len()
    };
    let mut restored = GroupState::default();
    restored.note_restored([&key(OLD)], ago(7_100));
    assert_eq!(judged_at_hand(Policy::Accept, false, &restored), 1);
    let mut authorized = GroupState::default();
    assert_eq!(judged_at_hand(Policy::Accept, false, &authorized), 0);
    assert_eq!(judged_at_hand(Policy::Accept, true, &authorized), 1);
    assert_eq!(judged_at_hand(Policy::Follow, true, &authorized), 0);
    authorized.note_authorized(LBC, [(&key(OLD), None)], ago(7_200));
    assert_eq!(judged_at_hand(Policy::Accept, true, &authorized), 0);
}

#[test]
fn a_followed_revoke_waits_for_its_authorize() {
    let judgement = judged(Policy::Follow, &[OLD], &[WIDER], revoked(2));
    assert_eq!(judgement.revision, None);
    assert_eq!(judgement.settling[&key(OLD)].until, ago(-1));
}

#[test]
fn a_replaced_rule_leaves_and_one_that_is_gone_stays() {
    let gone = judged(Policy::Follow, &[OLD], &[], revoked(5));
    assert_eq!(gone.revision, None);
    let replaced = judged(Policy::Follow, &[OLD], &[WIDER], revoked(5));
    assert_eq!(
        removed(&replaced),
        [RemovalReason::Committed(vec![key(WIDER)])]
    );
}

#[test]
fn it_does_not_matter_whether_the_new_rule_entered_before_the_old_one_is_judged() {
    let mut state = revoked(5);
    state.note_authorized(LBC, [(&key(WIDER), None)], ago(6));
    let entered = having_entered(state.clone(), LBC);
    let first = judged(Policy::Follow, &[OLD, WIDER], &[WIDER], entered);
    let second = judged(Policy::Follow, &[OLD], &[WIDER], state);
    let rules = |judgement: Judgement| judgement.revision.expect("a revision").rules;
    let (first, second) = (rules(first), rules(second));
    assert!(first.keys().eq([&key(WIDER)]) && second.keys().eq([&key(WIDER)]));
}

#[test]
fn a_rule_of_the_record_does_not_make_up_for_another() {
    let judgement = judged(Policy::Follow, &[OLD, WIDER], &[WIDER], revoked(5));
    assert_eq!(judgement.revision, None);
}

#[test]
fn a_refused_authorize_aborts_and_takes_back_what_left() {
    let mut state = revoked(5);
    state.note_refused(LBC, ago(4));
    let judgement = judged(Policy::Follow, &[OLD], &[WIDER], state);
    assert_eq!(judgement.revision, None);

    let committed = judged(Policy::Follow, &[OLD], &[WIDER], revoked(5));
    let mut state = committed.state;
    state.note_refused(LBC, ago(4));
    let late = judged(Policy::Follow, &[WIDER], &[WIDER], state);
    let revision = late.revision.expect("a revision");
    assert_eq!(revision.reinstated, [key(OLD)]);
}

#[test]
fn asking_twice_is_meant_unless_the_first_time_was_aborted() {
    let mut state = revoked(60);
    state.note_restored([&key(OLD)], ago(50));
    state.note_revoked(LBC, [&key(OLD)], ago(5));
    let judgement = judged(Policy::Follow, &[OLD], &[], state.clone());
    assert_eq!(removed(&judgement), [RemovalReason::AskedTwice]);
    state.note_refused(LBC, ago(59));
    let judgement = judged(Policy::Follow, &[OLD], &[], state);
    assert_eq!(judgement.revision, None);
}

#[test]
fn asking_twice_does_not_count_when_something_was_refused_in_between() {
    let mut state = revoked(1_000);
    state.note_restored([&key(OLD)], ago(990));
    state.note_refused(LBC, ago(980));
    state.note_revoked(LBC, [&key(OLD)], ago(5));
    let judgement = judged(Policy::Follow, &[OLD], &[], state);
    assert_eq!(judgement.revision, None);
}

#[test]
fn only_rules_that_entered_in_the_same_change_make_up_for_another() {
    // A rule of the record was made anew, with another description.
    let mut state = revoked(5);
    state.note_authorized(LBC, [(&key(WIDER), None)], ago(6));
    let refreshed = judged(Policy::Follow, &[OLD, WIDER], &[WIDER], state);
    assert_eq!(removed(&refreshed), []);
    // Another principal's entered lately.
    let mut state = GroupState::default();
    state.note_authorized("ack", [(&key(WIDER), None)], ago(6));
    let mut state = having_entered(state, "ack");
    state.note_revoked(LBC, [&key(OLD)], ago(5));
    let judgement = judged(Policy::Follow, &[OLD, WIDER], &[WIDER], state);
    assert_eq!(judgement.revision, None);
}

#[test]
fn a_followed_revoke_that_was_answered_is_not_judged_again() {
    let mut state = revoked(60);
    state.note_restored([&key(OLD)], ago(50));
    let again = judged(Policy::Follow, &[OLD], &[OLD, WIDER], state.clone());
    assert_eq!(again.revision, None);
    let mut observed = ObservedCall {
        by: LBC.to_owned(),
        at: ago(60),
        revoked: [key(OLD)].into(),
        ..ObservedCall::default()
    };
    let copy = judged_with(
        Some(&observed),
        Policy::Follow,
        &[OLD],
        &[OLD, WIDER],
        state.clone(),
    );
    assert_eq!(copy.revision, None);
    assert!(observed.news_to(&state).is_empty());
    // The same, put back by somebody who did not know of the revoke.
    observed.news = observed.news_to(&GroupState::default());
    let late = judged_with(
        Some(&observed),
        Policy::Follow,
        &[OLD],
        &[OLD, WIDER],
        state,
    );
    assert_eq!(removed(&late), [RemovalReason::Committed(vec![key(WIDER)])]);
}

#[test]
fn of_authorizes_in_one_second_all_ids_are_known() {
    let id = |text: &str| Some(text.parse().expect("a rule id"));
    let noted = |ids: [&str; 2]| {
        let mut state = GroupState::default();
        for text in ids {
            state.note_authorized(LBC, [(&key(WIDER), id(text))], ago(5));
        }
        state
    };
    let state = noted(["sgr-0a", "sgr-0b"]);
    assert_eq!(state, noted(["sgr-0b", "sgr-0a"]));
    assert_eq!(state.calls[LBC].authorized[&key(WIDER)].ids.len(), 2);
}

#[test]
fn an_authorized_rule_enters_as_it_is_live_and_once() {
    let mut state = GroupState::default();
    state.note_authorized(LBC, [(&key(WIDER), None)], ago(5));
    let absent = judged(Policy::Follow, &[OLD], &[OLD], state.clone());
    assert_eq!(absent.revision, None);
    let judgement = judged(Policy::Follow, &[OLD], &[OLD, WIDER], state);
    let revision = judgement.revision.expect("a revision");
    let description = revision.rules[&key(WIDER)].description.as_deref();
    assert_eq!(description, Some("live"));
    let again = judged(Policy::Follow, &[OLD], &[OLD, WIDER], judgement.state);
    assert_eq!(again.revision, None);
}

#[test]
fn the_state_survives_the_table() {
    let mut state = revoked(60);
    state.note_restored([&key(OLD)], ago(50));
    state.note_refused(LBC, ago(5));
    state.note_authorized(LBC, [(&key(WIDER), None)], ago(5));
    let state = judged(Policy::Accept, &[OLD], &[], state).state;
    let item = serde_json::Value::Object(state.to_json());
    assert_eq!(GroupState::from_json(&item).expect("readable"), state);
}

#[test]
fn the_sixth_restore_within_ten_minutes_waits_and_each_wait_is_longer() {
    let mut state = GroupState::default();
    let rule = key(OLD);
    for at in [500, 400, 300, 200] {
        state.note_restored([&rule], ago(at));
    }
    assert_eq!(backoff_of(&state, &rule, Some(LBC), now()), Backoff::None);
    state.note_restored([&rule], ago(100));
    let Backoff::Begins(contest) = backoff_of(&state, &rule, Some(LBC), now()) else {
        panic!("contested")
    };
    assert_eq!(contest.until.duration_since(now()).as_secs(), 60);
    assert_eq!(contest.by.as_deref(), Some(LBC));
    let until = contest.until;
    state.contested.insert(rule.clone(), contest.clone());
    let waiting = backoff_of(&state, &rule, None, now());
    assert_eq!(waiting, Backoff::Waiting(contest));
    assert_eq!(backoff_of(&state, &rule, None, until), Backoff::None);
    state.note_restored([&rule], until);
    let Backoff::Begins(next) = backoff_of(&state, &rule, None, until) else {
        panic!("contested again")
    };
    assert_eq!(next.step, 2);
    assert_eq!(next.until.duration_since(until).as_secs(), 120);
    assert_eq!(next.by.as_deref(), Some(LBC));
    let later = until + CONTEST_WINDOW;
    assert!(state.without_ended_contests(later).contested.is_empty());
}

#[test]
fn a_fight_goes_on_however_late_the_try_after_a_wait_comes() {
    let rule = key(OLD);
    let contest = Contest {
        step: 3,
        until: ago(3_000),
        by: None,
    };
    let mut state = GroupState::default();
    state.contested.insert(rule.clone(), contest);
    state.dropped_by.insert(rule.clone(), LBC.to_owned());
    let mut state = state.without_ended_contests(now());
    assert_eq!(backoff_of(&state, &rule, None, now()), Backoff::None);
    state.note_restored([&rule], ago(5));
    let state = state.without_ended_contests(now());
    let Backoff::Begins(next) = backoff_of(&state, &rule, None, now()) else {
        panic!("contested again")
    };
    assert_eq!((next.step, next.by.as_deref()), (4, Some(LBC)));
    let untried = SignedDuration::from_hours(3);
    assert!(
        state
            .without_ended_contests(now() + untried)
            .contested
            .is_empty()
    );
}

#[test]
fn the_table_of_attributes_lists_what_is_written() {
    let (mut state, rule) = (GroupState::default(), key(OLD));
    state.note_restored([&rule], now());
    state.dropped_by.insert(rule.clone(), LBC.to_owned());
    let contest = Contest {
        step: 1,
        until: now(),
        by: None,
    };
    state.contested.insert(rule.clone(), contest);
    state.decided.insert(rule.clone(), now());
    state
        .ids
        .insert("sgr-0a".parse().expect("an id"), rule.clone());
    let removed = Removed {
        at: now(),
        by: LBC.to_owned(),
        rule: IngressRule::bare(rule.clone()),
    };
    state.removed.insert(rule.clone(), removed);
    state.note_authorized(LBC, [(&rule, None)], now());
    state.missing_since.insert(rule.clone(), now());
    let written = state.to_json();
    let mut names: Vec<&str> = written.keys().map(String::as_str).collect();
    names.retain(|name| *name != "revision");
    let mut listed = GroupState::ATTRIBUTES;
    names.sort_unstable();
    listed.sort_unstable();
    assert_eq!(names, listed);
}
