//! Runs the real code again from its start, over ports that answer from a list.
//!
//! The cause of an invocation and its answers so far decide what it does next. So an invocation in progress is stored
//! as these answers. To learn its next calls, it is run from the beginning: each call gets its answer at the time when
//! it was given, and the first calls without an answer are the next calls. The time is the runtime's paused clock,
//! which advances by itself when everything waits.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::Instant;

use super::scenario::{Did, EventSpec, INVOCATION_MS, NEW_TEXT, Rule, at};
use crate::decide::changes::GroupState;
use crate::decide::guardrail::Entries;
use crate::decide::plan::Batch;
use crate::desired::DesiredRecord;
use crate::event::{Call, Evidence, GroupLocator, Lookup, Trigger, TriggerKind};
use crate::fakes::{NO_GUARDRAILS, group, refused, settings};
use crate::model::{
    ActualRule, ActualRules, GroupAddress, GroupId, GroupRange, IngressRule, PrefixListId, RuleId,
    RuleKey, Scope, Tags,
};
use crate::ports::{
    ApiError, Authorized, Budget, Calls, DesiredPage, Failure, GroupMarks, Loaded, NewGeneration,
    SecurityGroups, Table, WriteError,
};
use crate::probe::{Fault, is_made};
use crate::reconcile::{MissingReferences, World, reconcile, write_decision};
use crate::report::incident::Incident;
use crate::sweep::{Bounds, sweep};

/// The live rules of the group.
pub(super) type Live = BTreeMap<Rule, LiveRule>;

/// A live rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LiveRule {
    pub(super) id: u8,
    /// Whether it has the new description.
    pub(super) is_described: bool,
}

/// A group with a state item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// The group with the record.
    Kept,
    /// A group to which rules refer.
    Referenced,
}

impl Place {
    fn of(address: &GroupAddress) -> Self {
        match address.id == group().id {
            true => Self::Kept,
            false => Self::Referenced,
        }
    }
}

/// What started an invocation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Cause {
    Event(EventSpec),
    Sweep,
    /// An operator writes a record of these rules.
    Apply(Vec<Rule>),
}

/// A call that waits for its answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ask {
    Load(Place),
    Rules,
    Authorize(Vec<IngressRule>),
    Groups(BTreeSet<GroupId>),
    Records,
    GroupMarks,
    Write(Box<NewGeneration>),
    Save(Place, Box<GroupState>),
    /// Which groups have a live rule that refers to the referenced group.
    Referring,
}

impl Ask {
    pub(super) fn changes_something(&self) -> bool {
        matches!(self, Self::Authorize(_)) || self.writes()
    }

    /// Whether it writes to the table.
    pub(super) fn writes(&self) -> bool {
        matches!(self, Self::Write(_) | Self::Save(..))
    }
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Loaded(Option<Arc<DesiredRecord>>, Option<Arc<GroupState>>),
    Rules(Arc<Live>),
    Authorized(Vec<(Rule, u8)>),
    Refused(&'static str),
    Groups(BTreeSet<GroupId>),
    Records(Arc<DesiredRecord>),
    GroupMarks {
        open: bool,
    },
    Written(u64),
    LostRace,
    StateChanged,
    Saved(bool),
    Referring(BTreeSet<GroupId>),
    /// The table is busy with another transaction. Nothing was written.
    Conflict,
    /// No answer came. The call may have worked.
    Silence,
}

/// An answer, its time in milliseconds from the start of the invocation, and a digest of both.
#[derive(Debug, Clone)]
pub(super) struct Answered {
    after: u64,
    answer: Answer,
    digest: u64,
}

impl Answered {
    pub(super) fn new(after: u64, answer: Answer) -> Self {
        let digest = digest(&(after, &answer));
        Self {
            after,
            answer,
            digest,
        }
    }
}

impl PartialEq for Answered {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Answered {}

impl Hash for Answered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

pub(super) fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// An open call: its number among all calls of the invocation, and its time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) slot: usize,
    pub(super) after: u64,
    pub(super) ask: Ask,
}

/// What an invocation does next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    Asks(Vec<Asked>),
    /// The invocation ends. If it failed for a retryable reason, Lambda calls again.
    Ends {
        retryable: bool,
    },
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ends { .. } => write!(f, "nothing more"),
            Self::Asks(asks) => {
                let texts: Vec<String> = asks.iter().map(ToString::to_string).collect();
                write!(f, "{}", texts.join(" and "))
            }
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.ask {
            Ask::Load(Place::Kept) => "for record and state".to_owned(),
            Ask::Load(Place::Referenced) => "for the state of the referenced group".to_owned(),
            Ask::Rules => "for the rules".to_owned(),
            Ask::Authorize(rules) => {
                let rules = rules.iter().map(|rule| rule.key.to_string());
                let rules: Vec<String> = rules.collect();
                format!("to authorize {}", rules.join(", "))
            }
            Ask::Groups(_) => "which groups exist".to_owned(),
            Ask::Records | Ask::GroupMarks => "what there is to sweep".to_owned(),
            Ask::Write(change) => format!("to write generation {}", change.record.generation),
            Ask::Save(Place::Kept, state) => {
                format!("to write the state after revision {}", state.revision)
            }
            Ask::Save(Place::Referenced, _) => "to note a deletion".to_owned(),
            Ask::Referring => "which groups refer to the referenced one".to_owned(),
        };
        write!(f, "{what} ({}, after {} ms)", self.slot, self.after)
    }
}

/// Runs an invocation that began at this time, as far as its answers reach.
pub(super) fn replay(
    cause: &Cause,
    began: u64,
    log: &[Option<Answered>],
    rules: &[RuleKey],
    template: &DesiredRecord,
) -> Next {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    fastrand::seed(7);
    runtime.block_on(async {
        BEGAN.set(Some((began, Instant::now())));
        let script = Script {
            log,
            rules,
            began: Instant::now(),
            slots: Cell::new(0),
            asked: RefCell::default(),
            cause,
        };
        let run = run(&script, cause, template);
        tokio::select! {
            biased;
            retryable = run => Next::Ends { retryable },
            // The paused clock advances until something is due. This is due only if the invocation waits for an answer.
            () = tokio::time::sleep(Duration::from_millis(20 * INVOCATION_MS)) => {
                Next::Asks(script.asked.take())
            }
        }
    })
}

async fn run(script: &Script<'_>, cause: &Cause, template: &DesiredRecord) -> bool {
    let (missing, calls) = (MissingReferences::default(), Calls::default());
    let world = World {
        ec2: script,
        table: script,
        calls: &calls,
        missing: &missing,
        never: &NO_GUARDRAILS,
        settings: settings(),
        without_role: false,
        spares_reads: false,
        now,
    };
    // A lookup that the model has not answered yet is not to be given up while the clock advances.
    let budget = Budget {
        bookkeeping_max: Duration::from_millis(40 * INVOCATION_MS),
        ..Budget::of(Duration::from_millis(INVOCATION_MS))
    };
    match cause {
        Cause::Event(event) => {
            let lookup = lookup(event, script.rules);
            reconcile(world, &lookup, budget).await.retryable
        }
        Cause::Sweep => {
            let trigger = Trigger {
                kind: TriggerKind::Sweep,
                ..Trigger::default()
            };
            let report = sweep(
                world,
                &group().scope,
                &trigger,
                &Bounds::default(),
                budget,
                &|_, _| {},
            )
            .await;
            report.is_retryable()
        }
        Cause::Apply(rules) => {
            // An operator that lost a race repeats the command, as its message says.
            apply(script, rules, template).await.is_err()
        }
    }
}

/// What `rulekeeper apply` does with a record of these rules.
async fn apply(
    script: &Script<'_>,
    wanted: &[Rule],
    template: &DesiredRecord,
) -> Result<(), WriteError> {
    let loaded = script.load(&group()).await.map_err(WriteError::Api)?;
    let item = loaded.desired.expect("a group of the model has a record");
    let before = DesiredRecord::from_json(&item, &group().scope.account);
    let before = before.expect("it can be read").record;
    let wanted = wanted
        .iter()
        .map(|rule| script.rules[usize::from(*rule)].clone());
    let record = DesiredRecord {
        generation: before.generation + 1,
        rules: wanted
            .map(|key| (key.clone(), IngressRule::bare(key)))
            .collect(),
        updated_at: Some(now()),
        updated_by: Some("operator".to_owned()),
        reason: Some("applied record.yaml".to_owned()),
        ..template.clone()
    };
    if record.same_content(&before) {
        return Ok(());
    }
    let is_in_both =
        |rule: &&RuleKey| record.rules.contains_key(*rule) && before.rules.contains_key(*rule);
    let decided: BTreeSet<RuleKey> = record
        .rules
        .keys()
        .chain(before.rules.keys())
        .filter(|rule| !is_in_both(rule))
        .cloned()
        .collect();
    let change = NewGeneration {
        address: group(),
        record: record.clone(),
        replaces: Some(item),
        state: GroupState::default(),
    };
    let write = async |mut state: GroupState| {
        state.note_ids(&record.rules, &ActualRules::default(), now());
        let change = NewGeneration {
            state,
            ..change.clone()
        };
        script.write(&change).await
    };
    write_decision(script, &group(), loaded.state, &decided, now(), write).await?;
    Ok(())
}

impl Did {
    /// The group whose state holds what is known of it.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Deleted | Self::WasNotDeleted => Place::Referenced,
            _ => Place::Kept,
        }
    }
}

/// What an event tells.
pub(super) fn lookup(event: &EventSpec, rules: &[RuleKey]) -> Lookup {
    let key = |rule: &Rule| rules[usize::from(*rule)].clone();
    let mut evidence = Evidence::default();
    let call = match &event.did {
        Did::Revoked(rule, id) => {
            evidence.revoked.insert(key(rule), id.map(rule_id));
            evidence.revoked_ids.extend(id.map(rule_id));
            Call::Revoke
        }
        Did::Authorized(rule, id) => {
            evidence.authorized.insert(key(rule), id.map(rule_id));
            Call::Authorize
        }
        Did::WasRefused(rule) => {
            evidence.asked.insert(key(rule));
            Call::RefusedAuthorize
        }
        Did::WasThrottled(rule) => {
            evidence.asked.insert(key(rule));
            Call::TriedAuthorize
        }
        Did::Modified(id, rule) => {
            evidence.modified.insert(rule_id(*id), Some(key(rule)));
            Call::Modify
        }
        Did::Described(id) => {
            let text = Some(NEW_TEXT.to_owned());
            evidence.described_ids.insert(rule_id(*id), text);
            Call::Describe
        }
        Did::Deleted => Call::Delete,
        Did::WasNotDeleted => Call::RefusedDelete,
    };
    let referenced = || rules.iter().find_map(RuleKey::referenced_group);
    let about = match event.did.place() {
        Place::Kept => group().id,
        Place::Referenced => referenced().expect("a referenced group").group_id.clone(),
    };
    Lookup {
        scope: group().scope,
        group: GroupLocator::Id(about),
        trigger: Trigger {
            kind: TriggerKind::Event,
            event_id: Some(format!("{event:?}")),
            event_name: None,
            event_time: Some(at(event.at)),
            principal: Some(event.by.arn().to_owned()),
            ..Trigger::default()
        },
        call: Some(call),
        evidence,
    }
}

pub(super) fn rule_id(id: u8) -> RuleId {
    format!("sgr-{id:017x}").parse().expect("a rule id")
}

thread_local! {
    /// The start of the present invocation, on the model's clock and on the runtime's.
    static BEGAN: Cell<Option<(u64, Instant)>> = const { Cell::new(None) };
}

fn now() -> Timestamp {
    let (began, instant) = BEGAN.get().expect("set when a replay begins");
    at(began) + SignedDuration::try_from(instant.elapsed()).expect("a short time")
}

/// Both ports.
struct Script<'a> {
    log: &'a [Option<Answered>],
    rules: &'a [RuleKey],
    began: Instant,
    slots: Cell<usize>,
    asked: RefCell<Vec<Asked>>,
    cause: &'a Cause,
}

impl Script<'_> {
    async fn ask(&self, ask: Ask) -> Answer {
        let slot = self.slots.get();
        self.slots.set(slot + 1);
        match self.log.get(slot) {
            Some(Some(answered)) => {
                let then = self.began + Duration::from_millis(answered.after);
                tokio::time::sleep_until(then).await;
                answered.answer.clone()
            }
            _ => {
                let after = self.began.elapsed() + Duration::from_nanos(999_999);
                let after = u64::try_from(after.as_millis()).expect("a short time");
                self.asked.borrow_mut().push(Asked { slot, after, ask });
                std::future::pending().await
            }
        }
    }

    /// The record, or a record with the rules of the event if that mistake is made.
    fn with_named(&self, record: &DesiredRecord) -> DesiredRecord {
        let mut record = record.clone();
        if let Cause::Event(EventSpec {
            did: Did::Revoked(rule, _),
            ..
        }) = self.cause
            && is_made(Fault::RecordsHoldWhatEventsName)
        {
            let key = self.rules[usize::from(*rule)].clone();
            record.rules.insert(key.clone(), IngressRule::bare(key));
        }
        record
    }

    fn actual(&self, live: &Live) -> ActualRules {
        actual(live, self.rules)
    }
}

/// A read of live rules.
pub(super) fn actual(live: &Live, rules: &[RuleKey]) -> ActualRules {
    let rules = live.iter().map(|(rule, live)| ActualRule {
        id: Some(rule_id(live.id)),
        key: rules[usize::from(*rule)].clone(),
        description: live.is_described.then(|| NEW_TEXT.to_owned()),
        tags: Tags::new(),
        reference_owner_unknown: false,
    });
    ActualRules::new(rules, Vec::new())
}

fn conflict() -> ApiError {
    refused("TransactionConflictException")
}

fn silence() -> ApiError {
    ApiError {
        failure: Failure::NoAnswer,
        ..refused("")
    }
}

fn unasked(answer: &Answer) -> ! {
    unreachable!("the model answered another question: {answer:?}")
}

impl SecurityGroups for Script<'_> {
    async fn ingress_rules(
        &self,
        groups: &[GroupId],
    ) -> Result<BTreeMap<GroupId, ActualRules>, ApiError> {
        // The referenced group has no rules.
        if !groups.contains(&group().id) {
            return Ok(BTreeMap::new());
        }
        match self.ask(Ask::Rules).await {
            Answer::Rules(live) => Ok(BTreeMap::from([(group().id, self.actual(&live))])),
            Answer::Silence => Err(silence()),
            other => unasked(&other),
        }
    }

    async fn described_rules(
        &self,
        _: &[GroupId],
    ) -> Result<BTreeMap<GroupId, BTreeSet<RuleKey>>, ApiError> {
        unreachable!("nobody watches in the model")
    }

    async fn authorize_ingress(
        &self,
        _: &GroupId,
        batch: &Batch,
    ) -> Result<Vec<Authorized>, ApiError> {
        match self.ask(Ask::Authorize(batch.rules.clone())).await {
            Answer::Authorized(made) => Ok(made
                .into_iter()
                .map(|(rule, id)| Authorized {
                    key: self.rules[usize::from(rule)].clone(),
                    id: Some(rule_id(id)),
                })
                .collect()),
            Answer::Refused(code) => Err(refused(code)),
            Answer::Silence => Err(silence()),
            other => unasked(&other),
        }
    }

    async fn existing_groups(
        &self,
        groups: &BTreeSet<GroupId>,
    ) -> Result<BTreeMap<GroupId, String>, ApiError> {
        match self.ask(Ask::Groups(groups.clone())).await {
            Answer::Groups(existing) => {
                let groups = existing.into_iter();
                Ok(groups.map(|group| (group, String::new())).collect())
            }
            other => unasked(&other),
        }
    }

    async fn groups_referring_to(&self, _: &GroupId) -> Result<BTreeSet<GroupId>, ApiError> {
        match self.ask(Ask::Referring).await {
            Answer::Referring(groups) => Ok(groups),
            Answer::Silence => Err(silence()),
            other => unasked(&other),
        }
    }

    async fn prefix_lists(
        &self,
        _: &BTreeSet<PrefixListId>,
    ) -> Result<BTreeMap<PrefixListId, u32>, ApiError> {
        Ok(BTreeMap::new())
    }

    async fn prefix_list_entries(&self, _: &BTreeSet<PrefixListId>) -> Result<Entries, ApiError> {
        Ok(Entries::new())
    }

    async fn default_vpc_group(&self, _: &str) -> Result<Option<GroupId>, ApiError> {
        Ok(None)
    }
}

impl Table for Script<'_> {
    async fn load(&self, address: &GroupAddress) -> Result<Loaded, ApiError> {
        match self.ask(Ask::Load(Place::of(address))).await {
            Answer::Loaded(record, state) => Ok(Loaded {
                desired: record.map(|it| Value::Object(self.with_named(&it).to_json())),
                state: state.map(|state| Value::Object(state.to_json())),
                settings: None,
            }),
            Answer::Silence => Err(silence()),
            other => unasked(&other),
        }
    }

    async fn desired_page(&self, _: &Scope, _: &GroupRange) -> Result<DesiredPage, ApiError> {
        match self.ask(Ask::Records).await {
            Answer::Records(record) => Ok(DesiredPage {
                items: vec![(group().id.to_string(), Value::Object(record.to_json()))],
                last: None,
            }),
            other => unasked(&other),
        }
    }

    async fn marks(&self, _: &Scope, _: &GroupRange) -> Result<GroupMarks, ApiError> {
        match self.ask(Ask::GroupMarks).await {
            Answer::GroupMarks { open } => Ok(GroupMarks {
                orphaned: BTreeSet::new(),
                open: open.then(|| group().id).into_iter().collect(),
            }),
            other => unasked(&other),
        }
    }

    async fn mark_orphaned(&self, _: &GroupAddress, _: &str) -> Result<(), ApiError> {
        Ok(())
    }

    async fn write(&self, change: &NewGeneration) -> Result<u64, WriteError> {
        let group = change.address.clone();
        match self.ask(Ask::Write(Box::new(change.clone()))).await {
            Answer::Written(generation) => Ok(generation),
            Answer::LostRace => Err(WriteError::LostRace { group }),
            Answer::StateChanged => Err(WriteError::StateChanged { group }),
            Answer::Conflict => Err(WriteError::Api(conflict())),
            Answer::Silence => Err(WriteError::Api(silence())),
            other => unasked(&other),
        }
    }

    async fn save_state(&self, at: &GroupAddress, state: &GroupState) -> Result<bool, ApiError> {
        let state = Box::new(state.clone());
        match self.ask(Ask::Save(Place::of(at), state)).await {
            Answer::Saved(saved) => Ok(saved),
            Answer::Conflict => Err(conflict()),
            Answer::Silence => Err(silence()),
            other => unasked(&other),
        }
    }

    /// No decision depends on incidents, so writing one is not a step of the model.
    async fn record_incident(&self, _: &Incident) -> Result<(), ApiError> {
        Ok(())
    }
}
