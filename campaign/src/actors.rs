//! What the actors do, and what each of their rules is to be in the end.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};

use crate::case::{Actor, Case, Intent, Kind, NOBODYS, SLOTS, Slot, To};
use crate::clock;
use crate::cloud::Caller;
use crate::run::{Closing, Run, names};
use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::desired::{DesiredRecord, Policy};
use rulekeeper_core::fakes::{account, group, key};
use rulekeeper_core::model::{ActualRules, GroupId, IngressRule, RuleKey};
use rulekeeper_core::ports::{NewGeneration, Table as _};
use rulekeeper_core::reconcile::write_decision;

/// What a rule is to be in the end.
#[derive(Debug, Clone)]
pub(crate) struct Want {
    pub(crate) end: End,
    /// The events that have to be told for it.
    pub(crate) events: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Recorded, and live unless other rules allow the same.
    Kept,
    /// Closed for good, and not recorded.
    Gone,
    /// Not recorded. Whether it is live is its author's affair.
    Unrecorded,
    /// Closed and recorded, until a person decides.
    Pending,
    /// Recorded, and what it refers to is gone.
    Unrestorable,
    /// Nobody can say.
    Any,
}

impl Want {
    pub(crate) fn kept() -> Self {
        Self {
            end: End::Kept,
            events: Vec::new(),
        }
    }
}

/// The number of the slot that is open to the world.
const PUBLIC: Slot = 4;

/// The number of the slot that refers to a group.
const REFERRING: Slot = 7;

fn port(place: u8, slot: Slot) -> u32 {
    1000 * (u32::from(place) + 1) + 10 * u32::from(slot)
}

fn rule(place: u8, slot: Slot) -> RuleKey {
    let port = port(place, slot);
    match slot {
        PUBLIC => key(&format!("tcp {port} from 0.0.0.0/0")),
        REFERRING => key(&format!("tcp {port} from {}", referenced(place))),
        _ => key(&format!("tcp {port} from 10.{place}.{slot}.0/24")),
    }
}

fn instead(place: u8, slot: Slot, to: To) -> RuleKey {
    let (port, last) = (port(place, slot), port(place, slot) + 5);
    match (to, slot) {
        (To::Wider, PUBLIC) => key(&format!("tcp {port}-{last} from 0.0.0.0/0")),
        (To::Narrower, PUBLIC) => key(&format!("tcp {port} from 203.0.113.0/24")),
        (To::Wider, _) => key(&format!("tcp {port}-{last} from 10.{place}.{slot}.0/24")),
        (To::Narrower, _) => key(&format!("tcp {port} from 10.{place}.{slot}.0/25")),
        (To::Other, _) => key(&format!("tcp {port} from 10.{place}.{}.0/24", slot + 100)),
    }
}

/// A rule for the same port that EC2 never accepts.
fn bad(place: u8, slot: Slot) -> RuleKey {
    let port = port(place, slot);
    key(&format!("tcp {port} from sg-0bad0bad0bad0bad0"))
}

fn referenced(place: u8) -> GroupId {
    let id = format!("sg-{:016x}f", u16::from(place) + 1);
    id.parse().expect("a group id")
}

/// The rules with which a case begins.
pub(crate) fn rules(case: &Case) -> Vec<RuleKey> {
    let mut places: Vec<u8> = case.actors.iter().map(|actor| actor.place).collect();
    places.push(NOBODYS);
    places.sort_unstable();
    places.dedup();
    let of_place = |place: u8| (0..SLOTS).map(move |slot| rule(place, slot));
    let mut rules: Vec<RuleKey> = places.into_iter().flat_map(of_place).collect();
    // A recorded rule that allows more than another one.
    rules.push(instead(NOBODYS, 5, To::Wider));
    rules
}

/// The groups to which rules refer.
pub(crate) fn groups() -> Vec<GroupId> {
    (0..=NOBODYS).map(referenced).collect()
}

pub(crate) fn caller(actor: &Actor) -> Caller {
    let role = match actor.kind {
        Kind::Role(Policy::Restore) => "script".to_owned(),
        Kind::Role(policy) => format!("{policy:?}-{}", actor.place).to_lowercase(),
        Kind::Person => "admin".to_owned(),
        Kind::Operator => "operator".to_owned(),
    };
    Caller {
        role,
        is_person: actor.kind == Kind::Person,
    }
}

/// Does what an actor intends, one thing after another.
pub(crate) async fn act(run: Rc<Run>, number: usize, actor: Actor) {
    let seed = run.case.seed ^ (0xac + number as u64).wrapping_mul(0x2545_f491_4f6c_dd1d);
    let mut acts = Acts {
        by: caller(&actor),
        policy: match actor.kind {
            Kind::Role(policy) => policy,
            Kind::Person | Kind::Operator => Policy::Restore,
        },
        place: actor.place,
        rng: Rng::with_seed(seed),
        run,
    };
    for (pause, intent) in &actor.intents {
        sleep(Duration::from_millis(*pause)).await;
        acts.run.say(format!("{}: {intent:?}", acts.by.role));
        acts.intend(*intent).await;
    }
}

struct Acts {
    run: Rc<Run>,
    by: Caller,
    policy: Policy,
    place: u8,
    rng: Rng,
}

impl Acts {
    async fn intend(&mut self, intent: Intent) {
        let place = self.place;
        let at = |slot: Slot| rule(place, slot);
        match intent {
            Intent::Close {
                slot,
                count,
                one_by_one,
                by_id,
            } => {
                let rules: Vec<RuleKey> = (slot..slot + count).map(at).collect();
                self.close(&rules, one_by_one, by_id).await;
            }
            Intent::Open(slot) => drop(self.authorize(&[at(slot)])),
            Intent::Replace {
                slot,
                to,
                authorizes_first,
                pause_ms,
            } => {
                let (old, new) = (at(slot), instead(place, slot, to));
                let pause = Duration::from_millis(pause_ms);
                let (revoked, authorized) = if authorizes_first {
                    let authorized = self.authorize(&[new]);
                    if authorized.is_err() {
                        return;
                    }
                    sleep(pause).await;
                    (self.revoke(std::slice::from_ref(&old), false), authorized)
                } else {
                    let revoked = self.revoke(std::slice::from_ref(&old), false);
                    sleep(pause).await;
                    (revoked, self.authorize(&[new]))
                };
                self.replaced(slot, to, revoked, authorized, &[]);
                if pause_ms < 900 && self.run.case.is_at_once() {
                    self.closed_at_once(&old, revoked);
                }
            }
            Intent::Refused { slot, to, again } => {
                let (old, new) = (at(slot), instead(place, slot, to));
                let revoked = self.revoke(std::slice::from_ref(&old), false);
                self.moment().await;
                let (Ok(refused) | Err(refused)) = self.authorize(&[new.clone(), bad(place, slot)]);
                self.replaced(slot, to, revoked, Err(refused), &[]);
                if again {
                    self.seconds(20, 90).await;
                    let authorized = self.authorize(&[new]);
                    self.replaced(slot, to, revoked, authorized, &[refused]);
                    self.run
                        .log
                        .borrow_mut()
                        .closings
                        .retain(|it| it.rule != old);
                }
            }
            Intent::Throttled { slot, to, tries } => {
                let (old, new) = (at(slot), instead(place, slot, to));
                let revoked = self.revoke(std::slice::from_ref(&old), false);
                let mut tried = Vec::new();
                for _ in 0..tries {
                    self.moment().await;
                    let event = {
                        let mut cloud = self.run.cloud.borrow_mut();
                        let new = std::slice::from_ref(&new);
                        cloud.refused(&self.by, new, "RequestLimitExceeded")
                    };
                    self.run.deliver(event);
                    tried.push(event);
                    self.seconds(3, 30).await;
                }
                let authorized = self.authorize(&[new]);
                self.replaced(slot, to, revoked, authorized, &tried);
            }
            Intent::RollBack { slot } => {
                let (old, new) = (at(slot), instead(place, slot, To::Other));
                let Ok(opened) = self.authorize(std::slice::from_ref(&new)) else {
                    return;
                };
                self.moment().await;
                let Some(revoked) = self.revoke(std::slice::from_ref(&old), false) else {
                    return;
                };
                self.moment().await;
                let (Ok(refused) | Err(refused)) = self.authorize(&[bad(place, slot)]);
                self.moment().await;
                let taken_back = self.revoke(std::slice::from_ref(&new), false);
                let events = [Some(opened), Some(revoked), Some(refused), taken_back];
                let events: Vec<usize> = events.into_iter().flatten().collect();
                let end = if slot == PUBLIC {
                    End::Pending
                } else {
                    End::Kept
                };
                self.want(&old, end, &events);
                self.want(&new, End::Gone, &events);
            }
            Intent::Modify { slot, to } => self.modify(slot, to),
            Intent::Describe(slot) => {
                let described = {
                    let mut cloud = self.run.cloud.borrow_mut();
                    cloud.describe(&self.by, &at(slot), "described anew")
                };
                if let Some(event) = described {
                    self.run.deliver(event);
                    let mut log = self.run.log.borrow_mut();
                    log.described.push((at(slot), event));
                }
            }
            Intent::Insist(slot) => self.insist(&at(slot)).await,
            Intent::DeleteReferenced => self.delete_referenced().await,
            Intent::CloseAll => {
                let rules = rules(&self.run.case);
                self.close(&rules, false, false).await;
                if self.policy == Policy::Follow {
                    self.seconds(20, 60).await;
                    self.close(&rules, false, false).await;
                }
            }
            Intent::Cover { slot, for_ms } => {
                let wide = instead(place, slot, To::Wider);
                let opened = self.authorize(std::slice::from_ref(&wide));
                self.moment().await;
                self.close(&[at(slot)], false, false).await;
                if opened.is_ok() {
                    sleep(Duration::from_millis(for_ms)).await;
                    self.revoke(&[wide], false);
                }
            }
            Intent::Fill { for_ms } => {
                let rule =
                    |number: usize| key(&format!("udp {} from 192.168.0.0/16", 9000 + number));
                let mut fillers = Vec::new();
                while self.authorize(&[rule(fillers.len())]).is_ok() {
                    fillers.push(rule(fillers.len()));
                }
                sleep(Duration::from_millis(for_ms)).await;
                self.revoke(&fillers, false);
            }
            Intent::CoverOther { place, slot } => {
                let (port, last) = (port(place, slot), port(place, slot) + 7);
                let wide = format!("tcp {port}-{last} from 10.{place}.{slot}.0/24");
                // Nothing depends on whether EC2 has room for it.
                let _ = self.authorize(&[key(&wide)]);
            }
            Intent::Unrecord(slot) => self.apply(&at(slot), false).await,
            Intent::Record(slot) => self.apply(&at(slot), true).await,
        }
    }

    /// What a revoke and an authorize of this policy come to.
    fn replaced(
        &self,
        slot: Slot,
        to: To,
        revoked: Option<usize>,
        authorized: Result<usize, usize>,
        others: &[usize],
    ) {
        let Some(revoked) = revoked else { return };
        let old = rule(self.place, slot);
        let (Ok(second) | Err(second)) = authorized;
        let events = [&[revoked, second], others].concat();
        let narrows = slot == PUBLIC && to != To::Wider;
        let end = match (self.policy, authorized) {
            (Policy::Accept | Policy::Follow, Err(_)) if narrows => End::Pending,
            (Policy::Accept | Policy::Release, Ok(_)) | (Policy::Release, Err(_)) => End::Gone,
            (Policy::Follow, Ok(_)) if to != To::Other || narrows => End::Gone,
            _ => End::Kept,
        };
        self.want(&old, end, &events);
        if end == End::Gone && self.policy != Policy::Follow {
            self.closed(&old, revoked);
        }
    }

    /// Notes that a followed principal's replacement is known before its revoke has settled.
    fn closed_at_once(&self, old: &RuleKey, revoked: Option<usize>) {
        let is_gone = self.run.log.borrow().wants[old].end == End::Gone;
        if let Some(revoked) = revoked.filter(|_| is_gone && self.policy == Policy::Follow) {
            self.closed(old, revoked);
        }
    }

    async fn close(&mut self, rules: &[RuleKey], one_by_one: bool, by_id: bool) {
        let calls: Vec<&[RuleKey]> = match one_by_one {
            true => rules.chunks(1).collect(),
            false => vec![rules],
        };
        let is_large = rules.len() > usize::from(SLOTS);
        for rules in calls {
            let Some(event) = self.revoke(rules, by_id) else {
                continue;
            };
            let end = match self.policy {
                Policy::Accept | Policy::Release if is_large => End::Pending,
                Policy::Accept | Policy::Release => End::Gone,
                Policy::Follow | Policy::Restore => End::Kept,
            };
            for rule in rules {
                self.want(rule, end, &[event]);
                if end != End::Kept {
                    self.closed(rule, event);
                }
            }
            if one_by_one {
                self.moment().await;
            }
        }
    }

    fn modify(&self, slot: Slot, to: To) {
        let (old, new) = (rule(self.place, slot), instead(self.place, slot, to));
        let modified = {
            let mut cloud = self.run.cloud.borrow_mut();
            cloud.modify(&self.by, &old, &new)
        };
        let Some(event) = modified else { return };
        self.run.deliver(event);
        let (left, entered) = match self.policy {
            Policy::Accept | Policy::Follow => (End::Gone, End::Kept),
            Policy::Release => (End::Gone, End::Unrecorded),
            Policy::Restore => (End::Kept, End::Unrecorded),
        };
        self.want(&old, left, &[event]);
        self.want(&new, entered, &[event]);
        if left == End::Gone {
            self.closed(&old, event);
        }
    }

    /// Revokes a rule, and again whenever it comes back.
    async fn insist(&mut self, rule: &RuleKey) {
        let mut events = Vec::new();
        for _ in 0..self.rng.u8(2..8) {
            let Some(event) = self.revoke(std::slice::from_ref(rule), false) else {
                break;
            };
            events.push(event);
            for _ in 0..120 {
                sleep(Duration::from_secs(5)).await;
                if self.run.cloud.borrow().is_live(rule) {
                    break;
                }
            }
            self.seconds(1, 20).await;
        }
        let stays_away = !self.run.cloud.borrow().is_live(rule) && events.len() > 1;
        let end = match self.policy {
            Policy::Follow if stays_away && self.run.case.is_prompt() => End::Gone,
            Policy::Follow if !self.run.case.is_prompt() || events.len() > 1 => End::Any,
            _ => End::Kept,
        };
        self.want(rule, end, &events);
    }

    /// Revokes the rule that refers to a group, and tries to delete the group.
    async fn delete_referenced(&mut self) {
        let (rule, id) = (rule(self.place, REFERRING), referenced(self.place));
        let began = Instant::now();
        let mut events = Vec::new();
        while began.elapsed() < Duration::from_secs(14 * 60) {
            let revoked = self.revoke(std::slice::from_ref(&rule), false);
            // Who was refused a deletion, and that is known, is not to be in its own way again.
            let is_known = events.last().is_some_and(|event: &usize| {
                let cloud = self.run.cloud.borrow();
                cloud.events[*event].told.is_some()
            });
            // Where nobody is listed, a call that somebody else's look has dealt with is not kept.
            let is_kept = self.run.case.listed().next().is_some();
            if let Some(revoked) = revoked.filter(|_| is_known && is_kept) {
                self.closed(&rule, revoked);
            }
            events.extend(revoked);
            self.seconds(0, 8).await;
            let ended = {
                let mut cloud = self.run.cloud.borrow_mut();
                cloud.delete_group(&self.by, &id)
            };
            let Some((event, deleted)) = ended else {
                return;
            };
            self.run.deliver(event);
            events.push(event);
            if deleted {
                let end = match self.policy {
                    Policy::Restore => End::Unrestorable,
                    _ => End::Gone,
                };
                self.want(&rule, end, &events);
                return;
            }
            self.seconds(5, 15).await;
        }
        if self.run.case.is_prompt() {
            self.run
                .broken(format!("{id} could not be deleted in 14 minutes"));
        }
        self.want(&rule, End::Any, &events);
    }

    /// An operator writes a record with a rule or without it.
    async fn apply(&mut self, rule: &RuleKey, holds: bool) {
        for _ in 0..8 {
            let run = self.run.clone();
            let table = run.cloud.borrow().table.clone();
            let loaded = table.load(&group()).await.expect("the fake is readable");
            let item = loaded.desired.expect("there is a record");
            let before = DesiredRecord::from_json(&item, &account())
                .expect("readable")
                .record;
            let mut rules = before.rules.clone();
            match holds {
                true => drop(rules.insert(rule.clone(), IngressRule::bare(rule.clone()))),
                false => drop(rules.remove(rule)),
            }
            let record = DesiredRecord {
                generation: before.generation + 1,
                rules,
                updated_at: Some(clock::exact()),
                updated_by: Some(self.by.arn()),
                reason: Some("applied record.yaml".to_owned()),
                ..before.clone()
            };
            if record.rules == before.rules {
                return;
            }
            // A person needs a moment between reading and writing.
            self.moment().await;
            let write = async |mut state: GroupState| {
                state.note_ids(&record.rules, &ActualRules::default(), clock::exact());
                let change = NewGeneration {
                    address: group(),
                    record: record.clone(),
                    replaces: Some(item.clone()),
                    state,
                };
                table.write(&change).await
            };
            let decided = [rule.clone()];
            let (kept, now) = (group(), clock::exact());
            let written = write_decision(&*table, &kept, loaded.state, &decided, now, write);
            if written.await.is_ok() {
                run.note_generation(&record);
                let end = if holds { End::Kept } else { End::Unrecorded };
                self.want(rule, end, &[]);
                return;
            }
        }
    }

    fn revoke(&self, rules: &[RuleKey], by_id: bool) -> Option<usize> {
        let event = {
            let mut cloud = self.run.cloud.borrow_mut();
            cloud.revoke(&self.by, rules, by_id)?
        };
        self.run
            .say(format!("{} revokes {}", self.by.role, names(rules)));
        self.run.deliver(event);
        Some(event)
    }

    /// Authorizes rules. Returns the event, as an error if EC2 refused.
    fn authorize(&self, rules: &[RuleKey]) -> Result<usize, usize> {
        let (event, accepted) = {
            let mut cloud = self.run.cloud.borrow_mut();
            cloud.authorize(&self.by, rules)
        };
        let does = if accepted {
            "authorizes"
        } else {
            "fails to authorize"
        };
        self.run
            .say(format!("{} {does} {}", self.by.role, names(rules)));
        self.run.deliver(event);
        if !accepted {
            return Err(event);
        }
        let end = match self.policy {
            Policy::Accept | Policy::Follow => End::Kept,
            Policy::Release | Policy::Restore => End::Unrecorded,
        };
        for rule in rules {
            self.want(rule, end, &[event]);
        }
        Ok(event)
    }

    fn want(&self, rule: &RuleKey, end: End, events: &[usize]) {
        let mut log = self.run.log.borrow_mut();
        let is_unrecorded = log
            .wants
            .get(rule)
            .is_some_and(|it| it.end == End::Unrecorded);
        // What a stranger does to a rule that is in no record changes nothing.
        if is_unrecorded && self.policy == Policy::Restore && self.by.role != "operator" {
            return;
        }
        for closing in &mut log.closings {
            if closing.rule == *rule && end != End::Gone && end != End::Pending {
                closing.until.get_or_insert(Instant::now());
            }
        }
        let events = events.to_vec();
        log.wants.insert(rule.clone(), Want { end, events });
    }

    /// Notes that a rule is closed for good by an event.
    fn closed(&self, rule: &RuleKey, event: usize) {
        let at = self.run.cloud.borrow().events[event].at;
        self.run.log.borrow_mut().closings.push(Closing {
            rule: rule.clone(),
            at,
            event,
            until: None,
        });
    }

    async fn moment(&mut self) {
        let wait = self.rng.u64(20..1_200);
        sleep(Duration::from_millis(wait)).await;
    }

    async fn seconds(&mut self, least: u64, most: u64) {
        let wait = self.rng.u64(least * 1_000..most * 1_000);
        sleep(Duration::from_millis(wait)).await;
    }
}

/// Somebody who is not listed revokes a rule that nobody owns.
pub(crate) fn drop_something(run: &Rc<Run>) {
    let by = Caller {
        role: "script".to_owned(),
        is_person: false,
    };
    let event = {
        let mut cloud = run.cloud.borrow_mut();
        cloud.revoke(&by, &[rule(NOBODYS, 1)], false)
    };
    if let Some(event) = event {
        run.say("script revokes a rule two days later".to_owned());
        run.deliver(event);
    }
}
