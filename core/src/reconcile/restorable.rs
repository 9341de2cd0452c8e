//! Looks up which rules of records could not come back.

use std::collections::BTreeMap;

use super::Forbidden;
use crate::decide::guardrail::{Entries, Guardrails};
use crate::decide::restorable::{Existing, References, Unrestorable, unrestorable};
use crate::desired::DesiredRecord;
use crate::model::{ActualRules, RuleKey};
use crate::ports::SecurityGroups;

/// What is known of everything that some records refer to.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    existing: Existing,
    entries: Entries,
    /// What could not be looked up, in words. Of it nothing is said.
    pub unknown: Vec<String>,
}

impl Outlook {
    /// Looks up the references of these rules: one describe for 200 groups, one for 200 prefix lists, and the entries of
    /// prefix lists where guardrails need them.
    pub async fn of<'r, E: SecurityGroups>(
        ec2: &E,
        never: &Guardrails,
        rules: impl Iterator<Item = &'r RuleKey> + Clone,
    ) -> Self {
        let References { groups, lists } = References::of(rules.clone());
        let to_read = never.lists_to_read(rules);
        let look_up_groups = async {
            match groups.is_empty() {
                true => Ok(BTreeMap::new()),
                false => ec2.existing_groups(&groups).await,
            }
        };
        let look_up_lists = async {
            match lists.is_empty() {
                true => Ok(BTreeMap::new()),
                false => ec2.prefix_lists(&lists).await,
            }
        };
        let look_up_entries = async {
            match to_read.is_empty() {
                true => Ok(Entries::new()),
                false => ec2.prefix_list_entries(&to_read).await,
            }
        };
        let (groups, lists, entries) = tokio::join!(look_up_groups, look_up_lists, look_up_entries);
        let mut unknown = Vec::new();
        if let Err(error) = &groups {
            unknown.push(format!("which referenced groups exist: {error}"));
        }
        if let Err(error) = &lists {
            unknown.push(format!("which prefix lists exist: {error}"));
        }
        if let Err(error) = &entries {
            unknown.push(format!("what prefix lists hold, for guardrails: {error}"));
        }
        Self {
            existing: Existing {
                groups: groups.ok(),
                lists: lists.ok(),
            },
            entries: entries.unwrap_or_default(),
            unknown,
        }
    }

    /// The rules of a record that could not come back if all were dropped now.
    pub fn unrestorable(
        &self,
        never: &Guardrails,
        quota: u32,
        record: &DesiredRecord,
        actual: &ActualRules,
    ) -> BTreeMap<RuleKey, Unrestorable> {
        let forbidden = Forbidden::with(never, record.rules.keys(), &self.entries);
        unrestorable(record, actual, &self.existing, &forbidden, quota)
    }
}
