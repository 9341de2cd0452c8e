//! What is kept of a group, for how long, and what gives way when there is too much.

use super::*;
use crate::decide::changes::state::{CONTENTS_MAX, RETURNS_MAX};

const RULE: &str = "tcp 443 from 10.0.0.0/8";
const OTHER: &str = "tcp 80 from 10.0.0.0/8";
const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn back(second: i32) -> Return {
    Return {
        at: now() + SECOND * second,
        id: None,
        ours: true,
    }
}

fn pending() -> Pending {
    Pending {
        at: now(),
        by: TERRAFORM.to_owned(),
        why: PendingReason::LargeChange,
    }
}

fn removed() -> Removed {
    Removed {
        at: now(),
        by: TERRAFORM.to_owned(),
        rule: IngressRule::bare(key(RULE)),
        lost: true,
    }
}

fn many<T>(count: u16, of: impl Fn() -> T) -> BTreeMap<RuleKey, T> {
    let rules = (0..count).map(|port| format!("udp {port} from 2001:db8::/32"));
    rules.map(|rule| (key(&rule), of())).collect()
}

#[test]
fn what_a_person_or_a_late_event_needs_outlives_the_day() {
    let at = now();
    let mut state = GroupState::default();
    state.note_restored(&key(RULE), at, None);
    state.removed.insert(key(RULE), removed());
    assert!(!state.outlives_the_day());
    let with = |change: fn(&mut GroupState)| {
        let mut state = GroupState::default();
        change(&mut state);
        state.outlives_the_day()
    };
    assert!(with(|it| {
        let id = "sgr-0a".parse().expect("an id");
        it.ids.insert(id, KnownId::default());
    }));
    assert!(with(|it| drop(it.pending.insert(key(RULE), pending()))));
    assert!(with(|it| {
        let (at, by) = (now(), TERRAFORM.to_owned());
        it.reopened.insert(key(RULE), Reopened { at, by });
    }));
    assert!(with(|it| {
        it.unrestorable.insert(key(RULE), now());
    }));
    assert!(with(|it| {
        it.told.insert(key(RULE));
    }));
    assert!(with(|it| it.orphaned_at = Some(now().to_string())));
}

#[test]
fn facts_are_forgotten_a_day_after_they_were_true() {
    let mut scene = Scene::of(&[RULE]);
    let revoke = scene.revoke(TERRAFORM, &[RULE]);
    let tried = scene.deletion(TERRAFORM, Call::RefusedDelete, Some("sg-0a"));
    let at = scene.clock;
    let mut state = GroupState::default();
    for call in [revoke, tried] {
        state.note_call(call, at);
    }
    state.note_restored(&key(RULE), at, None);
    state.decided.insert(key(RULE), at);
    state.entered.insert(
        key(RULE),
        Entered {
            at,
            by: LBC.to_owned(),
        },
    );
    state.removed.insert(key(RULE), Removed { at, ..removed() });
    state.missing_since.insert(key(RULE), at);
    let last = at + REMEMBERED_FOR - SECOND;
    assert_eq!(state.clone().pruned(last), state);
    assert_eq!(state.pruned(last + SECOND), GroupState::default());
}

#[test]
fn a_call_of_the_future_counts_as_now_and_once() {
    let scene = Scene::of(&[RULE]);
    let call = |seconds: i32| KnownCall {
        at: scene.clock + SECOND * seconds,
        ..scene.attempt(LBC, Call::RefusedAuthorize, &[OTHER])
    };
    let mut state = GroupState::default();
    // Clocks differ by as much as this.
    state.note_call(call(60), scene.clock);
    assert!(state.calls.contains(&call(60)));
    state.note_call(call(3_600), scene.clock);
    state.note_call(call(3_600), scene.clock + SECOND);
    assert_eq!(state.calls, [call(60)].into(), "the same call");
    let other = scene.attempt(ACK, Call::RefusedAuthorize, &[OTHER]);
    let late = KnownCall {
        at: call(3_600).at,
        ..other.clone()
    };
    state.note_call(late, scene.clock);
    assert_eq!(state.calls, [call(60), other].into());
}

#[test]
fn the_last_returns_and_the_first_and_last_contents_of_an_id_stay_known() {
    let mut state = GroupState::default();
    for second in 0..=RETURNS_MAX as i32 {
        state.missing_since.insert(key(RULE), now());
        state.note_returned(&key(RULE), back(second));
        assert!(state.missing_since.is_empty());
    }
    let known = &state.returned[&key(RULE)];
    assert_eq!(known.len(), RETURNS_MAX);
    assert_eq!(
        (&known[0], known.last()),
        (&back(1), Some(&back(RETURNS_MAX as i32)))
    );

    let mut scene = Scene::of(&[RULE]);
    let contents = |scene: &Scene| {
        scene
            .state
            .ids
            .values()
            .next()
            .map(|it| it.contents.clone())
    };
    let mut before = RULE.to_owned();
    for port in 1..=CONTENTS_MAX {
        let after = format!("tcp {port} from 10.0.0.0/8");
        let modify = scene.modify(LBC, &before, &after);
        scene.look(&[modify]);
        before = after;
    }
    let expected = [
        RULE,
        "tcp 2 from 10.0.0.0/8",
        "tcp 3 from 10.0.0.0/8",
        &before,
    ];
    assert_eq!(contents(&scene), Some(expected.map(key).to_vec()));
}

#[test]
fn an_id_is_known_by_all_that_it_stood_for_while_that_may_matter() {
    let id = |scene: &Scene, rule: &str| scene.live[&key(rule)].0.clone();
    let known = |scene: &Scene, id: &RuleId| scene.state.ids.get(id).map(|it| it.contents.clone());
    let mut scene = Scene::of(&[RULE, OTHER]);
    scene.open(&key("udp 9 from ::/0"));
    let modified = id(&scene, RULE);
    // Looks show what a stranger makes of it, and what it is made again.
    for (old, new, expected) in [
        (RULE, "udp 1 from ::/0", vec![RULE, "udp 1 from ::/0"]),
        ("udp 1 from ::/0", RULE, vec!["udp 1 from ::/0", RULE]),
        (
            RULE,
            "udp 2 from ::/0",
            vec!["udp 1 from ::/0", RULE, "udp 2 from ::/0"],
        ),
    ] {
        let modify = scene.modify(STRANGER, old, new);
        scene.live.remove(&key(RULE)).filter(|_| new != RULE);
        if new == RULE {
            scene.live.insert(key(RULE), (modified.clone(), None));
        }
        scene.state.note_call(modify, scene.clock);
        let actual = scene.actual();
        scene
            .state
            .note_ids(&scene.record.rules, &actual, scene.clock);
        let expected: Vec<RuleKey> = expected.into_iter().map(key).collect();
        assert_eq!(known(&scene, &modified), Some(expected), "{new}");
    }
    // Live rules outside the record are nobody's concern.
    assert_eq!(scene.state.ids.len(), 2);
    // What a person decided about ends what it was known by.
    scene
        .state
        .note_decided([&key(RULE), &key(OTHER)], scene.clock);
    let left = ["udp 1 from ::/0", "udp 2 from ::/0"].map(key).to_vec();
    assert_eq!(known(&scene, &modified), Some(left));
    assert_eq!(scene.state.ids.len(), 1);
}

#[test]
fn an_id_that_is_gone_is_known_for_a_day_or_while_its_rule_is_missing() {
    for (recorded, back, kept) in [
        (true, false, true),
        (true, true, false),
        (false, false, false),
    ] {
        let mut scene = Scene::of(&[RULE, OTHER]);
        let (id, _) = scene.live.remove(&key(RULE)).expect("live");
        if !recorded {
            scene.record.rules.remove(&key(RULE));
        }
        if back {
            scene.open(&key(RULE));
        }
        let mut note = |seconds: i64| {
            scene.clock += SignedDuration::from_secs(seconds);
            let actual = scene.actual();
            scene
                .state
                .note_ids(&scene.record.rules, &actual, scene.clock);
            scene.state.ids.contains_key(&id)
        };
        assert!(note(0) && note(86_399), "{recorded} {back}");
        assert_eq!(note(1), kept, "{recorded} {back}");
    }
    let mut scene = Scene::of(&[RULE, OTHER]);
    let revoke = scene.revoke(LBC, &[RULE]);
    let ids = revoke.evidence.revoked_ids.clone();
    scene.state.note_call(revoke, scene.clock);
    assert_eq!(scene.state.revoked_ids(), ids);
    assert_eq!(ids.len(), 1);
}

#[test]
fn a_state_just_too_large_forgets_about_an_eighth_and_one_that_fits_nothing() {
    const BYTES: usize = 300_000;
    let bytes = |state: &GroupState| serde_json::to_vec(state).expect("JSON").len();
    let mut state = GroupState {
        told: [key(RULE)].into(),
        ..GroupState::default()
    };
    state.orphaned_at = Some(String::new());
    let room = BYTES - bytes(&state);
    state.orphaned_at = Some("x".repeat(room));
    assert_eq!(state.fit(), None);
    state.orphaned_at = Some("x".repeat(room + 1));
    assert!(state.fit().is_some());
    let grown = |add: &dyn Fn(&mut GroupState, usize)| {
        let mut state = GroupState::default();
        (0..100).for_each(|number| add(&mut state, number));
        let count = BYTES * 100 / bytes(&state) + 20;
        (100..count).for_each(|number| add(&mut state, number));
        state
    };
    let scene = Scene::of(&[RULE]);
    let mut calls = grown(&|state, number| {
        let mut call = scene.attempt(STRANGER, Call::RefusedAuthorize, &[RULE, OTHER]);
        call.by = format!("{STRANGER}/{number}");
        call.at += SECOND * i32::try_from(number).expect("few");
        state.calls.insert(call);
    });
    let mut returned = grown(&|state, number| {
        let rule = key(&format!("udp {number} from ::/0"));
        state.returned.insert(rule, vec![back(0)]);
    });
    let mut removed_ = grown(&|state, number| {
        let rule = key(&format!("udp {number} from ::/0"));
        state.removed.insert(rule, removed());
    });
    let mut decided = grown(&|state, number| {
        let rule = key(&format!("udp {number} from ::/0"));
        state.decided.insert(rule, now());
    });
    decided.told = [key(RULE)].into();
    assert!(decided.fit().is_some());
    assert!(decided.decided.is_empty() && !decided.told.is_empty());
    for (state, len) in [
        (
            &mut calls,
            (|it| it.calls.len()) as fn(&GroupState) -> usize,
        ),
        (&mut returned, |it| it.returned.len()),
        (&mut removed_, |it| it.removed.len()),
    ] {
        let before = len(state);
        assert!(state.fit().is_some());
        let (left, most) = (len(state), before - before / 8);
        assert!((most - 1..=most).contains(&left), "{left} of {before}");
    }
}

#[test]
fn an_item_that_cannot_be_read_keeps_the_revision_by_which_it_can_be_replaced() {
    let item = serde_json::json!({"revision": 7, "calls": "none"});
    let unreadable = GroupState::from_json(&item).expect_err("calls are a list");
    let empty = GroupState {
        revision: 7,
        ..GroupState::default()
    };
    assert_eq!(unreadable.0, empty);
    assert_eq!(GroupState::of_item(Some(&item)), empty);
    assert_eq!(GroupState::of_item(None), GroupState::default());
    let mut state = empty;
    assert_eq!(state.to_json().keys().collect::<Vec<_>>(), ["revision"]);
    state.unapplied = 1;
    state.note_restored(&key(RULE), now(), None);
    let item = state.to_json().into();
    assert_eq!(GroupState::of_item(Some(&item)), state);
}

#[test]
fn it_is_known_who_gave_a_rule_by_an_authorize_or_a_modify() {
    let mut scene = Scene::of(&[RULE]);
    let authorize = scene.authorize(LBC, &[OTHER]);
    let modify = scene.modify(LBC, OTHER, "tcp 81 from 10.0.0.0/8");
    scene.state.calls = [authorize].into();
    assert!(scene.state.knows_who_gave(&key(OTHER)));
    scene.state.calls = [modify].into();
    assert!(scene.state.knows_who_gave(&key("tcp 81 from 10.0.0.0/8")));
    assert!(!scene.state.knows_who_gave(&key(OTHER)));
}

#[test]
fn what_gives_way_first_is_what_matters_least() {
    let fitted = |mut state: GroupState| {
        let said = state.fit().expect("it is too large");
        let forgot = said.split_once("it forgot ").expect("it says what").1;
        (state, forgot.to_owned())
    };
    let mut all = GroupState {
        removed: many(2_000, removed),
        ..GroupState::default()
    };
    all.returned = [(key(RULE), vec![back(0)])].into();
    all.decided = [(key(RULE), now())].into();
    all.told = [key(RULE)].into();
    let (state, forgot) = fitted(all.clone());
    assert_eq!(forgot, "when rules came back");
    assert!(state.returned.is_empty() && !state.removed.is_empty());
    assert_eq!((&state.decided, &state.told), (&all.decided, &all.told));
    all.returned.clear();
    assert_eq!(fitted(all).1, "rules that left the record");
    let decided = GroupState {
        decided: many(7_000, now),
        told: [key(RULE)].into(),
        ..GroupState::default()
    };
    let (state, forgot) = fitted(decided);
    assert_eq!(forgot, "which rules a person decided on");
    assert!(state.decided.is_empty() && !state.told.is_empty());
    let entered = many(4_000, || Entered {
        at: now(),
        by: LBC.to_owned(),
    });
    let entered = GroupState {
        entered,
        ..GroupState::default()
    };
    assert_eq!(fitted(entered).1, "which rules a person decided on");
    let mut told = GroupState {
        told: many(12_000, || ()).into_keys().collect(),
        ..GroupState::default()
    };
    told.ids
        .insert("sgr-0a".parse().expect("an id"), KnownId::default());
    let (state, forgot) = fitted(told);
    assert_eq!(forgot, "which rules outside the record were told of");
    assert_eq!(state.ids.len(), 1);
    let ids = (0..8_000).map(|id| {
        let contents = vec![key(RULE)];
        let known = KnownId {
            contents,
            gone_since: None,
        };
        (format!("sgr-{id:017x}").parse().expect("an id"), known)
    });
    let ids: BTreeMap<RuleId, KnownId> = ids.collect();
    let before = ids.len();
    let (state, forgot) = fitted(GroupState {
        ids,
        ..GroupState::default()
    });
    assert_eq!(forgot, "rule ids");
    assert!(before / 2 < state.ids.len() && state.ids.len() < before);
}
