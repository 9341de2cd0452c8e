//! Recording the live rules of a group.

use super::{Archive, Author, Draft, Inventory, OperatorError, Selection, Written, read};
use rulekeeper_core::desired::{DesiredRecord, Mode};
use rulekeeper_core::model::{ActualRules, GroupAddress, IngressRule, settable_tags};
use rulekeeper_core::ports::Loaded;

/// The options of `pin`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PinOptions {
    /// The mode to set; the record's own, or enforce, when absent.
    pub mode: Option<Mode>,
    /// The note to set; the record's own when absent.
    pub note: Option<String>,
    /// Whether to watch the group; as before, or not, when absent.
    pub watch: Option<bool>,
}

/// Makes the live rules of a group its desired state. Mode, pause, principals and priorities of an earlier record stay.
/// When nothing differs, nothing is written.
///
/// # Errors
/// When the group does not exist, holds a rule that cannot be recorded, or the record cannot be read or written.
pub async fn pin(
    ec2: &impl Inventory,
    table: &impl Archive,
    group: &GroupAddress,
    options: &PinOptions,
    author: &Author,
) -> Result<Written, OperatorError> {
    let wanted = Selection::Named([group.id.clone()].into());
    let (found, live, item) = tokio::join!(
        ec2.groups(&wanted),
        ec2.rules_of(&group.id),
        table.load(group)
    );
    let Some(found) = found?.pop() else {
        return Err(OperatorError::NoSuchGroup(group.clone()));
    };
    let actual = live?;
    let draft = draft(group, &found.name, &actual, item?, options)?;
    draft.write_seeing(&actual, table, author).await
}

/// Drafts a record of a group's live rules.
///
/// # Errors
/// When a live rule cannot be recorded, or the present record cannot be understood.
pub(super) fn draft(
    group: &GroupAddress,
    name: &str,
    actual: &ActualRules,
    loaded: Loaded,
    options: &PinOptions,
) -> Result<Draft, OperatorError> {
    if !actual.unrecognised.is_empty() {
        return Err(OperatorError::Unrecognised {
            group: group.clone(),
            rules: actual.unrecognised.clone(),
        });
    }
    let before = loaded
        .desired
        .as_ref()
        .map(|item| read(group, item))
        .transpose()?;
    let earlier = before.clone().unwrap_or_default();
    let rules = actual.iter().map(|live| {
        let rule = IngressRule {
            key: live.key.clone(),
            description: live.description.clone(),
            tags: settable_tags(&live.tags),
            priority: earlier.rules.get(&live.key).map_or(0, |rule| rule.priority),
        };
        (live.key.clone(), rule)
    });
    let record = DesiredRecord {
        mode: options.mode.unwrap_or(earlier.mode),
        watch: options.watch.unwrap_or(earlier.watch),
        note: options.note.clone().or_else(|| earlier.note.clone()),
        rules: rules.collect(),
        name: Some(name.to_owned()),
        ..earlier
    };
    Ok(Draft {
        group: group.clone(),
        record,
        before,
        loaded,
        reason: "pinned".to_owned(),
    })
}
