//! The state of the world, and the effects of calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::replay::{
    Answer, Answered, Ask, Cause, Live, LiveRule, Next, Place, actual, digest, lookup,
};
use super::scenario::{Did, EventSpec, NEW_TEXT, Rule, Scenario, Who, at, told};
use crate::decide::changes::{CONTEST_WINDOW, GroupState, KnownCall, RESTORES_IN_WINDOW_MAX};
use crate::decide::plan::plan;
use crate::desired::DesiredRecord;
use crate::fakes::group;
use crate::model::IngressRule;
use crate::ports::NewGeneration;
use crate::probe::Fault;

/// A value that follows from other parts of a state.
#[derive(Debug, Clone)]
pub(super) struct Derived<T>(pub(super) Arc<T>);

impl<T> PartialEq for Derived<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Derived<T> {}

impl<T> Hash for Derived<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// An event under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Delivery {
    pub(super) copies: u8,
    pub(super) retries: u8,
    /// Whether an invocation handled it to the end.
    pub(super) handled: bool,
}

/// An invocation in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Running {
    pub(super) cause: Cause,
    pub(super) began: u64,
    pub(super) log: Vec<Option<Answered>>,
    /// The index in history of the generation that was current when it began.
    pub(super) since: usize,
    /// Until when it must leave rules closed, by what was known when it began.
    pub(super) withheld: BTreeMap<Rule, u64>,
    pub(super) next: Derived<Next>,
}

impl Running {
    pub(super) fn put(&mut self, slot: usize, answered: Answered) {
        if self.log.len() <= slot {
            self.log.resize(slot + 1, None);
        }
        self.log[slot] = Some(answered);
    }
}

/// An actor's progress.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Progress {
    pub(super) done: usize,
    /// The latest time of the next step.
    pub(super) due: Option<u64>,
    pub(super) stopped: bool,
}

/// A promise that was broken at some step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Broken {
    AuthorizedUnrecorded,
    LostRule,
    Endless,
    UncountedFight,
    /// A rule was restored while its caller was known to delete a group, or to try an authorize again.
    NotWithheld,
    /// An event's invocation was a success, and what the event tells is not known.
    LostFact,
}

/// What is left of the bounds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Remaining {
    pub(super) crashes: u8,
    pub(super) silences: u8,
    pub(super) conflicts: u8,
    pub(super) stale_reads: u8,
    pub(super) sweeps: u8,
    pub(super) pauses: Vec<bool>,
}

/// Facts that the model knows and rulekeeper does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Truth {
    /// When somebody last revoked a rule.
    pub(super) revoked: BTreeMap<(Who, Rule), u64>,
    /// When an operator last put a rule into the record.
    pub(super) decided: BTreeMap<Rule, u64>,
    /// When we authorized each rule.
    pub(super) restored: BTreeMap<Rule, Vec<u64>>,
    /// How many invocations died or got no answer.
    pub(super) mishaps: u8,
    /// An event was never handled.
    pub(super) lost: bool,
    /// A rule was contested when everything was at rest.
    pub(super) contested: bool,
}

/// The world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) clock: u64,
    pub(super) live: Arc<Live>,
    /// The live rules before the last change, and the time of that change.
    pub(super) before: Option<(Arc<Live>, u64)>,
    pub(super) next_id: u8,
    /// Every generation that was current. The last one is the present one.
    pub(super) history: Arc<Vec<Arc<DesiredRecord>>>,
    pub(super) memory: Option<Arc<GroupState>>,
    /// The state of the referenced group.
    pub(super) memory_of_referenced: Option<Arc<GroupState>>,
    /// The referenced group is deleted.
    pub(super) deleted: bool,
    pub(super) events: BTreeMap<EventSpec, Delivery>,
    pub(super) running: Vec<Running>,
    pub(super) actors: Vec<Progress>,
    pub(super) remaining: Remaining,
    pub(super) truth: Truth,
    /// Everything is at rest, and the last sweep is over.
    pub(super) at_rest: bool,
    pub(super) broken: BTreeSet<Broken>,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.record();
        let rules: Vec<String> = record.rules.keys().map(ToString::to_string).collect();
        write!(
            f,
            "{} ms: live {:?}, generation {} holds {}",
            self.clock,
            self.live,
            record.generation,
            rules.join(", ")
        )?;
        for Running {
            cause, began, next, ..
        } in &self.running
        {
            write!(f, "\n    {cause:?}, begun at {began} ms, asks {}", next.0)?;
        }
        Ok(())
    }
}

/// How long a rule is withheld from its revoke on while its caller deletes a group, in milliseconds.
const WITHHELD_MS: u64 = 15 * 60_000;

/// How long a throttled authorize keeps a change open, in milliseconds.
const OPEN_MS: u64 = 2 * 60_000;

/// How long a read may lag, in milliseconds.
const LAG_MS: u64 = 1_000;

impl State {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let live: Live = scenario
            .recorded
            .iter()
            .chain(&scenario.unrecorded)
            .map(|rule| {
                let is_described = false;
                let id = *rule;
                (id, LiveRule { id, is_described })
            })
            .collect();
        let memory = scenario.pinned.then(|| {
            let mut memory = GroupState::default();
            let read = actual(&live, &scenario.rules);
            memory.note_ids(&scenario.record().rules, &read, at(0));
            Arc::new(memory)
        });
        let bounds = &scenario.bounds;
        Self {
            clock: 0,
            live: Arc::new(live),
            before: None,
            next_id: u8::try_from(scenario.rules.len()).expect("few rules"),
            history: Arc::new(vec![Arc::new(scenario.record())]),
            memory,
            memory_of_referenced: None,
            deleted: false,
            events: BTreeMap::new(),
            running: Vec::new(),
            actors: vec![Progress::default(); scenario.actors.len()],
            remaining: Remaining {
                crashes: bounds.crashes,
                silences: bounds.silences,
                conflicts: bounds.conflicts,
                stale_reads: bounds.stale_reads,
                sweeps: bounds.sweeps,
                pauses: vec![true; bounds.pauses_ms.len()],
            },
            truth: Truth::default(),
            at_rest: false,
            broken: BTreeSet::new(),
        }
    }

    pub(super) fn record(&self) -> &Arc<DesiredRecord> {
        self.history.last().expect("there is a first generation")
    }

    /// Sorts the running invocations into an order that does not show which began first.
    pub(super) fn sort(&mut self) {
        self.running
            .sort_by_cached_key(|it| (it.cause.clone(), it.began, digest(&it.log)));
    }

    /// The group before its last change, if a read may still show it.
    pub(super) fn stale(&self) -> Option<&Arc<Live>> {
        let (live, changed) = self.before.as_ref()?;
        (self.clock - changed <= LAG_MS).then_some(live)
    }

    pub(super) fn change_live(&mut self, change: impl FnOnce(&mut Live)) {
        let mut live = Live::clone(&self.live);
        change(&mut live);
        let before = std::mem::replace(&mut self.live, Arc::new(live));
        self.before = Some((before, self.clock));
    }

    pub(super) fn new_id(&mut self) -> u8 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// Lets our call take effect, and returns its answer.
    pub(super) fn answer(
        &mut self,
        scenario: &Scenario,
        fault: Option<Fault>,
        by: &Running,
        ask: &Ask,
    ) -> Answer {
        match ask {
            Ask::Load(Place::Referenced) => Answer::Loaded(None, self.memory_of_referenced.clone()),
            Ask::Load(Place::Kept) => {
                let late = usize::from(fault == Some(Fault::RecordsAreReadLate));
                let read = self.history.len().saturating_sub(1 + late);
                Answer::Loaded(Some(self.history[read].clone()), self.memory.clone())
            }
            Ask::Records => Answer::Records(self.record().clone()),
            Ask::GroupMarks => Answer::GroupMarks {
                open: self.memory.as_ref().is_some_and(|memory| is_open(memory)),
            },
            Ask::Rules => Answer::Rules(self.live.clone()),
            // The scenario's invalid rules reference a group that does not exist.
            Ask::Groups(_) => {
                let referenced = scenario.referenced_group().filter(|_| !self.deleted);
                Answer::Groups(
                    referenced
                        .cloned()
                        .into_iter()
                        .chain([group().id])
                        .collect(),
                )
            }
            Ask::Referring => {
                let refers = self.is_referenced(scenario);
                Answer::Referring(refers.then(|| group().id).into_iter().collect())
            }
            Ask::Authorize(rules) => self.authorize(scenario, by, rules),
            Ask::Write(change) => self.write(scenario, fault, change),
            Ask::Save(place, state) => Answer::Saved(self.save(fault, *place, state)),
        }
    }

    fn authorize(&mut self, scenario: &Scenario, by: &Running, rules: &[IngressRule]) -> Answer {
        let current = |rule: &IngressRule| {
            let mut generations = self.history[by.since..].iter();
            generations.any(|record| record.rules.contains_key(&rule.key))
        };
        if !rules.iter().all(current) {
            self.broken.insert(Broken::AuthorizedUnrecorded);
        }
        let numbers = rules.iter().map(|rule| scenario.rule(&rule.key));
        let numbers: Vec<Rule> = numbers.collect();
        let mut refusals = numbers.iter().map(|rule| self.refusal(scenario, *rule));
        if let Some(code) = refusals.find_map(|code| code) {
            return Answer::Refused(code);
        }
        let is_withheld = |rule: &Rule| {
            let until = by.withheld.get(rule);
            until.is_some_and(|until| self.clock < *until)
        };
        if numbers.iter().any(is_withheld) {
            self.broken.insert(Broken::NotWithheld);
        }
        let mut made = Vec::new();
        for (rule, wanted) in numbers.into_iter().zip(rules) {
            let id = self.new_id();
            let is_described = wanted.description.as_deref() == Some(NEW_TEXT);
            self.change_live(|live| {
                live.insert(rule, LiveRule { id, is_described });
            });
            made.push((rule, id));
        }
        for (rule, _) in &made {
            let times = self.truth.restored.entry(*rule).or_default();
            times.push(self.clock);
            let window = u64::try_from(CONTEST_WINDOW.as_millis()).expect("positive");
            let lately = times
                .iter()
                .filter(|time| self.clock - **time < window)
                .count();
            // The single restore after a wait counts too.
            if lately > RESTORES_IN_WINDOW_MAX + usize::from(self.truth.mishaps) {
                self.broken.insert(Broken::UncountedFight);
            }
        }
        Answer::Authorized(made)
    }

    /// Why EC2 refuses to authorize a rule.
    pub(super) fn refusal(&self, scenario: &Scenario, rule: Rule) -> Option<&'static str> {
        match self.live.contains_key(&rule) {
            true => Some("InvalidPermission.Duplicate"),
            false => self
                .is_invalid(scenario, rule)
                .then_some("InvalidGroup.NotFound"),
        }
    }

    /// Whether a rule references a group that does not exist.
    fn is_invalid(&self, scenario: &Scenario, rule: Rule) -> bool {
        let is_deleted = self.deleted && scenario.reference(rule).is_some();
        is_deleted || scenario.invalid.contains(&rule)
    }

    /// Whether a live rule refers to the referenced group.
    pub(super) fn is_referenced(&self, scenario: &Scenario) -> bool {
        let mut live = self.live.keys();
        live.any(|rule| scenario.reference(*rule).is_some())
    }

    fn write(
        &mut self,
        scenario: &Scenario,
        fault: Option<Fault>,
        change: &NewGeneration,
    ) -> Answer {
        let read = change.replaces.as_ref();
        let read = read.and_then(|item| item.get("generation")?.as_u64());
        let is_current = read == Some(self.record().generation);
        if !is_current && fault != Some(Fault::RecordsAreOverwritten) {
            return Answer::LostRace;
        }
        if !self.save(fault, Place::Kept, &change.state) {
            return Answer::StateChanged;
        }
        self.note_generation(scenario, &change.record);
        let history = Arc::make_mut(&mut self.history);
        history.push(Arc::new(change.record.clone()));
        Answer::Written(change.record.generation)
    }

    /// Notes whether a generation removes a rule without an author and a reason, or with an author who did not revoke
    /// it. Also notes what an operator added.
    fn note_generation(&mut self, scenario: &Scenario, next: &DesiredRecord) {
        let present = self.record().clone();
        let author = next.updated_by.as_deref().and_then(Who::of_arn);
        let mut honest = next.reason.is_some() && next.generation == present.generation + 1;
        for key in present.rules.keys() {
            if next.rules.contains_key(key) {
                continue;
            }
            let rule = scenario.rule(key);
            honest &= match author {
                None | Some(Who::Stranger) => false,
                Some(Who::Operator) => true,
                Some(who) => {
                    let revoked = self.truth.revoked.get(&(who, rule));
                    let decided = self.truth.decided.get(&rule);
                    revoked
                        .is_some_and(|at| decided.is_none_or(|decided| told(*decided) <= told(*at)))
                }
            };
        }
        if author == Some(Who::Operator) {
            let when = next.updated_at.map(clock_of).unwrap_or(self.clock);
            for key in next.rules.keys() {
                if !present.rules.contains_key(key) {
                    self.truth.decided.insert(scenario.rule(key), when);
                }
            }
        }
        if !honest {
            self.broken.insert(Broken::LostRule);
        }
    }

    fn memory_of(&mut self, place: Place) -> &mut Option<Arc<GroupState>> {
        match place {
            Place::Kept => &mut self.memory,
            Place::Referenced => &mut self.memory_of_referenced,
        }
    }

    fn save(&mut self, fault: Option<Fault>, place: Place, state: &GroupState) -> bool {
        let memory = self.memory_of(place);
        let revision = memory.as_ref().map_or(0, |memory| memory.revision);
        if revision != state.revision && fault != Some(Fault::StatesAreOverwritten) {
            return false;
        }
        let mut state = state.clone();
        state.revision = revision + 1;
        if fault == Some(Fault::RestoresAreForgotten) {
            state.returned.clear();
        }
        *memory = Some(Arc::new(state));
        true
    }

    /// Notes whether the call of an event is known, after an invocation that was a success.
    pub(super) fn note_known(&mut self, scenario: &Scenario, event: &EventSpec) {
        let memory = self.memory_of(event.did.place()).as_ref();
        let call = KnownCall::of(&lookup(event, &scenario.rules));
        let is_known = call.is_some_and(|call| memory.is_some_and(|it| it.calls.contains(&call)));
        // An unlisted caller's call that takes nothing away and gives nothing tells nothing.
        let tells = event.by != Who::Stranger
            || !matches!(event.did, Did::WasRefused(_) | Did::WasThrottled(_));
        if tells && !is_known {
            self.broken.insert(Broken::LostFact);
        }
    }

    /// Lets the state items expire that need not stay longer than a day.
    pub(super) fn expire(&mut self, fault: Option<Fault>) {
        let stays = |memory: &Arc<GroupState>| memory.outlives_the_day();
        let stays = |memory: &Arc<GroupState>| fault != Some(Fault::StatesExpire) && stays(memory);
        self.memory = self.memory.take().filter(stays);
        self.memory_of_referenced = self.memory_of_referenced.take().filter(stays);
    }

    /// Until when an invocation must leave rules closed, by its own event and those that were handled: their caller was
    /// refused to delete the group that they refer to, or tries to authorize again.
    pub(super) fn withheld(&self, scenario: &Scenario, cause: &Cause) -> BTreeMap<Rule, u64> {
        let is_at_hand = |event: &EventSpec| matches!(cause, Cause::Event(it) if it == event);
        let events = self.events.iter();
        let events = || {
            events
                .clone()
                .map(|(event, it)| (event, it.handled || is_at_hand(event)))
        };
        let last_revoke = |rule: Rule| {
            let of_rule =
                |event: &&EventSpec| matches!(event.did, Did::Revoked(it, _) if it == rule);
            let known = events().filter(|(event, _)| of_rule(event));
            known.max_by_key(|(event, _)| event.at)
        };
        let mut withheld = BTreeMap::new();
        for rule in self.record().rules.keys().map(|key| scenario.rule(key)) {
            let Some((revoke, _)) = last_revoke(rule).filter(|(_, is_known)| *is_known) else {
                continue;
            };
            let known = events().filter(|(event, is_known)| *is_known && event.by == revoke.by);
            let until = known.filter_map(|(event, _)| match event.did {
                Did::WasNotDeleted if event.at.abs_diff(revoke.at) <= WITHHELD_MS => {
                    scenario.reference(rule)?;
                    Some(revoke.at + WITHHELD_MS)
                }
                Did::WasThrottled(_) if event.at.abs_diff(revoke.at) <= OPEN_MS => {
                    Some(event.at + OPEN_MS)
                }
                _ => None,
            });
            withheld.extend(until.max().map(|until| (rule, until)));
        }
        withheld
    }

    /// Until when some rule is contested.
    pub(super) fn contested_until(&self) -> Option<u64> {
        let contested = self.memory.as_ref()?.contested.values();
        let until = contested.map(|contest| contest.until).max()?;
        let wait = until.duration_since(at(self.clock)).as_millis();
        u64::try_from(wait)
            .ok()
            .filter(|wait| *wait > 0)
            .map(|wait| self.clock + wait)
    }

    /// Rules of the record that are missing, that EC2 would accept, that no live rules outside the record supersede, and
    /// that do not wait for a person.
    pub(super) fn missing(&self, scenario: &Scenario) -> Vec<Rule> {
        let live = actual(&self.live, &scenario.rules);
        let missing = plan(self.record(), &live, &BTreeSet::new()).missing;
        let missing = missing.iter().map(|rule| scenario.rule(&rule.key));
        let pends = |rule: &Rule| {
            let memory = self.memory.as_ref();
            memory.is_some_and(|it| it.pending.contains_key(scenario.key(*rule)))
        };
        missing
            .filter(|rule| !self.is_invalid(scenario, *rule) && !pends(rule))
            .collect()
    }

    pub(super) fn holds(&self, scenario: &Scenario, rule: Rule) -> bool {
        self.record().rules.contains_key(scenario.key(rule))
    }
}

fn clock_of(time: jiff::Timestamp) -> u64 {
    u64::try_from(time.duration_since(at(0)).as_millis()).unwrap_or(0)
}

/// The table's filter for [`crate::ports::GroupMarks`].
fn is_open(memory: &GroupState) -> bool {
    !memory.contested.is_empty() || memory.to_json().contains_key("unapplied")
}
