//! What operators ask of the table, answered by the fake in memory.

use jiff::Timestamp;
use rulekeeper::aws::FoundGroup;
use rulekeeper_core::fakes::{FakeEc2, FakeTable, of_scope};
use rulekeeper_core::model::{GroupAddress, Scope};
use rulekeeper_core::ports::{ApiError, SecurityGroups as _, WriteError};
use rulekeeper_core::report::incident::{Incident, key_from};
use serde_json::Value;

use super::{Archive, Inventory, NewSettings, Selection, TakenOut};

impl Archive for FakeTable {
    async fn history(&self, group: &GroupAddress) -> Result<Vec<(u64, Value)>, ApiError> {
        self.trouble()?;
        let history = self.archive().history.get(group).cloned();
        Ok(history.unwrap_or_default().into_iter().collect())
    }

    async fn all_states(&self, scope: &Scope) -> Result<Vec<(String, Value)>, ApiError> {
        self.trouble()?;
        Ok(of_scope(&self.states, scope))
    }

    async fn incidents(
        &self,
        group: &GroupAddress,
        since: Timestamp,
    ) -> Result<Vec<(String, Value)>, ApiError> {
        self.trouble()?;
        let from = key_from(since);
        let kept = |incident: &Incident| incident.group == *group && incident.key >= from;
        let mut found: Vec<_> = self
            .recorded()
            .into_iter()
            .filter(kept)
            .map(|incident| (incident.key, Value::Object(incident.attributes)))
            .collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(found)
    }

    async fn take_out(&self, change: &TakenOut) -> Result<u64, WriteError> {
        let (group, generation) = (&change.address, change.generation);
        let before = generation.saturating_sub(1);
        self.begin_write(group, Some(&change.replaces), before, &change.state)
            .await?;
        self.remove(group);
        let mut archive = self.archive();
        let history = archive.history.entry(group.clone()).or_default();
        history.insert(generation, change.tombstone.clone());
        Ok(generation)
    }

    async fn settings(&self) -> Result<Option<Value>, ApiError> {
        self.trouble()?;
        Ok(self.archive().settings.clone())
    }

    async fn settings_history(&self) -> Result<Vec<(u64, Value)>, ApiError> {
        let history = self.archive().settings_history.clone();
        Ok(history.into_iter().collect())
    }

    async fn write_settings(&self, change: &NewSettings) -> Result<Option<u64>, ApiError> {
        self.trouble()?;
        let mut archive = self.archive();
        if archive.settings != change.replaces {
            return Ok(None);
        }
        let generation = change.settings.generation;
        if let Some(replaced) = archive.settings.take() {
            archive.settings_history.insert(generation - 1, replaced);
        }
        archive.settings = Some(Value::Object(change.settings.to_json()));
        Ok(Some(generation))
    }
}

/// Named groups, each with the name `web`.
impl Inventory for FakeEc2 {
    async fn groups(&self, selection: &Selection) -> Result<Vec<FoundGroup>, ApiError> {
        let Selection::Named(ids) = selection else {
            panic!("groups are named")
        };
        let existing = self.existing_groups(ids).await?.into_iter();
        let groups = existing.map(|(id, vpc)| FoundGroup {
            id,
            name: "web".to_owned(),
            vpc,
            tags: Default::default(),
        });
        Ok(groups.collect())
    }
}
