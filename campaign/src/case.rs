//! A case: who means what, and what goes wrong. It is made from a seed, and can be made smaller.

use std::collections::BTreeMap;

use fastrand::Rng;

use rulekeeper_core::desired::Policy;

/// Everything about a run. The same case runs the same way each time.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) actors: Vec<Actor>,
    pub(crate) delivery: Delivery,
    /// Faults of our own calls, by the number of the call in the run.
    pub(crate) faults: BTreeMap<u32, Fault>,
    pub(crate) storm: Option<Storm>,
    /// The wait for a cause, in seconds.
    pub(crate) cause_wait: u16,
    /// Whether events of revokes name the rules' ids.
    pub(crate) tells_ids: bool,
    /// Whether the ids of the rules are known from the beginning, as after `pin`.
    pub(crate) pinned: bool,
    /// Minutes from one sweep to the next.
    pub(crate) sweep_minutes: u64,
    /// Whether messages of the queue ask for another look.
    pub(crate) has_queue: bool,
    /// The clocks of the function's instances differ from CloudTrail's by up to this many milliseconds.
    pub(crate) skew_ms: u64,
    /// Whether two days pass afterwards, items expire, and somebody drops a rule again.
    pub(crate) two_days: bool,
}

/// How events come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Delivery {
    /// Each takes between 0.2 seconds and this long.
    pub(crate) delay_ms: u64,
    /// In a thousand: how many come an hour late.
    pub(crate) late: u64,
    /// In a thousand: how many come twice.
    pub(crate) twice: u64,
    /// In a thousand: how many never come.
    pub(crate) lost: u64,
}

/// What goes wrong with one of our calls. `worked`: it took effect all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The instance dies.
    Dies { worked: bool },
    /// Too many calls.
    Throttled,
    /// Somebody else writes the same item.
    Conflict,
    /// A server error.
    Server { worked: bool },
    /// The connection breaks.
    NoAnswer { worked: bool },
    /// Nothing is heard until the time is over.
    Silent { worked: bool },
    /// The answer cannot be read.
    Unusable { worked: bool },
    /// A read shows what was live up to five seconds ago.
    Stale,
}

/// For a time, every call to one service fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storm {
    pub(crate) from_ms: u64,
    pub(crate) until_ms: u64,
    pub(crate) of_table: bool,
    pub(crate) fault: Fault,
}

/// Somebody who calls EC2 or writes records.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    /// Its place: its rules have ports and addresses of their own.
    pub(crate) place: u8,
    pub(crate) kind: Kind,
    pub(crate) intents: Vec<(u64, Intent)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A role with this policy; with [`Policy::Restore`] it is not listed.
    Role(Policy),
    /// A person at the console who is not listed.
    Person,
    /// An operator with the command line.
    Operator,
}

/// Rules of an actor's place, by number.
pub(crate) type Slot = u8;

/// What an authorize puts in the place of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// More ports.
    Wider,
    /// Fewer addresses.
    Narrower,
    /// Other private addresses.
    Other,
}

/// What somebody means to do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Intent {
    /// Closes `count` rules from a slot on, in one call or one by one.
    Close {
        slot: Slot,
        count: u8,
        one_by_one: bool,
        by_id: bool,
    },
    /// Opens a rule that was not there.
    Open(Slot),
    /// Replaces a rule by revoke and authorize, in either order.
    Replace {
        slot: Slot,
        to: To,
        authorizes_first: bool,
        pause_ms: u64,
    },
    /// The same, and the authorize is refused; perhaps it succeeds in the end.
    Refused { slot: Slot, to: To, again: bool },
    /// The same, and the authorize is throttled at first.
    Throttled { slot: Slot, to: To, tries: u8 },
    /// Opens a rule, replaces another one, has that refused, and takes the first back.
    RollBack { slot: Slot },
    /// Modifies a rule in place.
    Modify { slot: Slot, to: To },
    /// Changes the description.
    Describe(Slot),
    /// Revokes, and again whenever the rule comes back.
    Insist(Slot),
    /// Revokes the rule that refers to a group, and deletes the group.
    DeleteReferenced,
    /// Closes nearly everything.
    CloseAll,
    /// Opens a rule that allows more, revokes the rule, and takes the wider one away later.
    Cover { slot: Slot, for_ms: u64 },
    /// Fills the quota for a time.
    Fill { for_ms: u64 },
    /// Opens a rule that allows more than a rule of somebody else does.
    CoverOther { place: u8, slot: Slot },
    /// An operator takes a rule out of the record.
    Unrecord(Slot),
    /// An operator puts a rule into the record.
    Record(Slot),
}

/// Slots of a place that a case begins with.
pub(crate) const SLOTS: u8 = 8;

impl Case {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut actors = Vec::new();
        let is_large = rng.u8(..16) == 0;
        let owners = if is_large { 1 } else { rng.u8(0..4) };
        for place in 0..owners {
            let policies = [Policy::Accept, Policy::Follow, Policy::Release];
            let policy = match rng.u8(..8) {
                0..=2 => policies[0],
                3..=6 => policies[1],
                _ => policies[2],
            };
            let intents = match is_large {
                true => vec![(rng.u64(0..60_000), Intent::CloseAll)],
                false => intents_of(policy, &mut rng),
            };
            actors.push(Actor {
                place,
                kind: Kind::Role(policy),
                intents,
            });
        }
        for _ in 0..if is_large { 0 } else { rng.u8(0..3) } {
            actors.push(bystander(&mut rng));
        }
        let calm = rng.u8(..4) == 0;
        let faults = match calm {
            true => BTreeMap::new(),
            false => (0..rng.u8(0..7))
                .map(|_| (rng.u32(0..160), fault(&mut rng)))
                .collect(),
        };
        let storm = (!calm && rng.u8(..6) == 0).then(|| {
            let from_ms = rng.u64(0..120_000);
            Storm {
                from_ms,
                until_ms: from_ms + rng.u64(1_000..90_000),
                of_table: rng.bool(),
                fault: fault(&mut rng),
            }
        });
        let mut thousandths = |often: u8, most: u64| match rng.u8(..often) {
            0 => rng.u64(0..most),
            _ => 0,
        };
        let (late, twice, lost) = (
            thousandths(5, 300),
            thousandths(2, 400),
            thousandths(5, 300),
        );
        let delays = [400, 2_000, 8_000, 40_000, 120_000];
        let delay_ms = delays[rng.usize(..delays.len())];
        Self {
            seed,
            actors,
            delivery: Delivery {
                delay_ms,
                late,
                twice,
                lost,
            },
            faults,
            storm,
            cause_wait: if rng.bool() { 180 } else { rng.u16(0..300) },
            tells_ids: rng.bool(),
            pinned: rng.bool(),
            sweep_minutes: if rng.bool() { 15 } else { rng.u64(1..20) },
            has_queue: rng.u8(..4) > 0,
            skew_ms: if rng.bool() { 0 } else { rng.u64(0..900) },
            two_days: rng.u8(..8) == 0,
        }
    }

    /// The listed principals.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (&Actor, Policy)> {
        self.actors.iter().filter_map(|actor| match actor.kind {
            Kind::Role(policy) if policy != Policy::Restore => Some((actor, policy)),
            _ => None,
        })
    }

    /// Whether every event comes, and soon, and no call fails.
    pub(crate) fn is_prompt(&self) -> bool {
        let Delivery {
            delay_ms,
            late,
            lost,
            ..
        } = self.delivery;
        let comes = delay_ms <= 8_000 && late == 0 && lost == 0;
        comes && self.faults.is_empty() && self.storm.is_none()
    }

    /// Whether every event comes within half a second.
    pub(crate) fn is_at_once(&self) -> bool {
        self.is_prompt() && self.delivery.delay_ms <= 400 && self.skew_ms == 0
    }

    /// Cases that are a little smaller.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut with = |change: &dyn Fn(&mut Self)| {
            let mut case = self.clone();
            change(&mut case);
            smaller.push(case);
        };
        for actor in 0..self.actors.len() {
            with(&|case| drop(case.actors.remove(actor)));
            for intent in 0..self.actors[actor].intents.len() {
                with(&|case| {
                    case.actors[actor].intents.remove(intent);
                });
                if self.actors[actor].intents[intent].0 > 0 {
                    with(&|case| case.actors[actor].intents[intent].0 = 0);
                }
            }
        }
        for call in self.faults.keys() {
            with(&|case| {
                case.faults.remove(call);
            });
        }
        if self.storm.is_some() {
            with(&|case| case.storm = None);
        }
        let Delivery {
            late, twice, lost, ..
        } = self.delivery;
        if late > 0 {
            with(&|case| case.delivery.late = 0);
        }
        if twice > 0 {
            with(&|case| case.delivery.twice = 0);
        }
        if lost > 0 {
            with(&|case| case.delivery.lost = 0);
        }
        if self.delivery.delay_ms > 400 {
            with(&|case| case.delivery.delay_ms = 400);
        }
        if self.skew_ms > 0 {
            with(&|case| case.skew_ms = 0);
        }
        if self.two_days {
            with(&|case| case.two_days = false);
        }
        if !self.pinned {
            with(&|case| case.pinned = true);
        }
        if !self.tells_ids {
            with(&|case| case.tells_ids = true);
        }
        if self.cause_wait != 180 {
            with(&|case| case.cause_wait = 180);
        }
        smaller
    }
}

fn fault(rng: &mut Rng) -> Fault {
    let worked = rng.bool();
    match rng.u8(..10) {
        0 | 1 => Fault::Dies { worked },
        2 => Fault::Throttled,
        3 => Fault::Conflict,
        4 => Fault::Server { worked },
        5 => Fault::NoAnswer { worked },
        6 => Fault::Silent { worked },
        7 => Fault::Unusable { worked },
        _ => Fault::Stale,
    }
}

/// A pause between two intents: in the same change, or not.
fn pause(rng: &mut Rng) -> u64 {
    match rng.u8(..6) {
        0 => rng.u64(0..500),
        1 | 2 => rng.u64(0..20_000),
        _ => rng.u64(130_000..1_000_000),
    }
}

fn to(rng: &mut Rng) -> To {
    [To::Wider, To::Narrower, To::Other][rng.usize(..3)]
}

/// What a listed principal means, each time about rules of its own.
fn intents_of(policy: Policy, rng: &mut Rng) -> Vec<(u64, Intent)> {
    let mut intents = Vec::new();
    let mut slot = 0;
    for _ in 0..rng.u8(1..4) {
        let pause = pause(rng);
        let intent = match (policy, rng.u8(..12)) {
            (_, 0) => Intent::DeleteReferenced,
            (_, 1) => Intent::Open(SLOTS + slot),
            (_, 2) => Intent::Modify { slot, to: to(rng) },
            (Policy::Follow, 3 | 4) => Intent::Insist(slot),
            (Policy::Release, _) | (_, 3..=5) => Intent::Close {
                slot,
                count: rng.u8(1..3),
                one_by_one: rng.bool(),
                by_id: rng.bool(),
            },
            (_, 6) => Intent::Refused {
                slot,
                to: to(rng),
                again: rng.bool(),
            },
            (_, 7) => Intent::Throttled {
                slot,
                to: to(rng),
                tries: rng.u8(1..4),
            },
            (_, 8) => Intent::RollBack { slot },
            (_, 9) => Intent::Describe(slot),
            _ => Intent::Replace {
                slot,
                to: to(rng),
                authorizes_first: rng.u8(..3) == 0,
                pause_ms: match rng.u8(..4) {
                    0 => rng.u64(0..30_000),
                    _ => rng.u64(0..1_200),
                },
            },
        };
        slot += 2;
        intents.push((pause, intent));
    }
    intents
}

/// Somebody who is not listed, among the rules that nobody owns; or an operator.
fn bystander(rng: &mut Rng) -> Actor {
    let kind = match rng.u8(..6) {
        0 => Kind::Person,
        1 => Kind::Operator,
        _ => Kind::Role(Policy::Restore),
    };
    let mut intents = Vec::new();
    for _ in 0..rng.u8(1..5) {
        let slot = rng.u8(..SLOTS - 1);
        let intent = match (kind, rng.u8(..10)) {
            (Kind::Operator, 0..=4) => Intent::Unrecord(slot),
            (Kind::Operator, _) => Intent::Record(SLOTS + slot),
            (Kind::Person, _) => Intent::Insist(slot),
            (_, 0) => Intent::Modify { slot, to: to(rng) },
            (_, 1) => Intent::Cover {
                slot,
                for_ms: rng.u64(0..600_000),
            },
            (_, 2) => Intent::Fill {
                for_ms: rng.u64(0..600_000),
            },
            (_, 3) => Intent::DeleteReferenced,
            (_, 4) => Intent::Insist(slot),
            (_, 5) => Intent::CoverOther {
                place: rng.u8(..NOBODYS),
                slot: slot & 2,
            },
            _ => Intent::Close {
                slot,
                count: rng.u8(1..3),
                one_by_one: rng.bool(),
                by_id: rng.bool(),
            },
        };
        intents.push((pause(rng), intent));
    }
    Actor {
        place: NOBODYS,
        kind,
        intents,
    }
}

/// The place of the rules that nobody owns.
pub(crate) const NOBODYS: u8 = 3;
