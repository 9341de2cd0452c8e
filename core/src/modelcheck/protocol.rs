//! The protocol as a model: its possible next actions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use stateright::{Model, Property};

use super::properties::properties;
use super::replay::{Answer, Answered, Ask, Asked, Cause, LiveRule, Next, digest, replay};
use super::scenario::{Did, Do, EventSpec, INVOCATION_MS, REST_MS, Scenario, told};
use super::state::{Broken, Delivery, Derived, Running, State};
use crate::probe::{Fault, making};

/// The most calls of one invocation in any scenario. More calls count as an endless loop.
const CALLS_MAX: usize = 60;

/// The most sweeps at the end, each after another wait of a contested rule.
const FIGHT_SWEEPS_MAX: usize = 3;

/// The rests before the last sweeps, in milliseconds. They are longer than a revoke settles, and longer than any other
/// wait except that of a contested rule.
const RESTS_MS: [u64; 2] = [10_000, 16 * 60_000];

/// A scenario, explored with the real code or with a mistake in it.
pub(super) struct Protocol {
    pub(super) scenario: Scenario,
    pub(super) fault: Option<Fault>,
    /// The next calls of invocations that were already run.
    known: Mutex<HashMap<u64, Arc<Next>>>,
}

/// An action of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Somebody takes their next step.
    Act(usize),
    /// Somebody stops for good.
    Stop(usize),
    /// An event arrives.
    Deliver(EventSpec),
    /// A sweep begins.
    Sweep,
    /// A call takes effect and is answered.
    Answer(usize, usize),
    /// A read is answered with the group before its last change.
    AnswerStale(usize, usize),
    /// A call ends without an answer. The flag says whether it takes effect.
    Silence(usize, usize, bool),
    /// A write is refused because of another transaction.
    Conflict(usize, usize),
    /// An invocation dies. The call that it waits for takes effect if it is given here.
    Crash(usize, Option<usize>),
    /// Time passes.
    Pause(usize),
    /// Everything comes to rest, and then sweeps look.
    Close,
}

impl Protocol {
    pub(super) fn new(scenario: Scenario, fault: Option<Fault>) -> Self {
        Self {
            scenario,
            fault,
            known: Mutex::default(),
        }
    }

    /// The number of runs of the code.
    pub(super) fn replays(&self) -> usize {
        let known = self.known.lock();
        known.unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What an invocation does next.
    fn next(&self, running: &Running) -> Arc<Next> {
        let Running {
            cause, began, log, ..
        } = running;
        let key = digest(&(cause, began, log));
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = known.get(&key) {
            return next.clone();
        }
        drop(known);
        let record = self.scenario.record();
        let rules = &self.scenario.rules;
        let next = making(self.fault, || replay(cause, *began, log, rules, &record));
        let next = Arc::new(next);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, next.clone());
        next
    }

    /// Whether the clock may reach a time without making an invocation or a step overdue.
    fn may_reach(&self, state: &State, time: u64) -> bool {
        let in_time = |running: &Running| time < running.began + INVOCATION_MS;
        let due = state.actors.iter().filter(|it| !it.stopped);
        state.running.iter().all(in_time)
            && due
                .filter_map(|it| it.due)
                .all(|due| time <= due || time == state.clock)
    }

    /// The time of somebody's next step, if it can be taken now.
    fn step_time(&self, state: &State, actor: usize) -> Option<u64> {
        let progress = &state.actors[actor];
        let step = self.scenario.actors[actor].steps.get(progress.done)?;
        let is_busy = || {
            let mut events = state.events.values();
            !state.running.is_empty() || events.any(|it| it.copies > 0 && !it.handled)
        };
        let waits = match &step.does {
            Do::RevokeWhenLive(rule) => !state.live.contains_key(rule),
            Do::Insist(rule) => !state.live.contains_key(rule) || is_busy(),
            Do::Rest => is_busy(),
            _ => false,
        };
        let room = match &step.does {
            Do::Apply(_) => state.running.len() < self.scenario.bounds.running,
            _ => true,
        };
        (!progress.stopped && !waits && room).then_some(state.clock + step.takes_ms)
    }

    fn may_step(&self, state: &State, actor: usize) -> bool {
        let Some(time) = self.step_time(state, actor) else {
            return false;
        };
        let others = state.actors.iter().enumerate();
        let mut due = others
            .filter(|(other, it)| *other != actor && !it.stopped)
            .filter_map(|(_, it)| it.due);
        let in_time = |running: &Running| time < running.began + INVOCATION_MS;
        due.all(|due| time <= due) && state.running.iter().all(in_time)
    }

    pub(super) fn is_quiet(&self, state: &State) -> bool {
        let actors = 0..state.actors.len();
        state.running.is_empty()
            && actors
                .into_iter()
                .all(|actor| self.step_time(state, actor).is_none())
    }

    fn may_close(&self, state: &State) -> bool {
        let lossy = self.scenario.bounds.lossy;
        !state.at_rest
            && self.is_quiet(state)
            && state
                .events
                .values()
                .all(|it| it.handled || it.copies == 0 || lossy)
    }

    fn begin(&self, state: &mut State, cause: Cause) {
        let withheld = state.withheld(&self.scenario, &cause);
        let mut running = Running {
            cause,
            began: state.clock,
            log: Vec::new(),
            since: state.history.len() - 1,
            withheld,
            next: Derived(Arc::new(Next::Asks(Vec::new()))),
        };
        running.next = Derived(self.next(&running));
        self.go_on(state, running);
    }

    /// Puts an invocation back among the others, or ends it. The time of some calls makes no difference, so they are
    /// answered at once: a sweep's first reads of the table, and which groups exist.
    fn go_on(&self, state: &mut State, mut running: Running) {
        loop {
            let next = running.next.0.clone();
            let asks = match &*next {
                Next::Ends { retryable } => return self.end(state, &running.cause, !retryable),
                Next::Asks(asks) => asks,
            };
            if asks.iter().any(|asked| asked.slot >= CALLS_MAX) {
                state.broken.insert(Broken::Endless);
                return;
            }
            let at_once =
                |it: &&Asked| matches!(it.ask, Ask::Records | Ask::GroupMarks | Ask::Groups(_));
            let Some(Asked { slot, after, ask }) = asks.iter().find(at_once) else {
                break;
            };
            let answer = state.answer(&self.scenario, self.fault, &running, ask);
            running.put(*slot, Answered::new(*after, answer));
            running.next = Derived(self.next(&running));
        }
        state.running.push(running);
        state.sort();
    }

    /// Ends an invocation. Lambda repeats an event's invocation that failed or died.
    fn end(&self, state: &mut State, cause: &Cause, well: bool) {
        let Cause::Event(event) = cause else { return };
        if well {
            state.note_known(&self.scenario, event);
        }
        let Some(delivery) = state.events.get_mut(event) else {
            return;
        };
        if well {
            delivery.handled = true;
        } else if delivery.retries > 0 {
            delivery.retries -= 1;
            delivery.copies += 1;
        }
    }

    fn send(&self, state: &mut State, actor: usize, did: Did) {
        let event = EventSpec {
            at: told(state.clock),
            by: self.scenario.actors[actor].who,
            did,
        };
        let bounds = &self.scenario.bounds;
        let delivery = Delivery {
            copies: bounds.copies,
            retries: bounds.retries,
            handled: false,
        };
        state.events.insert(event, delivery);
    }

    fn act(&self, state: &mut State, actor: usize) {
        let Some(time) = self.step_time(state, actor) else {
            return;
        };
        state.clock = time;
        state.at_rest = false;
        let script = &self.scenario.actors[actor];
        let progress = &mut state.actors[actor];
        let step = &script.steps[progress.done];
        progress.done += 1;
        let within = script.steps.get(progress.done);
        progress.due = within.and_then(|next| Some(time + next.within_ms?));
        let told_id = |id: u8| self.scenario.bounds.ids.then_some(id);
        match &step.does {
            Do::Revoke(rule) | Do::RevokeWhenLive(rule) | Do::Insist(rule) => {
                let Some(LiveRule { id, .. }) = state.live.get(rule).copied() else {
                    return;
                };
                state.change_live(|live| {
                    live.remove(rule);
                });
                state.truth.revoked.insert((script.who, *rule), time);
                self.send(state, actor, Did::Revoked(*rule, told_id(id)));
            }
            Do::Authorize(rule) => {
                if state.refusal(&self.scenario, *rule).is_some() {
                    return self.send(state, actor, Did::WasRefused(*rule));
                }
                let id = state.new_id();
                let is_described = false;
                state.change_live(|live| {
                    live.insert(*rule, LiveRule { id, is_described });
                });
                self.send(state, actor, Did::Authorized(*rule, told_id(id)));
            }
            Do::TryAuthorize(rule) => self.send(state, actor, Did::WasThrottled(*rule)),
            Do::Modify(old, new) => {
                let Some(live) = state.live.get(old).copied() else {
                    return;
                };
                if state.live.contains_key(new) {
                    return;
                }
                state.change_live(|rules| {
                    rules.remove(old);
                    rules.insert(*new, live);
                });
                state.truth.revoked.insert((script.who, *old), time);
                self.send(state, actor, Did::Modified(live.id, *new));
            }
            Do::Describe(rule) => {
                let Some(live) = state.live.get(rule).copied() else {
                    return;
                };
                let is_described = true;
                state.change_live(|rules| {
                    rules.insert(
                        *rule,
                        LiveRule {
                            is_described,
                            ..live
                        },
                    );
                });
                self.send(state, actor, Did::Described(live.id));
            }
            Do::Delete if state.deleted => {}
            Do::Delete if !state.is_referenced(&self.scenario) => {
                state.deleted = true;
                self.send(state, actor, Did::Deleted);
            }
            Do::Delete | Do::TryDelete => self.send(state, actor, Did::WasNotDeleted),
            Do::Rest => {
                state.clock += REST_MS;
                state.expire(self.fault);
            }
            Do::Apply(rules) => self.begin(state, Cause::Apply(rules.clone())),
        }
    }

    /// Answers one open call of an invocation at the earliest possible time.
    fn answer(&self, state: &mut State, index: usize, slot: usize, how: How) {
        let mut running = state.running.remove(index);
        let next = running.next.0.clone();
        let Some(asked) = open(&next, slot) else {
            return;
        };
        state.clock = state.clock.max(running.began + asked.after);
        let effect =
            |state: &mut State| state.answer(&self.scenario, self.fault, &running, &asked.ask);
        let answer = match how {
            How::Truly => effect(state),
            How::Stale => match state.stale() {
                Some(live) => Answer::Rules(live.clone()),
                None => return,
            },
            How::Refused => Answer::Conflict,
            How::Silently { effective } => {
                if effective {
                    effect(state);
                }
                Answer::Silence
            }
        };
        running.put(slot, Answered::new(state.clock - running.began, answer));
        running.next = Derived(self.next(&running));
        self.go_on(state, running);
    }

    /// Brings everything to rest. Then sweeps look until no rule is contested.
    fn close(&self, state: &mut State) {
        state.truth.lost = state.events.values().any(|it| !it.handled);
        for delivery in state.events.values_mut() {
            delivery.copies = 0;
        }
        state.truth.contested |= state.contested_until().is_some();
        for rest in RESTS_MS {
            state.clock += rest;
            self.sweep_to_the_end(state);
        }
        for _ in 0..FIGHT_SWEEPS_MAX {
            let Some(until) = state.contested_until() else {
                break;
            };
            state.clock = until + 1_000;
            self.sweep_to_the_end(state);
        }
        state.at_rest = true;
    }

    fn sweep_to_the_end(&self, state: &mut State) {
        state.before = None;
        self.begin(state, Cause::Sweep);
        while let Some(Next::Asks(asks)) = state.running.first().map(|it| &*it.next.0) {
            let Some(slot) = asks.first().map(|asked| asked.slot) else {
                break;
            };
            self.answer(state, 0, slot, How::Truly);
        }
    }
}

enum How {
    Truly,
    Stale,
    /// Because of another transaction.
    Refused,
    Silently {
        effective: bool,
    },
}

fn open(next: &Next, slot: usize) -> Option<&Asked> {
    match next {
        Next::Asks(asks) => asks.iter().find(|asked| asked.slot == slot),
        Next::Ends { .. } => None,
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::of(&self.scenario)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let bounds = &self.scenario.bounds;
        for (actor, script) in self.scenario.actors.iter().enumerate() {
            if self.may_step(state, actor) {
                actions.push(Action::Act(actor));
            }
            let progress = &state.actors[actor];
            let under_way = (1..script.steps.len()).contains(&progress.done);
            if script.may_stop && under_way && !progress.stopped {
                actions.push(Action::Stop(actor));
            }
        }
        let room = state.running.len() < bounds.running;
        if room {
            let waiting = state.events.iter().filter(|(_, it)| it.copies > 0);
            actions.extend(waiting.map(|(event, _)| Action::Deliver(event.clone())));
            if state.remaining.sweeps > 0 {
                actions.push(Action::Sweep);
            }
        }
        for (index, running) in state.running.iter().enumerate() {
            let Next::Asks(asks) = &*running.next.0 else {
                continue;
            };
            if state.remaining.crashes > 0 {
                actions.push(Action::Crash(index, None));
            }
            for Asked { slot, after, ask } in asks {
                let time = state.clock.max(running.began + after);
                if !self.may_reach(state, time) {
                    continue;
                }
                actions.push(Action::Answer(index, *slot));
                let lags = state.remaining.stale_reads > 0 && *ask == Ask::Rules;
                if lags && time == state.clock && state.stale().is_some() {
                    actions.push(Action::AnswerStale(index, *slot));
                }
                if state.remaining.silences > 0 {
                    actions.push(Action::Silence(index, *slot, false));
                }
                if ask.writes() && state.remaining.conflicts > 0 {
                    actions.push(Action::Conflict(index, *slot));
                }
                if ask.changes_something() {
                    if state.remaining.silences > 0 {
                        actions.push(Action::Silence(index, *slot, true));
                    }
                    if state.remaining.crashes > 0 {
                        actions.push(Action::Crash(index, Some(*slot)));
                    }
                }
            }
        }
        for (pause, remaining) in state.remaining.pauses.iter().enumerate() {
            if *remaining && self.may_reach(state, state.clock + bounds.pauses_ms[pause]) {
                actions.push(Action::Pause(pause));
            }
        }
        if self.may_close(state) {
            actions.push(Action::Close);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Act(actor) => self.act(&mut state, actor),
            Action::Stop(actor) => {
                state.actors[actor].stopped = true;
                state.actors[actor].due = None;
            }
            Action::Deliver(event) => {
                state.events.get_mut(&event)?.copies -= 1;
                state.at_rest = false;
                self.begin(&mut state, Cause::Event(event));
            }
            Action::Sweep => {
                state.remaining.sweeps -= 1;
                self.begin(&mut state, Cause::Sweep);
            }
            Action::Answer(index, slot) => self.answer(&mut state, index, slot, How::Truly),
            Action::AnswerStale(index, slot) => {
                state.remaining.stale_reads -= 1;
                self.answer(&mut state, index, slot, How::Stale);
            }
            Action::Silence(index, slot, effective) => {
                state.remaining.silences -= 1;
                state.truth.mishaps += 1;
                self.answer(&mut state, index, slot, How::Silently { effective });
            }
            Action::Conflict(index, slot) => {
                state.remaining.conflicts -= 1;
                self.answer(&mut state, index, slot, How::Refused);
            }
            Action::Crash(index, slot) => {
                state.remaining.crashes -= 1;
                state.truth.mishaps += 1;
                let running = state.running.remove(index);
                if let Some(asked) = slot.and_then(|slot| open(&running.next.0, slot)) {
                    state.clock = state.clock.max(running.began + asked.after);
                    state.answer(&self.scenario, self.fault, &running, &asked.ask);
                }
                self.end(&mut state, &running.cause, false);
            }
            Action::Pause(pause) => {
                state.remaining.pauses[pause] = false;
                state.clock += self.scenario.bounds.pauses_ms[pause];
            }
            Action::Close => self.close(&mut state),
        }
        // The group before its last change matters only while a read may still show it.
        if state.remaining.stale_reads == 0 || state.stale().is_none() {
            state.before = None;
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties()
    }
}
