//! Call sequences as public reports tell them of Terraform, CloudFormation, controllers, bots and persons. Each is told
//! in every order of its events (of more than four: forwards and backwards), with and without ids, with looks between
//! and the first event twice.

use super::orders::orders;
use super::*;

const A: &str = "tcp 443 from 10.0.0.0/8";
const A_PART: &str = "tcp 443 from 10.1.0.0/16";
const B: &str = "tcp 80 from 10.0.0.0/8";
const C: &str = "tcp 22 from 192.0.2.0/24";
const D: &str = "udp 53 from 10.9.0.0/16";
const WORLD: &str = "tcp 22 from 0.0.0.0/0";
const OFFICE: &str = "tcp 22 from 203.0.113.0/24";
const BASTION: &str = "tcp 22 from sg-0b";
const NARROW: &str = "tcp 80-9093 from sg-0a";
const WIDE: &str = "tcp 80-9100 from sg-0a";

/// A decided call may be told late. A followed change is judged three seconds after its revoke.
const LATE: &[i64] = &[0, 1, 25];
const AT_ONCE: &[i64] = &[0];

/// What somebody does to a group, a second after the call before.
struct Acts {
    group: Scene,
    events: Vec<KnownCall>,
}

impl Acts {
    fn then(&mut self, act: impl FnOnce(&mut Scene) -> KnownCall) -> &mut Self {
        self.group.pass(1);
        let event = act(&mut self.group);
        self.events.push(event);
        self
    }

    fn wait(&mut self, seconds: i64) -> &mut Self {
        self.group.pass(seconds);
        self
    }

    fn revoke(&mut self, by: &str, rules: &[&str]) -> &mut Self {
        self.then(|group| group.revoke(by, rules))
    }

    fn authorize(&mut self, by: &str, rules: &[&str]) -> &mut Self {
        self.then(|group| group.authorize(by, rules))
    }

    fn refused(&mut self, by: &str, rules: &[&str]) -> &mut Self {
        self.then(|group| group.attempt(by, Call::RefusedAuthorize, rules))
    }

    fn throttled(&mut self, by: &str, rules: &[&str]) -> &mut Self {
        self.then(|group| group.attempt(by, Call::TriedAuthorize, rules))
    }

    fn modify(&mut self, by: &str, old: &str, new: &str) -> &mut Self {
        self.then(|group| group.modify(by, old, new))
    }

    fn delete(&mut self, by: &str, call: Call, group: &str) -> &mut Self {
        self.then(|it| it.deletion(by, call, Some(group)))
    }

    /// An event that never comes.
    fn lost(&mut self) -> &mut Self {
        self.events.pop();
        self
    }
}

/// A group after its events were told.
struct End {
    recorded: Vec<String>,
    open: Vec<String>,
    scene: Scene,
}

/// Tells a story, and asserts that every telling leaves these rules recorded and open.
fn story(
    rules: &[&str],
    gaps: &[i64],
    acts: impl Fn(&mut Acts),
    recorded: &[&str],
    open: &[&str],
) -> Vec<End> {
    let ends = tellings(rules, gaps, acts);
    for end in &ends {
        assert_eq!(end.recorded, sorted(recorded), "{}", end.scene.summary());
        assert_eq!(end.open, sorted(open), "{}", end.scene.summary());
    }
    ends
}

fn tellings(rules: &[&str], gaps: &[i64], acts: impl Fn(&mut Acts)) -> Vec<End> {
    let mut ends = Vec::new();
    for tells_ids in [true, false] {
        let mut group = Scene::of(rules);
        group.tells_ids = tells_ids;
        let events = Vec::new();
        let mut told = Acts { group, events };
        acts(&mut told);
        let all: Vec<usize> = (0..told.events.len()).collect();
        let told_in = match all.len() {
            0..=4 => orders(all.len()),
            _ => vec![all.clone(), all.into_iter().rev().collect()],
        };
        for order in told_in {
            for gap in gaps {
                ends.push(tell(&told, &order, *gap));
            }
        }
    }
    ends
}

fn tell(told: &Acts, order: &[usize], gap: i64) -> End {
    let mut scene = told.group.clone();
    for index in order {
        scene.pass(gap);
        scene.look(&told.events[*index..=*index]);
        scene.look(&[]);
    }
    if let Some(first) = order.first() {
        scene.look(&told.events[*first..=*first]);
    }
    scene.rest();
    let (mut recorded, mut open) = (scene.recorded(), scene.open_rules());
    recorded.sort();
    open.sort();
    End {
        recorded,
        open,
        scene,
    }
}

fn sorted(rules: &[&str]) -> Vec<String> {
    let mut rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    rules.sort();
    rules
}

fn none_restored(ends: &[End]) {
    for end in ends {
        assert_eq!(end.scene.restored, [], "{}", end.scene.summary());
    }
}

#[test]
fn terraform_narrows_a_public_rule() {
    let to = [OFFICE, A, B];
    let ends = story(
        &[WORLD, A, B],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[WORLD])
                .authorize(TERRAFORM, &[OFFICE]);
        },
        &to,
        &to,
    );
    none_restored(&ends);
}

#[test]
fn terraform_replaces_a_public_rule_by_one_from_a_group() {
    let to = [BASTION, A, B];
    let ends = story(
        &[WORLD, A, B],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[WORLD])
                .authorize(TERRAFORM, &[BASTION]);
        },
        &to,
        &to,
    );
    none_restored(&ends);
}

#[test]
fn terraform_adds_one_rule_a_resource() {
    let to = [A, B, C, D];
    story(
        &[A],
        LATE,
        |it| {
            for rule in [B, C, D] {
                it.authorize(TERRAFORM, &[rule]);
            }
        },
        &to,
        &to,
    );
}

#[test]
fn terraform_destroys_two_rules_of_five() {
    let to = [C, D, NARROW];
    let ends = story(
        &[A, B, C, D, NARROW],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[A]).revoke(TERRAFORM, &[B]);
        },
        &to,
        &to,
    );
    none_restored(&ends);
}

#[test]
fn terraform_changes_a_description_by_revoke_and_authorize() {
    story(
        &[A, B],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[A]).authorize(TERRAFORM, &[A]);
        },
        &[A, B],
        &[A, B],
    );
}

#[test]
fn terraform_fails_for_the_quota_and_the_old_rule_is_back() {
    story(
        &[A, B],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[A]).refused(TERRAFORM, &[A_PART]);
        },
        &[A, B],
        &[A, B],
    );
}

#[test]
fn what_was_authorized_and_taken_back_in_a_refused_change_stays_closed() {
    let new = "tcp 443 from 10.77.0.0/24";
    let acts = |by| {
        move |it: &mut Acts| {
            it.authorize(by, &[new])
                .revoke(by, &[A])
                .refused(by, &["tcp 443 from sg-0bad"])
                .revoke(by, &[new]);
        }
    };
    story(&[A, B], LATE, acts(TERRAFORM), &[A, B], &[A, B]);
    // What a followed principal revokes comes back as long as the refusal is not known, and that is told.
    let lost = |it: &mut Acts| {
        it.authorize(LBC, &[new])
            .revoke(LBC, &[A])
            .lost()
            .refused(LBC, &["tcp 443 from sg-0bad"])
            .revoke(LBC, &[new]);
    };
    let ends = tellings(&[A, B], LATE, acts(LBC)).into_iter();
    for end in ends.chain(tellings(&[A, B], LATE, lost)) {
        assert_eq!(end.recorded, sorted(&[A, B]), "{}", end.scene.summary());
        let is_told = end.scene.state.reopened.contains_key(&key(new));
        let is_open = end.open.iter().any(|rule| rule == new);
        assert_eq!(is_open, is_told, "{}", end.scene.summary());
    }
}

#[test]
fn a_narrowing_that_succeeds_in_the_end_is_one_however_late_that_is_told() {
    let ends = tellings(&[WORLD, A, B, D], &[1_000], |it| {
        it.revoke(TERRAFORM, &[WORLD])
            .refused(TERRAFORM, &[OFFICE])
            .wait(40)
            .authorize(TERRAFORM, &[OFFICE]);
    });
    for end in ends {
        let recorded = sorted(&[OFFICE, A, B, D]);
        assert_eq!(end.recorded, recorded, "{}", end.scene.summary());
    }
}

#[test]
fn terraform_is_throttled_and_then_succeeds() {
    let to = [A_PART, B, C];
    let ends = story(
        &[A, B, C],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[A])
                .throttled(TERRAFORM, &[A_PART])
                .wait(40)
                .throttled(TERRAFORM, &[A_PART])
                .wait(40)
                .authorize(TERRAFORM, &[A_PART]);
        },
        &to,
        &to,
    );
    none_restored(&ends);
}

#[test]
fn terraform_destroys_a_group_to_which_a_rule_refers() {
    let ends = story(
        &[NARROW, A, B],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[NARROW])
                .delete(TERRAFORM, Call::Delete, "sg-0a");
        },
        &[A, B],
        &[A, B],
    );
    none_restored(&ends);
}

#[test]
fn terraform_tries_to_destroy_the_group_first() {
    let ends = story(
        &[NARROW, A, B],
        LATE,
        |it| {
            it.delete(TERRAFORM, Call::RefusedDelete, "sg-0a")
                .wait(10)
                .revoke(TERRAFORM, &[NARROW])
                .delete(TERRAFORM, Call::Delete, "sg-0a");
        },
        &[A, B],
        &[A, B],
    );
    none_restored(&ends);
}

#[test]
fn terraform_undoes_its_own_change_after_twenty_minutes() {
    story(
        &[A, B, C, D],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[A])
                .wait(1_200)
                .authorize(TERRAFORM, &[A]);
        },
        &[A, B, C, D],
        &[A, B, C, D],
    );
}

#[test]
fn terraform_destroys_everything_and_it_waits_for_a_person() {
    let ends = story(
        &[A, B, C, D],
        LATE,
        |it| {
            for rule in [A, B, C, D] {
                it.revoke(TERRAFORM, &[rule]);
            }
        },
        &[A, B, C, D],
        &[],
    );
    for end in ends {
        assert_eq!(end.scene.state.pending.len(), 4);
    }
}

#[test]
fn cloudformation_authorizes_first_and_revokes_afterwards() {
    let to = [A_PART, B, C];
    let ends = story(
        &[A, B, C],
        LATE,
        |it| {
            it.authorize(TERRAFORM, &[A_PART])
                .wait(30)
                .revoke(TERRAFORM, &[A]);
        },
        &to,
        &to,
    );
    none_restored(&ends);
}

#[test]
fn cloudformation_rolls_an_update_back() {
    let ends = story(
        &[A, B, C],
        LATE,
        |it| {
            it.authorize(TERRAFORM, &[A_PART])
                .revoke(TERRAFORM, &[A])
                .wait(60)
                .authorize(TERRAFORM, &[A])
                .revoke(TERRAFORM, &[A_PART]);
        },
        &[A, B, C],
        &[A, B, C],
    );
    none_restored(&ends);
}

#[test]
fn cloudformation_rolls_back_what_a_refusal_stopped() {
    let ends = story(
        &[A, B, C],
        LATE,
        |it| {
            it.authorize(TERRAFORM, &[A_PART])
                .refused(TERRAFORM, &["tcp 444 from 10.1.0.0/16"])
                .wait(60)
                .revoke(TERRAFORM, &[A_PART]);
        },
        &[A, B, C],
        &[A, B, C],
    );
    none_restored(&ends);
}

#[test]
fn the_load_balancer_controller_widens_a_port_range() {
    for backwards in [false, true] {
        let ends = story(
            &[NARROW, A],
            AT_ONCE,
            |it| {
                match backwards {
                    false => it.revoke(LBC, &[NARROW]).authorize(LBC, &[WIDE]),
                    true => it.authorize(LBC, &[WIDE]).revoke(LBC, &[NARROW]),
                };
            },
            &[WIDE, A],
            &[WIDE, A],
        );
        none_restored(&ends);
    }
}

#[test]
fn the_load_balancer_controller_repeats_a_refused_batch() {
    story(
        &[NARROW, A],
        LATE,
        |it| {
            it.revoke(LBC, &[NARROW]).refused(LBC, &[WIDE, B]);
            it.wait(5).refused(LBC, &[WIDE, B]);
            it.wait(10).refused(LBC, &[WIDE, B]);
        },
        &[NARROW, A],
        &[NARROW, A],
    );
}

#[test]
fn the_load_balancer_controller_tears_an_ingress_down() {
    let ends = story(
        &[NARROW, A],
        AT_ONCE,
        |it| {
            it.revoke(LBC, &[NARROW])
                .delete(LBC, Call::RefusedDelete, "sg-0a")
                .delete(LBC, Call::Delete, "sg-0a");
        },
        &[A],
        &[A],
    );
    none_restored(&ends);
}

#[test]
fn half_a_change_of_a_controller_is_undone() {
    for by in [LBC, ACK] {
        story(
            &[A, B],
            LATE,
            |it| {
                it.revoke(by, &[A]);
            },
            &[A, B],
            &[A, B],
        );
    }
}

#[test]
fn ack_adds_and_takes_out_its_own_rule_in_a_change_that_was_refused() {
    let ends = story(
        &[A, B],
        AT_ONCE,
        |it| {
            it.authorize(ACK, &[NARROW])
                .refused(ACK, &[WIDE])
                .revoke(ACK, &[NARROW]);
        },
        &[A, B],
        &[A, B],
    );
    none_restored(&ends);
}

#[test]
fn the_cloud_provider_narrows_its_node_ports() {
    let to = ["tcp 30000-30100 from sg-0a", A];
    story(
        &["tcp 30000-32767 from sg-0a", A],
        AT_ONCE,
        |it| {
            it.authorize(LBC, &[to[0]])
                .revoke(LBC, &["tcp 30000-32767 from sg-0a"]);
        },
        &to,
        &to,
    );
}

#[test]
fn cluster_api_puts_a_rule_back_that_a_stranger_took() {
    story(
        &[A, B],
        AT_ONCE,
        |it| {
            it.revoke(STRANGER, &[A]).wait(20).authorize(ACK, &[A]);
        },
        &[A, B],
        &[A, B],
    );
}

#[test]
fn crossplane_and_terraform_disagree_and_the_last_one_counts() {
    for (last, kept) in [(TERRAFORM, false), (ACK, true)] {
        let to: &[&str] = if kept { &[A, B, C] } else { &[B, C] };
        story(
            &[B, C],
            LATE,
            |it| {
                it.authorize(ACK, &[A]).wait(30).revoke(TERRAFORM, &[A]);
                if last == ACK {
                    it.wait(30).authorize(ACK, &[A]);
                }
            },
            to,
            to,
        );
    }
}

#[test]
fn pulumi_replaces_a_rule_and_a_stranger_takes_the_new_one() {
    let to = [A_PART, B, C];
    story(
        &[A, B, C],
        LATE,
        |it| {
            it.authorize(TERRAFORM, &[A_PART])
                .revoke(TERRAFORM, &[A])
                .wait(30)
                .revoke(STRANGER, &[A_PART]);
        },
        &to,
        &to,
    );
}

#[test]
fn a_remediation_bot_closes_what_terraform_opened() {
    let ends = story(
        &[A, B],
        LATE,
        |it| {
            it.authorize(TERRAFORM, &[WORLD])
                .wait(50)
                .revoke(BOT, &[WORLD]);
        },
        &[A, B],
        &[A, B],
    );
    none_restored(&ends);
}

#[test]
fn a_remediation_bot_closes_what_a_stranger_opened() {
    let ends = story(
        &[A, B],
        LATE,
        |it| {
            it.authorize(STRANGER, &[WORLD])
                .wait(50)
                .revoke(BOT, &[WORLD]);
        },
        &[A, B],
        &[A, B],
    );
    none_restored(&ends);
}

#[test]
fn what_a_bot_opens_for_a_while_does_not_enter() {
    story(
        &[A, B],
        LATE,
        |it| {
            it.authorize(BOT, &[WORLD]);
        },
        &[A, B],
        &[A, B, WORLD],
    );
}

#[test]
fn a_bot_that_narrows_in_place_takes_the_rule_out_of_the_record() {
    let mut group = Scene::of(&[WORLD, A]);
    let modify = group.modify(BOT, WORLD, OFFICE);
    group.look(&[]);
    group.look(&[modify]);
    group.rest();
    assert_eq!(group.recorded(), [A]);
    assert_eq!(group.restored, []);
}

#[test]
fn a_rule_that_is_modified_twice_ends_as_the_last_call_says() {
    let to = ["tcp 443 from 10.2.0.0/16", B];
    for gap in [0, 1, 25] {
        for order in orders(2) {
            let mut told = Acts {
                group: Scene::of(&[A, B]),
                events: Vec::new(),
            };
            told.modify(TERRAFORM, A, A_PART)
                .modify(TERRAFORM, A_PART, to[0]);
            let end = tell(&told, &order, gap);
            assert_eq!(end.recorded, sorted(&to), "{}", end.scene.summary());
            assert_eq!(end.open, sorted(&to), "{}", end.scene.summary());
        }
    }
}

#[test]
fn a_person_at_the_console_is_undone_beside_a_decision_of_terraform() {
    let to = [A, C, D];
    story(
        &[A, B, C, D],
        LATE,
        |it| {
            it.revoke(STRANGER, &[A]).revoke(TERRAFORM, &[B]);
        },
        &to,
        &to,
    );
}

#[test]
fn a_stranger_undoes_a_decision_and_the_rule_stays_out_of_the_record() {
    story(
        &[A, B],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[A])
                .wait(30)
                .authorize(STRANGER, &[A]);
            it.group.live.remove(&key(A));
        },
        &[B],
        &[B],
    );
}

#[test]
fn a_lost_revoke_is_restored_after_the_wait_and_a_lost_authorize_does_not_enter() {
    story(
        &[A, B],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[A]).lost();
            it.authorize(TERRAFORM, &[C]).lost();
        },
        &[A, B],
        &[A, B, C],
    );
}

#[test]
fn a_narrowing_of_which_the_authorize_is_lost_stays_closed() {
    let ends = story(
        &[WORLD, A],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[WORLD]);
            it.authorize(TERRAFORM, &[OFFICE]).lost();
        },
        &[A],
        &[A, OFFICE],
    );
    none_restored(&ends);
}

#[test]
fn revoke_and_authorize_in_one_second_keep_the_rule() {
    let ends = story(
        &[A, B],
        LATE,
        |it| {
            it.revoke(TERRAFORM, &[A])
                .wait(-1)
                .authorize(TERRAFORM, &[A]);
        },
        &[A, B],
        &[A, B],
    );
    none_restored(&ends);
}

#[test]
fn a_revoke_of_what_was_not_there_changes_nothing() {
    for by in [TERRAFORM, LBC, BOT] {
        story(
            &[A, B],
            AT_ONCE,
            |it| {
                let evidence = Evidence {
                    revoked: BTreeMap::from([(key(WORLD), None)]),
                    ..Evidence::default()
                };
                it.then(|group| group.call(by, Call::Revoke, evidence));
            },
            &[A, B],
            &[A, B],
        );
    }
}

#[test]
fn what_an_operator_recorded_again_stays_whatever_is_told_later() {
    let mut group = Scene::of(&[A, B, C]);
    let revoke = group.revoke(TERRAFORM, &[A]);
    group.look(std::slice::from_ref(&revoke));
    assert_eq!(group.recorded(), [C, B]);
    group.pass(60);
    let rule = crate::model::IngressRule::bare(key(A));
    group.record.rules.insert(key(A), rule);
    group.state.note_decided([&key(A)], group.clock);
    group.look(&[revoke]);
    group.rest();
    assert_eq!(group.recorded().len(), 3);
    assert_eq!(group.restored, [key(A)]);
}

#[test]
fn a_day_later_nothing_that_was_decided_is_undone() {
    let mut group = Scene::of(&[WORLD, A, B, C, D]);
    let revoke = group.revoke(TERRAFORM, &[A]);
    let bot = group.revoke(BOT, &[WORLD]);
    group.look(std::slice::from_ref(&revoke));
    group.look(std::slice::from_ref(&bot));
    group.pass(86_500);
    group.look(&[]);
    group.look(&[revoke, bot]);
    group.rest();
    assert_eq!(group.recorded(), [C, B, D]);
    assert_eq!(group.restored, []);
    assert!(group.state.calls.is_empty());
}
