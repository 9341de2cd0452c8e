//! Incidents: what happened, for the people on call.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::standing::{Standing, reopened_rules};
use super::{Archive, Generation, OperatorError, history, read};
use rulekeeper_core::decide::changes::GroupState;
use rulekeeper_core::model::{GroupAddress, GroupId, RuleKey, Scope};
use rulekeeper_core::ports::Loaded;
use rulekeeper_core::report::RuleOutcome;
use rulekeeper_core::report::incident::time_of_key;
use rulekeeper_core::report::plan::ReopenedRule;
use rulekeeper_core::sweep::Progress;

/// How many groups are queried at once. The table answers a query within milliseconds, so nearly all of the time is
/// the way there and back. 16 at once take most of that away, and stay far below the 12,000 reads a second that a new
/// on-demand table serves (DynamoDB Developer Guide, "On-demand capacity mode").
const GROUPS_AT_ONCE: usize = 16;

/// A time in the past: how long ago, as a date in UTC, or as a whole time. A duration may be as long as one likes: the table
/// forgets incidents by itself.
#[derive(Debug, Clone, Copy)]
pub enum Since {
    /// So long ago.
    Ago(Span),
    /// At this time.
    At(Timestamp),
}

/// Why a text is no time in the past.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSince {
    /// It is neither a duration nor a time.
    #[error(
        "give a duration such as 90m, 7d or 1 month, a date such as 2026-11-22, or a time such as 2026-11-22T09:30:00Z: {0}"
    )]
    Notation(String),
    /// It does not look back.
    #[error("it must be longer than 0, and counts back from now without a sign or `ago`")]
    NotPositive,
}

impl FromStr for Since {
    type Err = InvalidSince;

    fn from_str(text: &str) -> Result<Self, InvalidSince> {
        let text = text.trim();
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        if let Ok(date) = text.parse::<Date>()
            && let Ok(midnight) = date.to_zoned(TimeZone::UTC)
        {
            return Ok(Self::At(midnight.timestamp()));
        }
        let span: Span = text
            .parse()
            .map_err(|error: jiff::Error| InvalidSince::Notation(error.to_string()))?;
        match span.is_positive() {
            true => Ok(Self::Ago(span)),
            false => Err(InvalidSince::NotPositive),
        }
    }
}

impl Since {
    /// The time; a duration counts back from `now` in the calendar of UTC.
    ///
    /// # Errors
    /// When there is no such time.
    pub fn before(self, now: Timestamp) -> Result<Timestamp, OperatorError> {
        let span = match self {
            Self::At(at) => return Ok(at),
            Self::Ago(span) => span,
        };
        let then = now.to_zoned(TimeZone::UTC).checked_sub(span);
        then.map(|then| then.timestamp())
            .map_err(|_| OperatorError::TooLongAgo)
    }
}

/// What happened since a time, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Incidents {
    /// The incidents.
    pub incidents: Vec<PastIncident>,
    /// Groups with rules that are open now although somebody had decided to close them.
    pub reopened: Vec<ReopenedGroup>,
    /// Groups with rules that could not come back.
    pub unrestorable: Vec<UnrestorableGroup>,
    /// The time.
    pub since: Timestamp,
    /// How many groups were searched.
    pub groups: usize,
    /// How many of them have no record.
    pub unknown: usize,
}

impl Incidents {
    /// No incident, in no group.
    pub fn nothing(since: Timestamp) -> Self {
        Self {
            incidents: Vec::new(),
            reopened: Vec::new(),
            unrestorable: Vec::new(),
            since,
            groups: 0,
            unknown: 0,
        }
    }

    /// Adds those of another account or Region.
    pub fn add(&mut self, other: Self) {
        let Self {
            incidents,
            reopened,
            unrestorable,
            groups,
            unknown,
            ..
        } = other;
        self.incidents.extend(incidents);
        let place = |it: &PastIncident| (it.time(), it.key.clone(), it.group.clone());
        self.incidents
            .sort_by_cached_key(|it| std::cmp::Reverse(place(it)));
        self.reopened.extend(reopened);
        self.unrestorable.extend(unrestorable);
        self.groups += groups;
        self.unknown += unknown;
    }
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PastIncident {
    /// The group.
    pub group: GroupAddress,
    /// The group's name: as the incident says it, or as the record has it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its key in the table: `eventTime#eventID`.
    pub key: String,
    /// Its item.
    #[serde(flatten)]
    pub content: Content,
}

impl PastIncident {
    fn new(of: &Searched, key: String, item: &Value) -> Self {
        let content = match IncidentFacts::of(item, time_of_key(&key)) {
            Ok(story) => Content::Readable(Box::new(story)),
            Err(unreadable) => Content::Unreadable { unreadable },
        };
        let own = item.get("name").and_then(Value::as_str);
        Self {
            group: of.group.clone(),
            name: own.map(str::to_owned).or_else(|| of.name.clone()),
            key,
            content,
        }
    }

    /// When the call was made, or when the sweep or the operator began; nothing if the key does not say.
    pub fn time(&self) -> Option<Timestamp> {
        time_of_key(&self.key)
    }
}

/// A group with rules that are open although somebody had decided to close them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReopenedGroup {
    /// The group.
    pub group: GroupAddress,
    /// Its name, if the record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The rules, each with the command that closes it.
    pub rules: Vec<ReopenedRule>,
}

/// A group with rules that could not come back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnrestorableGroup {
    /// The group.
    pub group: GroupAddress,
    /// Its name, if the record has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The rules: missing, or live and not to be put back if they are dropped.
    pub rules: Vec<RuleKey>,
}

/// What is known of a group besides its incidents.
struct Searched {
    group: GroupAddress,
    is_recorded: bool,
    name: Option<String>,
    reopened: Vec<ReopenedRule>,
    unrestorable: Vec<RuleKey>,
}

impl Searched {
    fn new(group: GroupAddress, loaded: &Loaded) -> Self {
        let item = loaded.desired.as_ref();
        let record = item.and_then(|item| read(&group, item).ok());
        let state = loaded.state.as_ref();
        let reopened = reopened_rules(&group.id, &GroupState::of_item(state));
        let standing = record.as_ref().map(|it| Standing::of(&group.id, it, state));
        Self {
            group,
            is_recorded: item.is_some(),
            name: record.and_then(|record| record.name),
            reopened,
            unrestorable: standing.unwrap_or_default().unrestorable,
        }
    }
}

/// What an item holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Content {
    /// It can be understood.
    Readable(Box<IncidentFacts>),
    /// It cannot.
    Unreadable {
        /// The attribute at fault, and what is wrong with it.
        unreadable: String,
    },
}

/// A generation of a group's record, for the timeline of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PastChange {
    /// The group.
    pub group: GroupAddress,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was written.
    pub at: Timestamp,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What was done, in a word.
    pub what: &'static str,
    /// The generation.
    pub generation: u64,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Rules that entered.
    pub added: Vec<RuleKey>,
    /// Rules that left.
    pub removed: Vec<RuleKey>,
}

/// The generations of these groups' records since a time, the newest first. A group that never had a record has none.
///
/// # Errors
/// When the table cannot be read.
pub async fn past_changes(
    table: &impl Archive,
    groups: BTreeMap<GroupAddress, Option<String>>,
    since: Timestamp,
) -> Result<Vec<PastChange>, OperatorError> {
    let ask = |(group, name): (GroupAddress, Option<String>)| async move {
        match history(table, &group).await {
            Ok(history) => Ok(Some((group, name, history))),
            Err(OperatorError::NoRecord(_)) => Ok(None),
            Err(error) => Err(error),
        }
    };
    let groups: Vec<_> = groups.into_iter().collect();
    let mut changes = Vec::new();
    for (group, name, history) in some_at_once(groups, ask, &|_, _| ())
        .await?
        .into_iter()
        .flatten()
    {
        for generation in history.generations {
            let Some(at) = generation.updated_at.filter(|at| since <= *at) else {
                continue;
            };
            changes.push(PastChange {
                group: group.clone(),
                name: name.clone(),
                at,
                what: what(&generation),
                by: generation.updated_by,
                generation: generation.generation,
                reason: generation.reason,
                added: generation.difference.added,
                removed: generation.difference.removed,
            });
        }
    }
    changes.sort_by_key(|change| std::cmp::Reverse((change.at, change.generation)));
    Ok(changes)
}

/// What a generation did, by what differs and by the beginning of its reason, which the verbs write.
fn what(generation: &Generation) -> &'static str {
    let reason = generation.reason.as_deref().unwrap_or_default();
    let begins = |text: &str| reason.starts_with(text);
    if generation.unpinned {
        "unpinned"
    } else if begins("rolled back") {
        "rolled_back"
    } else if begins("released") {
        "released"
    } else if begins("resumed") {
        "resumed"
    } else if begins("confirmed") {
        "confirmed"
    } else if generation
        .difference
        .attributes
        .contains_key("paused_until")
    {
        "paused"
    } else if generation.since.is_none() {
        "pinned"
    } else {
        "changed"
    }
}

/// The facts of an incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentFacts {
    /// From the event until the last rule that its call took was back, in milliseconds; unknown for what a sweep or an
    /// operator found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_ms: Option<u64>,
    /// When that rule was back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Timestamp>,
    /// All that the table holds, the keys left out.
    #[serde(flatten)]
    pub attributes: Map<String, Value>,
    /// `event`, `sweep` or `operator`.
    #[serde(skip)]
    pub kind: String,
    /// The API call of the event.
    #[serde(skip)]
    pub event_name: Option<String>,
    /// Who called, or which operator found it.
    #[serde(skip)]
    pub principal: Option<String>,
    /// The session of the caller's role.
    #[serde(skip)]
    pub session: Option<String>,
    /// CloudTrail's id of the event.
    #[serde(skip)]
    pub event_id: Option<String>,
    /// The group's outcome. A name that this version does not know is shown like any other.
    #[serde(skip)]
    pub outcome: String,
    /// The same in a sentence.
    #[serde(skip)]
    pub reason: Option<String>,
    /// The dropped rules.
    #[serde(skip)]
    pub lines: Vec<DroppedRule>,
}

/// A dropped rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DroppedRule {
    /// The rule, in rule notation.
    pub rule: String,
    /// Its outcome.
    pub outcome: String,
    /// Its new id.
    pub rule_id: Option<String>,
    /// EC2's code.
    pub error_code: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Whose call took it. Incidents of older versions do not say.
    pub dropped_by: Option<Value>,
}

impl DroppedRule {
    /// Whether the incident's own call took it. Where nobody says whose call it was, it was this one's.
    pub fn is_own(&self) -> bool {
        self.dropped_by.as_ref().is_none_or(|by| by == "this_event")
    }

    /// Whether it had not come back when the incident was written.
    pub fn is_missing(&self) -> bool {
        use RuleOutcome::{Contested, Failed, Held};
        let missing = [Failed, Held, Contested].map(RuleOutcome::name);
        missing.contains(&self.outcome.as_str())
    }
}

#[derive(Deserialize)]
struct TriggerItem {
    kind: String,
    event_name: Option<String>,
    principal: Option<String>,
    session: Option<String>,
    event_id: Option<String>,
}

#[derive(Default, Deserialize)]
struct TimingItem {
    event_age_ms: Option<u64>,
    restored_ms: Option<u64>,
}

impl IncidentFacts {
    /// What an item tells, which was written of a call or a look at this time.
    fn of(item: &Value, at: Option<Timestamp>) -> Result<Self, String> {
        let mut attributes = item.as_object().cloned().unwrap_or_default();
        // Group, name and key are fields of their own; nothing appears twice.
        for name in ["pk", "sk", "group", "name", "key", "open_ms", "restored_at"] {
            attributes.remove(name);
        }
        let trigger: TriggerItem = required(item, "trigger")?;
        let timing: TimingItem = optional(item, "timing")?.unwrap_or_default();
        let lines: Vec<DroppedRule> = required(item, "rules")?;
        let is_event = trigger.kind == "event";
        let is_back = lines
            .iter()
            .any(|line| (line.is_own() || !is_event) && line.outcome == "restored");
        // A sweep's time is that of its look, and says nothing of how long rules were missing.
        let age = if is_event {
            timing.event_age_ms
        } else {
            Some(0)
        };
        let since = age.zip(timing.restored_ms).filter(|_| is_back);
        let since = since.map(|(age, restored)| age.saturating_add(restored));
        Ok(Self {
            open_ms: since.filter(|_| is_event),
            restored_at: at.zip(since).and_then(|(at, ms)| {
                let ms = SignedDuration::from_millis(i64::try_from(ms).ok()?);
                at.checked_add(ms).ok()
            }),
            attributes,
            kind: trigger.kind,
            event_name: trigger.event_name,
            principal: trigger.principal,
            session: trigger.session,
            event_id: trigger.event_id,
            outcome: required(item, "outcome")?,
            reason: optional(item, "reason")?,
            lines,
        })
    }

    /// The rules that this is about: those that the call took, or all that a look found.
    pub fn own(&self) -> impl Iterator<Item = &DroppedRule> {
        let all = self.kind != "event";
        self.lines.iter().filter(move |line| all || line.is_own())
    }

    /// How many of these had not come back when the incident was written.
    pub fn left_missing(&self) -> usize {
        self.own().filter(|line| line.is_missing()).count()
    }
}

fn required<T: DeserializeOwned>(item: &Value, name: &str) -> Result<T, String> {
    optional(item, name)?.ok_or_else(|| format!("{name}: is missing"))
}

fn optional<T: DeserializeOwned>(item: &Value, name: &str) -> Result<Option<T>, String> {
    let value = item.get(name).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|error| format!("{name}: {error}"))
}

/// The incidents of these groups between two times, or of every group of the scope with a record when none is given, readable or
/// not. Several groups are queried at once; the incidents are in order of time, key and group.
///
/// # Errors
/// When the table cannot be read. An item that cannot be understood is listed as such.
pub async fn incidents(
    table: &impl Archive,
    scope: &Scope,
    groups: &[GroupId],
    (since, until): (Timestamp, Timestamp),
    progress: Progress<'_>,
) -> Result<Incidents, OperatorError> {
    let groups: Vec<(GroupId, Option<Loaded>)> = if groups.is_empty() {
        let records = all_records(table, scope).await?.into_iter();
        records.map(|(id, loaded)| (id, Some(loaded))).collect()
    } else {
        let ids: BTreeSet<&GroupId> = groups.iter().collect();
        ids.into_iter().map(|id| (id.clone(), None)).collect()
    };
    let looked_at = groups.len();
    let ask = |(id, loaded): (GroupId, Option<Loaded>)| async move {
        let scope = scope.clone();
        let group = GroupAddress { scope, id };
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => table.load(&group).await?,
        };
        let items = table.incidents(&group, since).await?;
        Ok((Searched::new(group, &loaded), items))
    };
    let (mut found, mut reopened) = (BTreeMap::new(), BTreeMap::new());
    let (mut unrestorable, mut unknown) = (BTreeMap::new(), 0);
    for (group, items) in some_at_once(groups, ask, progress).await? {
        unknown += usize::from(!group.is_recorded);
        for (key, item) in items {
            let incident = PastIncident::new(&group, key, &item);
            if incident.time().is_some_and(|at| until < at) {
                continue;
            }
            let place = (
                incident.time(),
                incident.key.clone(),
                group.group.id.clone(),
            );
            found.insert(place, incident);
        }
        if !group.unrestorable.is_empty() {
            unrestorable.insert(
                group.group.id.clone(),
                UnrestorableGroup {
                    group: group.group.clone(),
                    name: group.name.clone(),
                    rules: group.unrestorable,
                },
            );
        }
        if !group.reopened.is_empty() {
            reopened.insert(
                group.group.id.clone(),
                ReopenedGroup {
                    group: group.group,
                    name: group.name,
                    rules: group.reopened,
                },
            );
        }
    }
    Ok(Incidents {
        incidents: found.into_values().rev().collect(),
        reopened: reopened.into_values().collect(),
        unrestorable: unrestorable.into_values().collect(),
        since,
        groups: looked_at,
        unknown,
    })
}

/// Every record of a scope with its run-time state. A name that is no group's id has no incidents.
async fn all_records(
    table: &impl Archive,
    scope: &Scope,
) -> Result<BTreeMap<GroupId, Loaded>, OperatorError> {
    let (records, states) = tokio::join!(table.all_desired(scope), table.all_states(scope));
    let mut states: BTreeMap<String, Value> = states?.into_iter().collect();
    let with_state = records?.into_iter().filter_map(|(group, item)| {
        let loaded = Loaded {
            desired: Some(item),
            state: states.remove(&group),
            settings: None,
        };
        Some((group.parse().ok()?, loaded))
    });
    Ok(with_state.collect())
}

/// Queries every group, several at once, and gives the answers as they come. The first error ends it.
async fn some_at_once<G, A, F: Future<Output = Result<A, OperatorError>>>(
    groups: Vec<G>,
    ask: impl FnMut(G) -> F,
    progress: Progress<'_>,
) -> Result<Vec<A>, OperatorError> {
    let total = groups.len();
    let mut asked = stream::iter(groups)
        .map(ask)
        .buffer_unordered(GROUPS_AT_ONCE);
    let mut answers = Vec::with_capacity(total);
    progress(0, total);
    while let Some(answer) = asked.try_next().await? {
        answers.push(answer);
        progress(answers.len(), total);
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use serde_json::json;

    use super::*;
    use rulekeeper_core::fakes::{FakeTable, group, now};
    use rulekeeper_core::report::incident::Incident;

    const WEB: &str = "tcp 443 from 10.0.0.0/8";
    const ROLE: &str = "arn:aws:iam::111122223333:role/controller";

    fn told(kind: &str) -> Value {
        json!({
            "trigger": {"kind": kind, "event_name": "RevokeSecurityGroupIngress", "principal": ROLE},
            "outcome": "partial", "reason": "1 of 2 dropped rules restored",
            "rules": [
                {"rule": WEB, "outcome": "restored", "rule_id": "sgr-0a"},
                {"rule": "tcp 80 from sg-0b", "outcome": "failed", "error_code": "InvalidGroup.NotFound", "reason": "gone"},
            ],
            "timing": {"event_age_ms": 2140, "restored_ms": 61, "total_ms": 98},
            "expires_at": 1_803_000_000, "revision": 1,
        })
    }

    fn keep(table: &FakeTable, group: &GroupAddress, key: &str, item: Value) {
        let Value::Object(attributes) = item else {
            panic!("an object")
        };
        let incident = Incident {
            group: group.clone(),
            key: key.to_owned(),
            attributes,
        };
        let mut incidents = table.incidents.lock().expect("nobody panicked");
        incidents.push(incident);
    }

    async fn found(table: &FakeTable, groups: &[GroupId], since: &str) -> Incidents {
        let since = since.parse::<Since>().expect("a duration");
        let since = since.before(now()).expect("a time");
        let times = (since, Timestamp::MAX);
        let found = incidents(table, &group().scope, groups, times, &|_, _| ()).await;
        found.expect("the table can be read")
    }

    #[tokio::test]
    async fn an_incident_tells_who_dropped_what_and_how_long_it_was_open() {
        let table = FakeTable::default();
        let key = "2026-11-22T09:30:00Z#11111111-2222-4333-8444-555555555555";
        keep(&table, &group(), key, told("event"));
        let one = found(&table, &[group().id], "1h").await;
        let mut expected = told("event");
        expected["group"] = json!(group());
        expected["key"] = key.into();
        expected["open_ms"] = 2201.into();
        expected["restored_at"] = "2026-11-22T09:30:02.201Z".into();
        assert_eq!(
            serde_json::to_value(&one.incidents).expect("JSON"),
            json!([expected])
        );
        let Content::Readable(story) = &one.incidents[0].content else {
            panic!("{one:?}")
        };
        assert_eq!(story.principal.as_deref(), Some(ROLE));
        assert_eq!((story.left_missing(), story.lines.len()), (1, 2));
    }

    #[tokio::test]
    async fn nobody_knows_how_long_it_was_open_before_a_sweep_found_it() {
        for kind in ["sweep", "operator"] {
            let table = FakeTable::default();
            keep(&table, &group(), "2026-11-22T09:30:00Z#x", told(kind));
            let one = found(&table, &[group().id], "1h").await;
            let json = serde_json::to_value(&one.incidents).expect("JSON");
            assert_eq!(json[0].get("open_ms"), None);
            assert_eq!(json[0]["restored_at"], "2026-11-22T09:30:00.061Z");
        }
    }

    #[tokio::test]
    async fn all_groups_with_a_record_are_looked_at_and_the_newest_comes_first() {
        let table = FakeTable::default();
        let other = |id: &str| GroupAddress {
            id: id.parse().expect("a group"),
            ..group()
        };
        let (b, unpinned) = (other("sg-0b"), other("sg-0c"));
        for recorded in [&group(), &b] {
            table.put(recorded.clone(), json!("cannot be understood"));
        }
        let times = [
            (&group(), "2026-11-22T09:20:00Z#a"),
            (&b, "2026-11-22T09:20:00.5Z#sweep"),
            (&group(), "2026-11-22T09:25:00Z#b"),
            (&unpinned, "2026-11-22T09:26:00Z#c"),
            (&b, "2026-11-22T08:30:01Z#old"),
        ];
        for (group, key) in times {
            keep(&table, group, key, told("event"));
        }
        let all = found(&table, &[], "1h").await;
        let keys: Vec<_> = all.incidents.iter().map(|one| one.key.as_str()).collect();
        let expected = [
            "2026-11-22T09:25:00Z#b",
            "2026-11-22T09:20:00.5Z#sweep",
            "2026-11-22T09:20:00Z#a",
        ];
        assert_eq!((keys.as_slice(), all.groups), (expected.as_slice(), 2));
        let named = [unpinned.id.clone(), unpinned.id.clone()];
        assert_eq!(found(&table, &named, "1h").await.incidents.len(), 1);
        assert_eq!(found(&table, &[b.id], "2h").await.incidents.len(), 2);
    }

    #[tokio::test]
    async fn groups_are_asked_about_some_at_once_and_each_answer_is_told() {
        let id = |n: usize| format!("sg-0{n:02}").parse::<GroupId>().expect("a group");
        let groups: BTreeSet<GroupId> = (0..40).map(id).collect();
        let (under_way, most) = (Cell::new(0), Cell::new(0));
        let ask = |id: GroupId| {
            let (under_way, most) = (&under_way, &most);
            async move {
                under_way.set(under_way.get() + 1);
                most.set(under_way.get().max(most.get()));
                tokio::task::yield_now().await;
                under_way.set(under_way.get() - 1);
                Ok(id)
            }
        };
        let told = RefCell::new(Vec::new());
        let tell = |done, total| told.borrow_mut().push((done, total));
        let answers = some_at_once(groups.iter().cloned().collect(), ask, &tell).await;
        let answers = answers.expect("every answer");
        assert_eq!((answers.len(), most.get()), (40, GROUPS_AT_ONCE));
        assert_eq!(answers.into_iter().collect::<BTreeSet<_>>(), groups);
        let expected: Vec<_> = (0..=40).map(|done| (done, 40)).collect();
        assert_eq!(told.into_inner(), expected);
    }

    #[tokio::test]
    async fn an_item_that_cannot_be_understood_is_listed_with_what_is_wrong() {
        let wrong = [
            ("rules", json!("all"), "rules: invalid type: string"),
            (
                "rules",
                json!([{"rule": WEB}]),
                "rules: missing field `outcome`",
            ),
            ("trigger", json!({}), "trigger: missing field `kind`"),
            ("outcome", Value::Null, "outcome: is missing"),
            (
                "timing",
                json!({"restored_ms": "soon"}),
                "timing: invalid type: string",
            ),
        ];
        for (name, value, fault) in wrong {
            let table = FakeTable::default();
            let mut item = told("event");
            item[name] = value;
            keep(&table, &group(), "2026-11-22T09:30:00Z#x", item);
            keep(&table, &group(), "2026-11-22T09:29:00Z#y", told("event"));
            let both = found(&table, &[group().id], "1h").await;
            assert_eq!(both.incidents.len(), 2);
            let json = serde_json::to_value(&both.incidents[0]).expect("JSON");
            let said = json["unreadable"].as_str().unwrap_or_default();
            assert!(said.starts_with(fault), "{json}");
            assert_eq!(json.as_object().map(Map::len), Some(3), "{json}");
        }
    }

    #[test]
    fn one_looks_back_by_durations_as_people_write_them() {
        let back = |text: &str| {
            let since = text.parse::<Since>()?;
            Ok(since.before(now()).map(|then| then.to_string()))
        };
        for (text, expected) in [
            ("90m", "2026-11-22T08:00:02Z"),
            ("7d", "2026-11-15T09:30:02Z"),
            ("1 month", "2026-10-22T09:30:02Z"),
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2026-11-20T08:00:00+01:00", "2026-11-20T07:00:00Z"),
        ] {
            let then = back(text).expect("a duration");
            assert_eq!(then.expect("a time"), expected, "{text}");
        }
        for text in ["0s", "-7d", "7d ago"] {
            assert_eq!(back(text).expect_err(text), InvalidSince::NotPositive);
        }
        for text in ["", "7", "yesterday"] {
            let error = back(text).expect_err(text);
            assert!(matches!(error, InvalidSince::Notation(_)), "{text}");
        }
        assert!(back("19000 years").expect("a duration").is_err());
    }
}
