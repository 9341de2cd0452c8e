//! The promises, and the ends that must be reached so that the promises mean something.

use std::sync::Arc;

use stateright::{Model, Property};

use super::protocol::Protocol;
use super::scenario::{NEW_TEXT, Rule};
use super::state::{Broken, State};
use crate::decide::changes::GroupState;

pub(super) const A: &str = "(a) nothing is authorized that no current generation held";
pub(super) const B: &str = "(b) no valid rule stays missing that is not held";
pub(super) const C: &str = "(c) a change that is meant ends accepted and stays";
pub(super) const D: &str = "(d) a change that is aborted ends restored";
pub(super) const E: &str = "(e) a fight ends contested, and no invocation goes on for ever";
pub(super) const F: &str = "(f) no rule leaves the record without an author who took it away";
pub(super) const G: &str = "(g) what was accepted within the wait never opens again";
pub(super) const H: &str = "(h) what its caller is known to be busy with stays closed meanwhile";
pub(super) const I: &str = "(i) what waits for a person stays closed and recorded";
pub(super) const J: &str = "(j) no event is a success before what it tells is known";
const STUCK: &str = "every run comes to rest";
const RESTED: &str = "every event is handled and everything comes to rest";
const FOUGHT: &str = "a fight ends contested";

pub(super) fn properties() -> Vec<Property<Protocol>> {
    vec![
        Property::always(A, |_, state: &State| {
            !state.broken.contains(&Broken::AuthorizedUnrecorded)
        }),
        Property::always(B, |model: &Protocol, state: &State| {
            !model.is_over(state) || state.missing(&model.scenario).is_empty()
        }),
        Property::always(C, |model: &Protocol, state: &State| {
            !model.went_well(state) || model.is_accepted(state)
        }),
        Property::always(D, |model: &Protocol, state: &State| {
            let mut restored = model.scenario.ends.restored.iter();
            !model.went_well(state) || restored.all(|rule| model.is_kept(state, *rule))
        }),
        Property::always(E, |_, state: &State| {
            !state.broken.contains(&Broken::UncountedFight)
                && !state.broken.contains(&Broken::Endless)
        }),
        Property::always(F, |_, state: &State| {
            !state.broken.contains(&Broken::LostRule)
        }),
        Property::always(G, |model: &Protocol, state: &State| {
            let mut accepted = model.scenario.ends.accepted.iter();
            !model.scenario.stays_closed
                || !model.went_well(state)
                || accepted.all(|rule| !state.truth.restored.contains_key(rule))
        }),
        Property::always(H, |model: &Protocol, state: &State| {
            let ends = &model.scenario.ends;
            let is_in_vain = model.went_well(state) && ends.deleted && !state.deleted;
            !is_in_vain && !state.broken.contains(&Broken::NotWithheld)
        }),
        Property::always(I, |model: &Protocol, state: &State| {
            let mut pending = model.scenario.ends.pending.iter();
            !model.went_well(state) || pending.all(|rule| model.is_pending(state, *rule))
        }),
        Property::always(J, |_, state: &State| {
            !state.broken.contains(&Broken::LostFact)
        }),
        Property::always(STUCK, |model: &Protocol, state: &State| {
            let mut actions = Vec::new();
            model.actions(state, &mut actions);
            state.at_rest || !actions.is_empty()
        }),
        Property::sometimes(RESTED, |model: &Protocol, state: &State| {
            model.went_well(state)
        }),
        Property::sometimes(FOUGHT, |model: &Protocol, state: &State| {
            !model.scenario.fights || model.went_well(state) && state.truth.contested
        }),
    ]
}

impl Protocol {
    /// Everything is at rest, and nobody has a step left.
    fn is_over(&self, state: &State) -> bool {
        state.at_rest && self.is_quiet(state)
    }

    /// The run is over, everybody took all steps, and every event was handled.
    fn went_well(&self, state: &State) -> bool {
        let mut actors = state.actors.iter();
        self.is_over(state) && !state.truth.lost && actors.all(|progress| !progress.stopped)
    }

    fn is_accepted(&self, state: &State) -> bool {
        let ends = &self.scenario.ends;
        // We may have restored the rule before we knew of the revoke. It stays live then, because we never revoke.
        let gone = |rule: &Rule| {
            let stays = state.live.contains_key(rule);
            !state.holds(&self.scenario, *rule)
                && (!stays || state.truth.restored.contains_key(rule))
        };
        ends.accepted.iter().all(gone)
            && ends.entered.iter().all(|rule| self.is_kept(state, *rule))
            && ends
                .described
                .iter()
                .all(|rule| self.is_described(state, *rule))
    }

    /// The new description is live and recorded.
    fn is_described(&self, state: &State, rule: Rule) -> bool {
        let recorded = state.record().rules.get(self.scenario.key(rule));
        let recorded = recorded.and_then(|rule| rule.description.as_deref());
        let live = state.live.get(&rule);
        recorded == Some(NEW_TEXT) && live.is_some_and(|rule| rule.is_described)
    }

    fn is_pending(&self, state: &State, rule: Rule) -> bool {
        let key = self.scenario.key(rule);
        let pends = |memory: &Arc<GroupState>| memory.pending.contains_key(key);
        let is_live = state.live.contains_key(&rule);
        !is_live && state.holds(&self.scenario, rule) && state.memory.as_ref().is_some_and(pends)
    }

    fn is_kept(&self, state: &State, rule: Rule) -> bool {
        state.live.contains_key(&rule) && state.holds(&self.scenario, rule)
    }
}
