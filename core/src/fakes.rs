//! In-memory ports that hold state and fail on request.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::decide::changes::GroupState;
use crate::decide::guardrail::{Entries, Guardrails};
use crate::decide::plan::Batch;
use crate::desired::{DesiredRecord, Mode};
use crate::model::{
    AccountId, ActualRule, ActualRules, GroupAddress, GroupId, GroupRange, IngressRule,
    PrefixListId, RuleId, RuleKey, Scope, Source, Tags,
};
use crate::ports::{
    ApiError, Authorized, Calls, DesiredPage, Failure, GroupMarks, KnownScopes, Loaded,
    NewGeneration, SecurityGroups, Table, WriteError,
};
use crate::reconcile::{MissingReferences, Settings, World};
use crate::report::incident::Incident;

pub fn key(rule: &str) -> RuleKey {
    rule.parse().expect("rule notation")
}

pub fn group() -> GroupAddress {
    let scope = Scope {
        account: account(),
        region: "eu-west-1".parse().expect("a Region"),
    };
    GroupAddress {
        scope,
        id: "sg-0000000000000000a".parse().expect("a group id"),
    }
}

pub fn account() -> AccountId {
    "111122223333".parse().expect("twelve digits")
}

/// A record of these rules. A `!` before a rule gives it priority 1; `#tag` after it gives it a tag.
pub fn record(rules: &[&str]) -> DesiredRecord {
    let rules = rules.iter().map(|text| {
        let (text, tags) = match text.split_once(" #") {
            Some((rule, tags)) => (
                rule,
                tags.split(',')
                    .map(|tag| (tag.to_owned(), "x".to_owned()))
                    .collect(),
            ),
            None => (*text, Tags::new()),
        };
        let priority = i64::from(text.starts_with('!'));
        let key = key(text.trim_start_matches('!'));
        (
            key.clone(),
            IngressRule {
                tags,
                priority,
                ..IngressRule::bare(key)
            },
        )
    });
    DesiredRecord {
        generation: 7,
        rules: rules.collect(),
        ..DesiredRecord::default()
    }
}

pub fn refused(code: &str) -> ApiError {
    ApiError {
        operation: "AuthorizeSecurityGroupIngress",
        failure: Failure::Refused {
            code: code.to_owned(),
        },
        message: format!("refused with {code}"),
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An EC2 with one group.
pub struct FakeEc2 {
    state: Mutex<State>,
    pub calls: Calls,
}

/// The fake's rules, and its faults. Tests reach it through [`FakeEc2::state`].
pub struct State {
    pub live: BTreeMap<RuleKey, ActualRule>,
    pub groups: BTreeSet<GroupId>,
    /// Groups that rules can reference and that our describe does not show, like another account's.
    pub hidden_groups: BTreeSet<GroupId>,
    /// Groups that lie in another VPC.
    pub far_groups: BTreeSet<GroupId>,
    /// How many of the next authorizes with a referenced group do not know it yet.
    pub unknown_yet: usize,
    /// How many of the next describes of groups show none.
    pub lagging_groups: usize,
    /// How long lookups of groups take.
    pub slow_groups: std::time::Duration,
    /// Ids that make every read with them fail.
    pub malformed_groups: BTreeSet<GroupId>,
    pub prefix_lists: BTreeMap<PrefixListId, u32>,
    pub prefix_list_entries: Entries,
    pub default_vpc_groups: BTreeMap<String, GroupId>,
    pub quota: usize,
    /// Rules that are always refused, and the code.
    pub bad_rules: BTreeMap<RuleKey, &'static str>,
    /// Tag keys that are refused with `bad_tag_code`.
    pub bad_tags: BTreeSet<String>,
    pub bad_tag_code: &'static str,
    /// Errors of the next authorizes, and whether the call still takes effect.
    pub authorize_errors: VecDeque<(ApiError, bool)>,
    /// Rules that make every authorize with them end in a server error.
    pub stumbling: BTreeSet<RuleKey>,
    /// How long a read of rules takes for each group.
    pub read_takes: Duration,
    /// Errors of the next descriptions of groups with their rules.
    pub look_errors: VecDeque<ApiError>,
    /// Errors of the next reads of rules.
    pub read_errors: VecDeque<ApiError>,
    /// What the next reads show instead of what is live.
    pub stale_reads: VecDeque<Vec<ActualRule>>,
    /// Rules that somebody else adds just before the next authorize.
    pub rival: Vec<RuleKey>,
    /// Rules of every requested authorize, in order.
    pub asked: Vec<Vec<String>>,
    next_id: u64,
}

impl FakeEc2 {
    pub fn new(live: &[&str]) -> Self {
        let mut state = State {
            live: BTreeMap::new(),
            groups: BTreeSet::from([group().id]),
            hidden_groups: BTreeSet::new(),
            far_groups: BTreeSet::new(),
            unknown_yet: 0,
            lagging_groups: 0,
            slow_groups: std::time::Duration::ZERO,
            malformed_groups: BTreeSet::new(),
            prefix_lists: BTreeMap::new(),
            prefix_list_entries: Entries::new(),
            default_vpc_groups: BTreeMap::new(),
            quota: 60,
            bad_rules: BTreeMap::new(),
            bad_tags: BTreeSet::new(),
            bad_tag_code: "TagPolicyViolation",
            authorize_errors: VecDeque::new(),
            stumbling: BTreeSet::new(),
            read_takes: Duration::ZERO,
            look_errors: VecDeque::new(),
            read_errors: VecDeque::new(),
            stale_reads: VecDeque::new(),
            rival: Vec::new(),
            asked: Vec::new(),
            next_id: 0,
        };
        for rule in live {
            state.add(&key(rule), None, Tags::new());
        }
        Self {
            state: Mutex::new(state),
            calls: Calls::default(),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub fn read(&self) -> ActualRules {
        ActualRules::new(self.state().live.values().cloned(), Vec::new())
    }

    pub fn live(&self) -> Vec<String> {
        self.state().live.keys().map(ToString::to_string).collect()
    }

    pub fn called(&self, operation: &str) -> u64 {
        self.calls.counted().get(operation).copied().unwrap_or(0)
    }
}

impl State {
    pub fn add(&mut self, key: &RuleKey, description: Option<String>, tags: Tags) -> RuleId {
        self.next_id += 1;
        let id: RuleId = format!("sgr-{:017x}", self.next_id)
            .parse()
            .expect("a rule id");
        let rule = ActualRule {
            id: Some(id.clone()),
            key: key.clone(),
            description,
            tags,
            reference_owner_unknown: false,
        };
        self.live.insert(key.clone(), rule);
        id
    }

    /// Refuses an authorize as EC2 does.
    pub fn judge(&mut self, batch: &Batch) -> Result<(), ApiError> {
        if !self.groups.contains(&group().id) {
            return Err(refused("InvalidGroup.NotFound"));
        }
        if batch.tags.keys().any(|tag| self.bad_tags.contains(tag)) {
            return Err(refused(self.bad_tag_code));
        }
        for rule in &batch.rules {
            if let Some(code) = self.bad_rules.get(&rule.key) {
                return Err(refused(code));
            }
            match &rule.key.source {
                Source::ReferencedGroup(_) if self.unknown_yet > 0 => {
                    self.unknown_yet -= 1;
                    return Err(refused("InvalidGroup.NotFound"));
                }
                Source::ReferencedGroup(reference)
                    if !self.groups.contains(&reference.group_id)
                        && !self.hidden_groups.contains(&reference.group_id) =>
                {
                    return Err(refused("InvalidGroup.NotFound"));
                }
                Source::PrefixList(list) if !self.prefix_lists.contains_key(list) => {
                    return Err(refused("InvalidPrefixListID.NotFound"));
                }
                _ => {}
            }
            if self.live.contains_key(&rule.key) {
                return Err(refused("InvalidPermission.Duplicate"));
            }
        }
        let asked = batch.rules.iter().map(|rule| &rule.key);
        let weight = |rule: &RuleKey| match &rule.source {
            Source::PrefixList(list) => self
                .prefix_lists
                .get(list)
                .map_or(1, |weight| *weight as usize),
            _ => 1,
        };
        if self.live.keys().chain(asked).map(weight).sum::<usize>() > self.quota {
            return Err(refused("RulesPerSecurityGroupLimitExceeded"));
        }
        Ok(())
    }
}

impl SecurityGroups for FakeEc2 {
    async fn ingress_rules(
        &self,
        groups: &[GroupId],
    ) -> Result<BTreeMap<GroupId, ActualRules>, ApiError> {
        self.calls.count("DescribeSecurityGroupRules");
        let takes = self.state().read_takes;
        if !takes.is_zero() {
            tokio::time::sleep(takes * u32::try_from(groups.len()).unwrap_or(u32::MAX)).await;
        }
        let mut state = self.state();
        if let Some(error) = state.read_errors.pop_front() {
            return Err(error);
        }
        if groups
            .iter()
            .any(|group| state.malformed_groups.contains(group))
        {
            return Err(refused("InvalidGroupId.Malformed"));
        }
        let stale = state.stale_reads.pop_front();
        let rules = stale.unwrap_or_else(|| state.live.values().cloned().collect());
        let mut read: BTreeMap<_, _> = groups
            .iter()
            .map(|id| (id.clone(), ActualRules::default()))
            .collect();
        if groups.contains(&group().id) {
            read.insert(group().id, ActualRules::new(rules, Vec::new()));
        }
        Ok(read)
    }

    async fn described_rules(
        &self,
        groups: &[GroupId],
    ) -> Result<BTreeMap<GroupId, BTreeSet<RuleKey>>, ApiError> {
        self.calls.count("DescribeSecurityGroups");
        let mut state = self.state();
        if let Some(error) = state.look_errors.pop_front() {
            return Err(error);
        }
        if groups
            .iter()
            .any(|group| state.malformed_groups.contains(group))
        {
            return Err(refused("InvalidGroupId.Malformed"));
        }
        let existing = state.groups.iter().filter(|id| groups.contains(id));
        let rules = |id: &GroupId| match *id == group().id {
            true => state.live.keys().cloned().collect(),
            false => BTreeSet::new(),
        };
        Ok(existing.map(|id| (id.clone(), rules(id))).collect())
    }

    async fn authorize_ingress(
        &self,
        _: &GroupId,
        batch: &Batch,
    ) -> Result<Vec<Authorized>, ApiError> {
        self.calls.count("AuthorizeSecurityGroupIngress");
        let mut state = self.state();
        let asked = batch
            .rules
            .iter()
            .map(|rule| rule.key.to_string())
            .collect();
        state.asked.push(asked);
        for rule in std::mem::take(&mut state.rival) {
            state.add(&rule, None, Tags::new());
        }
        let injected = state.authorize_errors.pop_front();
        if let Some((error, false)) = injected {
            return Err(error);
        }
        if batch
            .rules
            .iter()
            .any(|rule| state.stumbling.contains(&rule.key))
        {
            let failure = Failure::Server {
                code: "HTTP 500".to_owned(),
            };
            return Err(ApiError {
                failure,
                ..refused("")
            });
        }
        state.judge(batch)?;
        let made = batch
            .rules
            .iter()
            .map(|rule| {
                let id = state.add(&rule.key, rule.description.clone(), batch.tags.clone());
                Authorized {
                    key: rule.key.clone(),
                    id: Some(id),
                }
            })
            .collect();
        match injected {
            Some((error, _)) => Err(error),
            None => Ok(made),
        }
    }

    async fn existing_groups(
        &self,
        groups: &BTreeSet<GroupId>,
    ) -> Result<BTreeMap<GroupId, String>, ApiError> {
        self.calls.count("DescribeSecurityGroups");
        let takes = self.state().slow_groups;
        tokio::time::sleep(takes).await;
        let mut state = self.state();
        if state.lagging_groups > 0 {
            state.lagging_groups -= 1;
            return Ok(BTreeMap::new());
        }
        let vpc = |id: &GroupId| match state.far_groups.contains(id) {
            true => "vpc-0far".to_owned(),
            false => "vpc-0here".to_owned(),
        };
        let existing = state.groups.intersection(groups);
        Ok(existing.map(|id| (id.clone(), vpc(id))).collect())
    }

    async fn groups_referring_to(&self, wanted: &GroupId) -> Result<BTreeSet<GroupId>, ApiError> {
        self.calls.count("DescribeSecurityGroups");
        let state = self.state();
        let mut live = state.live.keys().filter_map(RuleKey::referenced_group);
        let refers = live.any(|reference| reference.group_id == *wanted);
        Ok(refers.then(|| group().id).into_iter().collect())
    }

    async fn prefix_lists(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> Result<BTreeMap<PrefixListId, u32>, ApiError> {
        self.calls.count("DescribeManagedPrefixLists");
        let known = self.state().prefix_lists.clone();
        Ok(known
            .into_iter()
            .filter(|(id, _)| lists.contains(id))
            .collect())
    }

    async fn prefix_list_entries(
        &self,
        lists: &BTreeSet<PrefixListId>,
    ) -> Result<Entries, ApiError> {
        self.calls.count("GetManagedPrefixListEntries");
        let known = self.state().prefix_list_entries.clone().into_iter();
        Ok(known.filter(|(id, _)| lists.contains(id)).collect())
    }

    async fn default_vpc_group(&self, name: &str) -> Result<Option<GroupId>, ApiError> {
        self.calls.count("DescribeVpcs");
        Ok(self.state().default_vpc_groups.get(name).cloned())
    }
}

/// What the fake table holds for operators.
#[derive(Default)]
pub struct Archived {
    pub history: BTreeMap<GroupAddress, BTreeMap<u64, Value>>,
    pub settings: Option<Value>,
    pub settings_history: BTreeMap<u64, Value>,
    /// How many of the next writes lose a race: the function writes the state item just before each of them.
    pub busy: usize,
}

/// A table in memory.
#[derive(Default)]
pub struct FakeTable {
    pub items: Items,
    pub states: Items,
    pub incidents: Mutex<Vec<Incident>>,
    pub archive: Mutex<Archived>,
    pub scopes: Mutex<KnownScopes>,
    pub error: Mutex<Option<ApiError>>,
    /// The error of every write of a state or an incident.
    pub write_error: Mutex<Option<ApiError>>,
    /// What the next writes of a state are answered with.
    pub save_errors: Mutex<VecDeque<ApiError>>,
    /// How long each write of a record, a state or an incident takes.
    pub write_takes: Mutex<Duration>,
}

impl FakeTable {
    pub fn with(record: &DesiredRecord) -> Self {
        let table = Self::default();
        table.put(group(), Value::Object(record.to_json()));
        table
    }

    pub fn put(&self, group: GroupAddress, item: Value) {
        lock(&self.items).insert(group, item);
    }

    pub fn put_state(&self, group: GroupAddress, state: &GroupState) {
        lock(&self.states).insert(group, Value::Object(state.to_json()));
    }

    pub fn recorded(&self) -> Vec<Incident> {
        lock(&self.incidents).clone()
    }

    pub fn archive(&self) -> MutexGuard<'_, Archived> {
        lock(&self.archive)
    }

    pub fn remove(&self, group: &GroupAddress) {
        lock(&self.items).remove(group);
    }

    /// The groups that are marked as gone.
    pub fn orphans(&self) -> BTreeSet<GroupId> {
        let states = lock(&self.states);
        let marked = states.iter().filter(|(_, it)| !it["orphaned_at"].is_null());
        marked.map(|(group, _)| group.id.clone()).collect()
    }

    /// What every write of a record does first: it checks and saves the state, and moves the replaced record into
    /// history.
    pub async fn begin_write(
        &self,
        group: &GroupAddress,
        replaces: Option<&Value>,
        before: u64,
        state: &GroupState,
    ) -> Result<(), WriteError> {
        let loaded = self.load(group).await.map_err(WriteError::Api)?;
        let group = group.clone();
        if loaded.desired.as_ref() != replaces {
            return Err(WriteError::LostRace { group });
        }
        if self.archive().busy > 0 {
            self.archive().busy -= 1;
            let state = loaded.state.as_ref().map(GroupState::from_json);
            let state = state.transpose().expect("it can be read");
            let saved = self.save_state(&group, &state.unwrap_or_default()).await;
            assert_eq!(saved, Ok(true));
        }
        let saved = self.save_state(&group, state).await;
        if !saved.map_err(WriteError::Api)? {
            return Err(WriteError::StateChanged { group });
        }
        if let Some(replaced) = loaded.desired {
            let mut archive = self.archive();
            let history = archive.history.entry(group).or_default();
            assert_eq!(history.insert(before, replaced), None);
        }
        Ok(())
    }

    async fn take_time(&self) {
        let takes = *lock(&self.write_takes);
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
    }

    pub fn trouble(&self) -> Result<(), ApiError> {
        lock(&self.error).clone().map_or(Ok(()), Err)
    }
}

pub type Items = Mutex<BTreeMap<GroupAddress, Value>>;

pub fn of_scope(items: &Items, scope: &Scope) -> Vec<(String, Value)> {
    let items = lock(items);
    let of_scope = items.iter().filter(|(group, _)| group.scope == *scope);
    of_scope
        .map(|(group, item)| (group.id.to_string(), item.clone()))
        .collect()
}

/// The page size in items. It is not a multiple of the groups per EC2 read.
pub const ITEMS_PER_PAGE: usize = 70;

impl Table for FakeTable {
    async fn load(&self, group: &GroupAddress) -> Result<Loaded, ApiError> {
        self.trouble()?;
        let get = |items: &Items| {
            let items = lock(items);
            items.get(group).cloned()
        };
        Ok(Loaded {
            desired: get(&self.items),
            state: get(&self.states),
            settings: self.archive().settings.clone(),
        })
    }

    async fn desired_page(
        &self,
        scope: &Scope,
        range: &GroupRange,
    ) -> Result<DesiredPage, ApiError> {
        self.trouble()?;
        let mut items = of_scope(&self.items, scope);
        items.retain(|(id, _)| range.contains(id));
        let more = items.len() > ITEMS_PER_PAGE;
        items.truncate(ITEMS_PER_PAGE);
        let last = items.last().filter(|_| more).map(|(id, _)| id.clone());
        Ok(DesiredPage { items, last })
    }

    async fn marks(&self, _: &Scope, _: &GroupRange) -> Result<GroupMarks, ApiError> {
        Ok(GroupMarks {
            orphaned: self.orphans(),
            ..GroupMarks::default()
        })
    }

    async fn write(&self, change: &NewGeneration) -> Result<u64, WriteError> {
        self.take_time().await;
        let (group, generation) = (change.address.clone(), change.record.generation);
        let before = generation.saturating_sub(1);
        self.begin_write(&group, change.replaces.as_ref(), before, &change.state)
            .await?;
        self.put(group, change.item());
        Ok(generation)
    }

    async fn save_state(&self, group: &GroupAddress, state: &GroupState) -> Result<bool, ApiError> {
        self.take_time().await;
        self.trouble()?;
        lock(&self.write_error).clone().map_or(Ok(()), Err)?;
        lock(&self.save_errors).pop_front().map_or(Ok(()), Err)?;
        let mut states = lock(&self.states);
        let revision = states
            .get(group)
            .map_or(0, |item| item["revision"].as_u64().unwrap_or(0));
        if revision != state.revision {
            return Ok(false);
        }
        let mut item = state.to_json();
        item.insert("revision".to_owned(), revision.wrapping_add(1).into());
        states.insert(group.clone(), Value::Object(item));
        Ok(true)
    }

    async fn mark_orphaned(&self, group: &GroupAddress, at: &str) -> Result<(), ApiError> {
        let mut states = lock(&self.states);
        let item = states.entry(group.clone()).or_insert_with(|| json!({}));
        item["revision"] = (item["revision"].as_u64().unwrap_or(0) + 1).into();
        if item["orphaned_at"].is_null() {
            item["orphaned_at"] = at.into();
        }
        Ok(())
    }

    async fn record_incident(&self, incident: &Incident) -> Result<(), ApiError> {
        self.take_time().await;
        self.trouble()?;
        lock(&self.write_error).clone().map_or(Ok(()), Err)?;
        lock(&self.incidents).push(incident.clone());
        Ok(())
    }
}

/// 9:30:02 on the day of the sample events.
pub fn now() -> Timestamp {
    "2026-11-22T09:30:02Z".parse().expect("a time")
}

pub fn settings() -> Settings {
    Settings {
        mode: Mode::Enforce,
        rules_per_group: 60,
        writes: true,
    }
}

/// No guardrails.
pub static NO_GUARDRAILS: LazyLock<Guardrails> = LazyLock::new(Guardrails::default);

pub fn world<'a>(
    ec2: &'a FakeEc2,
    table: &'a FakeTable,
    missing: &'a MissingReferences,
) -> World<'a, FakeEc2, FakeTable> {
    World {
        ec2,
        table,
        calls: &ec2.calls,
        missing,
        never: &NO_GUARDRAILS,
        settings: settings(),
        without_role: false,
        spares_reads: false,
        now,
    }
}

/// A successful nested revoke of one IPv4 rule, `port` from 10.0.0.0/8, of [`group`].
pub fn revoke_event(port: u16, response: Value) -> Value {
    json!({
        "eventName": "RevokeSecurityGroupIngress", "eventSource": "ec2.amazonaws.com",
        "eventID": "11111111-2222-4333-8444-555555555555", "eventTime": "2026-11-22T09:30:00Z",
        "awsRegion": "eu-west-1", "recipientAccountId": "111122223333",
        "userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/controller/x",
            "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/controller"}}},
        "requestParameters": {"groupId": group().id, "ipPermissions": {"items": [
            {"ipProtocol": "tcp", "fromPort": port, "toPort": port, "groups": {}, "ipv6Ranges": {},
             "prefixListIds": {}, "ipRanges": {"items": [{"cidrIp": "10.0.0.0/8"}]}}]}},
        "responseElements": response,
    })
}
