//! The state of the world, and the effects of calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::faults::Fault;
use super::replay::{Answer, Answered, Ask, Cause, Live, Next, digest};
use super::scenario::{EventSpec, Rule, Scenario, Who, at, told};
use crate::decide::changes::{CONTEST_WINDOW, GroupState, RESTORES_IN_WINDOW_MAX};
use crate::decide::plan::plan;
use crate::desired::DesiredRecord;
use crate::fakes::group;
use crate::model::RuleKey;
use crate::ports::NewGeneration;

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
}

/// What is left of the bounds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Remaining {
    pub(super) crashes: u8,
    pub(super) silences: u8,
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

/// How long a read may lag, in milliseconds.
const LAG_MS: u64 = 1_000;

impl State {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let live: Live = scenario
            .recorded
            .iter()
            .chain(&scenario.unrecorded)
            .map(|rule| (*rule, *rule))
            .collect();
        let bounds = &scenario.bounds;
        Self {
            clock: 0,
            live: Arc::new(live),
            before: None,
            next_id: u8::try_from(scenario.rules.len()).expect("few rules"),
            history: Arc::new(vec![Arc::new(scenario.record())]),
            memory: None,
            events: BTreeMap::new(),
            running: Vec::new(),
            actors: vec![Progress::default(); scenario.actors.len()],
            remaining: Remaining {
                crashes: bounds.crashes,
                silences: bounds.silences,
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
        since: usize,
        ask: &Ask,
    ) -> Answer {
        match ask {
            Ask::Load => {
                let late = usize::from(fault == Some(Fault::RecordsAreReadLate));
                let read = self.history.len().saturating_sub(1 + late);
                Answer::Loaded(self.history[read].clone(), self.memory.clone())
            }
            Ask::Records => Answer::Records(self.record().clone()),
            Ask::GroupMarks => Answer::GroupMarks {
                open: self.memory.as_ref().is_some_and(|memory| is_open(memory)),
            },
            Ask::Rules => Answer::Rules(self.live.clone()),
            // The scenario's invalid rules reference a group that does not exist.
            Ask::Groups(_) => Answer::Groups([group().id].into()),
            Ask::Authorize(rules) => self.authorize(scenario, since, rules),
            Ask::Write(change) => self.write(scenario, fault, change),
            Ask::Save(state) => Answer::Saved(self.save(fault, state)),
        }
    }

    fn authorize(&mut self, scenario: &Scenario, since: usize, rules: &[RuleKey]) -> Answer {
        let current = |key: &RuleKey| {
            let mut generations = self.history[since..].iter();
            generations.any(|record| record.rules.contains_key(key))
        };
        if !rules.iter().all(current) {
            self.broken.insert(Broken::AuthorizedUnrecorded);
        }
        let rules: Vec<Rule> = rules.iter().map(|key| scenario.rule(key)).collect();
        if let Some(code) = rules.iter().find_map(|rule| self.refusal(scenario, *rule)) {
            return Answer::Refused(code);
        }
        let made: Vec<(Rule, u8)> = rules
            .into_iter()
            .map(|rule| (rule, self.new_id()))
            .collect();
        self.change_live(|live| live.extend(made.iter().copied()));
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
            false => scenario
                .invalid
                .contains(&rule)
                .then_some("InvalidGroup.NotFound"),
        }
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
        if !self.save(fault, &change.state) {
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

    fn save(&mut self, fault: Option<Fault>, state: &GroupState) -> bool {
        let revision = self.memory.as_ref().map_or(0, |memory| memory.revision);
        if revision != state.revision && fault != Some(Fault::StatesAreOverwritten) {
            return false;
        }
        let mut state = state.clone();
        state.revision = revision + 1;
        if fault == Some(Fault::RestoresAreForgotten) {
            state.returned.clear();
        }
        self.memory = Some(Arc::new(state));
        true
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

    /// Rules of the record that are missing, that EC2 would accept, and that no live rules outside the record
    /// supersede.
    pub(super) fn missing(&self, scenario: &Scenario) -> Vec<Rule> {
        let live = crate::model::ActualRules::new(
            self.live.keys().map(|rule| crate::model::ActualRule {
                id: None,
                key: scenario.key(*rule).clone(),
                description: None,
                tags: crate::model::Tags::new(),
                reference_owner_unknown: false,
            }),
            Vec::new(),
        );
        let missing = plan(self.record(), &live, &BTreeSet::new()).missing;
        let missing = missing.iter().map(|rule| scenario.rule(&rule.key));
        missing
            .filter(|rule| !scenario.invalid.contains(rule))
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
