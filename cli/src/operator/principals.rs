//! Reading and changing the lists of principals, of one record or for all groups.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::draft::latest;
use super::history::settings_of;
use super::{
    Archive, Author, Draft, NewSettings, OperatorError, because, generation_of, read, recorded,
};
use rulekeeper_core::desired::{Principal, SharedSettings};
use rulekeeper_core::model::GroupAddress;

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// In the group's record.
    Record,
    /// In the settings, for all groups.
    Settings,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record => "record",
            Self::Settings => "settings",
        })
    }
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The principal.
    #[serde(flatten)]
    pub principal: Principal,
    /// Where it stands.
    pub from: Origin,
    /// What is doubtful about its pattern.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// The pattern of an earlier entry that matches everybody whom this one could match, so that this one never counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_by: Option<String>,
}

/// Principals in the order in which they count: the first that matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrincipalList {
    /// The group; absent for what holds for all groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupAddress>,
    /// The entries.
    pub principals: Vec<Entry>,
}

/// The principals of a group, its own first and then those of all groups; or the latter alone.
///
/// # Errors
/// When the group has no record, or something cannot be read or understood.
pub async fn principals(
    table: &impl Archive,
    group: Option<&GroupAddress>,
) -> Result<PrincipalList, OperatorError> {
    let (own, shared) = match group {
        None => (Vec::new(), settings_of(table.settings().await?.as_ref())?),
        Some(group) => {
            let loaded = table.load(group).await?;
            let Some(item) = &loaded.desired else {
                return Err(OperatorError::NoRecord(group.clone()));
            };
            let own = read(group, item)?.principals;
            (own, settings_of(loaded.settings.as_ref())?)
        }
    };
    let own = own.into_iter().map(|entry| (entry, Origin::Record));
    let shared = shared.principals.into_iter();
    let entries: Vec<_> = own
        .chain(shared.map(|entry| (entry, Origin::Settings)))
        .collect();
    Ok(PrincipalList {
        group: group.cloned(),
        principals: in_order(entries),
    })
}

fn in_order(entries: Vec<(Principal, Origin)>) -> Vec<Entry> {
    let patterns: Vec<String> = entries.iter().map(|(it, _)| it.arn.clone()).collect();
    let entries = entries.into_iter().enumerate();
    let entry = |(place, (principal, from)): (usize, (Principal, Origin))| Entry {
        doubt: principal.doubt(),
        hidden_by: wider(&patterns[..place], &principal).map(str::to_owned),
        principal,
        from,
    };
    entries.map(entry).collect()
}

/// The first pattern that matches everything a principal's could match. A `*` of the latter must be matched by a `*`;
/// overlaps beyond that are not found.
fn wider<'p>(earlier: &'p [String], principal: &Principal) -> Option<&'p str> {
    let covers = |pattern: &&String| {
        let wide = Principal {
            arn: (*pattern).clone(),
            ..principal.clone()
        };
        wide.matches(&principal.arn)
    };
    earlier.iter().find(covers).map(String::as_str)
}

/// A change of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalChange {
    /// An entry is added, or takes the place of the one with the same pattern.
    Add {
        /// The entry.
        principal: Principal,
        /// Whether it goes to the front, also when it was listed already.
        first: bool,
    },
    /// The entries with this pattern go.
    Remove {
        /// The pattern, as it is listed.
        arn: String,
    },
}

impl PrincipalChange {
    /// The list after the change; an error with the pattern that is to go and is not in it.
    fn apply(&self, list: &[Principal]) -> Result<Vec<Principal>, String> {
        let mut list = list.to_vec();
        match self {
            Self::Remove { arn } => {
                let before = list.len();
                list.retain(|entry| entry.arn != *arn);
                match list.len() < before {
                    true => Ok(list),
                    false => Err(arn.clone()),
                }
            }
            Self::Add { principal, first } => {
                let place = list.iter().position(|entry| entry.arn == principal.arn);
                match (place, first) {
                    (Some(place), false) => list[place] = principal.clone(),
                    (None, false) => list.push(principal.clone()),
                    (place, true) => {
                        place.map(|place| list.remove(place));
                        list.insert(0, principal.clone());
                    }
                }
                Ok(list)
            }
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Add { principal, .. } => {
                format!(
                    "principal {} listed with policy {}",
                    principal.arn, principal.policy
                )
            }
            Self::Remove { arn } => format!("principal {arn} removed"),
        }
    }
}

/// A list as it should become. Nothing is written until [`PrincipalDraft::write`].
#[derive(Debug, Clone, PartialEq)]
pub struct PrincipalDraft {
    target: Target,
    list: Vec<Principal>,
    hidden: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Target {
    Record(Box<Draft>),
    Settings(Box<SettingsDraft>),
}

/// Settings as they should become.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SettingsDraft {
    pub(super) before: SharedSettings,
    change: NewSettings,
    /// Whether it replaces settings that cannot be understood.
    resets: bool,
}

/// A list after it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrincipalsWritten {
    /// The group; absent for what holds for all groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupAddress>,
    /// The generation, of the record or of the settings, that is current now.
    pub generation: u64,
    /// Whether that generation is new.
    pub changed: bool,
    /// The list, in the order in which it counts.
    pub principals: Vec<Principal>,
}

/// Drafts a list of principals, of a group's record or of the settings. A doubtful pattern must be `confirmed`.
///
/// # Errors
/// When the pattern is doubtful, or what is to be removed is not listed; when there is no record, or something cannot be
/// read or understood.
pub async fn change_principals(
    table: &impl Archive,
    group: Option<&GroupAddress>,
    change: &PrincipalChange,
    confirmed: bool,
    reason: Option<&str>,
) -> Result<PrincipalDraft, OperatorError> {
    let reason = because(&change.reason(), reason);
    let (before, target) = match group {
        Some(group) => {
            let (loaded, before) = recorded(table, group).await?;
            let draft = Draft {
                group: group.clone(),
                record: before.clone(),
                before: Some(before.clone()),
                loaded,
                reason,
            };
            (before.principals, Target::Record(Box::new(draft)))
        }
        None => {
            let draft = SettingsDraft::of(table).await?;
            let draft = draft.with(|settings| settings.reason = Some(reason));
            let principals = draft.before.principals.clone();
            (principals, Target::Settings(Box::new(draft)))
        }
    };
    let list = change.apply(&before);
    let list = list.map_err(|arn| OperatorError::NotListed {
        arn,
        group: group.cloned(),
        listed: before.iter().map(|entry| entry.arn.clone()).collect(),
    })?;
    let mut hidden = None;
    if let PrincipalChange::Add { principal, .. } = change {
        if let Some(doubt) = principal.doubt().filter(|_| !confirmed && list != before) {
            return Err(OperatorError::Doubtful {
                arn: principal.arn.clone(),
                doubt,
            });
        }
        let patterns = list.iter().map(|entry| entry.arn.clone());
        let earlier: Vec<String> = patterns.take_while(|arn| *arn != principal.arn).collect();
        hidden = wider(&earlier, principal).map(|by| (principal.arn.clone(), by.to_owned()));
    }
    let mut draft = PrincipalDraft {
        target,
        list: list.clone(),
        hidden,
    };
    match &mut draft.target {
        Target::Record(draft) => draft.record.principals = list,
        Target::Settings(draft) => draft.change.settings.principals = list,
    }
    Ok(draft)
}

/// Drafts empty settings in the place of those that cannot be understood, which go into the history. Nobody loses a policy
/// by that: nothing of such settings is used.
///
/// # Errors
/// When there are no settings or they can be understood, or the table cannot be read.
pub async fn reset_principals(
    table: &impl Archive,
    reason: Option<&str>,
) -> Result<PrincipalDraft, OperatorError> {
    let item = table.settings().await?;
    if settings_of(item.as_ref()).is_ok() {
        return Err(OperatorError::NothingToReset);
    }
    let settings = SharedSettings {
        generation: item.as_ref().map_or(0, generation_of),
        ..SharedSettings::default()
    };
    let reason = because("replaced what could not be understood", reason);
    let draft = SettingsDraft {
        before: settings.clone(),
        change: NewSettings {
            settings: SharedSettings {
                reason: Some(reason),
                ..settings
            },
            replaces: item,
        },
        resets: true,
    };
    Ok(PrincipalDraft {
        target: Target::Settings(Box::new(draft)),
        list: Vec::new(),
        hidden: None,
    })
}

impl PrincipalDraft {
    /// The settings that are replaced because they cannot be understood, as the table has them, keys included.
    pub fn lost(&self) -> Option<&Value> {
        match &self.target {
            Target::Settings(draft) if draft.resets => draft.change.replaces.as_ref(),
            _ => None,
        }
    }

    /// Whether the list is like this already.
    pub fn changes_nothing(&self) -> bool {
        match &self.target {
            Target::Record(draft) => draft.changes_nothing(),
            Target::Settings(draft) => !draft.resets && draft.before.principals == self.list,
        }
    }

    /// The list as it should become.
    pub fn list(&self) -> &[Principal] {
        &self.list
    }

    /// Why the entry that is added will never count, if so.
    pub fn warning(&self) -> Option<String> {
        self.hidden.as_ref().map(|(arn, by)| {
            format!(
                "{arn:?} has no effect: {by:?} comes before it and matches the same callers; the first that matches counts"
            )
        })
    }

    /// Writes the list as the next generation of the record or of the settings, unless it is like this already.
    ///
    /// # Errors
    /// When the record or the settings were changed since they were read, or cannot be written.
    pub async fn write(
        self,
        table: &impl Archive,
        author: &Author,
    ) -> Result<PrincipalsWritten, OperatorError> {
        let changed = !self.changes_nothing();
        let (group, generation) = match self.target {
            Target::Record(draft) => {
                let written = draft.write(table, author).await?;
                (Some(written.group), written.generation)
            }
            Target::Settings(draft) if changed => (None, draft.write(table, author).await?),
            Target::Settings(draft) => (None, draft.before.generation),
        };
        Ok(PrincipalsWritten {
            group,
            generation,
            changed,
            principals: self.list,
        })
    }
}

impl SettingsDraft {
    /// The settings as they are.
    pub(super) async fn of(table: &impl Archive) -> Result<Self, OperatorError> {
        let item = table.settings().await?;
        let before = settings_of(item.as_ref())?;
        let change = NewSettings {
            settings: before.clone(),
            replaces: item,
        };
        Ok(Self {
            before,
            change,
            resets: false,
        })
    }

    /// The same with other settings.
    pub(super) fn with(mut self, change: impl FnOnce(&mut SharedSettings)) -> Self {
        change(&mut self.change.settings);
        self
    }

    /// Writes them as the next generation.
    pub(super) async fn write(
        mut self,
        table: &impl Archive,
        author: &Author,
    ) -> Result<u64, OperatorError> {
        let settings = &mut self.change.settings;
        let present = match &self.change.replaces {
            Some(_) => self.before.generation,
            None => latest(&table.settings_history().await?),
        };
        settings.generation = present + 1;
        settings.updated_at = Some(author.now);
        settings.updated_by = Some(author.arn.clone());
        let written = table.write_settings(&self.change).await?;
        written.ok_or(OperatorError::SettingsChanged)
    }
}
