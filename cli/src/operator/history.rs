//! Generations: their contents and authors, and rolling back to one.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::release::is_unpinned;
use super::{
    Archive, Difference, Draft, OperatorError, because, generation_of, read, read_settings,
};
use rulekeeper_core::desired::{DesiredRecord, Pause, SharedSettings, Unreadable};
use rulekeeper_core::model::{AccountId, GroupAddress};

/// One generation of a record, or of the settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Generation {
    /// Its number.
    pub generation: u64,
    /// When it was written.
    pub updated_at: Option<Timestamp>,
    /// By whom.
    pub updated_by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// Whether it is current.
    pub current: bool,
    /// Whether it took the record out.
    pub unpinned: bool,
    /// What cannot be understood about it; nothing is said of its content then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// The generation to which it is compared: the latest before it that can be understood.
    pub since: Option<u64>,
    /// What is different from that one.
    #[serde(flatten)]
    pub difference: Difference,
}

/// Every generation, newest first, as `git log` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    /// The group; absent for the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupAddress>,
    /// The generations.
    pub generations: Vec<Generation>,
}

/// The generations of a group's record, also of one that was taken out.
///
/// # Errors
/// When there has never been a record, or the table cannot be read.
pub async fn history(table: &impl Archive, group: &GroupAddress) -> Result<History, OperatorError> {
    let (loaded, earlier) = tokio::join!(table.load(group), table.history(group));
    let (present, earlier) = (loaded?.desired, earlier?);
    if present.is_none() && earlier.is_empty() {
        return Err(OperatorError::NoRecord(group.clone()));
    }
    let account = &group.scope.account;
    let reading = |item: &Value| content(item, account);
    Ok(History {
        group: Some(group.clone()),
        generations: line_up(earlier, present, reading, Difference::of_records),
    })
}

/// The generations of the settings; none when there have never been any.
///
/// # Errors
/// When the table cannot be read.
pub async fn settings_history(table: &impl Archive) -> Result<History, OperatorError> {
    let (present, earlier) = tokio::join!(table.settings(), table.settings_history());
    let reading = |item: &Value| SharedSettings::from_json(item).map(|(settings, _)| settings);
    Ok(History {
        group: None,
        generations: line_up(earlier?, present?, reading, Difference::of_settings),
    })
}

/// The record of a generation. One that took the record out has no rules.
fn content(item: &Value, account: &AccountId) -> Result<DesiredRecord, Unreadable> {
    if is_unpinned(item) {
        return Ok(DesiredRecord::default());
    }
    DesiredRecord::from_json(item, account).map(|reading| reading.record)
}

fn line_up<T: Default>(
    earlier: Vec<(u64, Value)>,
    present: Option<Value>,
    read: impl Fn(&Value) -> Result<T, Unreadable>,
    compare: impl Fn(&T, &T) -> Difference,
) -> Vec<Generation> {
    let count = earlier.len();
    let items = earlier
        .into_iter()
        .chain(present.map(|item| (generation_of(&item), item)));
    let mut last = (None, T::default());
    let mut generations = Vec::new();
    for (index, (number, item)) in items.enumerate() {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        let mut generation = Generation {
            generation: number,
            updated_at: text("updated_at").and_then(|at| at.parse().ok()),
            updated_by: text("updated_by").map(str::to_owned),
            reason: text("reason").map(str::to_owned),
            current: index == count,
            unpinned: is_unpinned(&item),
            since: last.0,
            ..Generation::default()
        };
        match read(&item) {
            Err(unreadable) => generation.unreadable = Some(unreadable.errors()),
            Ok(content) => {
                generation.difference = compare(&last.1, &content);
                // EC2 lets no name change: it was only not known before.
                generation.difference.attributes.remove("name");
                if generation.unpinned {
                    // Without a record its other attributes mean nothing.
                    generation.difference.attributes.clear();
                }
                last = (Some(number), content);
            }
        }
        generations.push(generation);
    }
    generations.reverse();
    generations
}

/// Works out an earlier record as the next generation, as it was but for the pause: that is a matter of the present. It
/// changes nothing when that generation, or one like it, is current.
///
/// # Errors
/// When there is no such generation, or it took the record out, or it cannot be understood; when it cannot be made out
/// whether the group is paused.
pub async fn rollback(
    table: &impl Archive,
    group: &GroupAddress,
    to: u64,
    reason: Option<&str>,
) -> Result<Draft, OperatorError> {
    let (loaded, earlier) = tokio::join!(table.load(group), table.history(group));
    let (loaded, earlier) = (loaded?, earlier?);
    let present = loaded.desired.as_ref();
    if present.is_none() && earlier.is_empty() {
        return Err(OperatorError::NoRecord(group.clone()));
    }
    let current = present.map(generation_of);
    let before = present.and_then(|item| read(group, item).ok());
    let is_it = |number: u64| number == to;
    let found = if current.is_some_and(is_it) {
        present
    } else {
        let found = earlier.iter().find(|(number, _)| is_it(*number));
        found.map(|(_, item)| item)
    };
    let Some(item) = found else {
        let there = earlier.iter().map(|(number, _)| *number).chain(current);
        return Err(OperatorError::NoGeneration {
            group: group.clone(),
            generation: to,
            there: there.collect(),
        });
    };
    if is_unpinned(item) {
        return Err(OperatorError::NothingKept {
            group: group.clone(),
            generation: to,
        });
    }
    let mut record = match DesiredRecord::from_json(item, &group.scope.account) {
        Ok(reading) => reading.record,
        Err(unreadable) => {
            return Err(OperatorError::UnreadableGeneration {
                group: group.clone(),
                generation: to,
                unreadable,
            });
        }
    };
    record.pause = match present {
        None => None,
        Some(present) => pause_alone(group, present)?,
    };
    Ok(Draft {
        group: group.clone(),
        record,
        before,
        loaded,
        reason: because(&format!("rolled back to generation {to}"), reason),
    })
}

/// The pause of a record, even if the rest of it cannot be understood.
fn pause_alone(group: &GroupAddress, item: &Value) -> Result<Option<Pause>, OperatorError> {
    let mut fields = Map::from_iter([("rules".to_owned(), Value::Array(Vec::new()))]);
    for name in ["paused_until", "pause_reason"] {
        fields.extend(item.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    Ok(read(group, &Value::Object(fields))?.pause)
}

/// The settings, or an error that says what is wrong with them.
pub(super) fn settings_of(item: Option<&Value>) -> Result<SharedSettings, OperatorError> {
    item.map_or_else(|| Ok(SharedSettings::default()), read_settings)
}
