//! A group on which principals act, and looks at it, without any I/O.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::desired::{Policy, Principal};
use crate::event::{Call, Evidence};
use crate::fakes::{key, now, record};
use crate::model::{ActualRule, GroupId, RuleId, Tags};

mod conditions;
mod orders;
mod remembered;
mod rows;
mod stories;

const TERRAFORM: &str = "arn:aws:iam::111122223333:role/terraform";
const LBC: &str = "arn:aws:iam::111122223333:role/lbc";
const ACK: &str = "arn:aws:iam::111122223333:role/ack";
const BOT: &str = "arn:aws:iam::111122223333:role/bot";
const STRANGER: &str = "arn:aws:iam::111122223333:role/stranger";

fn listed() -> Vec<Principal> {
    let entry = |arn: &str, policy| Principal {
        arn: arn.to_owned(),
        policy,
        settle_seconds: None,
    };
    vec![
        entry(TERRAFORM, Policy::Accept),
        entry(LBC, Policy::Follow),
        entry(ACK, Policy::Follow),
        entry(BOT, Policy::Release),
    ]
}

/// A group with its record, and what is known of it.
#[derive(Debug, Clone)]
struct Scene {
    record: DesiredRecord,
    listed: Vec<Principal>,
    live: BTreeMap<RuleKey, (RuleId, Option<String>)>,
    state: GroupState,
    clock: Timestamp,
    ids: u32,
    /// Whether events name the ids of rules.
    tells_ids: bool,
    /// Every rule that a look restored.
    restored: Vec<RuleKey>,
    notices: Vec<String>,
}

impl Scene {
    fn of(rules: &[&str]) -> Self {
        let mut scene = Self {
            record: record(rules),
            listed: listed(),
            live: BTreeMap::new(),
            state: GroupState::default(),
            clock: second(now()),
            ids: 0,
            tells_ids: true,
            restored: Vec::new(),
            notices: Vec::new(),
        };
        for rule in scene.record.rules.clone().into_keys() {
            scene.open(&rule);
        }
        for rule in scene.record.rules.values_mut() {
            rule.description = None;
        }
        scene.look(&[]);
        scene
    }

    fn open(&mut self, rule: &RuleKey) -> RuleId {
        self.ids += 1;
        let id: RuleId = format!("sgr-{:08x}", self.ids).parse().expect("an id");
        self.live.insert(rule.clone(), (id.clone(), None));
        id
    }

    fn pass(&mut self, seconds: i64) {
        self.clock += SignedDuration::from_secs(seconds);
    }

    fn call(&self, by: &str, call: Call, evidence: Evidence) -> KnownCall {
        KnownCall {
            at: second(self.clock),
            by: by.to_owned(),
            person: None,
            call,
            reference: None,
            evidence,
        }
    }

    fn revoke(&mut self, by: &str, rules: &[&str]) -> KnownCall {
        let mut evidence = Evidence::default();
        for rule in rules {
            let (id, _) = self.live.remove(&key(rule)).expect("live");
            let id = self.tells_ids.then_some(id);
            evidence.revoked_ids.extend(id.clone());
            evidence.revoked.insert(key(rule), id);
        }
        self.call(by, Call::Revoke, evidence)
    }

    fn authorize(&mut self, by: &str, rules: &[&str]) -> KnownCall {
        let mut evidence = Evidence::default();
        for rule in rules {
            let id = self.open(&key(rule));
            let id = self.tells_ids.then_some(id);
            evidence.authorized.insert(key(rule), id);
        }
        self.call(by, Call::Authorize, evidence)
    }

    fn attempt(&self, by: &str, call: Call, rules: &[&str]) -> KnownCall {
        let evidence = Evidence {
            asked: rules.iter().map(|rule| key(rule)).collect(),
            ..Evidence::default()
        };
        self.call(by, call, evidence)
    }

    fn modify(&mut self, by: &str, old: &str, new: &str) -> KnownCall {
        let (id, text) = self.live.remove(&key(old)).expect("live");
        self.live.insert(key(new), (id.clone(), text));
        let evidence = Evidence {
            modified: BTreeMap::from([(id, Some(key(new)))]),
            ..Evidence::default()
        };
        self.call(by, Call::Modify, evidence)
    }

    fn deletion(&self, by: &str, call: Call, reference: Option<&str>) -> KnownCall {
        let reference = reference.map(|id| id.parse::<GroupId>().expect("an id"));
        KnownCall {
            reference,
            ..self.call(by, call, Evidence::default())
        }
    }

    fn actual(&self) -> ActualRules {
        let rules = self
            .live
            .iter()
            .map(|(rule, (id, description))| ActualRule {
                id: Some(id.clone()),
                key: rule.clone(),
                description: description.clone(),
                tags: Tags::new(),
                reference_owner_unknown: false,
            });
        ActualRules::new(rules, Vec::new())
    }

    /// Looks at the group with these calls at hand, as an invocation does.
    fn look(&mut self, calls: &[KnownCall]) {
        for _ in 0..8 {
            let judgement = self.judged(calls);
            self.notices.extend(judgement.notices);
            self.state = judgement.state;
            let Some(revision) = judgement.revision else {
                for (rule, verdict) in judgement.verdicts {
                    if matches!(verdict, Verdict::Restore(_)) && !self.live.contains_key(&rule) {
                        let id = self.open(&rule);
                        self.state.note_restored(&rule, self.clock, Some(id));
                        self.restored.push(rule);
                    }
                }
                let actual = self.actual();
                self.state.note_ids(&self.record.rules, &actual, self.clock);
                return;
            };
            self.record.rules = revision.rules;
            self.record.generation += 1;
        }
        panic!("it is judged without end: {self:#?}");
    }

    fn judged(&self, calls: &[KnownCall]) -> Judgement {
        let mut state = self.state.clone();
        for call in calls {
            state.note_call(call.clone(), self.clock);
        }
        let mut state = state.pruned(self.clock);
        let actual = self.actual();
        state.note_ids(&self.record.rules, &actual, self.clock);
        let situation = Situation {
            record: &self.record,
            principals: Principals {
                of_record: &self.listed,
                settle_of_record: None,
                of_all: &[],
                settle_of_all: None,
                cause_wait_of_record: None,
                cause_wait_of_all: None,
            },
            actual: &actual,
            now: self.clock,
            call: calls.last(),
        };
        judge(situation, state)
    }

    fn verdict(&self, rule: &str) -> Verdict {
        let mut verdicts = self.judged(&[]).verdicts;
        verdicts.remove(&key(rule)).expect("a rule of the record")
    }

    /// Sweeps after every wait is over.
    fn rest(&mut self) {
        for seconds in [10, 600, 16 * 60, 3_700] {
            self.pass(seconds);
            self.look(&[]);
        }
    }

    fn summary(&self) -> String {
        format!(
            "recorded {:?}, live {:?}, restored {:?}, removed {:?}, {:#?}, {:#?}",
            self.recorded(),
            self.open_rules(),
            self.restored,
            self.state.removed.keys().collect::<Vec<_>>(),
            self.state.calls,
            self.state.returned,
        )
    }

    fn recorded(&self) -> Vec<String> {
        self.record.rules.keys().map(ToString::to_string).collect()
    }

    fn open_rules(&self) -> Vec<String> {
        self.live.keys().map(ToString::to_string).collect()
    }
}
