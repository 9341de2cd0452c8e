//! The rows of the table in `docs/design/meant-or-lost.md`.

use super::*;

const A: &str = "tcp 443 from 10.0.0.0/8";
const B: &str = "tcp 80 from 10.0.0.0/8";
const C: &str = "tcp 22 from 192.0.2.0/24";
const D: &str = "udp 53 from 10.9.0.0/16";
const WORLD: &str = "tcp 22 from 0.0.0.0/0";
const OFFICE: &str = "tcp 22 from 203.0.113.0/24";
const NARROW: &str = "tcp 80-9093 from sg-0a";
const WIDE: &str = "tcp 80-9100 from sg-0a";

#[test]
fn where_nobody_is_listed_everything_is_restored_at_once() {
    let mut scene = Scene::of(&[A, B]);
    scene.listed.clear();
    scene.live.clear();
    scene.look(&[]);
    assert_eq!(scene.restored.len(), 2);
}

#[test]
fn what_an_unlisted_caller_took_comes_back_at_once_and_what_nobody_is_known_to_have_taken_waits() {
    let mut scene = Scene::of(&[A, B]);
    let revoke = scene.revoke(STRANGER, &[A]);
    scene.live.remove(&key(B));
    scene.look(&[revoke]);
    assert_eq!(scene.restored, [key(A)]);
    assert!(matches!(
        scene.verdict(B),
        Verdict::Wait {
            why: WaitReason::UnknownCause { .. },
            ..
        }
    ));
    scene.pass(180);
    scene.look(&[]);
    assert_eq!(scene.restored, [key(A), key(B)]);
}

#[test]
fn decisions_of_many_calls_stay_closed_whatever_the_order_of_their_events() {
    for by in [TERRAFORM, BOT] {
        for backwards in [false, true] {
            let mut scene = Scene::of(&[A, B, C, D, NARROW]);
            let mut calls = vec![scene.revoke(by, &[A]), scene.revoke(by, &[B])];
            if backwards {
                calls.reverse();
            }
            for call in calls {
                scene.pass(2);
                scene.look(&[call]);
                scene.look(&[]);
            }
            scene.rest();
            assert_eq!(scene.recorded(), [C, NARROW, D], "{by}");
            assert_eq!(scene.restored, [], "{by}");
        }
    }
}

#[test]
fn what_accept_and_follow_authorize_enters_and_what_release_and_others_authorize_does_not() {
    for (by, enters) in [
        (TERRAFORM, true),
        (LBC, true),
        (BOT, false),
        (STRANGER, false),
    ] {
        let mut scene = Scene::of(&[A]);
        let authorize = scene.authorize(by, &[B]);
        scene.look(&[authorize]);
        assert_eq!(scene.recorded().len() == 2, enters, "{by}");
    }
}

#[test]
fn a_modify_in_place_replaces_the_rule_in_one_generation_even_after_looks_saw_it() {
    for by in [TERRAFORM, LBC] {
        for swept_before in [false, true] {
            let mut scene = Scene::of(&[A, B]);
            let generation = scene.record.generation;
            let first = scene.modify(by, A, "tcp 443 from 10.1.0.0/16");
            let second = scene.modify(by, B, "tcp 80 from 10.1.0.0/16");
            if swept_before {
                scene.look(&[]);
            }
            scene.look(&[first]);
            assert_eq!(scene.record.generation, generation + 1, "{by}");
            scene.look(&[second]);
            scene.rest();
            let narrowed = ["tcp 80 from 10.1.0.0/16", "tcp 443 from 10.1.0.0/16"];
            assert_eq!(scene.recorded(), narrowed, "{by} {swept_before}");
            assert_eq!(scene.open_rules(), narrowed, "{by} {swept_before}");
        }
    }
    let mut scene = Scene::of(&[A]);
    let modify = scene.modify(STRANGER, A, B);
    scene.look(&[modify]);
    assert_eq!(scene.restored, [key(A)]);
    assert_eq!(scene.recorded(), [A]);
}

#[test]
fn an_aborted_change_is_undone_for_both_policies_in_either_order() {
    for by in [TERRAFORM, LBC] {
        for late in [false, true] {
            let mut scene = Scene::of(&[NARROW, A]);
            let revoke = scene.revoke(by, &[NARROW]);
            scene.pass(1);
            let refused = scene.attempt(by, Call::RefusedAuthorize, &[WIDE]);
            let calls = match late {
                true => [revoke, refused],
                false => [refused, revoke],
            };
            for call in calls {
                scene.pass(1);
                scene.look(&[call]);
            }
            scene.rest();
            assert_eq!(scene.recorded(), [NARROW, A], "{by}");
            assert_eq!(scene.open_rules(), [NARROW, A], "{by}");
        }
    }
}

#[test]
fn an_unrelated_refusal_does_not_abort() {
    let mut scene = Scene::of(&[A, C]);
    let revoke = scene.revoke(TERRAFORM, &[A]);
    let refused = scene.attempt(
        TERRAFORM,
        Call::RefusedAuthorize,
        &["udp 123 from 10.9.0.0/16"],
    );
    scene.look(&[revoke, refused]);
    scene.rest();
    assert_eq!(scene.recorded(), [C]);
}

#[test]
fn throttled_tries_keep_a_change_open_and_a_narrowing_that_succeeds_after_them_closes_the_rule() {
    let mut scene = Scene::of(&[WORLD, A]);
    let revoke = scene.revoke(LBC, &[WORLD]);
    let tried = scene.attempt(LBC, Call::TriedAuthorize, &[OFFICE]);
    scene.look(&[revoke, tried]);
    scene.pass(20);
    scene.look(&[]);
    assert_eq!(scene.restored, []);
    let authorize = scene.authorize(LBC, &[OFFICE]);
    scene.look(&[authorize]);
    scene.rest();
    assert_eq!(scene.recorded(), [OFFICE, A]);
    assert_eq!(scene.restored, []);
}

#[test]
fn a_narrowing_of_public_access_that_is_refused_stays_closed_until_a_person_decides() {
    for by in [TERRAFORM, LBC] {
        let mut scene = Scene::of(&[WORLD, A]);
        let revoke = scene.revoke(by, &[WORLD]);
        let refused = scene.attempt(by, Call::RefusedAuthorize, &[OFFICE]);
        scene.look(&[revoke, refused]);
        scene.rest();
        scene.pass(3 * 86_400);
        scene.look(&[]);
        assert!(matches!(scene.verdict(WORLD), Verdict::Pend(_)), "{by}");
        assert_eq!(scene.restored, [], "{by}");
        assert_eq!(scene.notices.len(), 1, "{by}: {:?}", scene.notices);
    }
}

#[test]
fn a_strangers_wide_rule_commits_nothing() {
    let mut scene = Scene::of(&[NARROW]);
    scene.authorize(STRANGER, &[WIDE]);
    let revoke = scene.revoke(LBC, &[NARROW]);
    scene.look(&[revoke]);
    scene.pass(5);
    scene.look(&[]);
    assert_eq!(scene.recorded(), [NARROW]);
}

#[test]
fn a_followed_change_commits_once_it_has_settled_and_half_a_change_is_undone() {
    let mut scene = Scene::of(&[NARROW]);
    let revoke = scene.revoke(LBC, &[NARROW]);
    scene.look(&[revoke]);
    assert!(matches!(
        scene.verdict(NARROW),
        Verdict::Wait {
            why: WaitReason::Settles { .. },
            ..
        }
    ));
    let mut undone = scene.clone();
    undone.pass(4);
    undone.look(&[]);
    assert_eq!(undone.restored, [key(NARROW)]);
    let authorize = scene.authorize(LBC, &[WIDE]);
    scene.look(&[authorize]);
    scene.rest();
    assert_eq!(scene.recorded(), [WIDE]);
    assert_eq!(scene.restored, []);
}

#[test]
fn a_followed_principal_that_asks_twice_means_it_unless_another_one_authorized_it_between() {
    for other in [false, true] {
        let mut scene = Scene::of(&[A, B]);
        for turn in 0..2 {
            if turn == 1 && other {
                scene.live.remove(&key(A));
                let authorize = scene.authorize(ACK, &[A]);
                scene.look(&[authorize]);
            }
            let revoke = scene.revoke(LBC, &[A]);
            scene.look(&[revoke]);
            scene.pass(200);
            scene.look(&[]);
        }
        let kept = scene.recorded().contains(&A.to_owned());
        assert_eq!(kept, other);
    }
}

#[test]
fn what_entered_in_an_aborted_change_leaves_with_its_rollback() {
    let mut scene = Scene::of(&[A]);
    let authorize = scene.authorize(LBC, &[NARROW]);
    scene.look(&[authorize]);
    let refused = scene.attempt(LBC, Call::RefusedAuthorize, &["tcp 100 from sg-0b"]);
    let revoke = scene.revoke(LBC, &[NARROW]);
    scene.look(&[refused, revoke]);
    scene.rest();
    assert_eq!(scene.recorded(), [A]);
    assert_eq!(scene.restored, []);
}

#[test]
fn a_change_that_leaves_less_than_half_takes_nothing_out_of_the_record() {
    let calls = |by: &str| {
        let mut scene = Scene::of(&[A, B, C, D]);
        for rule in [A, B, C] {
            let revoke = scene.revoke(by, &[rule]);
            scene.look(&[revoke]);
            scene.pass(7);
        }
        scene.rest();
        scene
    };
    for by in [TERRAFORM, BOT] {
        let scene = calls(by);
        assert_eq!(scene.recorded().len(), 4, "{by}");
        assert_eq!(scene.open_rules(), [D], "{by}");
        assert!(matches!(scene.verdict(A), Verdict::Pend(_)), "{by}");
    }
    let scene = calls(LBC);
    assert_eq!(scene.recorded().len(), 4);
    assert_eq!(scene.open_rules().len(), 4);
}

#[test]
fn a_large_change_that_authorizes_as_much_is_no_loss() {
    let mut scene = Scene::of(&[A, B, C, D]);
    let new = [
        "tcp 443 from 10.1.0.0/16",
        "tcp 81 from 10.0.0.0/8",
        "tcp 23 from 192.0.2.0/24",
        "udp 54 from 10.9.0.0/16",
    ];
    let revoke = scene.revoke(TERRAFORM, &[A, B, C, D]);
    let authorize = scene.authorize(TERRAFORM, &new);
    scene.look(&[revoke]);
    assert_eq!(scene.recorded().len(), 4);
    scene.look(&[authorize]);
    scene.rest();
    let mut recorded = scene.recorded();
    recorded.sort();
    let mut new = new.map(str::to_owned).to_vec();
    new.sort();
    assert_eq!(recorded, new);
}

#[test]
fn a_large_change_that_is_known_too_late_leaves_nothing_open_without_a_word() {
    for (by, told) in [(TERRAFORM, true), (BOT, true), (LBC, false)] {
        let mut scene = Scene::of(&[A, B, C, D]);
        let revoke = scene.revoke(by, &[A, B, C]);
        scene.look(&[]);
        scene.pass(180);
        scene.look(&[]);
        assert_eq!(scene.restored.len(), 3);
        scene.look(&[revoke]);
        assert_eq!(scene.recorded().len(), 4);
        assert_eq!(scene.state.reopened.len() == 3, told, "{by}");
        scene.live.remove(&key(A));
        scene.look(&[]);
        assert_eq!(scene.state.reopened.len() == 2, told, "{by}");
        assert_eq!(scene.state.pending.contains_key(&key(A)), told, "{by}");
    }
}

#[test]
fn a_decision_that_is_known_too_late_leaves_the_record_and_is_told_as_reopened() {
    for by in [TERRAFORM, BOT] {
        let mut scene = Scene::of(&[A, B]);
        let revoke = scene.revoke(by, &[A]);
        scene.look(&[]);
        scene.pass(180);
        scene.look(&[]);
        assert_eq!(scene.restored, [key(A)]);
        scene.look(&[revoke]);
        assert_eq!(scene.recorded(), [B]);
        assert!(scene.state.reopened.contains_key(&key(A)), "{by}");
        scene.live.remove(&key(A));
        scene.look(&[]);
        assert!(scene.state.reopened.is_empty(), "{by}");
    }
}

#[test]
fn a_duplicate_of_an_old_revoke_is_no_cause() {
    let mut scene = Scene::of(&[A, B]);
    let revoke = scene.revoke(STRANGER, &[A]);
    scene.look(std::slice::from_ref(&revoke));
    scene.pass(60);
    scene.live.remove(&key(A));
    scene.look(&[revoke]);
    assert_eq!(scene.restored, [key(A)]);
}

#[test]
fn a_rule_is_withheld_while_its_caller_deletes_the_group_it_refers_to() {
    for (by, leaves) in [(LBC, true), (STRANGER, false)] {
        let mut scene = Scene::of(&[NARROW, A]);
        let tried = scene.deletion(by, Call::RefusedDelete, Some("sg-0a"));
        scene.pass(5);
        let revoke = scene.revoke(by, &[NARROW]);
        scene.look(&[tried, revoke]);
        scene.pass(60);
        scene.look(&[]);
        assert_eq!(scene.restored, [], "{by}");
        let mut kept = scene.clone();
        kept.pass(15 * 60);
        kept.look(&[]);
        assert_eq!(kept.restored, [key(NARROW)], "{by}");
        let deleted = scene.deletion(by, Call::Delete, Some("sg-0a"));
        scene.look(&[deleted]);
        assert_eq!(scene.recorded().len() == 1, leaves, "{by}");
    }
}

#[test]
fn a_person_who_insists_is_taken_at_their_word_for_an_hour() {
    for listed in [false, true] {
        let mut scene = Scene::of(&[A, B]);
        if !listed {
            scene.listed.clear();
        }
        for turn in 0..2 {
            scene.pass(30);
            let mut revoke = scene.revoke(STRANGER, &[A]);
            revoke.person = Some("anna".to_owned());
            scene.look(&[revoke]);
            assert_eq!(scene.restored.len(), 1, "{turn}");
        }
        scene.pass(3_500);
        scene.look(&[]);
        assert_eq!(scene.restored.len(), 1);
        scene.pass(200);
        scene.look(&[]);
        assert_eq!(scene.restored.len(), 2);
    }
}

#[test]
fn a_description_that_a_listed_principal_changes_enters_the_record() {
    let mut scene = Scene::of(&[A]);
    for (by, text, enters) in [(STRANGER, "x", false), (LBC, "managed", true)] {
        let live = scene.live.get_mut(&key(A)).expect("live");
        // A read that is stale shows another text.
        live.1 = Some("of before".to_owned());
        let evidence = Evidence {
            described: BTreeMap::from([(key(A), Some(text.to_owned()))]),
            ..Evidence::default()
        };
        scene.pass(3);
        let describe = scene.call(by, Call::Describe, evidence);
        scene.look(&[describe]);
        let recorded = scene.record.rules[&key(A)].description.as_deref();
        assert_eq!(recorded == Some(text), enters, "{by}");
    }
}

#[test]
fn an_unlisted_call_that_tells_no_rules_is_a_cause_and_a_listed_one_makes_rules_wait() {
    for (by, restores) in [(STRANGER, true), (TERRAFORM, false)] {
        let mut scene = Scene::of(&[A, B]);
        scene.live.remove(&key(A));
        let evidence = Evidence {
            untold: true,
            ..Evidence::default()
        };
        let call = scene.call(by, Call::Revoke, evidence);
        scene.look(&[call]);
        assert_eq!(scene.restored.len() == 1, restores, "{by}");
    }
}

#[test]
fn times_of_a_wrong_clock_hold_nothing() {
    let mut scene = Scene::of(&[A, B]);
    let mut revoke = scene.revoke(LBC, &[A]);
    revoke.at = Timestamp::MAX;
    scene.look(std::slice::from_ref(&revoke));
    scene.pass(4);
    scene.look(&[revoke]);
    assert_eq!(scene.restored, [key(A)]);
    assert_eq!(scene.state.calls.len(), 1);
}

#[test]
fn a_state_that_is_too_large_forgets_old_calls_first_and_says_so() {
    let mut scene = Scene::of(&[A]);
    for number in 0..2_000 {
        let mut call = scene.attempt(STRANGER, Call::RefusedAuthorize, &[A, B, C, D]);
        call.by = format!("{STRANGER}/{number}");
        scene.state.calls.insert(call);
        scene.pass(1);
    }
    let ids = scene.state.ids.clone();
    let last = scene.state.calls.last().cloned();
    let said = scene.state.fit().expect("it was too large");
    assert!(said.contains("forgot calls from"), "{said}");
    assert_eq!(scene.state.calls.last(), last.as_ref());
    assert_eq!(scene.state.ids, ids);
    assert_eq!(scene.state.fit(), None);
}

#[test]
fn a_rule_that_left_for_a_live_one_stays_out_when_that_goes() {
    for by in [TERRAFORM, LBC] {
        let mut scene = Scene::of(&[NARROW, A, B, C]);
        let revoke = scene.revoke(by, &[NARROW]);
        let authorize = scene.authorize(by, &[WIDE]);
        scene.look(&[revoke, authorize]);
        scene.pass(5);
        scene.look(&[]);
        let revoke = scene.revoke(STRANGER, &[WIDE]);
        scene.look(&[revoke]);
        scene.rest();
        assert!(!scene.recorded().contains(&NARROW.to_owned()), "{by}");
        assert_eq!(scene.restored, [key(WIDE)], "{by}");
    }
}

#[test]
fn a_rule_that_somebody_wrote_back_into_the_item_is_restored_at_once() {
    let mut scene = Scene::of(&[A, B]);
    let recorded = scene.record.rules[&key(A)].clone();
    let revoke = scene.revoke(TERRAFORM, &[A]);
    scene.look(std::slice::from_ref(&revoke));
    assert_eq!(scene.recorded(), [B]);
    scene.record.rules.insert(key(A), recorded);
    scene.pass(60);
    scene.look(&[revoke]);
    assert_eq!(scene.recorded().len(), 2);
    assert_eq!(scene.restored, [key(A)]);
}

#[test]
fn what_entered_in_a_change_is_no_part_of_the_record_that_it_may_not_leave() {
    let mut scene = Scene::of(&[B, C, D]);
    let authorize = scene.authorize(TERRAFORM, &[A]);
    scene.look(&[authorize]);
    scene.pass(60);
    let revoke = scene.revoke(TERRAFORM, &[A, B, C]);
    scene.look(&[revoke]);
    assert_eq!(scene.recorded(), [D]);
    let mut scene = Scene::of(&[A, B, C, D]);
    let authorize = scene.authorize(TERRAFORM, &[OFFICE, NARROW]);
    scene.look(&[authorize]);
    scene.pass(30);
    let first = scene.revoke(TERRAFORM, &[A, B]);
    scene.look(&[first]);
    scene.pass(60);
    let second = scene.revoke(TERRAFORM, &[OFFICE, NARROW]);
    scene.look(&[second]);
    scene.rest();
    assert_eq!(scene.recorded(), [C, D]);
}

#[test]
fn public_access_stays_closed_if_nothing_that_was_refused_allows_as_much() {
    const WORLD_6: &str = "tcp 22 from ::/0";
    let refusals: [&[&[&str]]; 5] = [
        &[&["tcp 22 from sg-0a"]],
        &[&[OFFICE]],
        &[&[OFFICE, "tcp 22 from sg-0a"]],
        &[&[OFFICE], &["tcp 22 from sg-0a"]],
        &[&[]],
    ];
    for by in [TERRAFORM, LBC] {
        for refused in refusals {
            let mut scene = Scene::of(&[WORLD, WORLD_6, A, B, C, D]);
            let mut calls = vec![scene.revoke(by, &[WORLD, WORLD_6])];
            for rules in refused {
                calls.push(scene.attempt(by, Call::RefusedAuthorize, rules));
            }
            scene.look(&calls);
            scene.rest();
            assert_eq!(scene.restored, [], "{by} {refused:?}");
            assert_eq!(scene.state.pending.len(), 2, "{by} {refused:?}");
        }
        let mut scene = Scene::of(&[WORLD, A]);
        let revoke = scene.revoke(by, &[WORLD]);
        let refused = scene.attempt(by, Call::RefusedAuthorize, &[WORLD, "tcp 9 from sg-0bad"]);
        scene.look(&[revoke, refused]);
        scene.rest();
        assert_eq!(scene.restored, [key(WORLD)], "{by}");
    }
}

#[test]
fn public_access_of_both_families_that_is_narrowed_to_a_group_stays_closed() {
    const WORLD_6: &str = "tcp 22 from ::/0";
    for new in ["tcp 22 from sg-0a", OFFICE] {
        let mut scene = Scene::of(&[WORLD, WORLD_6, A, B, C]);
        let revoke = scene.revoke(LBC, &[WORLD, WORLD_6]);
        let authorize = scene.authorize(LBC, &[new]);
        scene.look(&[revoke, authorize]);
        scene.rest();
        assert_eq!(scene.restored, [], "{new}");
        assert_eq!(scene.recorded().len(), 4, "{new}");
    }
}

#[test]
fn pending_rules_wait_for_a_person_whatever_comes_later() {
    let pending = || {
        let mut scene = Scene::of(&[A, B, C, D]);
        for rule in [A, B, C] {
            let revoke = scene.revoke(TERRAFORM, &[rule]);
            scene.look(&[revoke]);
            scene.pass(100);
        }
        scene
    };
    let mut other_change = pending();
    other_change.pass(3_600);
    let authorize = other_change.authorize(TERRAFORM, &[NARROW, OFFICE]);
    other_change.look(&[authorize]);
    let mut other_author = pending();
    let authorize = other_author.authorize(LBC, &[NARROW, OFFICE]);
    other_author.look(&[authorize]);
    let mut decided = pending();
    decided.state.note_decided([&key(A)], decided.clock);
    decided.look(&[]);
    let mut next_day = pending();
    next_day.pass(86_400 - 250);
    next_day.look(&[]);
    for (mut scene, waiting) in [
        (other_change, 3),
        (other_author, 3),
        (decided, 2),
        (next_day, 3),
    ] {
        scene.rest();
        assert_eq!(scene.state.pending.len(), waiting, "{}", scene.summary());
    }
}

#[test]
fn a_decision_stays_one_when_the_first_calls_of_its_time_expire() {
    let mut scene = Scene::of(&[A, B, C, D]);
    for turn in 0..=10 {
        let call = match turn {
            8 => scene.attempt(
                TERRAFORM,
                Call::RefusedAuthorize,
                &["tcp 443 from 10.1.0.0/16"],
            ),
            10 => scene.revoke(TERRAFORM, &[A]),
            _ => scene.attempt(TERRAFORM, Call::TriedAuthorize, &["udp 9 from 10.1.0.0/16"]),
        };
        scene.look(&[call]);
        scene.pass(100);
    }
    assert_eq!(scene.recorded().len(), 3);
    for _ in 0..30 {
        scene.pass(86_400 / 24);
        scene.look(&[]);
    }
    assert_eq!(scene.restored, []);
}

#[test]
fn a_rule_that_was_replaced_within_a_second_is_restored_when_it_is_lost_later() {
    let mut scene = Scene::of(&[A, B]);
    scene.tells_ids = false;
    let revoke = scene.revoke(TERRAFORM, &[A]);
    scene.tells_ids = true;
    let authorize = scene.authorize(TERRAFORM, &[A]);
    scene.look(&[revoke, authorize]);
    scene.pass(60);
    scene.look(&[]);
    scene.live.remove(&key(A));
    scene.look(&[]);
    scene.pass(180);
    scene.look(&[]);
    assert_eq!(scene.restored, [key(A)]);
    assert_eq!(scene.recorded().len(), 2);
}

#[test]
fn an_undone_change_leaves_what_was_decided_before_it_in_either_order() {
    for order in [[0, 1, 2], [1, 2, 0], [2, 1, 0], [2, 0, 1]] {
        let mut scene = Scene::of(&[OFFICE, A, B]);
        let first = scene.revoke(TERRAFORM, &[OFFICE]);
        scene.pass(60);
        scene.authorize(STRANGER, &[OFFICE]);
        scene.pass(120);
        let second = scene.revoke(TERRAFORM, &[OFFICE]);
        let refused = scene.attempt(TERRAFORM, Call::RefusedAuthorize, &["tcp 22 from sg-0a"]);
        let calls = [first, second, refused];
        for index in order {
            scene.pass(1);
            scene.look(std::slice::from_ref(&calls[index]));
        }
        scene.rest();
        assert_eq!(scene.recorded(), [B, A], "{order:?}");
    }
}

#[test]
fn history_says_what_a_generation_did_with_each_rule() {
    let removed = [
        (A, RemovalReason::Accepted),
        (B, RemovalReason::Modified),
        (NARROW, RemovalReason::Committed(vec![key(WIDE)])),
        (WORLD, RemovalReason::Narrowed(vec![key(OFFICE)])),
        (C, RemovalReason::AskedTwice),
        (D, RemovalReason::RolledBack),
        (WIDE, RemovalReason::ReferenceGone),
    ];
    let leaving = |why| Leaving {
        by: LBC.to_owned(),
        at: now(),
        why,
        is_live: false,
        is_reopened: false,
    };
    let mut revision = Revision::by(LBC, &record(&[]));
    assert_eq!(revision.reason(), "");
    revision.entered = vec![key(OFFICE), key("tcp 81 from 10.0.0.0/8")];
    revision.reinstated = vec![key("tcp 82 from 10.0.0.0/8")];
    revision.removed = removed
        .map(|(rule, why)| (key(rule), leaving(why)))
        .to_vec();
    assert_eq!(
        revision.reason().split("; ").collect::<Vec<_>>(),
        [
            "authorized: tcp 22 from 203.0.113.0/24, tcp 81 from 10.0.0.0/8",
            "revoked: tcp 443 from 10.0.0.0/8",
            "modified: tcp 80 from 10.0.0.0/8",
            "replaced by live rules: tcp 80-9093 from sg-0a",
            "narrowed: tcp 22 from 0.0.0.0/0",
            "revoked again after it was put back: tcp 22 from 192.0.2.0/24",
            "rolled back: udp 53 from 10.9.0.0/16",
            "revoked, and the group that it refers to is gone: tcp 80-9100 from sg-0a",
            "returned, because the change that took it out was no decision: tcp 82 from 10.0.0.0/8",
        ]
    );
}

#[test]
fn what_entered_in_an_earlier_change_comes_back_when_a_later_one_is_aborted() {
    for by in [TERRAFORM, LBC] {
        let mut scene = Scene::of(&[A]);
        let authorize = scene.authorize(by, &[NARROW]);
        scene.look(&[authorize]);
        scene.pass(3_600);
        let revoke = scene.revoke(by, &[NARROW]);
        let refused = scene.attempt(by, Call::RefusedAuthorize, &[WIDE]);
        scene.look(&[revoke, refused]);
        scene.rest();
        assert_eq!(scene.recorded(), [NARROW, A], "{by}");
        assert_eq!(scene.open_rules(), [NARROW, A], "{by}");
    }
}

#[test]
fn a_deletion_between_two_changes_does_not_make_them_one() {
    let mut scene = Scene::of(&[NARROW, A]);
    let revoke = scene.revoke(TERRAFORM, &[NARROW]);
    scene.pass(100);
    let tried = scene.deletion(TERRAFORM, Call::RefusedDelete, Some("sg-0b"));
    scene.pass(100);
    let refused = scene.attempt(TERRAFORM, Call::RefusedAuthorize, &[WIDE]);
    scene.look(&[revoke, tried, refused]);
    scene.rest();
    assert_eq!(scene.recorded(), [A]);
    assert_eq!(scene.restored, []);
}

#[test]
fn a_followed_change_is_open_only_while_its_last_attempt_may_be_repeated() {
    for (throttled, refused, waits) in [(0, 10, false), (10, 0, true), (5, 5, false)] {
        let mut scene = Scene::of(&[NARROW, A]);
        let revoke = scene.revoke(LBC, &[NARROW]);
        let attempt = |call, seconds| {
            let mut attempt = scene.attempt(LBC, call, &[WIDE]);
            attempt.at += SignedDuration::from_secs(seconds);
            attempt
        };
        let calls = [
            attempt(Call::TriedAuthorize, throttled),
            attempt(Call::RefusedAuthorize, refused),
            revoke,
        ];
        scene.pass(20);
        scene.look(&calls);
        assert_eq!(scene.restored.is_empty(), waits, "{throttled} {refused}");
        scene.pass(120);
        scene.look(&[]);
        assert_eq!(scene.restored, [key(NARROW)], "{throttled} {refused}");
    }
}

#[test]
fn what_a_followed_principal_authorizes_beside_makes_up_for_nothing() {
    for other in [D, "tcp 444 from 10.0.0.0/8", "tcp 443 from 10.1.0.0/16"] {
        let mut scene = Scene::of(&[A, B]);
        let revoke = scene.revoke(LBC, &[A]);
        let authorize = scene.authorize(LBC, &[other]);
        scene.look(&[revoke, authorize]);
        scene.rest();
        // The last one is a part of what was revoked: that is a narrowing.
        let narrows = other.contains("10.1.0.0");
        assert_eq!(scene.restored.is_empty(), narrows, "{other}");
    }
}

#[test]
fn a_change_is_large_from_four_rules_on_if_less_than_half_of_them_stay() {
    let all = [A, B, C, D, NARROW, OFFICE];
    for (before, gone, waits) in [
        (6, 3, false),
        (3, 3, false),
        (4, 2, false),
        (4, 3, true),
        (5, 2, false),
        (5, 3, true),
    ] {
        let mut scene = Scene::of(&all[..before]);
        let revoke = scene.revoke(TERRAFORM, &all[..gone]);
        scene.look(&[revoke]);
        scene.rest();
        let left = if waits { before } else { before - gone };
        assert_eq!(scene.recorded().len(), left, "{gone} of {before}");
        let pending = if waits { gone } else { 0 };
        assert_eq!(scene.state.pending.len(), pending, "{gone} of {before}");
        assert_eq!(scene.restored, [], "{gone} of {before}");
    }
}

#[test]
fn only_a_deletion_by_the_same_caller_within_fifteen_minutes_withholds_what_it_is_about() {
    let minutes = |minutes| SignedDuration::from_mins(minutes);
    for (by, group, apart, withheld) in [
        (LBC, Some("sg-0a"), minutes(-15), true),
        (LBC, Some("sg-0a"), minutes(-16), false),
        // The kept group itself.
        (LBC, None, minutes(-1), true),
        (LBC, Some("sg-0b"), minutes(-1), false),
        (ACK, Some("sg-0a"), minutes(-1), false),
    ] {
        let mut scene = Scene::of(&[NARROW, A]);
        scene.pass(3_600);
        let revoke = scene.revoke(LBC, &[NARROW]);
        let mut tried = scene.deletion(by, Call::RefusedDelete, group);
        tried.at += apart;
        scene.look(&[tried, revoke]);
        scene.pass(60);
        scene.look(&[]);
        assert_eq!(
            scene.restored.is_empty(),
            withheld,
            "{by} {group:?} {apart}"
        );
        scene.pass(14 * 60 - 1);
        scene.look(&[]);
        assert_eq!(
            scene.restored.is_empty(),
            withheld,
            "{by} {group:?} {apart}"
        );
        scene.pass(1);
        scene.look(&[]);
        assert_eq!(scene.restored, [key(NARROW)], "{by} {group:?} {apart}");
    }
}

#[test]
fn a_followed_change_is_judged_when_its_settle_time_is_over() {
    let mut scene = Scene::of(&[A, B]);
    let revoke = scene.revoke(LBC, &[A]);
    scene.pass(2);
    scene.look(&[revoke]);
    assert_eq!(scene.restored, []);
    assert_eq!(
        scene.verdict(A).settles_at(),
        Some(scene.clock + SignedDuration::from_secs(1))
    );
    scene.pass(1);
    scene.look(&[]);
    assert_eq!(scene.restored, [key(A)]);
}

#[test]
fn a_followed_change_that_is_tried_again_and_again_waits_five_minutes() {
    let mut scene = Scene::of(&[NARROW, A]);
    let revoke = scene.revoke(LBC, &[NARROW]);
    scene.look(&[revoke]);
    for _ in 0..5 {
        let tried = scene.attempt(LBC, Call::TriedAuthorize, &[WIDE]);
        scene.look(&[tried]);
        scene.pass(59);
    }
    scene.pass(4);
    scene.look(&[]);
    assert_eq!(scene.restored, []);
    scene.pass(1);
    scene.look(&[]);
    assert_eq!(scene.restored, [key(NARROW)]);
}

#[test]
fn only_the_same_person_soon_after_insists() {
    let anna = Some("anna");
    for (first, second, seconds, insists) in [
        (anna, anna, 600, true),
        (anna, anna, 601, false),
        (anna, Some("ben"), 60, false),
        (None, anna, 60, false),
        (None, None, 60, false),
    ] {
        let mut scene = Scene::of(&[A, B]);
        for (person, wait) in [(first, seconds), (second, 0)] {
            let mut revoke = scene.revoke(STRANGER, &[A]);
            revoke.person = person.map(str::to_owned);
            scene.look(&[revoke]);
            scene.pass(wait);
        }
        let stays_closed = scene.restored.len() == 1;
        assert_eq!(stays_closed, insists, "{first:?} {second:?} {seconds}");
        scene.pass(3_600);
        scene.look(&[]);
        assert_eq!(scene.restored.len(), 2);
    }
}

#[test]
fn what_a_person_recorded_lately_is_opened_at_once_and_later_it_waits_for_its_cause() {
    for (seconds, at_once) in [(899, true), (900, false)] {
        let mut scene = Scene::of(&[A]);
        scene.record.rules.extend(record(&[B]).rules);
        scene.state.note_decided([&key(B)], scene.clock);
        scene.pass(seconds);
        scene.look(&[]);
        assert_eq!(scene.restored.len() == 1, at_once, "{seconds}");
        // It was live by now, so somebody took it.
        let mut later = scene.clone();
        later.open(&key(B));
        later.look(&[]);
        later.live.remove(&key(B));
        later.look(&[]);
        assert_eq!(later.restored.len() == 1, at_once, "{seconds}");
    }
}

#[test]
fn a_wait_for_the_cause_that_nobody_ended_for_two_hours_begins_anew() {
    for (seconds, ends) in [(179, false), (180, true), (7_379, true), (7_380, false)] {
        let mut scene = Scene::of(&[A, B]);
        scene.live.remove(&key(A));
        scene.look(&[]);
        scene.pass(seconds);
        scene.look(&[]);
        assert_eq!(scene.restored.len() == 1, ends, "{seconds}");
    }
}

#[test]
fn a_call_that_tells_no_rules_is_a_cause_of_what_is_missing_since_and_for_a_quarter_of_an_hour() {
    let untold = |scene: &Scene| {
        let evidence = Evidence {
            untold: true,
            ..Evidence::default()
        };
        scene.call(STRANGER, Call::Revoke, evidence)
    };
    for (seconds, is_cause) in [(900, true), (901, false)] {
        let mut scene = Scene::of(&[A, B]);
        let call = untold(&scene);
        scene.pass(seconds);
        scene.live.remove(&key(A));
        scene.look(&[call]);
        assert_eq!(scene.restored.len() == 1, is_cause, "{seconds}");
        let taken_by = scene.judged(&[]).taken_by.remove(&key(A));
        let known = (!is_cause).then(|| STRANGER.to_owned());
        assert_eq!(taken_by.map(|taker| taker.by), known, "{seconds}");
    }
    for (seconds, is_cause) in [(1, false), (0, true)] {
        let mut scene = Scene::of(&[A, B]);
        let call = untold(&scene);
        scene.pass(seconds);
        // It came back after the call.
        let taken = scene.revoke(STRANGER, &[A]);
        scene.look(&[taken, call]);
        assert_eq!(scene.restored, [key(A)]);
        scene.live.remove(&key(A));
        scene.look(&[]);
        assert_eq!(scene.restored.len() == 2, is_cause, "{seconds}");
    }
}

#[test]
fn what_was_authorized_and_is_not_live_yet_is_counted_until_it_enters() {
    let mut scene = Scene::of(&[A]);
    let authorize = scene.authorize(TERRAFORM, &[B]);
    let live = scene.live.remove(&key(B)).expect("live");
    scene.look(&[authorize]);
    assert_eq!((scene.recorded().len(), scene.state.unapplied), (1, 1));
    scene.live.insert(key(B), live);
    scene.look(&[]);
    assert_eq!((scene.recorded().len(), scene.state.unapplied), (2, 0));
}

#[test]
fn two_changes_that_are_told_at_once_do_not_make_a_large_one() {
    for (second, apart) in [(TERRAFORM, 3_600), (BOT, 0)] {
        let mut scene = Scene::of(&[A, B, C, D, NARROW, OFFICE]);
        let calls = [(TERRAFORM, [A, B]), (second, [C, D])].map(|(by, rules)| {
            scene.pass(apart);
            scene.revoke(by, &rules)
        });
        scene.look(&calls);
        assert_eq!(scene.recorded(), [OFFICE, NARROW], "{second}");
        assert!(scene.state.pending.is_empty(), "{second}");
    }
}

#[test]
fn what_a_change_authorizes_itself_makes_it_smaller_also_if_that_is_told_a_quarter_of_an_hour_late()
{
    for (author, seconds, waits) in [
        (TERRAFORM, 0, false),
        (ACK, 0, true),
        (TERRAFORM, 900, false),
        // By now it is for a person to say.
        (TERRAFORM, 901, true),
    ] {
        let mut scene = Scene::of(&[A, B, C, D]);
        let revoke = scene.revoke(TERRAFORM, &[A, B, C]);
        let authorize = scene.authorize(author, &[OFFICE, NARROW]);
        if seconds == 0 {
            scene.look(&[revoke, authorize]);
        } else {
            scene.look(&[revoke]);
            assert_eq!(scene.state.pending.len(), 3);
            scene.pass(seconds);
            scene.look(&[authorize]);
        }
        let pending = if waits { 3 } else { 0 };
        assert_eq!(scene.state.pending.len(), pending, "{author} {seconds}");
        assert_eq!(scene.recorded().len(), 3 + pending, "{author} {seconds}");
    }
}
