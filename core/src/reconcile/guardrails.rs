//! Which rules of a record the function's configuration forbids.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::decide::guardrail::{Entries, Guardrails};
use crate::model::RuleKey;
use crate::ports::SecurityGroups;

/// The rules of a record that must not be authorized.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forbidden {
    /// Each with the reason.
    pub rules: BTreeMap<RuleKey, String>,
    /// What the guardrails could not be held against.
    pub warnings: Vec<String>,
}

impl Forbidden {
    /// Holds the guardrails against all rules of a record. If the entries of prefix lists matter, they are looked up, for
    /// `time` at most: good rules wait for it.
    pub async fn of<'r, E: SecurityGroups>(
        ec2: &E,
        never: &Guardrails,
        rules: impl Iterator<Item = &'r RuleKey> + Clone,
        time: Duration,
    ) -> Self {
        let lists = never.lists_to_read(rules.clone());
        let entries = match lists.is_empty() {
            true => Some(Ok(Entries::new())),
            false => tokio::time::timeout(time, ec2.prefix_list_entries(&lists))
                .await
                .ok(),
        };
        let (entries, problem) = match entries {
            Some(Ok(entries)) => (entries, "EC2 does not show them".to_owned()),
            Some(Err(error)) => (Entries::new(), error.to_string()),
            None => (
                Entries::new(),
                "GetManagedPrefixListEntries did not succeed in the time for it".to_owned(),
            ),
        };
        let unread = lists.iter().filter(|list| !entries.contains_key(*list));
        let warnings = unread.map(|list| {
            format!(
                "the entries of {list} are not known, so guardrails do not count them: {problem}"
            )
        });
        Self {
            warnings: warnings.collect(),
            rules: Self::with(never, rules, &entries),
        }
    }

    /// The forbidden rules, each with the reason, where the entries of prefix lists are known.
    pub fn with<'r>(
        never: &Guardrails,
        rules: impl Iterator<Item = &'r RuleKey>,
        entries: &Entries,
    ) -> BTreeMap<RuleKey, String> {
        let forbidden = never.forbidden(rules, entries).into_iter();
        let reason = |guardrail| {
            format!(
                "it allows, alone or with other rules of the record, what RULEKEEPER_NEVER forbids: {guardrail}"
            )
        };
        forbidden
            .map(|(rule, guardrail)| (rule.clone(), reason(guardrail)))
            .collect()
    }
}
