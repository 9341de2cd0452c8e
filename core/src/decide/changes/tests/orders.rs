//! Every timeline of up to three calls of two or three principals, and every order in which its events can be told.

use super::*;

const R: &str = "tcp 443 from 10.0.0.0/8";
const W: &str = "tcp 443-444 from 10.0.0.0/8";
const OTHERS: [&str; 3] = ["udp 1 from ::/0", "udp 2 from ::/0", "udp 3 from ::/0"];

/// What somebody does. What EC2 would refuse is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Revoke(&'static str),
    Authorize(&'static str),
    /// An authorize of the wider rule that is refused for good.
    Refused,
    /// One that fails for a passing reason.
    Throttled,
    /// The rule is made the wider one.
    Modify,
}

const ACTS: [Act; 7] = [
    Act::Revoke(R),
    Act::Revoke(W),
    Act::Authorize(R),
    Act::Authorize(W),
    Act::Refused,
    Act::Throttled,
    Act::Modify,
];

/// The longest timelines; set `RULEKEEPER_TIMELINE` for others. Four take some minutes.
#[expect(
    clippy::disallowed_methods,
    reason = "a test, and no part of the function"
)]
fn length_max() -> usize {
    let text = std::env::var("RULEKEEPER_TIMELINE").unwrap_or_else(|_| "3".to_owned());
    text.parse()
        .expect("RULEKEEPER_TIMELINE is a number of calls")
}

impl Act {
    fn done(self, scene: &mut Scene, by: &str) -> Option<KnownCall> {
        let is_live = |rule: &str| scene.live.contains_key(&key(rule));
        match self {
            Self::Revoke(rule) if is_live(rule) => Some(scene.revoke(by, &[rule])),
            Self::Authorize(rule) if !is_live(rule) => Some(scene.authorize(by, &[rule])),
            Self::Refused if !is_live(W) => Some(scene.attempt(by, Call::RefusedAuthorize, &[W])),
            Self::Throttled if !is_live(W) => Some(scene.attempt(by, Call::TriedAuthorize, &[W])),
            Self::Modify if is_live(R) && !is_live(W) => Some(scene.modify(by, R, W)),
            _ => None,
        }
    }
}

/// A group and the events of what was done to it.
struct Told {
    scene: Scene,
    events: Vec<KnownCall>,
    acts: Vec<(&'static str, Act)>,
}

/// Every possible timeline of these principals.
fn timelines(principals: &[&'static str], gap: i64, ids: bool) -> Vec<Told> {
    let mut begun = Scene::of(&[&[R][..], &OTHERS].concat());
    begun.tells_ids = ids;
    let mut all = vec![(begun, Vec::new(), Vec::new())];
    let mut ended = Vec::new();
    for _ in 0..length_max() {
        let mut longer = Vec::new();
        for (scene, events, acts) in &all {
            for by in principals {
                // Without ids, nothing tells what a modify changed before anybody looked.
                let possible = ACTS.into_iter().filter(|act| ids || *act != Act::Modify);
                for act in possible {
                    let (mut scene, mut events): (Scene, Vec<KnownCall>) =
                        (Scene::clone(scene), Vec::clone(events));
                    let mut acts: Vec<(&'static str, Act)> = Vec::clone(acts);
                    scene.pass(gap);
                    let Some(event) = act.done(&mut scene, by) else {
                        continue;
                    };
                    events.push(event);
                    acts.push((by, act));
                    longer.push((scene, events, acts));
                }
            }
        }
        ended.extend(longer.iter().map(|(scene, events, acts)| Told {
            scene: scene.clone(),
            events: events.clone(),
            acts: acts.clone(),
        }));
        all = longer;
    }
    ended
}

pub(super) fn orders(length: usize) -> Vec<Vec<usize>> {
    if length == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(length - 1).into_iter();
    shorter
        .flat_map(|order| {
            (0..length).map(move |place| {
                let mut longer = order.clone();
                longer.insert(place, length - 1);
                longer
            })
        })
        .collect()
}

/// The end after the events were told in this order, with looks between, and some of them twice.
fn end(told: &Told, order: &[usize], between: i64) -> Scene {
    let mut scene = told.scene.clone();
    for (place, index) in order.iter().enumerate() {
        scene.pass(between);
        scene.look(std::slice::from_ref(&told.events[*index]));
        if place == 0 {
            scene.look(&[]);
            scene.look(std::slice::from_ref(&told.events[*index]));
        }
    }
    scene.rest();
    scene
}

/// Whether the rule is to be open, by what the principals mean, where that is certain; the last one who is listed and
/// changed it counts.
fn is_meant_closed(acts: &[(&'static str, Act)]) -> Option<bool> {
    let aborted = acts.iter().any(|(_, act)| matches!(act, Act::Refused));
    if aborted || acts.iter().any(|(by, _)| *by == LBC || *by == ACK) {
        return None;
    }
    let mine = acts
        .iter()
        .rev()
        .filter(|(by, _)| *by == TERRAFORM || *by == BOT);
    let mut decisive = mine.filter_map(|(by, act)| match act {
        Act::Revoke(R) | Act::Modify => Some(true),
        Act::Authorize(R) if *by == TERRAFORM => Some(false),
        _ => None,
    });
    Some(decisive.next().unwrap_or(false))
}

fn check(principals: &[&'static str], gap: i64, ids: bool) -> usize {
    let told = timelines(principals, gap, ids);
    told.iter().map(|told| check_orders(told, gap)).sum()
}

/// Plays a timeline in every order of telling, and gives their number.
fn check_orders(told: &Told, gap: i64) -> usize {
    let mut played = 0;
    let mut ends: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
    for order in orders(told.events.len()) {
        let scene = end(told, &order, 1);
        played += 1;
        let context = || format!("{:?} told {order:?} {gap}: {}", told.acts, scene.summary());
        for rule in &scene.restored {
            let was_recorded = *rule == key(R) || *rule == key(W);
            assert!(was_recorded, "another rule was authorized: {}", context());
        }
        for rule in scene.record.rules.keys() {
            let live = scene
                .live
                .keys()
                .any(|live| crate::decide::cover::covering(rule, [live]).is_some());
            let pends = matches!(scene.verdict(&rule.to_string()), Verdict::Pend(_));
            assert!(live || pends, "{rule} is lost: {}", context());
        }
        if let Some(closed) = is_meant_closed(&told.acts) {
            let recorded = scene.record.rules.contains_key(&key(R));
            assert_eq!(recorded, !closed, "{}", context());
            // What was closed is open only if somebody else opened it again, or it is told as reopened.
            let by_others = told.acts.iter().any(|(by, act)| {
                *by == STRANGER && *act == Act::Authorize(R)
                    || *by == BOT && *act == Act::Authorize(R)
            });
            let told_of = scene.state.reopened.contains_key(&key(R));
            let live = scene.live.contains_key(&key(R));
            assert!(!closed || !live || by_others || told_of, "{}", context());
        }
        ends.entry(scene.recorded()).or_insert(order);
    }
    assert_eq!(ends.len(), 1, "{:?}: {ends:#?}", told.acts);
    played
}

#[test]
fn every_order_of_every_timeline_of_an_accepted_principal_ends_as_it_meant() {
    assert!(check(&[TERRAFORM, STRANGER], 5, true) > 1_000);
}

#[test]
fn every_order_of_every_timeline_of_a_releasing_principal_ends_as_it_meant() {
    assert!(check(&[BOT, STRANGER], 5, true) > 1_000);
}

#[test]
fn every_order_of_every_timeline_of_a_followed_principal_ends_the_same() {
    assert!(check(&[LBC, STRANGER], 5, true) > 1_000);
}

#[test]
fn every_order_of_every_timeline_of_three_principals_ends_the_same() {
    assert!(check(&[TERRAFORM, LBC, STRANGER], 5, true) > 1_000);
}

#[test]
fn without_ids_and_within_minutes_orders_do_not_matter_either() {
    assert!(check(&[TERRAFORM, STRANGER], 130, false) > 1_000);
}

/// Timelines of four calls of which the end once depended on the order.
#[test]
fn no_order_of_four_calls_matters_that_once_did() {
    const LONG: [[(&str, Act); 4]; 4] = [
        [
            (LBC, Act::Revoke(R)),
            (LBC, Act::Authorize(W)),
            (LBC, Act::Revoke(W)),
            (STRANGER, Act::Authorize(W)),
        ],
        [
            (LBC, Act::Revoke(R)),
            (LBC, Act::Authorize(W)),
            (STRANGER, Act::Revoke(W)),
            (LBC, Act::Authorize(W)),
        ],
        [
            (LBC, Act::Authorize(W)),
            (LBC, Act::Revoke(W)),
            (LBC, Act::Refused),
            (LBC, Act::Throttled),
        ],
        [
            (LBC, Act::Modify),
            (LBC, Act::Revoke(W)),
            (LBC, Act::Authorize(R)),
            (LBC, Act::Modify),
        ],
    ];
    for acts in LONG {
        let mut scene = Scene::of(&[&[R][..], &OTHERS].concat());
        let mut events = Vec::new();
        for (by, act) in acts {
            scene.pass(5);
            events.extend(act.done(&mut scene, by));
        }
        let acts = acts.to_vec();
        let told = Told {
            scene,
            events,
            acts,
        };
        assert_eq!(check_orders(&told, 5), 24);
    }
}
