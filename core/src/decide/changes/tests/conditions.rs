//! Each condition of a verdict, by a case in which nothing but it decides.

use super::*;

const A: &str = "tcp 443 from 10.0.0.0/8";
const A_PART: &str = "tcp 443 from 10.1.0.0/16";
const B: &str = "tcp 80 from 10.0.0.0/8";
const C: &str = "tcp 22 from 192.0.2.0/24";
const NEXT: &str = "tcp 443 from 192.168.0.0/16";
const D: &str = "udp 53 from 10.9.0.0/16";
const WORLD: &str = "tcp 22 from 0.0.0.0/0";
const OFFICE: &str = "tcp 22 from 203.0.113.0/24";
const NARROW: &str = "tcp 80-9093 from sg-0a";
const WIDE: &str = "tcp 80-9100 from sg-0a";

/// Another group, in which these rules have been for an hour.
fn scene(rules: &[&str]) -> Scene {
    let mut scene = Scene::of(rules);
    scene.pass(3_600);
    scene
}

impl Scene {
    fn describe(&mut self, by: &str, rule: &str, text: &str) -> KnownCall {
        self.live.get_mut(&key(rule)).expect("live").1 = Some(text.to_owned());
        let evidence = Evidence {
            described: BTreeMap::from([(key(rule), Some(text.to_owned()))]),
            ..Evidence::default()
        };
        self.call(by, Call::Describe, evidence)
    }

    /// A revoke without ids of what is not there.
    fn revoke_in_vain(&self, by: &str, rule: &str) -> KnownCall {
        let evidence = Evidence {
            revoked: BTreeMap::from([(key(rule), None)]),
            ..Evidence::default()
        };
        self.call(by, Call::Revoke, evidence)
    }

    fn lose(&mut self, rule: &str) {
        self.live.remove(&key(rule)).expect("live");
    }

    /// What of these rules the group has.
    fn has(&self, rule: &str) -> (bool, bool) {
        let rule = key(rule);
        let is_recorded = self.record.rules.contains_key(&rule);
        (is_recorded, self.live.contains_key(&rule))
    }
}

/// What a call comes to at once: why the first rule leaves.
fn leaves(scene: &Scene, calls: &[KnownCall]) -> RemovalReason {
    let revision = scene.judged(calls).revision.expect("something leaves");
    let (_, leaving) = revision.removed.first().expect("a rule leaves");
    leaving.why.clone()
}

#[test]
fn the_record_has_the_description_that_the_last_listed_principal_gave() {
    type Acts = fn(&mut Scene) -> Vec<KnownCall>;
    let rows: [(&str, Acts, Option<&str>); 6] = [
        (
            "authorized anew",
            |it| {
                let revoke = it.revoke(LBC, &[A]);
                let authorize = it.authorize(LBC, &[A]);
                it.live.get_mut(&key(A)).expect("live").1 = Some("new".to_owned());
                vec![revoke, authorize]
            },
            Some("new"),
        ),
        (
            "described by a stranger before it entered",
            |it| {
                it.record.rules.remove(&key(A));
                it.lose(A);
                it.look(&[]);
                let authorize = it.authorize(LBC, &[A]);
                vec![authorize, it.describe(STRANGER, A, "seen")]
            },
            Some("seen"),
        ),
        (
            "described by a stranger afterwards",
            |it| {
                let revoke = it.revoke(LBC, &[A]);
                let authorize = it.authorize(LBC, &[A]);
                it.look(&[revoke, authorize]);
                it.pass(1);
                vec![it.describe(STRANGER, A, "theirs")]
            },
            None,
        ),
        (
            "taken and authorized by a stranger afterwards",
            |it| {
                it.tells_ids = false;
                let mut calls = Vec::new();
                for by in [LBC, STRANGER] {
                    calls.push(it.revoke(by, &[A]));
                    it.pass(1);
                    calls.push(it.authorize(by, &[A]));
                    it.pass(1);
                }
                it.live.get_mut(&key(A)).expect("live").1 = Some("theirs".to_owned());
                calls
            },
            None,
        ),
        (
            "described by it, and later taken and given by who knows whom",
            |it| {
                let mut calls = vec![it.revoke(LBC, &[A])];
                calls.push(it.authorize(LBC, &[A]));
                it.pass(1);
                calls.push(it.describe(LBC, A, "managed"));
                it.look(&calls);
                it.pass(1);
                let taken = it.revoke(STRANGER, &[A]);
                it.open(&key(A));
                it.live.get_mut(&key(A)).expect("live").1 = Some("theirs".to_owned());
                vec![taken]
            },
            Some("managed"),
        ),
        (
            "described while it is not recorded",
            |it| {
                it.record.rules.remove(&key(A));
                it.look(&[]);
                vec![it.describe(LBC, A, "nobody's")]
            },
            Some("not recorded"),
        ),
    ];
    for (name, acts, text) in rows {
        let mut scene = scene(&[A, B]);
        let calls = acts(&mut scene);
        scene.look(&calls);
        scene.rest();
        let recorded = scene.record.rules.get(&key(A));
        let recorded = recorded.map_or(Some("not recorded"), |it| it.description.as_deref());
        assert_eq!(recorded, text, "{name}");
    }
}

#[test]
fn a_rule_that_a_stranger_took_before_it_was_seen_returns_as_it_was_recorded() {
    let mut scene = scene(&[A, B]);
    let recorded = scene.record.rules.get_mut(&key(A)).expect("recorded");
    recorded.description = Some("managed".to_owned());
    let revoke = scene.revoke(TERRAFORM, &[A]);
    scene.look(&[revoke]);
    scene.pass(600);
    let authorize = scene.authorize(LBC, &[A]);
    let taken = scene.revoke(STRANGER, &[A]);
    scene.look(&[authorize, taken]);
    assert_eq!(scene.restored, [key(A)]);
    let recorded = &scene.record.rules[&key(A)];
    assert_eq!(recorded.description.as_deref(), Some("managed"));
}

#[test]
fn who_authorized_what_had_left_is_the_author_of_its_return() {
    let mut scene = scene(&[A, B]);
    let revoke = scene.revoke(TERRAFORM, &[A]);
    scene.look(&[revoke]);
    scene.pass(600);
    let authorize = scene.authorize(ACK, &[A]);
    scene.pass(1);
    let revoke = scene.revoke(TERRAFORM, &[A]);
    let refused = scene.attempt(TERRAFORM, Call::RefusedAuthorize, &[A_PART]);
    let revision = scene.judged(&[authorize, revoke, refused]).revision;
    let revision = revision.expect("it returns");
    assert_eq!(revision.reinstated, [key(A)]);
    assert_eq!(revision.by, ACK);
}

#[test]
fn what_is_open_although_it_was_closed_is_told_only_if_we_opened_it() {
    for ours in [true, false] {
        for narrowed in [false, true] {
            let rule = if narrowed { WORLD } else { A };
            let mut scene = scene(&[rule, B]);
            let mut calls = vec![scene.revoke(TERRAFORM, &[rule])];
            if narrowed {
                calls.push(scene.attempt(TERRAFORM, Call::RefusedAuthorize, &[OFFICE]));
            }
            // As long as it is closed it is not told as open.
            let closed = scene.judged(&calls);
            assert!(closed.state.reopened.is_empty());
            if ours {
                scene.look(&[]);
                scene.pass(180);
                scene.look(&[]);
            } else {
                calls.push(scene.authorize(STRANGER, &[rule]));
            }
            scene.look(&calls);
            scene.look(&[]);
            let name = format!("{rule}, ours: {ours}");
            assert_eq!(scene.has(rule), (narrowed, true), "{name}");
            assert_eq!(
                scene.state.reopened.contains_key(&key(rule)),
                ours,
                "{name}"
            );
            assert!(scene.state.pending.is_empty(), "{name}");
            let told = usize::from(ours && narrowed);
            assert_eq!(scene.notices.len(), told, "{name}: {:?}", scene.notices);
            // Any caller may take it then: what was to be narrowed stays closed.
            let restored = scene.restored.len();
            scene.lose(rule);
            scene.rest();
            assert_eq!(scene.restored.len(), restored, "{name}");
            assert_eq!(scene.state.pending.len(), usize::from(narrowed), "{name}");
        }
    }
}

#[test]
fn a_revoke_without_ids_is_a_decision_only_if_the_rule_was_there() {
    // Whether the rule goes 11 seconds after the call, and whether reads show it for longer than they lag.
    for (goes, seen, leaves) in [
        (false, 11, false),
        // It was never there to be taken: what is lost later is lost.
        (true, 10, false),
        // Reads lag: it went with the call.
        (true, 9, true),
    ] {
        let mut scene = scene(&[A, B]);
        let revoke = scene.revoke_in_vain(TERRAFORM, A);
        scene.look(&[revoke]);
        scene.pass(seen);
        scene.look(&[]);
        if goes {
            scene.lose(A);
        }
        scene.pass(2);
        scene.look(&[]);
        scene.rest();
        assert_eq!(scene.has(A), (!leaves, !leaves), "{goes} {seen}");
        let restored = usize::from(goes && !leaves);
        assert_eq!(scene.restored.len(), restored, "{goes} {seen}");
    }
}

#[test]
fn the_reason_of_a_verdict_names_what_decided() {
    let mut alone = scene(&[A, B]);
    let revoke = alone.revoke(STRANGER, &[A]);
    let verdict =
        |scene: &Scene| scene.judged(std::slice::from_ref(&revoke)).verdicts[&key(A)].clone();
    let by = STRANGER.to_owned();
    let unlisted = Verdict::Restore(RestoreReason::Unlisted { by });
    assert_eq!(verdict(&alone), unlisted);
    alone.listed.clear();
    let nobody = Verdict::Restore(RestoreReason::NobodyListed);
    assert_eq!(verdict(&alone), nobody);
    for by in [TERRAFORM, LBC, BOT] {
        let mut scene = scene(&[A, B]);
        let modify = scene.modify(by, A, A_PART);
        let expected = match by {
            BOT => RemovalReason::Accepted,
            _ => RemovalReason::Modified,
        };
        assert_eq!(leaves(&scene, &[modify]), expected, "{by}");
    }
    let mut scene = scene(&[NARROW, A]);
    let calls = [
        scene.revoke(TERRAFORM, &[NARROW]),
        scene.authorize(TERRAFORM, &[WIDE]),
    ];
    let committed = RemovalReason::Committed(vec![key(WIDE)]);
    assert_eq!(leaves(&scene, &calls), committed);
}

#[test]
fn a_followed_change_is_committed_by_what_its_principal_gave_the_group_around_that_time() {
    type Acts = fn(&mut Scene) -> Vec<KnownCall>;
    let rows: [(&str, &[&str], Acts, bool); 7] = [
        (
            "fifteen minutes before",
            &[NARROW, A],
            |it| {
                let calls = vec![it.authorize(LBC, &[WIDE])];
                it.pass(899);
                calls
            },
            true,
        ),
        (
            "earlier",
            &[NARROW, A],
            |it| {
                let calls = vec![it.authorize(LBC, &[WIDE])];
                it.pass(900);
                calls
            },
            false,
        ),
        (
            "given by a stranger",
            &[NARROW, A],
            |it| vec![it.authorize(STRANGER, &[WIDE])],
            false,
        ),
        (
            "given by another listed one",
            &[NARROW, A],
            |it| vec![it.authorize(ACK, &[WIDE])],
            false,
        ),
        (
            "recorded, and taken and given anew by itself",
            &[NARROW, WIDE, A],
            |it| vec![it.revoke(LBC, &[WIDE]), it.authorize(LBC, &[WIDE])],
            true,
        ),
        (
            "recorded, and put back after a stranger took it",
            &[NARROW, WIDE, A],
            |it| vec![it.revoke(STRANGER, &[WIDE]), it.authorize(LBC, &[WIDE])],
            false,
        ),
        (
            "entered an hour ago, and put back after a stranger took it",
            &[NARROW, A],
            |it| {
                let authorize = it.authorize(LBC, &[WIDE]);
                it.look(&[authorize]);
                it.pass(3_600);
                vec![it.revoke(STRANGER, &[WIDE]), it.authorize(LBC, &[WIDE])]
            },
            false,
        ),
    ];
    for (name, rules, acts, commits) in rows {
        let mut scene = scene(rules);
        let mut calls = acts(&mut scene);
        scene.pass(1);
        calls.push(scene.revoke(LBC, &[NARROW]));
        scene.look(&calls);
        scene.rest();
        assert_eq!(scene.has(NARROW), (!commits, !commits), "{name}");
    }
}

#[test]
fn a_followed_principal_asks_twice_if_it_took_the_rule_before_and_we_put_it_back() {
    // Who takes the rule, and who puts it back; `None`: we do.
    let ours = |by| (by, None, false);
    let theirs = |by, other| (by, Some(other), false);
    let refused = |by| (by, None, true);
    for (before, leaves) in [
        (vec![ours(LBC)], true),
        (vec![ours(STRANGER)], false),
        (vec![theirs(LBC, STRANGER)], false),
        (vec![ours(LBC), theirs(STRANGER, STRANGER)], true),
        (vec![ours(LBC), theirs(STRANGER, LBC)], true),
        (vec![ours(LBC), theirs(STRANGER, ACK)], false),
        (vec![refused(LBC)], false),
    ] {
        let mut scene = scene(&[A, B]);
        for (by, other, is_refused) in before.iter().chain([&ours(LBC)]) {
            let mut calls = vec![scene.revoke(by, &[A])];
            if *is_refused {
                calls.push(scene.attempt(by, Call::RefusedAuthorize, &[A_PART]));
            }
            if let Some(other) = other {
                scene.pass(1);
                calls.push(scene.authorize(other, &[A]));
            }
            scene.look(&calls);
            scene.pass(200);
            scene.look(&[]);
        }
        assert_eq!(scene.has(A), (!leaves, !leaves), "{before:?}");
    }
}

#[test]
fn what_a_change_gives_and_takes_is_weighed_at_once_and_later() {
    // Its own new rules count, so nobody has to be asked.
    let mut scene = scene(&[A, B, C, D]);
    let calls = [
        scene.revoke(TERRAFORM, &[A, B, C]),
        scene.authorize(TERRAFORM, &[OFFICE, NARROW]),
    ];
    scene.look(&calls);
    assert_eq!(scene.recorded(), [OFFICE, NARROW, D]);
    assert!(scene.notices.is_empty(), "{:?}", scene.notices);
}

#[test]
fn rules_of_others_do_not_make_a_change_smaller() {
    let mut scene = scene(&[A, B, C, D]);
    let calls = [
        scene.revoke(TERRAFORM, &[A, B, C]),
        scene.authorize(ACK, &["udp 54 from 10.9.0.0/16", "udp 55 from 10.9.0.0/16"]),
    ];
    let generation = scene.record.generation;
    scene.look(&calls);
    assert_eq!(scene.state.pending.len(), 3);
    assert_eq!(scene.recorded().len(), 6);
    assert_eq!(scene.record.generation, generation + 1, "nothing left");
}

#[test]
fn what_left_for_a_live_rule_is_not_lost_in_a_change_that_goes_on() {
    let mut scene = scene(&[NARROW, A, B, C, D]);
    let revoke = scene.revoke(TERRAFORM, &[NARROW]);
    scene.look(&[revoke]);
    scene.pass(30);
    let calls = [
        scene.authorize(TERRAFORM, &[WIDE]),
        scene.revoke(TERRAFORM, &[A, B, C]),
    ];
    let generation = scene.record.generation;
    scene.look(&calls);
    assert_eq!(scene.recorded(), [WIDE, D]);
    assert_eq!(scene.record.generation, generation + 1, "at once");
    assert!(scene.notices.is_empty(), "{:?}", scene.notices);
}

#[test]
fn what_a_change_took_counts_although_a_stranger_took_it_again() {
    let mut scene = scene(&[A, B, C, D]);
    let revoke = scene.revoke(TERRAFORM, &[A]);
    scene.look(&[revoke]);
    scene.pass(30);
    let mut calls = vec![scene.authorize(STRANGER, &[A])];
    scene.pass(1);
    calls.push(scene.revoke(STRANGER, &[A]));
    calls.push(scene.revoke(TERRAFORM, &[B, C]));
    scene.look(&calls);
    assert_eq!(scene.recorded().len(), 4);
    assert_eq!(scene.state.pending.len(), 3);
    assert_eq!(scene.restored, []);
}

#[test]
fn a_followed_principal_that_asks_twice_for_nearly_everything_is_not_followed() {
    let mut scene = scene(&[A, B, C, D]);
    let first = scene.revoke(LBC, &[A, B, C]);
    scene.look(&[first]);
    scene.pass(200);
    scene.look(&[]);
    let second = scene.revoke(LBC, &[A, B, C]);
    scene.look(&[second]);
    scene.pass(200);
    let by = LBC.to_owned();
    let verdict = Verdict::Restore(RestoreReason::LargeChange { by });
    assert_eq!(scene.verdict(A), verdict);
    // Where that is known too late, nothing is to be done.
    scene.look(&[]);
    assert_eq!(scene.restored.len(), 6);
    assert_eq!(scene.verdict(A), Verdict::Keep);
    scene.rest();
    assert_eq!(scene.recorded().len(), 4);
}

#[test]
fn what_a_stranger_opened_again_is_not_told_as_opened_by_us_in_a_large_change() {
    let mut scene = scene(&[A, B, C, D]);
    let mut calls = vec![scene.revoke(TERRAFORM, &[A, B, C])];
    scene.pass(1);
    calls.push(scene.authorize(STRANGER, &[A]));
    scene.look(&calls);
    assert_eq!(scene.verdict(A), Verdict::Keep);
    assert!(scene.state.reopened.is_empty());
    assert_eq!(scene.state.pending.len(), 2);
}

#[test]
fn what_waits_for_a_person_is_told_once_and_says_what_ends_it() {
    let mut late = scene(&[A, B, C, D]);
    let mut at_once = late.clone();
    let revoke = at_once.revoke(TERRAFORM, &[A, B, C]);
    at_once.look(&[revoke]);
    at_once.rest();
    assert_eq!(at_once.notices.len(), 3, "{:?}", at_once.notices);
    let mut narrowed = scene(&[WORLD, A]);
    let calls = [
        narrowed.revoke(TERRAFORM, &[WORLD]),
        narrowed.attempt(TERRAFORM, Call::RefusedAuthorize, &[OFFICE]),
    ];
    narrowed.look(&calls);
    for (notices, rule, why) in [
        (&at_once.notices, A, "less than half of the record"),
        (
            &narrowed.notices,
            WORLD,
            "the narrower authorize was refused",
        ),
    ] {
        let said = notices.iter().find(|it| it.starts_with(rule));
        let said = said.expect("it is told");
        assert!(said.contains("stays closed and recorded"), "{said}");
        for part in [
            TERRAFORM,
            why,
            "`rulekeeper confirm`",
            "`rulekeeper restore`",
        ] {
            assert!(said.contains(part), "{said}");
        }
    }
    // Put back before that was known: then it is told as open, once, and not as closed.
    let revoke = late.revoke(TERRAFORM, &[A, B, C]);
    late.look(&[]);
    late.pass(180);
    late.look(&[]);
    let calls = [revoke];
    for calls in [&calls[..], &[], &[]] {
        late.look(calls);
        assert!(late.state.pending.is_empty());
        assert_eq!(late.state.reopened.len(), 3);
        assert_eq!(late.notices.len(), 3, "{:?}", late.notices);
    }
    for said in &late.notices {
        assert!(said.contains("was put back before it was known"), "{said}");
    }
}

#[test]
fn a_deletion_that_came_to_nothing_is_the_reason_of_the_return_but_not_of_one_before_its_time() {
    let mut scene = scene(&[NARROW, A]);
    let calls = [
        scene.deletion(STRANGER, Call::RefusedDelete, Some("sg-0a")),
        scene.revoke(STRANGER, &[NARROW]),
    ];
    let mut insists = scene.clone();
    scene.look(&calls);
    scene.pass(900);
    let by = STRANGER.to_owned();
    let withheld = Verdict::Restore(RestoreReason::Withheld { by });
    assert_eq!(scene.verdict(NARROW), withheld);
    // What leaves is not withheld.
    let mut leaves = insists.clone();
    leaves.open(&key(NARROW));
    let calls = [
        leaves.deletion(TERRAFORM, Call::RefusedDelete, Some("sg-0a")),
        leaves.revoke(TERRAFORM, &[NARROW]),
    ];
    leaves.look(&calls);
    assert_eq!(leaves.recorded(), [A]);
    // A person who closes a rule twice is taken at their word for an hour, whatever they delete.
    insists.open(&key(NARROW));
    let mut calls = Vec::new();
    for _ in 0..2 {
        insists.pass(30);
        let mut revoke = insists.revoke(STRANGER, &[NARROW]);
        revoke.person = Some("anna".to_owned());
        insists.look(&[revoke]);
    }
    assert_eq!(insists.restored.len(), 1);
    calls.push(insists.deletion(STRANGER, Call::RefusedDelete, Some("sg-0a")));
    insists.look(&calls);
    insists.pass(3_599);
    insists.look(&[]);
    assert_eq!(insists.restored.len(), 1);
    insists.pass(1);
    insists.look(&[]);
    assert_eq!(insists.restored.len(), 2);
}

#[test]
fn what_is_told_of_live_rules_outside_the_record_ends_when_they_go_or_enter() {
    let mut scene = scene(&[A]);
    scene.open(&key(B));
    scene.state.told = [A, B, C].map(key).into();
    scene.look(&[]);
    assert_eq!(scene.state.told, [key(B)].into());
}

#[test]
fn only_what_a_listed_principal_authorized_and_nobody_took_is_counted_as_not_entered() {
    for (by, taken, counted) in [(LBC, false, 1), (STRANGER, false, 0), (LBC, true, 0)] {
        let mut scene = scene(&[A]);
        let mut calls = vec![scene.authorize(by, &[B])];
        scene.lose(B);
        if taken {
            scene.pass(1);
            scene.open(&key(B));
            calls.push(scene.revoke(BOT, &[B]));
        }
        scene.look(&calls);
        assert_eq!(scene.state.unapplied, counted, "{by} {taken}");
    }
}

#[test]
fn a_call_that_tells_no_rules_is_named_where_the_rule_went_after_its_last_return() {
    for (seconds, named) in [(1, false), (0, true), (-1, true)] {
        let mut scene = scene(&[A, B]);
        let evidence = Evidence {
            untold: true,
            ..Evidence::default()
        };
        let mut untold = scene.call(TERRAFORM, Call::Revoke, evidence);
        let taken = scene.revoke(STRANGER, &[A]);
        scene.look(&[taken]);
        assert_eq!(scene.restored, [key(A)]);
        untold.at -= SignedDuration::from_secs(seconds);
        scene.lose(A);
        let taken_by = scene.judged(&[untold]).taken_by.remove(&key(A));
        let by = taken_by.map(|taker| taker.by);
        assert_eq!(by, named.then(|| TERRAFORM.to_owned()), "{seconds}");
    }
}

#[test]
fn a_call_that_tells_no_rules_did_not_take_what_was_missing_before_it() {
    for (seconds, named) in [(1, false), (0, true), (-1, true)] {
        let mut scene = scene(&[A, B]);
        scene.lose(A);
        scene.state.unrestorable.insert(key(A), scene.clock);
        let evidence = Evidence {
            untold: true,
            ..Evidence::default()
        };
        let mut untold = scene.call(STRANGER, Call::Revoke, evidence);
        untold.at = scene.clock + SignedDuration::from_secs(seconds);
        scene.pass(2);
        let taken_by = scene.judged(&[untold]).taken_by.remove(&key(A));
        assert_eq!(taken_by.is_some(), named, "{seconds}");
    }
}

#[test]
fn a_rule_was_taken_by_the_call_at_hand_or_by_one_before_it() {
    let mut scene = scene(&[A, B]);
    let first = scene.revoke(STRANGER, &[A]);
    let second = scene.revoke(STRANGER, &[B]);
    let taken_by = scene.judged(&[first.clone(), second]).taken_by;
    let at_hand = |rule: &str| taken_by.get(&key(rule)).map(|taker| taker.at_hand);
    assert_eq!((at_hand(A), at_hand(B)), (Some(false), Some(true)));
    assert_eq!(taken_by[&key(A)].at, first.at);
}

#[test]
fn a_taker_has_the_session_of_a_person_who_has_one() {
    for (person, session) in [(None, None), (Some(""), None), (Some("anna"), Some("anna"))] {
        let mut scene = scene(&[A, B]);
        let mut taken = scene.revoke(STRANGER, &[A]);
        taken.person = person.map(str::to_owned);
        let taker = scene.judged(&[taken]).taken_by.remove(&key(A));
        assert_eq!(taker.expect("a taker").session.as_deref(), session);
    }
}

#[test]
fn a_call_from_the_future_is_known_by_all_but_its_time() {
    let mut scene = scene(&[A, B]);
    let now = scene.clock;
    let mut call = scene.revoke(STRANGER, &[A]);
    call.at += SignedDuration::from_hours(1);
    let at = |call: &KnownCall| KnownCall {
        at: second(now),
        ..call.clone()
    };
    let mut state = GroupState::default();
    state.note_call(call.clone(), now);
    assert_eq!(state.known(&call), Some(&at(&call)));
    // A second delivery is no second call.
    state.note_call(call.clone(), now + SignedDuration::from_secs(5));
    assert_eq!(state.calls.len(), 1);
    assert!(scene.judged(&[call.clone()]).taken_by[&key(A)].at_hand);
    // Another caller's, one of another kind or about other rules, or the same at a later time is another one.
    let other_caller = KnownCall {
        by: TERRAFORM.to_owned(),
        ..at(&call)
    };
    let other_kind = KnownCall {
        call: Call::Modify,
        ..at(&call)
    };
    let other_rules = KnownCall {
        evidence: Evidence::default(),
        ..at(&call)
    };
    let later = KnownCall {
        at: call.at + SignedDuration::from_secs(1),
        ..call.clone()
    };
    for other in [other_caller, other_kind, other_rules, later] {
        let state = GroupState {
            calls: [other.clone()].into(),
            ..GroupState::default()
        };
        assert_eq!(state.known(&call), None, "{other:?}");
    }
}

#[test]
fn of_two_returns_in_one_second_the_later_one_was_taken() {
    let mut scene = scene(&[A, B]);
    scene.lose(A);
    let first = scene.open(&key(A));
    scene.lose(A);
    let second = scene.open(&key(A));
    for (millis, id) in [(100, first), (500, second)] {
        let at = scene.clock + SignedDuration::from_millis(millis);
        scene.state.note_restored(&key(A), at, Some(id));
    }
    // Nobody told of the call that took the first.
    let taken = scene.revoke(STRANGER, &[A]);
    let taken_by = scene.judged(&[taken]).taken_by.remove(&key(A));
    assert_eq!(taken_by.expect("a taker").by, STRANGER);
}

#[test]
fn each_of_several_revokes_in_one_second_took_what_had_come_back_before() {
    let mut scene = scene(&[A, B]);
    for drops in 1..5 {
        let calls = [scene.revoke(STRANGER, &[A])];
        let taken_by = scene.judged(&calls).taken_by.remove(&key(A));
        assert_eq!(taken_by.expect("a taker").by, STRANGER, "{drops}");
        scene.look(&calls);
        assert_eq!(scene.restored.len(), drops);
    }
}

#[test]
fn what_happened_before_an_operator_decided_does_not_count() {
    for (seconds, revokes, enters) in [(-1, false, false), (0, true, false), (1, true, true)] {
        let mut scene = scene(&[A, B]);
        scene.state.note_decided([&key(A), &key(C)], scene.clock);
        let mut revoke = scene.revoke(TERRAFORM, &[A]);
        let mut authorize = scene.authorize(TERRAFORM, &[C]);
        for call in [&mut revoke, &mut authorize] {
            call.at += SignedDuration::from_secs(seconds);
        }
        scene.pass(1);
        scene.look(&[revoke, authorize]);
        assert_eq!(scene.has(A), (!revokes, !revokes), "{seconds}");
        assert_eq!(scene.has(C), (enters, true), "{seconds}");
    }
}

#[test]
fn a_rule_that_somebody_wrote_back_can_be_taken_out_again() {
    let mut scene = scene(&[A, B]);
    let recorded = scene.record.rules[&key(A)].clone();
    let first = scene.revoke(TERRAFORM, &[A]);
    scene.look(&[first]);
    scene.record.rules.insert(key(A), recorded);
    scene.pass(60);
    scene.look(&[]);
    assert_eq!(scene.restored, [key(A)]);
    scene.pass(200);
    let second = scene.revoke(TERRAFORM, &[A]);
    scene.look(&[second]);
    scene.rest();
    assert_eq!(scene.has(A), (false, false));
}

#[test]
fn a_call_that_names_ids_alone_is_a_cause_whether_or_not_they_are_known() {
    let id = |scene: &Scene| scene.live[&key(A)].0.clone();
    for known in [true, false] {
        for call in [Call::Revoke, Call::Modify] {
            let mut scene = scene(&[A, B]);
            let id = id(&scene);
            scene.lose(A);
            if !known {
                scene.state.ids.clear();
            }
            let mut evidence = Evidence::default();
            match call {
                Call::Revoke => drop(evidence.revoked_ids.insert(id)),
                _ => drop(evidence.modified.insert(id, None)),
            }
            let taken = scene.call(STRANGER, call, evidence);
            scene.look(&[taken]);
            assert_eq!(scene.restored, [key(A)], "{known} {call:?}");
        }
    }
}

#[test]
fn within_a_second_ids_tell_what_came_last() {
    // The last one who gave it has a name that comes first.
    let mut by_ids = scene(&[A, B]);
    let calls = [
        by_ids.revoke(STRANGER, &[A]),
        by_ids.authorize(TERRAFORM, &[A]),
        by_ids.revoke(TERRAFORM, &[A]),
        by_ids.authorize(LBC, &[A]),
    ];
    by_ids.look(&calls);
    by_ids.lose(A);
    by_ids.look(&[]);
    let waits = matches!(
        by_ids.verdict(A),
        Verdict::Wait {
            why: WaitReason::UnknownCause { .. },
            ..
        }
    );
    assert!(waits, "{:?}", by_ids.verdict(A));
    // Without ids, what is missing was taken last.
    let mut without = scene(&[A, B]);
    without.tells_ids = false;
    let calls = [
        without.revoke(STRANGER, &[A]),
        without.authorize(TERRAFORM, &[A]),
        without.revoke(TERRAFORM, &[A]),
    ];
    without.look(&calls);
    without.rest();
    assert_eq!(without.has(A), (false, false));
}

#[test]
fn a_refusal_that_is_told_after_our_restore_still_takes_back_what_was_revoked_in_the_same_second() {
    let mut scene = scene(&[A, B]);
    scene.tells_ids = false;
    let given = scene.authorize(LBC, &[NEXT]);
    let refused = scene.attempt(LBC, Call::RefusedAuthorize, &["tcp 443 from sg-0bad"]);
    let taken = scene.revoke(LBC, &[NEXT]);
    scene.look(&[taken, given]);
    scene.pass(6);
    // As far as is known it is half a change, so it comes back.
    scene.look(&[]);
    assert_eq!(scene.restored, [key(NEXT)]);
    scene.look(&[refused]);
    scene.rest();
    assert_eq!(scene.has(NEXT), (false, true));
    assert!(
        scene.state.reopened.contains_key(&key(NEXT)),
        "{}",
        scene.summary()
    );
}

#[test]
fn a_revoke_of_what_we_put_back_is_later_also_if_our_clock_is_ahead() {
    let mut scene = scene(&[A, B]);
    let first = scene.revoke(LBC, &[A]);
    scene.look(&[first]);
    scene.pass(200);
    scene.look(&[]);
    assert_eq!(scene.restored, [key(A)]);
    let mut second = scene.revoke(LBC, &[A]);
    second.at -= SignedDuration::from_secs(1);
    scene.look(&[second]);
    scene.rest();
    assert_eq!(scene.has(A), (false, false), "it asked twice");
}

#[test]
fn modifies_are_followed_from_content_to_content() {
    const X: &str = "tcp 444 from 10.0.0.0/8";
    const Y: &str = "tcp 445 from 10.0.0.0/8";
    type Acts = fn(&mut Scene) -> Vec<KnownCall>;
    let rows: [(&str, Acts, &[&str]); 5] = [
        (
            "twice, told at once",
            |it| {
                let first = it.modify(LBC, A, X);
                it.pass(5);
                vec![first, it.modify(LBC, X, Y)]
            },
            &[B, Y],
        ),
        (
            "twice in a second",
            |it| vec![it.modify(LBC, A, X), it.modify(LBC, X, Y)],
            &[B, Y],
        ),
        (
            "twice, the second without its content",
            |it| {
                let first = it.modify(LBC, A, X);
                it.pass(5);
                vec![first, cut_out(it.modify(LBC, X, Y))]
            },
            &[B, Y],
        ),
        (
            "authorized and modified before it was seen",
            |it| {
                it.revoke(LBC, &[A]);
                it.record.rules.remove(&key(A));
                it.look(&[]);
                let authorize = it.authorize(LBC, &[A]);
                it.pass(5);
                vec![authorize, it.modify(LBC, A, Y)]
            },
            &[B, Y],
        ),
        (
            "only the description, and nothing is told of it",
            |it| vec![cut_out(it.modify(LBC, A, A))],
            &[B, A],
        ),
    ];
    for (name, acts, recorded) in rows {
        let mut scene = scene(&[A, B]);
        let calls = acts(&mut scene);
        scene.look(&calls);
        // Of two in a second nobody can tell that the first one's content went too.
        let unapplied = usize::from(name.ends_with("in a second"));
        assert_eq!(scene.state.unapplied, unapplied, "{name}");
        assert!(scene.state.missing_since.is_empty(), "{name}");
        assert!(scene.state.reopened.is_empty(), "{name}");
        scene.rest();
        assert_eq!(scene.recorded(), recorded, "{name}");
        assert_eq!(scene.restored, [], "{name}");
    }
    // What a stranger made of it in the end is not what the call before made, of which nothing is told.
    let mut scene = scene(&[A, B]);
    let first = cut_out(scene.modify(LBC, A, X));
    scene.pass(5);
    let second = scene.modify(STRANGER, X, Y);
    scene.look(&[first, second]);
    scene.rest();
    assert_eq!(scene.has(Y), (false, true));
    // A stranger's modify of which no event came: what is missing since is not this principal's.
    let mut scene = self::scene(&[A, B]);
    scene.modify(STRANGER, A, X);
    scene.look(&[]);
    scene.pass(5);
    let modify = scene.modify(LBC, X, Y);
    scene.look(&[modify]);
    scene.rest();
    assert_eq!(scene.recorded(), [B, A, Y]);
    assert_eq!(scene.restored, [key(A)]);
}

/// The same call, but CloudTrail cut out what it made.
fn cut_out(mut call: KnownCall) -> KnownCall {
    for new in call.evidence.modified.values_mut() {
        *new = None;
    }
    call
}

#[test]
fn a_modify_that_does_not_name_the_account_made_the_live_rule_of_that_group() {
    const TOLD: &str = "tcp 80 from sg-0f";
    const ITS: &str = "tcp 80 from 444455556666/sg-0f";
    for (live, enters) in [
        (ITS, true),
        ("tcp 81 from 444455556666/sg-0f", false),
        ("tcp 80 from 444455556666/sg-0e", false),
    ] {
        let mut scene = scene(&[A, B]);
        let mut modify = scene.modify(LBC, A, live);
        for new in modify.evidence.modified.values_mut() {
            *new = Some(key(TOLD));
        }
        scene.look(&[modify]);
        let recorded = if enters { vec![B, ITS] } else { vec![B] };
        assert_eq!(scene.recorded(), recorded, "{live}");
    }
}

#[test]
fn a_modify_makes_up_for_a_refused_authorize_before_it() {
    let mut scene = scene(&[NARROW, A, "tcp 81 from sg-0a"]);
    let mut calls = vec![
        scene.revoke(TERRAFORM, &[NARROW]),
        scene.attempt(TERRAFORM, Call::RefusedAuthorize, &[WIDE]),
    ];
    scene.pass(5);
    calls.push(scene.modify(TERRAFORM, "tcp 81 from sg-0a", WIDE));
    scene.look(&calls);
    scene.rest();
    assert_eq!(scene.recorded(), [WIDE, A]);
    assert_eq!(scene.restored, []);
}

#[test]
fn what_a_refused_change_authorized_and_took_back_makes_no_generation() {
    for by in [TERRAFORM, LBC] {
        let mut scene = scene(&[A, B]);
        let calls = [
            scene.authorize(by, &[A_PART]),
            scene.attempt(by, Call::RefusedAuthorize, &["tcp 443 from sg-0bad"]),
            scene.revoke(by, &[A_PART]),
        ];
        let generation = scene.record.generation;
        scene.look(&calls);
        scene.rest();
        assert_eq!(scene.record.generation, generation, "{by}");
        assert_eq!(scene.restored, [], "{by}");
    }
    // What another one authorized was there before that change.
    let mut scene = scene(&[A, B]);
    let authorize = scene.authorize(ACK, &[A_PART]);
    scene.pass(1);
    let calls = [
        authorize,
        scene.attempt(TERRAFORM, Call::RefusedAuthorize, &["tcp 443 from sg-0bad"]),
        scene.revoke(TERRAFORM, &[A_PART]),
    ];
    scene.look(&calls);
    assert_eq!(scene.has(A_PART), (true, true));
}
